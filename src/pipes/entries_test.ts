// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { txSa } from "../../tests/support/sas.ts";
import type { RxSa } from "../model/sa.ts";
import { egrAclEntry, encapHeader, ingrAclEntry, pspEncryptEntry } from "./entries.ts";

const TX = txSa({ spi: 0x9a345678, version: "aes-gcm-256" });
const OUTER = {
  localPip: "192.0.2.1",
  ethSrc: "02:00:00:00:00:01",
  ethDst: "02:00:00:00:00:fe",
  ttl: 64,
};
const RX: RxSa = {
  localVip: "10.1.0.5",
  remoteVip: "10.2.0.7",
  peer: "h2",
  spi: 0x12345678,
  version: "aes-gcm-128",
  cryptOffset: 5,
  mode: "tunnel",
  serial: 1n,
  createdAtMs: 0,
};
const MACS = { ethDst: "02:00:00:00:00:0a", ethSrc: "02:00:00:00:00:0b" };

Deno.test("the header over IPv4, octet for octet", () => {
  assert.equal(
    encapHeader(TX, OUTER).toHex(),
    "0200000000fe" + "020000000001" + "0800" + // Ethernet
      "45000000" + "00004000" + "40110000" + "c0000201" + "c0000202" + // IPv4, DF
      "000003e8" + "00000000" + // UDP, port 1000
      "00010505" + "9a345678" + "0000000000000000", // PSP
  );
});

Deno.test("the header over IPv6 with a cookie, octet for octet", () => {
  const sa = { ...TX, pip: "2001:db8::2", vc: 0x1122334455667788n, cryptOffset: 7 };
  assert.equal(
    encapHeader(sa, { ...OUTER, localPip: "2001:db8::1", ttl: 50 }).toHex(),
    "0200000000fe" + "020000000001" + "86dd" +
      "60000000" + "00001132" + "20010db8000000000000000000000001" +
      "20010db8000000000000000000000002" +
      "000003e8" + "00000000" +
      "00020707" + "9a345678" + "0000000000000000" + "1122334455667788",
  );
});

Deno.test("transport mode has no outer IP, and the EtherType of the vips", () => {
  const v4 = encapHeader({ ...TX, mode: "transport", pip: "2001:db8::2" }, OUTER).toHex();
  assert.equal(v4.slice(24, 36), "0800000003e8");
  const v6 = encapHeader({ ...TX, mode: "transport", localVip: "fd00::1" }, OUTER).toHex();
  assert.equal(v6.slice(24, 36), "86dd000003e8");
  assert.equal(v6.length, 2 * (14 + 8 + 16));
});

Deno.test("what does not fit a header is refused", () => {
  assert.throws(() => encapHeader(TX, { ...OUTER, localPip: "::1" }), /different families/);
  assert.throws(() => encapHeader(TX, { ...OUTER, ttl: 0 }), /TTL is 0/);
  assert.throws(() => encapHeader(TX, { ...OUTER, ethDst: "02" }), /"02" is not a MAC/);
  assert.throws(() => encapHeader({ ...TX, cryptOffset: 64 }, OUTER), /crypt offset is 64/);
});

Deno.test("EGR_ACL encrypts, or with sampling marks the packet for PSP_ENCRYPT", () => {
  const options = { ...OUTER, cryptoId: 9, copyDscp: true };
  const plain = egrAclEntry(TX, { ...options, sampling: false });
  assert.deepEqual(plain.match, { outer: { src_ip: "10.1.0.5", dst_ip: "10.2.0.7" } });
  assert.deepEqual(plain.actions?.crypto, { action: "encrypt", crypto_id: 9 });
  assert.equal(plain.actions?.meta, undefined);
  const sampled = egrAclEntry(TX, { ...options, sampling: true });
  assert.equal(sampled.actions?.crypto, undefined);
  assert.deepEqual(sampled.actions?.meta, { pkt_meta: 9 });
  assert.deepEqual(pspEncryptEntry(9).match, { meta: { pkt_meta: 9 } });
  assert.deepEqual(pspEncryptEntry(9).actions?.crypto, { action: "encrypt", crypto_id: 9 });
});

Deno.test("INGR_ACL lets only the peer's address talk to only our address with this SPI", () => {
  assert.deepEqual(ingrAclEntry(RX, { ...MACS, vc: false }).match, {
    parser_meta: { psp_syndrome: "ok" },
    tun: { psp: { spi: 0x12345678 } },
    inner: { src_ip: "10.2.0.7", dst_ip: "10.1.0.5" },
  });
  for (const cryptOffset of [0, 5, 63]) {
    const { actions } = ingrAclEntry({ ...RX, cryptOffset }, { ...MACS, vc: false });
    const encap = actions?.crypto_encap;
    assert.equal(encap?.action === "decap" ? encap.crypt_offset : undefined, cryptOffset);
  }
  assert.deepEqual(ingrAclEntry({ ...RX, mode: "transport" }, { ...MACS, vc: false }).match.outer, {
    src_ip: "10.2.0.7",
    dst_ip: "10.1.0.5",
  });
});

Deno.test("the cookie is compared, 0 without one, and never silently left out", () => {
  const vc = (sa: RxSa, on: boolean) => ingrAclEntry(sa, { ...MACS, vc: on }).match.tun?.psp?.vc;
  assert.equal(vc({ ...RX, vc: 5n }, true), 5n);
  assert.equal(vc(RX, true), 0n);
  assert.equal(vc(RX, false), undefined);
  assert.throws(() => vc({ ...RX, vc: 5n }, false), /INGR_ACL compares none/);
});

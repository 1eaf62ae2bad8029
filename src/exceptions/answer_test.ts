// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import fc from "fast-check";
import { answerException } from "./answer.ts";
import { arpProbe } from "./arp.ts";
import type { ExceptionContext } from "./context.ts";
import {
  buildFrame,
  buildUdp,
  type Bytes,
  checksum,
  concat,
  ipBytes,
  l4ChecksumOk,
  macBytes,
  parseIp,
  sealL4,
  view,
} from "./frame.ts";
import { Leases } from "./leases.ts";
import { gatewayOf } from "./pools.ts";
import { linkLocal, neighbourProbe } from "./nd.ts";
import { icmpError } from "./icmp_error.ts";

const GATEWAY_MAC = "02:50:53:50:00:01";
const V1_MAC = "02:00:00:00:00:11";
const VIPS = [
  { vip: "10.1.0.0/24", gateway: "10.1.0.1", dns: ["10.9.9.9"] },
  { vip: "fd01::/64", dns: ["fd09::9"] },
];

function context(): ExceptionContext {
  const leases = new Leases(VIPS);
  const ours = new Set(["10.2.0.1", "10.1.0.1", "fd02::1"]);
  return {
    gatewayMac: GATEWAY_MAC,
    gatewayLinkLocal: linkLocal(GATEWAY_MAC),
    gateway: "169.254.1.1",
    localVips: VIPS,
    answersFor: (address) => ours.has(address),
    isGateway: (address) => address === "10.1.0.1" || address === linkLocal(GATEWAY_MAC),
    isLocal: (address) => /^10\.1\.0\.|^fd01::/.test(address),
    mtu: 1440,
    leases,
  };
}

function hex(text: string): Bytes {
  return Uint8Array.from(text.replaceAll(/\s/g, "").match(/../g) ?? [], (h) => parseInt(h, 16));
}

// who-has 10.2.0.1 tell 10.1.0.7, as Linux sends it
const ARP_REQUEST = hex(`ffffffffffff 020000000011 0806 0001 0800 06 04 0001
  020000000011 0a010007 000000000000 0a020001`);

function neighbourSolicitation(target: string, src = "fd01::7"): Bytes {
  const body = concat(
    hex("8700000000000000"),
    ipBytes(target),
    src === "::" ? hex("") : hex("0101020000000011"),
  );
  const at = { src, dst: "ff02::1:ff00:1", protocol: 58 };
  const envelope = { ethDst: "33:33:ff:00:00:01", ethSrc: V1_MAC, ...at, ttl: 255 };
  return buildFrame(envelope, sealL4(body, { ...at, checksumAt: 2 }));
}

function dhcp(type: number, options: Bytes = hex("")): Bytes {
  const message = concat(
    hex("01010600 deadbeef 0000 8000 00000000 00000000 00000000 00000000"),
    // BOOTP carries a MAC in 16 octets.
    macBytes(V1_MAC),
    new Uint8Array(10),
    new Uint8Array(192),
    hex("63825363"),
    Uint8Array.of(53, 1, type),
    options,
    Uint8Array.of(255),
  );
  return buildUdp(
    {
      ethDst: "ff:ff:ff:ff:ff:ff",
      ethSrc: V1_MAC,
      src: "0.0.0.0",
      dst: "255.255.255.255",
      ttl: 64,
    },
    { src: 68, dst: 67 },
    message,
  );
}

function optionOf(frame: Bytes, code: number): string | undefined {
  const options = frame.subarray(14 + 20 + 8 + 240);
  for (let at = 0; at < options.length && options[at] !== 255;) {
    if (options[at] === 0) {
      at += 1;
      continue;
    }
    const value = options.subarray(at + 2, at + 2 + (options[at + 1] ?? 0));
    if (options[at] === code) return value.toHex();
    at += 2 + value.length;
  }
  return undefined;
}

Deno.test("an ARP request for a peer's vip is answered with the gateway's MAC, octet by octet", () => {
  const answer = answerException(ARP_REQUEST, context());
  assert.deepEqual(
    answer.reply?.toHex(),
    hex(`020000000011 025053500001 0806 0001 0800 06 04 0002
      025053500001 0a020001 020000000011 0a010007`).toHex(),
  );
  assert.deepEqual(answer.learned, { vip: "10.1.0.7", mac: V1_MAC });
});

Deno.test("an ARP request for an unknown address, or for a workload's own, meets silence", () => {
  for (const last of ["0a030001", "0a010009"]) {
    const request = concat(ARP_REQUEST.subarray(0, 38), hex(last));
    assert.equal(answerException(request, context()).reply, undefined, last);
  }
});

Deno.test("an ARP reply from a workload is learned and not answered", () => {
  const reply = ARP_REQUEST.slice();
  reply[21] = 2;
  const answer = answerException(reply, context());
  assert.equal(answer.reply, undefined);
  assert.deepEqual(answer.learned, { vip: "10.1.0.7", mac: V1_MAC });
});

Deno.test("an ARP probe claims no address of its own", () => {
  assert.equal(
    arpProbe("10.1.0.7", GATEWAY_MAC).toHex(),
    hex(`ffffffffffff 025053500001 0806 0001 0800 06 04 0001
      025053500001 00000000 000000000000 0a010007`).toHex(),
  );
});

Deno.test("a neighbour solicitation for a peer's vip is answered; for an unknown one it is not", () => {
  const answer = answerException(neighbourSolicitation("fd02::1"), context());
  const na = answer.reply && parseIp(answer.reply);
  assert.ok(na && l4ChecksumOk(na));
  assert.equal(na.ttl, 255);
  assert.equal(na.src, "fd02::1");
  assert.equal(na.dst, "fd01::7");
  assert.equal(na.l4.toHex().slice(0, 2), "88");
  assert.equal(na.l4.subarray(24).toHex(), "0201025053500001");
  assert.deepEqual(answer.learned, { vip: "fd01::7", mac: V1_MAC });
  assert.equal(answerException(neighbourSolicitation("fd03::1"), context()).reply, undefined);
});

Deno.test("duplicate address detection for a peer's vip is answered to all nodes", () => {
  const reply = answerException(neighbourSolicitation("fd02::1", "::"), context()).reply;
  assert.equal(reply && parseIp(reply)?.dst, "ff02::1");
});

/** A message of neighbour discovery from V1, with these options. */
function discovery(message: Bytes, options: string): Bytes {
  const at = { src: "fd01::7", dst: "ff02::1", protocol: 58 };
  const envelope = { ethDst: "33:33:00:00:00:01", ethSrc: V1_MAC, ...at, ttl: 255 };
  const body = concat(message, hex(options));
  return buildFrame(envelope, sealL4(body, { ...at, checksumAt: 2 }));
}

for (
  const [what, options] of Object.entries({
    "of no length": "0100020000000011",
    "of no length behind a good one": "0101020000000011 0e00000000000000",
    "longer than the message": "0103020000000011",
    "cut within": "0101020000000011 0e",
  })
) {
  Deno.test(`neighbour discovery with an option ${what} is silence, and nothing is learned (RFC 4861, 6.1 and 7.1)`, () => {
    const messages = {
      solicitation: concat(hex("8700000000000000"), ipBytes("fd02::1")),
      advertisement: concat(hex("88000000a0000000"), ipBytes("fd01::7")),
      "router solicitation": hex("8500000000000000"),
    };
    for (const [name, message] of Object.entries(messages)) {
      assert.deepEqual(answerException(discovery(message, options), context()), {}, name);
    }
  });
}

for (
  const [what, options, isAnswered] of [
    ["an overload of the fixed fields, which hold the same again", "340103", true],
    ["a requested address of three octets", "32030a0100", true],
    ["a requested address of 255", `32ff${"0a".repeat(255)}`, true],
    ["an option that overruns the message", "32ff0a01", false],
    ["hundreds of options", "0c0161".repeat(200), true],
    ["a message type of no octets behind the good one", "3500", false],
  ] as const
) {
  Deno.test(`DHCP: ${what}`, () => {
    const frame = dhcp(1, hex(options));
    // Options of the same kind in sname and file, which only an overload makes options.
    frame.set(hex("3401033401033401030c0161ff"), 14 + 20 + 8 + 44);
    frame.set([0, 0], 14 + 20 + 6);
    const { reply, learned } = answerException(frame, context());
    assert.equal(learned, undefined);
    assert.equal(reply !== undefined, isAnswered);
    if (reply !== undefined) assert.equal(optionOf(reply, 53), "02");
  });
}

Deno.test("a routed or corrupted solicitation meets silence", () => {
  const routed = neighbourSolicitation("fd02::1");
  routed[14 + 7] = 254;
  const corrupted = neighbourSolicitation("fd02::1");
  corrupted[60] = (corrupted[60] ?? 0) ^ 1;
  for (const frame of [routed, corrupted]) assert.deepEqual(answerException(frame, context()), {});
});

Deno.test("a router solicitation is told MTU, prefix and DNS", () => {
  const at = { src: "fe80::7", dst: "ff02::2", protocol: 58 };
  const rs = sealL4(hex("8500000000000000"), { ...at, checksumAt: 2 });
  const envelope = { ethDst: "33:33:00:00:00:02", ethSrc: V1_MAC, ...at, ttl: 255 };
  const reply = answerException(buildFrame(envelope, rs), context()).reply;
  const ra = reply && parseIp(reply);
  assert.ok(ra && l4ChecksumOk(ra));
  assert.equal(ra.src, linkLocal(GATEWAY_MAC));
  const text = ra.l4.toHex();
  assert.ok(text.startsWith("86"));
  assert.ok(text.includes("05010000000005a0"), "MTU 1440");
  assert.ok(
    text.includes("030440c0000151800001518000000000fd01"),
    "prefix fd01::/64, on the link and autonomous",
  );
  assert.ok(text.includes("1903000000000708fd09"), "RDNSS");
});

Deno.test("DHCP: DISCOVER gets an OFFER and REQUEST an ACK with address, mask, gateway, DNS and MTU", () => {
  const world = context();
  const offer = answerException(dhcp(1), world).reply;
  const ack = answerException(dhcp(3, hex("32040a010002")), world);
  assert.ok(offer && ack.reply);
  assert.equal(optionOf(offer, 53), "02");
  assert.equal(optionOf(ack.reply, 53), "05");
  assert.equal(ack.reply.subarray(58, 62).toHex(), "0a010002");
  assert.equal(optionOf(ack.reply, 1), "ffffff00");
  assert.equal(optionOf(ack.reply, 3), "0a010001");
  assert.equal(optionOf(ack.reply, 6), "0a090909");
  assert.equal(optionOf(ack.reply, 26), "05a0");
  assert.deepEqual(ack.learned, { vip: "10.1.0.2", mac: V1_MAC });
  const packet = parseIp(ack.reply);
  assert.ok(packet && l4ChecksumOk(packet));
});

Deno.test("DHCP: a request for another address is refused, one for another server ignored", () => {
  for (const taken of ["0a010001", "0a010000", "0a0100ff", "0a070001"]) {
    const nak = answerException(dhcp(3, hex(`3204${taken}`)), context()).reply;
    assert.equal(nak && optionOf(nak, 53), "06", taken);
  }
  assert.deepEqual(answerException(dhcp(3, hex("36040a0100fe")), context()), {});
});

Deno.test("DHCP: an address that is given back, or on which somebody else was found, is told of", () => {
  const world = context();
  const [discover, request] = [dhcp(1), dhcp(3, hex("32040a010002"))];
  answerException(discover, world);
  answerException(request, world);
  const release = dhcp(7);
  release.set(hex("0a010002"), 42 + 12);
  assert.deepEqual(answerException(withSum(release), world), {
    left: { vip: "10.1.0.2", mac: V1_MAC },
  });
  assert.deepEqual(answerException(withSum(release), world), {}, "it has none any more");
  answerException(discover, world);
  answerException(request, world);
  assert.deepEqual(answerException(dhcp(4, hex("32040a010002")), world), {});
  const offer = answerException(discover, world).reply;
  assert.equal(offer?.subarray(58, 62).toHex(), "0a010003", "another one");
});

Deno.test("stateless DHCPv6 tells the DNS servers under the client's transaction id", () => {
  const frame = buildUdp(
    { ethDst: "33:33:00:01:00:02", ethSrc: V1_MAC, src: "fe80::7", dst: "ff02::1:2", ttl: 1 },
    { src: 546, dst: 547 },
    hex("0b123456 0001000a 00030001020000000011"),
  );
  const reply = answerException(frame, context()).reply;
  const payload = reply && parseIp(reply)?.l4.subarray(8).toHex();
  assert.ok(payload?.startsWith("07123456"));
  assert.ok(payload?.includes("0001000a00030001020000000011"), "client id comes back");
  assert.ok(payload?.endsWith(`00170010${ipBytes("fd09::9").toHex()}`));
});

Deno.test("leases: a MAC keeps its address, reserved vips go to their MAC, an empty pool gives none", () => {
  const leases = new Leases([
    { vip: "10.0.0.4/30", gateway: "10.0.0.5", dns: [] },
    { vip: "10.0.1.9/32", mac: "02:00:00:00:00:09", dns: [] },
  ]);
  assert.equal(leases.offer("02:00:00:00:00:09")?.address, "10.0.1.9");
  assert.equal(leases.offer("02:00:00:00:00:01")?.address, "10.0.0.6");
  assert.equal(leases.offer("02:00:00:00:00:02"), undefined);
  assert.equal(leases.offer("02:00:00:00:00:01")?.address, "10.0.0.6");
  assert.equal(gatewayOf({ vip: "10.0.1.9/32", dns: [] }), "169.254.1.1");
});

Deno.test("too big: the ICMP error names the MTU and quotes the packet; never for an ICMP error", () => {
  const udp = buildUdp(
    { ethDst: GATEWAY_MAC, ethSrc: V1_MAC, src: "10.1.0.7", dst: "10.2.0.1", ttl: 64 },
    { src: 1, dst: 2 },
    new Uint8Array(1500),
  ).subarray(14);
  const reply = icmpError(
    { data: udp.subarray(0, 128), ethSrc: V1_MAC },
    { kind: "too-big", mtu: 1440 },
    context(),
  );
  const icmp = reply && parseIp(reply);
  assert.ok(icmp);
  assert.equal(icmp.dst, "10.1.0.7");
  assert.equal(icmp.l4.subarray(0, 2).toHex(), "0304");
  assert.equal(view(icmp.l4).getUint16(6), 1440);
  assert.equal(icmp.l4.subarray(8).toHex(), udp.subarray(0, 128).toHex());
  const again = icmpError({ data: reply.subarray(14), ethSrc: V1_MAC }, {
    kind: "too-big",
    mtu: 576,
  }, {
    ...context(),
    isLocal: () => true,
  });
  assert.equal(again, undefined);
});

Deno.test("no frame makes an answerer throw, and every reply goes to the asker or to everybody", () => {
  const world = context();
  const seeds = [ARP_REQUEST, neighbourSolicitation("fd02::1"), dhcp(1), dhcp(3)];
  const mutated = fc.tuple(
    fc.constantFrom(...seeds),
    fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 6 }),
    fc.nat(400),
  ).map(([seed, changes, cut]) => {
    const frame = seed.slice(0, cut < 40 ? cut : undefined);
    for (const [at, value] of changes) if (at < frame.length) frame[at] = value;
    return frame;
  });
  const any = fc.oneof(mutated, fc.uint8Array({ maxLength: 600 }).map((b) => Uint8Array.from(b)));
  fc.assert(
    fc.property(any, (frame) => {
      const { reply } = answerException(frame, world);
      return reply === undefined || reply.length >= 42;
    }),
    { numRuns: 5000 },
  );
});

Deno.test("a neighbour probe goes to the solicited-node group of its target", () => {
  const probe = parseIp(neighbourProbe("fd01::12:3456", context()));
  assert.ok(probe && l4ChecksumOk(probe));
  assert.equal(probe.dst, "ff02::1:ff12:3456");
  assert.equal(probe.ethDst, "33:33:ff:12:34:56");
});

Deno.test("leases: an address that a workload uses already is its own, and nobody else's", () => {
  const leases = new Leases([{ vip: "10.0.0.4/30", gateway: "10.0.0.5", dns: [] }]);
  leases.use("10.0.0.6", "02:00:00:00:00:01");
  leases.use("10.9.9.9", "02:00:00:00:00:02");
  assert.equal(leases.offer("02:00:00:00:00:02"), undefined);
  assert.equal(leases.offer("02:00:00:00:00:01")?.address, "10.0.0.6");
});

/** The UDP checksum of an IPv4 frame left out, which is allowed, for what was changed in it. */
function withSum(frame: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  frame.set([0, 0], 14 + 20 + 6);
  return frame;
}

/** An echo request of so many octets, as ping sends it. */
function echo(src: string, dst: string, data = new Uint8Array(56).fill(7)): Bytes {
  const isIpv6 = src.includes(":");
  const protocol = isIpv6 ? 58 : 1;
  const l4 = concat(Uint8Array.of(isIpv6 ? 128 : 8, 0, 0, 0, 0x12, 0x34, 0, 9), data);
  const at = { src, dst, protocol };
  if (isIpv6) sealL4(l4, { ...at, checksumAt: 2 });
  else view(l4).setUint16(2, checksum(l4));
  return buildFrame({ ethDst: GATEWAY_MAC, ethSrc: V1_MAC, ttl: 64, ...at }, l4);
}

Deno.test("the gateway answers an echo request to itself, with what it carried", () => {
  const own = linkLocal(GATEWAY_MAC);
  for (
    const [src, dst] of [["10.1.0.7", "10.1.0.1"], ["fd01::7", own], ["fe80::7", own]] as const
  ) {
    const { reply } = answerException(echo(src, dst), context());
    const packet = parseIp(reply ?? hex(""));
    assert.deepEqual([packet?.src, packet?.dst, packet?.ethSrc, packet?.ethDst], [
      dst,
      src,
      GATEWAY_MAC,
      V1_MAC,
    ]);
    const isIpv6 = src.includes(":");
    assert.equal(packet?.l4[0], isIpv6 ? 129 : 0);
    assert.deepEqual(packet?.l4.subarray(4), concat(hex("12340009"), new Uint8Array(56).fill(7)));
    assert.ok(packet && (isIpv6 ? l4ChecksumOk(packet) : checksum(packet.l4) === 0));
  }
});

Deno.test("an echo request to nobody of ours, from nobody, or damaged has no answer", () => {
  const damaged = echo("10.1.0.7", "10.1.0.1");
  view(damaged).setUint8(damaged.length - 1, 9);
  const reply = echo("10.1.0.7", "10.1.0.1");
  view(reply).setUint8(34, 0);
  for (
    const frame of [
      echo("10.1.0.7", "10.2.0.1"),
      echo("0.0.0.0", "10.1.0.1"),
      echo("::", linkLocal(GATEWAY_MAC)),
      damaged,
      reply,
    ]
  ) assert.deepEqual(answerException(frame, context()), {});
});

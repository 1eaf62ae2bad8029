// SPDX-License-Identifier: Apache-2.0

/** What a workload may send its gateway, and gets no answer to, or none that serves it against others. */
import assert from "node:assert/strict";
import { answerException } from "./answer.ts";
import type { ExceptionContext } from "./context.ts";
import {
  buildUdp,
  type Bytes,
  concat,
  ipBytes,
  macBytes,
  macText,
  parseIp,
  view,
} from "./frame.ts";
import { icmpError } from "./icmp_error.ts";
import { Leases } from "./leases.ts";
import { linkLocal } from "./nd.ts";

const GATEWAY_MAC = "02:50:53:50:00:01";
const MAC = "02:00:00:00:00:11";
const OTHER = "02:00:00:00:00:22";
const VIPS = [{ vip: "10.1.0.0/29", gateway: "10.1.0.1", dns: [] }];

function context(leases = new Leases(VIPS)): ExceptionContext {
  return {
    gatewayMac: GATEWAY_MAC,
    gatewayLinkLocal: linkLocal(GATEWAY_MAC),
    gateway: "10.1.0.1",
    localVips: VIPS,
    answersFor: () => false,
    isGateway: (address) => address === "10.1.0.1",
    isLocal: (address) => /^10\.1\.0\.|^fd01::/.test(address),
    mtu: 1440,
    leases,
  };
}

// ---- DHCP ----------------------------------------------------------------------------------------

interface Asks {
  readonly type: number;
  readonly options?: string;
  /** Hardware address in the message, and of the frame. */
  readonly chaddr?: string;
  readonly ethSrc?: string;
  readonly ciaddr?: string;
  readonly giaddr?: string;
}

function hex(text: string): Bytes {
  return Uint8Array.fromHex(text.replaceAll(" ", ""));
}

function dhcp(asks: Asks): Bytes {
  const { type, options = "", chaddr = MAC, ethSrc = MAC } = asks;
  const { ciaddr = "0.0.0.0", giaddr = "0.0.0.0" } = asks;
  const message = concat(
    hex("01010600 deadbeef 0000 0000"),
    ipBytes(ciaddr),
    new Uint8Array(8),
    ipBytes(giaddr),
    macBytes(chaddr),
    new Uint8Array(10 + 192),
    hex("63825363"),
    Uint8Array.of(53, 1, type),
    hex(options),
    Uint8Array.of(255),
  );
  const dst = ciaddr === "0.0.0.0" ? "255.255.255.255" : "10.1.0.1";
  return buildUdp({ ethDst: "ff:ff:ff:ff:ff:ff", ethSrc, src: ciaddr, dst, ttl: 64 }, {
    src: 68,
    dst: 67,
  }, message);
}

interface Told {
  readonly type: number | undefined;
  readonly yiaddr: string;
  readonly options: ReadonlyMap<number, string>;
  readonly to: string;
}

/** What the answer says; undefined: there is none. */
function told(asks: Asks, world: ExceptionContext): Told | undefined {
  const { reply } = answerException(dhcp(asks), world);
  const packet = reply && parseIp(reply);
  if (packet === undefined) return undefined;
  const message = packet.l4.subarray(8);
  const options = new Map<number, string>();
  for (let at = 240; at < message.length && message[at] !== 255;) {
    const length = message[at + 1] ?? 0;
    options.set(message[at] ?? 0, message.subarray(at + 2, at + 2 + length).toHex());
    at += 2 + length;
  }
  const type = options.get(53);
  return {
    type: type === undefined ? undefined : parseInt(type, 16),
    yiaddr: [...message.subarray(16, 20)].join("."),
    options,
    to: packet.ethDst,
  };
}

/** A workload takes the first address that it is offered. */
function lease(world: ExceptionContext, mac = MAC): string {
  const offered = told({ type: 1, chaddr: mac, ethSrc: mac }, world)?.yiaddr ?? "";
  const options = `3204${ipBytes(offered).toHex()}`;
  assert.equal(told({ type: 3, chaddr: mac, ethSrc: mac, options }, world)?.type, 5);
  return offered;
}

Deno.test("DHCP: who sends another's hardware address gives nothing back, takes nothing, and gets nothing", () => {
  const leases = new Leases(VIPS);
  const world = context(leases);
  const address = lease(world);
  const forged = { chaddr: MAC, ethSrc: OTHER };
  const requested = `3204${ipBytes(address).toHex()}`;
  for (
    const asks of [
      { type: 7, ciaddr: address },
      { type: 4, options: requested },
      { type: 3, options: requested },
      { type: 3, options: "3204 0a010006" },
      { type: 1 },
    ]
  ) assert.deepEqual(answerException(dhcp({ ...asks, ...forged }), world), {}, `${asks.type}`);
  assert.equal(leases.of(MAC)?.address, address);
  // One workload under a thousand names takes one address, not the pool.
  for (let i = 0; i < 1000; i++) {
    const chaddr = macText(Uint8Array.of(2, 9, 9, 9, i >> 8, i));
    assert.equal(told({ type: 1, chaddr, ethSrc: OTHER }, world), undefined);
  }
  assert.notEqual(told({ type: 1, chaddr: OTHER, ethSrc: OTHER }, world), undefined);
});

Deno.test("DHCP: what a relay sends on is not answered: its client is not here", () => {
  const world = context();
  for (const type of [1, 3, 8]) {
    assert.deepEqual(answerException(dhcp({ type, giaddr: "10.1.0.6" }), world), {});
  }
});

Deno.test("DHCP: a client that renews, rebinds or begins anew keeps its address; one that asks where it is gets no time", () => {
  const world = context();
  const address = lease(world);
  const server = `3604${ipBytes("10.1.0.1").toHex()}`;
  const requested = `3204${ipBytes(address).toHex()}`;
  for (
    const [what, asks] of [
      ["renew", { type: 3, ciaddr: address }],
      ["rebind, with nobody's name", { type: 3, ciaddr: address }],
      ["reboot", { type: 3, options: requested }],
      ["select", { type: 3, options: requested + server }],
    ] as const
  ) {
    const answer = told(asks, world);
    assert.equal(answer?.type, 5, what);
    assert.equal(answer.yiaddr, address, what);
    assert.equal(answer.options.get(51), "00000e10", what);
  }
  const inform = told({ type: 8, ciaddr: address }, world);
  assert.equal(inform?.type, 5);
  assert.equal(inform.yiaddr, "0.0.0.0");
  assert.equal(inform.options.get(51), undefined);
});

Deno.test("DHCP: rapid commit is not promised, and a client that asks for it is offered an address as any other", () => {
  const offer = told({ type: 1, options: "5000" }, context());
  assert.equal(offer?.type, 2);
  assert.equal(offer.options.has(80), false);
});

Deno.test("DHCP: a client identifier comes back in each answer (RFC 6842); with another one the MAC has what it had", () => {
  const world = context();
  const id = "3d0701020000000011";
  const offer = told({ type: 1, options: id }, world);
  assert.equal(offer?.options.get(61), "01020000000011");
  const requested = `3204${ipBytes(offer.yiaddr).toHex()}`;
  assert.equal(
    told({ type: 3, options: requested + id }, world)?.options.get(61),
    "01020000000011",
  );
  const nak = told({ type: 3, options: "32040a090909" + id }, world);
  assert.equal(nak?.type, 6);
  assert.equal(nak.options.get(61), "01020000000011");
  assert.equal(nak.options.has(1), false);
  const duid = "3d0bff0000000100020000ab11";
  const again = told({ type: 1, options: duid }, world);
  assert.equal(again?.yiaddr, offer.yiaddr);
  assert.equal(again.options.get(61), "ff0000000100020000ab11");
  assert.equal(told({ type: 1 }, world)?.options.has(61), false);
});

// ---- ICMP ----------------------------------------------------------------------------------------

/** An IPv6 packet from a workload: a chain of headers of 8 octets, then ICMPv6 or UDP. */
function ipv6(chain: readonly number[], proto: number, type: number, fragmentOffset = 0): Bytes {
  const packet = new Uint8Array(40 + 8 * chain.length + 16);
  view(packet).setUint8(0, 0x60);
  view(packet).setUint16(4, packet.length - 40);
  packet.set([chain[0] ?? proto, 64], 6);
  packet.set(ipBytes("fd01::7"), 8);
  packet.set(ipBytes("fd02::1"), 24);
  chain.forEach((header, i) => {
    packet[40 + 8 * i] = chain[i + 1] ?? proto;
    if (header === 44) view(packet).setUint16(40 + 8 * i + 2, fragmentOffset);
  });
  packet[40 + 8 * chain.length] = type;
  return packet;
}

Deno.test("no ICMP error answers an ICMP error, whatever stands in front of it (RFC 4443, 2.4 e)", () => {
  const reason = { kind: "no-route" } as const;
  const isAnswered = (data: Bytes) =>
    icmpError({ data, ethSrc: MAC }, reason, context()) !== undefined;
  for (
    const [what, data, expected] of [
      ["an error", ipv6([], 58, 1), false],
      ["a redirect", ipv6([], 58, 137), false],
      ["an error behind hop-by-hop options", ipv6([0], 58, 3), false],
      ["an error behind destination options and a routing header", ipv6([60, 43], 58, 2), false],
      ["the first fragment of an error", ipv6([44], 58, 3, 1), false],
      ["a later fragment of ICMPv6", ipv6([44], 58, 200, 8), false],
      ["a chain that does not end", ipv6(Array.from({ length: 30 }, () => 60), 60, 60), false],
      ["an echo request", ipv6([], 58, 128), true],
      ["an echo request behind options", ipv6([0, 60], 58, 128), true],
      ["UDP behind options", ipv6([60], 17, 1), true],
      ["a later fragment of UDP", ipv6([44], 17, 1, 8), true],
    ] as const
  ) assert.equal(isAnswered(data), expected, what);
});

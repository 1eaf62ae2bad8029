// SPDX-License-Identifier: Apache-2.0

/**
 * Fuzzes what answers workloads (ARP, ND, DHCP, packet too big): frames that workloads send, changed at random, with
 * their checksums righted most of the time so that the changes get past them.
 *
 *   deno run tests/fuzz/answerers.ts [--seconds=30]
 *
 * Ends with how many frames there were and "1 passed, 0 failed", or with the frame that broke a rule.
 */
import fc from "fast-check";
import { answerException } from "../../src/exceptions/answer.ts";
import { arpProbe } from "../../src/exceptions/arp.ts";
import type { ExceptionContext } from "../../src/exceptions/context.ts";
import {
  buildUdp,
  type Bytes,
  checksum,
  ipBytes,
  l4ChecksumOk,
  parseIp,
  view,
} from "../../src/exceptions/frame.ts";
import { Leases } from "../../src/exceptions/leases.ts";
import { linkLocal } from "../../src/exceptions/nd.ts";
import { icmpError } from "../../src/exceptions/icmp_error.ts";
import { dhcp, fromWorkload, hex, icmp6, solicitation } from "../fixtures/packets.ts";
import { GATEWAY_MAC, WORKLOAD_MAC } from "../support/plane_lab.ts";

const DHCP6 = hex("0b123456 0001000a 00030001020000000011 00060004 00170018");
const RS = hex("8500000000000000 0101020000000011");
const NA = hex("88000000 20000000 fd010000000000000000000000000005 0201020000000011");

const SEEDS: readonly Bytes[] = [
  arpProbe("10.2.0.7", WORKLOAD_MAC),
  solicitation("fd02::7"),
  icmp6(RS, { src: "fe80::7", dst: "ff02::2", ethDst: "33:33:00:00:00:02" }),
  icmp6(NA, { src: "fd01::5", dst: "ff02::1", ethDst: "33:33:00:00:00:01" }),
  dhcp("350101 3d0701020000000011 3707011c02030f06 3902 05dc"),
  dhcp("350103 32040a010002 36040a010001 0c0277 31"),
  dhcp("350108"),
  buildUdp(
    {
      ethDst: "33:33:00:01:00:02",
      ethSrc: WORKLOAD_MAC,
      src: "fe80::7",
      dst: "ff02::1:2",
      ttl: 1,
    },
    { src: 546, dst: 547 },
    DHCP6,
  ),
  fromWorkload("ipv4"),
  fromWorkload("ipv6"),
];

function context(): ExceptionContext {
  const localVips = [
    { vip: "10.1.0.0/24", gateway: "10.1.0.1", dns: ["10.9.9.9"] },
    { vip: "fd01::/64", dns: ["fd09::9"] },
  ];
  const leases = new Leases(localVips);
  return {
    gatewayMac: GATEWAY_MAC,
    gatewayLinkLocal: linkLocal(GATEWAY_MAC),
    gateway: "169.254.1.1",
    localVips,
    answersFor: (address) => /^(10\.2\.0\.|10\.1\.0\.1$|fd02::)/.test(address),
    isGateway: (address) => address === "10.1.0.1",
    isLocal: (address) => /^(10\.1\.0\.|fd01::)/.test(address),
    mtu: 1440,
    leases,
  };
}

/** Checksums of IP and of what is in it, as they must be. */
function righted(frame: Bytes): Bytes {
  const v4 = frame.length >= 34 && view(frame).getUint16(12) === 0x0800;
  if (v4) {
    const length = Math.min(4 * ((frame[14] ?? 0) & 15), frame.length - 14);
    if (length < 20) return frame;
    view(frame).setUint16(24, 0);
    view(frame).setUint16(24, checksum(frame.subarray(14, 14 + length)));
  }
  const packet = parseIp(frame);
  const at = packet?.protocol === 17 ? 6 : packet?.protocol === 58 ? 2 : undefined;
  if (packet === undefined || at === undefined || packet.l4.length < at + 2) return frame;
  const pseudo = new Uint8Array(8);
  view(pseudo).setUint32(0, packet.l4.length);
  view(pseudo).setUint32(4, packet.protocol);
  view(packet.l4).setUint16(at, 0);
  const sum = checksum(ipBytes(packet.src), ipBytes(packet.dst), pseudo, packet.l4);
  view(packet.l4).setUint16(at, sum === 0 ? 0xffff : sum);
  return frame;
}

/** What must hold of every reply; undefined: all is well. */
function broken(frame: Bytes, world: ExceptionContext): string | undefined {
  const { reply } = answerException(frame, world);
  const asker = frame.subarray(6, 12).toHex();
  for (const out of [reply, tooBig(frame, world)]) {
    if (out === undefined) continue;
    if (out.length < 42 || out.length > 1514) return `a reply of ${out.length} octets`;
    const [to, from] = [out.subarray(0, 6).toHex(), out.subarray(6, 12).toHex()];
    if (from !== GATEWAY_MAC.replaceAll(":", "")) return `a reply from ${from}`;
    if (view(out).getUint16(12) === 0x0806) continue; // to whom the ARP request itself names
    const packet = parseIp(out);
    if (packet === undefined || !l4ChecksumOk(packet)) {
      if (packet?.protocol !== 1) return "a reply that is not sound";
    }
    // A DHCP reply goes to the MAC in the request, which a relay or a bridge may have put there.
    if (packet?.protocol !== 17 && to !== asker) return `a reply to ${to} instead of ${asker}`;
  }
  return undefined;
}

function tooBig(frame: Bytes, world: ExceptionContext): Bytes | undefined {
  if (frame.length < 14) return undefined;
  return icmpError(
    { data: frame.slice(14), ethSrc: WORKLOAD_MAC },
    { kind: "too-big", mtu: 1440 },
    world,
  )
    ?.map((octet, i) => i < 6 ? frame[6 + i] ?? 0 : octet);
}

const changed = fc.tuple(
  fc.constantFrom(...SEEDS),
  fc.array(fc.tuple(fc.nat(420), fc.nat(255)), { maxLength: 6 }),
  fc.option(fc.nat(420), { freq: 4 }),
  fc.nat(7),
).map(([seed, changes, cut, keep]): Bytes => {
  const frame = seed.slice(0, cut ?? undefined);
  for (const [at, value] of changes) if (at < frame.length) frame[at] = value;
  return keep === 0 ? frame : righted(frame);
});
const frames = fc.oneof(
  { weight: 9, arbitrary: changed },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 700 }).map((b) => Uint8Array.from(b)) },
);

/** How many frames there were, and how many of them had an answer. Throws with the frame that breaks a rule. */
function fuzzAnswerers(
  seconds: number,
): { readonly runs: number; readonly replies: number } {
  const world = context();
  let [runs, replies] = [0, 0];
  fc.assert(
    fc.property(frames, (frame) => {
      runs++;
      if (answerException(frame, world).reply !== undefined) replies++;
      const why = broken(frame, world);
      if (why !== undefined) throw new Error(`${why}, for ${frame.toHex()}`);
    }),
    { numRuns: 1e9, interruptAfterTimeLimit: 1000 * seconds, markInterruptAsFailure: false },
  );
  return { runs, replies };
}

if (import.meta.main) {
  const option = Deno.args.find((arg) => arg.startsWith("--seconds="));
  const { runs, replies } = fuzzAnswerers(Number(option?.slice("--seconds=".length) ?? 30));
  console.log(`answerers: ${runs} frames, ${replies} answered\n1 passed, 0 failed`);
}

// SPDX-License-Identifier: Apache-2.0

/** Ethernet, IP and UDP of a captured packet: where the parts lie, and the parts put together again. */
import type { CapturedPacket } from "./capture.ts";

export const PROTO = { IPV4: 4, TCP: 6, UDP: 17, IPV6: 41 } as const;

/** An IP packet within its frame, or why there is none. Octets are views of the capture. */
export type Frame =
  | {
    readonly ok: true;
    /** Ethernet header with its VLAN tags; empty when the capture has none. */
    readonly l2: Uint8Array<ArrayBuffer>;
    /** The whole IP packet, without Ethernet padding. */
    readonly ip: Uint8Array<ArrayBuffer>;
    readonly family: 4 | 6;
    /** Protocol after the IP header and its extension headers. */
    readonly protocol: number;
    /** Where in `ip` the octet lies that names `protocol`. */
    readonly protocolAt: number;
    /** Octets of the IP header with options and extension headers. */
    readonly headerLength: number;
    /** Any fragment of a packet, also the first. */
    readonly fragment: boolean;
  }
  | {
    readonly ok: false;
    readonly verdict: "not ip" | "short" | "malformed";
    readonly reason: string;
  };

export type IpFrame = Frame & { readonly ok: true };

/** Reads Ethernet (any number of VLAN tags) and IP. */
export function parseFrame({ link, data }: Pick<CapturedPacket, "link" | "data">): Frame {
  if (link === "other") return no("not ip", "the link type is not known");
  if (link === "ip") {
    const family = (data[0] ?? 0) >> 4;
    return parseIp(data, { l2: data.subarray(0, 0), family });
  }
  let at = 12;
  while (at + 4 <= data.length && VLAN_TYPES.has(get16(data, at))) at += 4;
  if (at + 2 > data.length) return no("short", "the frame ends within its Ethernet header");
  const type = get16(data, at);
  const l2 = data.subarray(0, at + 2);
  if (type !== ETH_IPV4 && type !== ETH_IPV6) {
    return no("not ip", `the EtherType is 0x${type.toString(16).padStart(4, "0")}`);
  }
  return parseIp(data.subarray(at + 2), { l2, family: type === ETH_IPV4 ? 4 : 6 });
}

/** A UDP datagram within an IP packet. */
export interface Udp {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly checksum: number;
  readonly payload: Uint8Array<ArrayBuffer>;
  /** The checksum is 0, or right. */
  readonly checksumOk: boolean;
}

/** The datagram of a frame whose protocol is UDP; a sentence when its lengths contradict each other. */
export function parseUdp(frame: IpFrame): Udp | string {
  const udp = frame.ip.subarray(frame.headerLength);
  if (udp.length < 8) return "the packet ends within its UDP header";
  const length = get16(udp, 4);
  if (length < 8) return `the UDP length is ${length}`;
  if (length > udp.length) {
    return `the UDP length is ${length}, the packet has ${udp.length} octets`;
  }
  const checksum = get16(udp, 6);
  const datagram = udp.subarray(0, length);
  return {
    srcPort: get16(udp, 0),
    dstPort: get16(udp, 2),
    checksum,
    payload: datagram.subarray(8),
    checksumOk: checksum === 0 || udpSum(frame, datagram) === 0xffff,
  };
}

/** The Internet checksum's sum (not complemented) of a datagram with its pseudo-header; 0xffff: right. */
export function udpSum(
  { ip, family }: Pick<IpFrame, "ip" | "family">,
  datagram: Uint8Array,
): number {
  const addresses = family === 4 ? ip.subarray(12, 20) : ip.subarray(8, 40);
  return sum(datagram, sum(addresses, PROTO.UDP + datagram.length));
}

/** The Internet checksum of an IPv4 header whose checksum field is 0. */
export function ipv4Checksum(header: Uint8Array): number {
  return ~sum(header, 0) & 0xffff;
}

/**
 * The IP header of a packet in front of another payload: lengths, protocol and checksum are mended.
 * Throws RangeError when the packet would pass 65,535 octets.
 */
export function withPayload(
  frame: IpFrame,
  { protocol, payload }: { readonly protocol: number; readonly payload: Uint8Array },
): Uint8Array<ArrayBuffer> {
  const ip = new Uint8Array(frame.headerLength + payload.length);
  ip.set(frame.ip.subarray(0, frame.headerLength));
  ip.set(payload, frame.headerLength);
  ip[frame.protocolAt] = protocol;
  const length = frame.family === 4 ? ip.length : ip.length - 40;
  if (length > 0xffff) throw new RangeError(`the packet would be ${ip.length} octets long`);
  put16(ip, frame.family === 4 ? 2 : 4, length);
  if (frame.family === 4) {
    put16(ip, 10, 0);
    put16(ip, 10, ipv4Checksum(ip.subarray(0, (frame.ip[0] ?? 0) % 16 * 4)));
  }
  return ip;
}

/** An IP packet in an Ethernet header of its family; the packet alone when `l2` is empty. */
export function withL2(l2: Uint8Array, ip: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (l2.length === 0) return ip;
  const frame = new Uint8Array(l2.length + ip.length);
  frame.set(l2);
  frame.set(ip, l2.length);
  put16(frame, l2.length - 2, (ip[0] ?? 0) >> 4 === 4 ? ETH_IPV4 : ETH_IPV6);
  return frame;
}

export function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) << 8 | (bytes[at + 1] ?? 0);
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 0xff;
}

const ETH_IPV4 = 0x0800;
const ETH_IPV6 = 0x86dd;
/** 802.1Q, 802.1ad, and the two that older switches used for the outer tag. */
const VLAN_TYPES: ReadonlySet<number> = new Set([0x8100, 0x88a8, 0x9100, 0x9200]);
/** Extension headers that may stand before the transport header. */
const EXT = { HOP_BY_HOP: 0, ROUTING: 43, FRAGMENT: 44, DESTINATION: 60 };

interface Outer {
  readonly l2: Uint8Array<ArrayBuffer>;
  readonly family: number;
}

function parseIp(data: Uint8Array<ArrayBuffer>, outer: Outer): Frame {
  if (data.length === 0) return no("short", "there is no IP header");
  const version = (data[0] ?? 0) >> 4;
  if (outer.family !== version || (version !== 4 && version !== 6)) {
    return no(outer.l2.length === 0 ? "not ip" : "malformed", `the IP version is ${version}`);
  }
  return version === 4 ? parseIpv4(data, outer.l2) : parseIpv6(data, outer.l2);
}

function parseIpv4(data: Uint8Array<ArrayBuffer>, l2: Uint8Array<ArrayBuffer>): Frame {
  if (data.length < 20) return no("short", "the packet ends within its IPv4 header");
  const headerLength = ((data[0] ?? 0) & 0x0f) * 4;
  const length = get16(data, 2);
  if (headerLength < 20 || length < headerLength) {
    return no("malformed", `an IPv4 header of ${headerLength} octets in a packet of ${length}`);
  }
  if (length > data.length) return cut(length, data.length);
  const ip = data.subarray(0, length);
  return {
    ok: true,
    l2,
    ip,
    family: 4,
    protocol: ip[9] ?? 0,
    protocolAt: 9,
    headerLength,
    // More fragments, or an offset.
    fragment: (get16(ip, 6) & 0x3fff) !== 0,
  };
}

function parseIpv6(data: Uint8Array<ArrayBuffer>, l2: Uint8Array<ArrayBuffer>): Frame {
  if (data.length < 40) return no("short", "the packet ends within its IPv6 header");
  const length = 40 + get16(data, 4);
  if (length > data.length) return cut(length, data.length);
  const ip = data.subarray(0, length);
  let protocolAt = 6;
  let at = 40;
  let fragment = false;
  for (;;) {
    const next = ip[protocolAt] ?? 0;
    const isFragment = next === EXT.FRAGMENT;
    if (
      !isFragment && next !== EXT.HOP_BY_HOP && next !== EXT.ROUTING && next !== EXT.DESTINATION
    ) {
      return {
        ok: true,
        l2,
        ip,
        family: 6,
        protocol: next,
        protocolAt,
        headerLength: at,
        fragment,
      };
    }
    const size = isFragment ? 8 : 8 + (ip[at + 1] ?? 0) * 8;
    if (at + size > ip.length) return no("malformed", "the packet ends within an extension header");
    // RFC 6946: a fragment header that fragments nothing.
    if (isFragment) fragment ||= (get16(ip, at + 2) & 0xfff9) !== 0;
    protocolAt = at;
    at += size;
  }
}

function cut(length: number, captured: number): Frame {
  return no("short", `the IP packet is ${length} octets long, ${captured} were captured`);
}

function no(verdict: "not ip" | "short" | "malformed", reason: string): Frame {
  return { ok: false, verdict, reason };
}

/** One's complement sum of 16-bit words, continued from `start`. */
function sum(bytes: Uint8Array, start: number): number {
  let total = start;
  for (let i = 0; i < bytes.length; i += 2) total += get16(bytes, i);
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return total;
}

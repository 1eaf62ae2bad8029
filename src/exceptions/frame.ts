// SPDX-License-Identifier: Apache-2.0

/** Ethernet, IP and UDP as the answerers of host exceptions read and write them. Pure. */
import ipaddr from "ipaddr.js";

export const ETH_TYPE_ARP = 0x0806;
const ETH_TYPE_IPV4 = 0x0800;
const ETH_TYPE_IPV6 = 0x86dd;
export const IP_PROTO_ICMP = 1;
export const IP_PROTO_UDP = 17;
export const IP_PROTO_ICMP6 = 58;
export const ETH_HEADER_LEN = 14;
export const BROADCAST_MAC = "ff:ff:ff:ff:ff:ff";

export type Bytes = Uint8Array<ArrayBuffer>;

/** What stands around an L4 payload. */
export interface Envelope {
  readonly ethDst: string;
  readonly ethSrc: string;
  readonly src: string;
  readonly dst: string;
  readonly protocol: number;
  /** TTL or hop limit. */
  readonly ttl: number;
}

/** An IP packet taken apart as far as its L4 payload; views into the frame. */
export interface IpPacket extends Envelope {
  readonly family: 4 | 6;
  /** From the L4 header on, padding cut off. */
  readonly l4: Bytes;
}

/** A view for reading and writing numbers in network order. */
export function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** "02:00:00:00:00:01" from 6 octets. */
export function macText(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, 6), (b) => b.toString(16).padStart(2, "0")).join(":");
}

/** 6 octets from "02:00:00:00:00:01". */
export function macBytes(text: string): Bytes {
  return Uint8Array.from(text.split(":"), (part) => parseInt(part, 16));
}

/** Canonical text of 4 or 16 octets. */
export function ipText(bytes: Uint8Array): string {
  return ipaddr.fromByteArray([...bytes]).toString();
}

/** 4 or 16 octets of an address in text. */
export function ipBytes(text: string): Bytes {
  return Uint8Array.from(ipaddr.parse(text).toByteArray());
}

/** One array from several. */
export function concat(...parts: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** RFC 1071 over several pieces; each but the last has an even length. */
export function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Reads an IPv4 or IPv6 packet; undefined when it is none, a fragment, or shorter than it says. */
export function parseIp(frame: Bytes): IpPacket | undefined {
  if (frame.length < ETH_HEADER_LEN + 20) return undefined;
  const ethType = view(frame).getUint16(12);
  const eth = { ethDst: macText(frame), ethSrc: macText(frame.subarray(6)) };
  const ip = frame.subarray(ETH_HEADER_LEN);
  if (ethType === ETH_TYPE_IPV4) return parseIpv4(ip, eth);
  if (ethType === ETH_TYPE_IPV6) return parseIpv6(ip, eth);
  return undefined;
}

/** The addresses of a whole IP packet, fragment or not, whatever it carries; undefined: it is none, or cut off. */
export function parseHeader(
  frame: Bytes,
): { readonly src: string; readonly dst: string } | undefined {
  const ip = frame.subarray(ETH_HEADER_LEN);
  if (ip.length < 20) return undefined;
  const version = (ip[0] ?? 0) >> 4;
  if (version === 4) {
    if (view(ip).getUint16(2) > ip.length) return undefined;
    return { src: ipText(ip.subarray(12, 16)), dst: ipText(ip.subarray(16, 20)) };
  }
  if (version !== 6 || ip.length < 40 || view(ip).getUint16(4) > ip.length - 40) return undefined;
  return { src: ipText(ip.subarray(8, 24)), dst: ipText(ip.subarray(24, 40)) };
}

function parseIpv4(ip: Bytes, eth: { ethDst: string; ethSrc: string }): IpPacket | undefined {
  const v = view(ip);
  const headerLen = (v.getUint8(0) & 0x0f) * 4;
  const totalLen = v.getUint16(2);
  const isFragment = (v.getUint16(6) & 0x3fff) !== 0;
  if (v.getUint8(0) >> 4 !== 4 || headerLen < 20 || totalLen < headerLen) return undefined;
  if (totalLen > ip.length || isFragment || checksum(ip.subarray(0, headerLen)) !== 0) {
    return undefined;
  }
  return {
    family: 4,
    ...eth,
    src: ipText(ip.subarray(12, 16)),
    dst: ipText(ip.subarray(16, 20)),
    protocol: v.getUint8(9),
    ttl: v.getUint8(8),
    l4: ip.subarray(headerLen, totalLen),
  };
}

function parseIpv6(ip: Bytes, eth: { ethDst: string; ethSrc: string }): IpPacket | undefined {
  if (ip.length < 40) return undefined;
  const v = view(ip);
  const payloadLen = v.getUint16(4);
  if (v.getUint8(0) >> 4 !== 6 || payloadLen > ip.length - 40) return undefined;
  return {
    family: 6,
    ...eth,
    src: ipText(ip.subarray(8, 24)),
    dst: ipText(ip.subarray(24, 40)),
    protocol: v.getUint8(6),
    ttl: v.getUint8(7),
    l4: ip.subarray(40, 40 + payloadLen),
  };
}

/** An Ethernet frame around an L4 payload; the family follows from the addresses. */
export function buildFrame(envelope: Envelope, l4: Uint8Array): Bytes {
  const src = ipBytes(envelope.src);
  const dst = ipBytes(envelope.dst);
  const isIpv4 = src.length === 4;
  const eth = ethernet(envelope, isIpv4 ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6);
  const ip = new Uint8Array(isIpv4 ? 20 : 40);
  const v = view(ip);
  if (isIpv4) {
    v.setUint8(0, 0x45);
    v.setUint16(2, 20 + l4.length);
    v.setUint16(6, 0x4000);
    v.setUint8(8, envelope.ttl);
    v.setUint8(9, envelope.protocol);
    ip.set(src, 12);
    ip.set(dst, 16);
    v.setUint16(10, checksum(ip));
  } else {
    v.setUint8(0, 0x60);
    v.setUint16(4, l4.length);
    v.setUint8(6, envelope.protocol);
    v.setUint8(7, envelope.ttl);
    ip.set(src, 8);
    ip.set(dst, 24);
  }
  return concat(eth, ip, l4);
}

/** The 14 octets of an untagged Ethernet header. */
export function ethernet(at: { ethDst: string; ethSrc: string }, ethType: number): Bytes {
  return concat(macBytes(at.ethDst), macBytes(at.ethSrc), Uint8Array.of(ethType >> 8, ethType));
}

/** Fills the checksum of an L4 payload over its pseudo header (RFC 768, RFC 8200 section 8.1). */
export function sealL4(
  l4: Bytes,
  at: { src: string; dst: string; protocol: number; checksumAt: number },
): Bytes {
  const pseudo = new Uint8Array(8);
  view(pseudo).setUint32(0, l4.length);
  view(pseudo).setUint32(4, at.protocol);
  view(l4).setUint16(at.checksumAt, 0);
  const sum = checksum(ipBytes(at.src), ipBytes(at.dst), pseudo, l4);
  view(l4).setUint16(at.checksumAt, at.protocol === IP_PROTO_UDP && sum === 0 ? 0xffff : sum);
  return l4;
}

/** Is the L4 checksum of a received packet right? A UDP checksum of 0 over IPv4 means "none". */
export function l4ChecksumOk(packet: IpPacket): boolean {
  const isUdpWithout = packet.family === 4 && packet.protocol === IP_PROTO_UDP &&
    packet.l4.length >= 8 && view(packet.l4).getUint16(6) === 0;
  if (isUdpWithout) return true;
  const pseudo = new Uint8Array(8);
  view(pseudo).setUint32(0, packet.l4.length);
  view(pseudo).setUint32(4, packet.protocol);
  return checksum(ipBytes(packet.src), ipBytes(packet.dst), pseudo, packet.l4) === 0;
}

/** A UDP datagram in its frame. */
export function buildUdp(
  envelope: Omit<Envelope, "protocol">,
  ports: { readonly src: number; readonly dst: number },
  payload: Uint8Array,
): Bytes {
  const udp = concat(new Uint8Array(8), payload);
  const v = view(udp);
  v.setUint16(0, ports.src);
  v.setUint16(2, ports.dst);
  v.setUint16(4, udp.length);
  const at = { src: envelope.src, dst: envelope.dst, protocol: IP_PROTO_UDP };
  return buildFrame({ ...envelope, protocol: IP_PROTO_UDP }, sealL4(udp, { ...at, checksumAt: 6 }));
}

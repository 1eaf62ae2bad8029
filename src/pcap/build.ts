// SPDX-License-Identifier: Apache-2.0

/** Outer headers for sealed packets. */
import ipaddr from "ipaddr.js";
import { ipv4Checksum, PROTO, put16 } from "./frame.ts";

/** Outer addresses of a PSP packet, of one family. */
export interface OuterIp {
  readonly src: string;
  readonly dst: string;
  /** Hop limit. */
  readonly ttl: number;
  /** IPv4 options, a multiple of 4 octets. */
  readonly ipv4Options?: Uint8Array;
}

/** Address family of the outer addresses. Throws RangeError when they are none, or of two families. */
export function outerFamily({ src, dst }: Pick<OuterIp, "src" | "dst">): 4 | 6 {
  for (const address of [src, dst]) {
    if (!ipaddr.IPv4.isValidFourPartDecimal(address) && !ipaddr.IPv6.isValid(address)) {
      throw new RangeError(`"${address}" is not an IP address`);
    }
  }
  const [a, b] = [ipaddr.parse(src).kind(), ipaddr.parse(dst).kind()];
  if (a !== b) throw new RangeError(`"${src}" and "${dst}" are of different families`);
  return a === "ipv4" ? 4 : 6;
}

/** A UDP datagram without a checksum. Throws RangeError when it passes 65,535 octets. */
export function udpDatagram(
  payload: Uint8Array,
  { srcPort, dstPort }: { readonly srcPort: number; readonly dstPort: number },
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8 + payload.length);
  if (bytes.length > 0xffff) {
    throw new RangeError(`the datagram would be ${bytes.length} octets long`);
  }
  put16(bytes, 0, srcPort);
  put16(bytes, 2, dstPort);
  put16(bytes, 4, bytes.length);
  bytes.set(payload, 8);
  return bytes;
}

/** A datagram in an IP packet. Throws RangeError when it passes 65,535 octets. */
export function ipPacket(datagram: Uint8Array, outer: OuterIp): Uint8Array<ArrayBuffer> {
  const addresses = [
    ...ipaddr.parse(outer.src).toByteArray(),
    ...ipaddr.parse(outer.dst).toByteArray(),
  ];
  const options = outer.ipv4Options ?? new Uint8Array(0);
  const v4 = outerFamily(outer) === 4;
  const headerLength = v4 ? 20 + options.length : 40;
  const ip = new Uint8Array(headerLength + datagram.length);
  const length = v4 ? ip.length : datagram.length;
  if (length > 0xffff) throw new RangeError(`the packet would be ${ip.length} octets long`);
  ip.set(datagram, headerLength);
  if (v4) {
    ip.set([
      0x40 | headerLength / 4,
      0,
      0,
      0,
      0,
      0,
      0x40,
      0,
      outer.ttl,
      PROTO.UDP,
      0,
      0,
      ...addresses,
    ]);
    ip.set(options, 20);
    put16(ip, 2, length);
    put16(ip, 10, ipv4Checksum(ip.subarray(0, headerLength)));
  } else {
    ip.set([0x60, 0, 0, 0, 0, 0, PROTO.UDP, outer.ttl, ...addresses]);
    put16(ip, 4, length);
  }
  return ip;
}

/** A source port from 49152 on that is the same for all packets of an inner flow. */
export function flowPort(flow: Uint8Array): number {
  // FNV-1a, 32 bit.
  let hash = 0x811c9dc5;
  for (const octet of flow) hash = Math.imul(hash ^ octet, 0x01000193) >>> 0;
  return 0xc000 | (hash >>> 16 ^ hash) & 0x3fff;
}

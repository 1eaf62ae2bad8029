// SPDX-License-Identifier: Apache-2.0

/** The frame that a malformed-packet vector stands in. */
import { ipPacket, udpDatagram } from "../pcap/build.ts";
import type { CapturedPacket } from "../pcap/capture.ts";
import { parseFrame, put16, udpSum, withL2 } from "../pcap/frame.ts";

/** What is special about the frame; a number, a count or octets in hexadecimal digits where that makes sense. */
export interface OuterCase {
  /** 802.1Q tag; a number is its VLAN id. */
  readonly vlan?: boolean | number;
  /** UDP checksum; `true` or "good": the right one. */
  readonly cs?: number | boolean | string;
  /** Ethernet padding: octets, or how many. */
  readonly pad?: boolean | number | string;
  /** IPv4 options: octets, or how many. */
  readonly opts?: boolean | number | string;
  /** UDP destination port. */
  readonly dport?: number;
  /** IP version; also as text. */
  readonly v?: number | string;
}

/** An Ethernet frame with the PSP packet as its UDP payload. */
export function vectorFrame(psp: Uint8Array, outer: OuterCase): CapturedPacket {
  const datagram = udpDatagram(psp, { srcPort: 0xc000, dstPort: outer.dport ?? 1000 });
  const v6 = Number(outer.v ?? 4) === 6;
  const options = octets(outer.opts, { one: 4, fill: 1 });
  const ip = ipPacket(datagram, {
    ...(v6 ? { src: "fd00::1", dst: "fd00::2" } : { src: "192.0.2.1", dst: "192.0.2.2" }),
    ttl: 64,
    // Filled up to words with end-of-options.
    ...(v6 ? {} : { ipv4Options: padded(options, Math.ceil(options.length / 4) * 4) }),
  });
  const wanted = outer.cs === undefined ? 0 : outer.cs;
  setChecksum(ip, typeof wanted === "number" ? wanted : rightChecksum(ip));
  const tag = outer.vlan === undefined || outer.vlan === false
    ? []
    : [0x81, 0x00, 0, typeof outer.vlan === "number" ? outer.vlan & 0xff : 100];
  const l2 = Uint8Array.from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, ...tag, 0, 0]);
  const frame = withL2(l2, ip);
  const data = padded(frame, frame.length + octets(outer.pad, { one: 8, fill: 0 }).length);
  data.set(octets(outer.pad, { one: 8, fill: 0 }), frame.length);
  return { link: "ethernet", timeNs: 0n, data, originalLength: data.length };
}

function octets(
  value: boolean | number | string | undefined,
  { one, fill }: { readonly one: number; readonly fill: number },
): Uint8Array {
  if (typeof value === "string") return Uint8Array.fromHex(value);
  const count = value === true ? one : Number(value ?? 0);
  return new Uint8Array(count).fill(fill);
}

function padded(bytes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(length);
  out.set(bytes);
  return out;
}

function setChecksum(ip: Uint8Array<ArrayBuffer>, checksum: number): void {
  put16(ip, udpAt(ip) + 6, checksum);
}

function rightChecksum(ip: Uint8Array<ArrayBuffer>): number {
  const frame = parseFrame({ link: "ip", data: ip });
  if (!frame.ok) throw new RangeError(frame.reason);
  // A checksum that comes out as 0 is sent as its other form.
  return (~udpSum(frame, ip.subarray(frame.headerLength)) & 0xffff) || 0xffff;
}

function udpAt(ip: Uint8Array<ArrayBuffer>): number {
  const frame = parseFrame({ link: "ip", data: ip });
  if (!frame.ok) throw new RangeError(frame.reason);
  return frame.headerLength;
}

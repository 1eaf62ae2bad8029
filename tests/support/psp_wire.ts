// SPDX-License-Identifier: Apache-2.0

/** PSP packets on the wire, read by hand: nothing here is shared with the code under test. */
import type { Frame } from "./packet_socket.ts";

/** Everything in clear of a PSP packet. */
export interface PspOnWire {
  readonly family: "ipv4" | "ipv6";
  readonly ethDst: string;
  /** 802.1Q id; undefined: untagged. */
  readonly vlan: number | undefined;
  readonly src: string;
  readonly dst: string;
  readonly dscp: number;
  readonly ecn: number;
  readonly ttl: number;
  readonly flowLabel: number;
  readonly sourcePort: number;
  readonly udpChecksum: number;
  readonly nextHeader: number;
  readonly extLength: number;
  readonly cryptOffset: number;
  readonly version: number;
  readonly s: boolean;
  readonly d: boolean;
  readonly v: boolean;
  readonly spi: number;
  readonly iv: bigint;
  readonly vc: bigint | undefined;
  /** From the end of the IV to the start of the ICV: clear up to the crypt offset. */
  readonly body: Uint8Array;
  /** From the PSP header to the ICV. */
  readonly psp: Uint8Array<ArrayBuffer>;
}

/** Undefined for a frame that is not PSP. Addresses are hex. */
export function readPsp(whole: Frame): PspOnWire | undefined {
  const tag = new DataView(whole.buffer, whole.byteOffset).getUint16(12) === 0x8100;
  const frame = tag ? whole.subarray(4) : whole;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const type = view.getUint16(12);
  if (type !== 0x0800 && type !== 0x86dd) return undefined;
  const v4 = type === 0x0800;
  const ip = 14;
  const udp = ip + (v4 ? 4 * (view.getUint8(ip) & 15) : 40);
  if (view.getUint8(ip + (v4 ? 9 : 6)) !== 17 || view.getUint16(udp + 2) !== 1000) return undefined;
  const psp = frame.subarray(udp + 8, udp + view.getUint16(udp + 4));
  const p = new DataView(psp.buffer, psp.byteOffset, psp.length);
  const flags = p.getUint8(3);
  const tos = v4 ? view.getUint8(ip + 1) : (view.getUint16(ip) >> 4) & 0xff;
  const at = (from: number, n: number) => frame.subarray(ip + from, ip + from + n).toHex();
  return {
    family: v4 ? "ipv4" : "ipv6",
    ethDst: whole.subarray(0, 6).toHex(),
    vlan: tag ? new DataView(whole.buffer, whole.byteOffset).getUint16(14) & 0xfff : undefined,
    src: v4 ? at(12, 4) : at(8, 16),
    dst: v4 ? at(16, 4) : at(24, 16),
    dscp: tos >> 2,
    ecn: tos & 3,
    ttl: view.getUint8(ip + (v4 ? 8 : 7)),
    flowLabel: v4 ? 0 : view.getUint32(ip) & 0xfffff,
    sourcePort: view.getUint16(udp),
    udpChecksum: view.getUint16(udp + 6),
    nextHeader: p.getUint8(0),
    extLength: p.getUint8(1),
    cryptOffset: p.getUint8(2) & 63,
    version: (flags >> 2) & 15,
    s: (flags & 0x80) !== 0,
    d: (flags & 0x40) !== 0,
    v: (flags & 2) !== 0,
    spi: p.getUint32(4),
    iv: p.getBigUint64(8),
    vc: (flags & 2) !== 0 ? p.getBigUint64(16) : undefined,
    body: psp.subarray(16, psp.length - 16),
    psp: psp.slice(),
  };
}

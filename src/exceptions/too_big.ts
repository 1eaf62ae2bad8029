// SPDX-License-Identifier: Apache-2.0

/** "Fragmentation needed" (RFC 792, 1191) and "packet too big" (RFC 4443) for what no tunnel can carry. */
import type { ExceptionContext } from "./context.ts";
import {
  buildFrame,
  type Bytes,
  checksum,
  concat,
  IP_PROTO_ICMP,
  IP_PROTO_ICMP6,
  ipText,
  sealL4,
  view,
} from "./frame.ts";

const UNREACHABLE = 3;
const FRAGMENTATION_NEEDED = 4;
const PACKET_TOO_BIG = 2;
const QUOTED_IPV4 = 548; // RFC 1812: no more than 576 octets in all
const QUOTED_IPV6 = 1192; // RFC 4443: no more than the minimum MTU

/**
 * The ICMP error for a packet of which `data` is the start. Undefined where none may be sent: the source
 * is no workload of ours, or the packet is itself an ICMP error or a later fragment (RFC 1122, 4443).
 */
export function tooBigReply(
  packet: { readonly data: Bytes; readonly mtu: number; readonly ethSrc: string },
  context: ExceptionContext,
): Bytes | undefined {
  const { data } = packet;
  if (data.length < 28) return undefined;
  const isIpv4 = (data[0] ?? 0) >> 4 === 4;
  if (!isIpv4 && data.length < 48) return undefined;
  const src = ipText(isIpv4 ? data.subarray(12, 16) : data.subarray(8, 24));
  const dst = ipText(isIpv4 ? data.subarray(16, 20) : data.subarray(24, 40));
  if (!context.isLocal(src) || isIcmpError(data, isIpv4)) return undefined;
  const head = new Uint8Array(8);
  const envelope = { ethSrc: context.gatewayMac, ethDst: packet.ethSrc, dst: src, ttl: 64 };
  if (isIpv4) {
    head.set([UNREACHABLE, FRAGMENTATION_NEEDED]);
    view(head).setUint16(6, packet.mtu);
    const icmp = concat(head, data.subarray(0, QUOTED_IPV4));
    view(icmp).setUint16(2, checksum(icmp));
    return buildFrame({ ...envelope, src: dst, protocol: IP_PROTO_ICMP }, icmp);
  }
  head[0] = PACKET_TOO_BIG;
  view(head).setUint32(4, packet.mtu);
  const icmp = concat(head, data.subarray(0, QUOTED_IPV6));
  const at = { src: dst, dst: src, protocol: IP_PROTO_ICMP6 };
  return buildFrame({ ...envelope, ...at }, sealL4(icmp, { ...at, checksumAt: 2 }));
}

function isIcmpError(data: Bytes, isIpv4: boolean): boolean {
  if (!isIpv4) return data[6] === IP_PROTO_ICMP6 && (data[40] ?? 0) < 128;
  const laterFragment = (view(data).getUint16(6) & 0x1fff) !== 0;
  const type = data[((data[0] ?? 0) & 0x0f) * 4];
  const isQuery = type === 0 || type === 8 || type === 13 || type === 14;
  return laterFragment || (data[9] === IP_PROTO_ICMP && !isQuery);
}

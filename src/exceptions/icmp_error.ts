// SPDX-License-Identifier: Apache-2.0

/** ICMP errors (RFC 792, 1191, 1812; ICMPv6: RFC 4443) for what a router cannot send on. */
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

const QUOTED_IPV4 = 548; // RFC 1812: no more than 576 octets in all
const QUOTED_IPV6 = 1192; // RFC 4443: no more than the minimum MTU

/** What is wrong with a packet. */
export type IcmpReason =
  | { readonly kind: "too-big"; readonly mtu: number }
  /** Its TTL or hop limit is used up. */
  | { readonly kind: "time-exceeded" }
  /** Nobody owns its destination. */
  | { readonly kind: "no-route" }
  /** It may not go there. */
  | { readonly kind: "prohibited" }
  /** Its destination is this host's, and no workload answers there. */
  | { readonly kind: "no-host" }
  /** It is for the gateway, which offers nothing. */
  | { readonly kind: "no-port" };

interface Words {
  readonly type: number;
  readonly code: number;
}

/** IPv4: RFC 1812, 5.2.7.1; IPv6: RFC 4443, 3.1 to 3.3. */
const WORDS: Readonly<Record<IcmpReason["kind"], { readonly ipv4: Words; readonly ipv6: Words }>> =
  {
    "too-big": { ipv4: { type: 3, code: 4 }, ipv6: { type: 2, code: 0 } },
    "time-exceeded": { ipv4: { type: 11, code: 0 }, ipv6: { type: 3, code: 0 } },
    // IPv4 has no word for it that ends a connect() at once but "administratively prohibited"; IPv6 has.
    "no-route": { ipv4: { type: 3, code: 13 }, ipv6: { type: 1, code: 0 } },
    "prohibited": { ipv4: { type: 3, code: 13 }, ipv6: { type: 1, code: 1 } },
    "no-host": { ipv4: { type: 3, code: 1 }, ipv6: { type: 1, code: 3 } },
    "no-port": { ipv4: { type: 3, code: 3 }, ipv6: { type: 1, code: 4 } },
  };

/** Source and destination of an IP packet of which `data` is the start. */
export function addressesOf(
  data: Bytes,
): { readonly src: string; readonly dst: string } | undefined {
  const isIpv4 = (data[0] ?? 0) >> 4 === 4;
  if (data.length < (isIpv4 ? 28 : 48)) return undefined;
  return {
    src: ipText(isIpv4 ? data.subarray(12, 16) : data.subarray(8, 24)),
    dst: ipText(isIpv4 ? data.subarray(16, 20) : data.subarray(24, 40)),
  };
}

/** The TTL or hop limit of the same. */
export function ttlOf(data: Bytes): number {
  return data[(data[0] ?? 0) >> 4 === 4 ? 8 : 7] ?? 0;
}

/**
 * The ICMP error for a packet of which `data` is the start. Undefined where none may be sent: the source
 * is no workload of ours, or the packet is itself an ICMP error or a later fragment (RFC 1122, 4443).
 */
export function icmpError(
  packet: { readonly data: Bytes; readonly ethSrc: string },
  reason: IcmpReason,
  context: ExceptionContext,
): Bytes | undefined {
  const { data } = packet;
  const addresses = addressesOf(data);
  if (addresses === undefined) return undefined;
  const { src, dst } = addresses;
  const isIpv4 = !src.includes(":");
  if (!context.isLocal(src) || isIcmpError(data, isIpv4)) return undefined;
  const head = new Uint8Array(8);
  const { type, code } = WORDS[reason.kind][isIpv4 ? "ipv4" : "ipv6"];
  head.set([type, code]);
  const envelope = { ethSrc: context.gatewayMac, ethDst: packet.ethSrc, dst: src, ttl: 64 };
  if (isIpv4) {
    if (reason.kind === "too-big") view(head).setUint16(6, reason.mtu);
    const icmp = concat(head, data.subarray(0, QUOTED_IPV4));
    view(icmp).setUint16(2, checksum(icmp));
    return buildFrame(
      { ...envelope, src: from(dst, reason, context), protocol: IP_PROTO_ICMP },
      icmp,
    );
  }
  if (reason.kind === "too-big") view(head).setUint32(4, reason.mtu);
  const icmp = concat(head, data.subarray(0, QUOTED_IPV6));
  const at = { src: from(dst, reason, context), dst: src, protocol: IP_PROTO_ICMP6 };
  return buildFrame({ ...envelope, ...at }, sealL4(icmp, { ...at, checksumAt: 2 }));
}

/**
 * A path's MTU is told as by its far end, so that no filter takes it for a stranger's; a port is missing where the packet
 * went; the rest the gateway says.
 */
function from(dst: string, { kind }: IcmpReason, context: ExceptionContext): string {
  if (kind === "too-big" || kind === "no-port") return dst;
  return dst.includes(":") ? context.gatewayLinkLocal : context.gateway;
}

/** IPv6 extension headers that may stand in front of what a packet is (RFC 8200, 4.1). */
const EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 60]);
const FRAGMENT = 44;
/** ICMPv6: from here on messages that are no errors; but a redirect is answered with none either (RFC 4443, 2.4 e). */
const FIRST_QUERY = 128;
const REDIRECT = 137;

/** Where nobody can tell, it may be one. */
function isIcmp6Error(data: Bytes): boolean {
  let next = data[6] ?? 0;
  let at = 40;
  while (EXTENSIONS.has(next) || next === FRAGMENT) {
    if (at + 8 > data.length) return true;
    const isLater = next === FRAGMENT && (view(data).getUint16(at + 2) & 0xfff8) !== 0;
    const octets = next === FRAGMENT ? 8 : 8 * ((data[at + 1] ?? 0) + 1);
    next = data[at] ?? 0;
    if (isLater) return next === IP_PROTO_ICMP6;
    at += octets;
  }
  if (next !== IP_PROTO_ICMP6) return false;
  const type = data[at] ?? 0;
  return type < FIRST_QUERY || type === REDIRECT;
}

function isIcmpError(data: Bytes, isIpv4: boolean): boolean {
  if (!isIpv4) return isIcmp6Error(data);
  const laterFragment = (view(data).getUint16(6) & 0x1fff) !== 0;
  const type = data[((data[0] ?? 0) & 0x0f) * 4];
  const isQuery = type === 0 || type === 8 || type === 13 || type === 14;
  return laterFragment || (data[9] === IP_PROTO_ICMP && !isQuery);
}

// SPDX-License-Identifier: Apache-2.0

/** IPv6 neighbour discovery (RFC 4861): NS is answered with NA, RS with RA. */
import ipaddr from "ipaddr.js";
import type { Host } from "./arp.ts";
import type { Answer, ExceptionContext } from "./context.ts";
import {
  buildFrame,
  type Bytes,
  concat,
  type Envelope,
  IP_PROTO_ICMP6,
  ipBytes,
  type IpPacket,
  ipText,
  l4ChecksumOk,
  macBytes,
  macText,
  sealL4,
  view,
} from "./frame.ts";

const TYPE_RS = 133;
const TYPE_RA = 134;
const TYPE_NS = 135;
const TYPE_NA = 136;
const OPTION_SOURCE_MAC = 1;
const OPTION_TARGET_MAC = 2;
const OPTION_PREFIX = 3;
const OPTION_MTU = 5;
const OPTION_RDNSS = 25; // RFC 8106
const NA_ROUTER_SOLICITED_OVERRIDE = 0xe0000000;
const NA_ROUTER_OVERRIDE = 0xa0000000;
/** The first octet of those flags. */
const NA_OVERRIDE = 0x20;
const PREFIX_ON_LINK = 0x80;
const PREFIX_AUTONOMOUS = 0x40;
const RA_OTHER_CONFIG = 0x40; // stateless DHCPv6 has more
const ROUTER_LIFETIME_S = 1800;
const ADDRESS_LIFETIME_S = 86_400;
const ALL_NODES = "ff02::1";
const ALL_NODES_MAC = "33:33:00:00:00:01";
const UNSPECIFIED = "::";
const HOP_LIMIT = 255; // anything less was routed, and is not to be believed

/** Answers a solicitation for what we stand for; learns from those of local workloads. */
export function answerNd(packet: IpPacket, context: ExceptionContext): Answer {
  if (packet.ttl !== HOP_LIMIT || packet.l4.length < 8 || !l4ChecksumOk(packet)) return {};
  const type = packet.l4[0];
  if (packet.l4[1] !== 0) return {};
  if (type === TYPE_NS || type === TYPE_NA) return answerNeighbour(packet, context);
  if (type !== TYPE_RS || !areOptions(packet.l4.subarray(8))) return {};
  return { reply: routerAdvertisement(packet, context) };
}

/** RFC 4861, 4.6: each has a length, in units of 8 octets, and one without makes the whole message none (6.1, 7.1). */
function areOptions(octets: Uint8Array): boolean {
  let at = 0;
  while (at < octets.length) {
    const units = octets[at + 1] ?? 0;
    if (units === 0) return false;
    at += units * 8;
  }
  return at === octets.length;
}

function answerNeighbour(packet: IpPacket, context: ExceptionContext): Answer {
  if (packet.l4.length < 24 || !areOptions(packet.l4.subarray(24))) return {};
  const target = ipText(packet.l4.subarray(8, 24));
  const isAdvertisement = packet.l4[0] === TYPE_NA;
  const mac = macOption(packet.l4.subarray(24), isAdvertisement) ?? packet.ethSrc;
  const claimed = isAdvertisement ? target : packet.src;
  const learned = context.isLocal(claimed) ? { learned: { vip: claimed, mac } } : {};
  const isOurs = target === context.gatewayLinkLocal ||
    context.answersFor(target, packet.src === UNSPECIFIED);
  if (isAdvertisement || !isOurs) return learned;
  return { ...learned, reply: neighbourAdvertisement(packet, target, context) };
}

function neighbourAdvertisement(
  packet: IpPacket,
  target: string,
  context: ExceptionContext,
): Bytes {
  const isProbe = packet.src === UNSPECIFIED; // duplicate address detection: tell everybody
  const body = concat(
    new Uint8Array(8),
    ipBytes(target),
    Uint8Array.of(OPTION_TARGET_MAC, 1),
    macBytes(context.gatewayMac),
  );
  view(body).setUint8(0, TYPE_NA);
  view(body).setUint32(4, isProbe ? NA_ROUTER_OVERRIDE : NA_ROUTER_SOLICITED_OVERRIDE);
  return ndFrame(body, {
    ethSrc: context.gatewayMac,
    ethDst: packet.ethSrc,
    src: target,
    dst: isProbe ? ALL_NODES : packet.src,
  });
}

/** To everybody and unasked, as RFC 4861 section 6.2.4 wants it now and then: what was told expires. */
export function unsolicitedAdvertisement(context: ExceptionContext): Bytes {
  return routerAdvertisement({ src: UNSPECIFIED, ethSrc: ALL_NODES_MAC }, context);
}

function routerAdvertisement(
  packet: Pick<IpPacket, "src" | "ethSrc">,
  context: ExceptionContext,
): Bytes {
  const header = new Uint8Array(16);
  const v = view(header);
  v.setUint8(0, TYPE_RA);
  v.setUint8(4, 64);
  const vips = context.localVips.filter((vip) => vip.vip.includes(":"));
  const dns = [...new Set(vips.flatMap((vip) => vip.dns.filter((server) => server.includes(":"))))];
  v.setUint8(5, dns.length > 0 ? RA_OTHER_CONFIG : 0);
  v.setUint16(6, vips.length > 0 ? ROUTER_LIFETIME_S : 0);
  const mtu = new Uint8Array(8);
  view(mtu).setUint8(0, OPTION_MTU);
  view(mtu).setUint8(1, 1);
  view(mtu).setUint32(4, context.mtu);
  const body = concat(
    header,
    Uint8Array.of(OPTION_SOURCE_MAC, 1),
    macBytes(context.gatewayMac),
    mtu,
    ...vips.map((vip) => prefixOption(vip.vip)),
    ...(dns.length > 0 ? [rdnssOption(dns)] : []),
  );
  return ndFrame(body, {
    ethSrc: context.gatewayMac,
    ethDst: packet.ethSrc,
    src: context.gatewayLinkLocal,
    dst: packet.src === UNSPECIFIED ? ALL_NODES : packet.src,
  });
}

/**
 * A /64 is for autoconfiguration. What this host owns is on the link, where guests of one segment find each other; for an
 * address in it that a peer owns, the gateway answers as its neighbour.
 */
function prefixOption(cidr: string): Uint8Array {
  const [address, length] = ipaddr.parseCIDR(cidr);
  const option = new Uint8Array(32);
  const v = view(option);
  v.setUint8(0, OPTION_PREFIX);
  v.setUint8(1, 4);
  v.setUint8(2, length);
  v.setUint8(3, length === 64 ? PREFIX_ON_LINK | PREFIX_AUTONOMOUS : PREFIX_ON_LINK);
  v.setUint32(4, ADDRESS_LIFETIME_S);
  v.setUint32(8, ADDRESS_LIFETIME_S);
  option.set(address.toByteArray(), 16);
  return option;
}

function rdnssOption(servers: readonly string[]): Uint8Array {
  const head = new Uint8Array(8);
  view(head).setUint8(0, OPTION_RDNSS);
  view(head).setUint8(1, 1 + 2 * servers.length);
  view(head).setUint32(4, ROUTER_LIFETIME_S);
  return concat(head, ...servers.map(ipBytes));
}

function macOption(options: Uint8Array, target: boolean): string | undefined {
  const wanted = target ? OPTION_TARGET_MAC : OPTION_SOURCE_MAC;
  for (let at = 0; at + 8 <= options.length;) {
    if (options[at] === wanted) return macText(options.subarray(at + 2));
    at += (options[at + 1] ?? 1) * 8;
  }
  return undefined;
}

/** Asks who has a local IPv6 vip. */
export function neighbourProbe(vip: string, context: ExceptionContext): Bytes {
  return neighbourSolicitation(vip, { mac: context.gatewayMac, ip: context.gatewayLinkLocal });
}

/** Asks who has an address of the segment, on behalf of one that this host has (RFC 4861, 4.3). */
export function neighbourSolicitation(address: string, { mac, ip }: Host): Bytes {
  const target = ipBytes(address);
  const group = concat(ipBytes("ff02::1:ff00:0").subarray(0, 13), target.subarray(13));
  const body = concat(
    Uint8Array.of(TYPE_NS, 0, 0, 0, 0, 0, 0, 0),
    target,
    Uint8Array.of(OPTION_SOURCE_MAC, 1),
    macBytes(mac),
  );
  return ndFrame(body, {
    ethSrc: mac,
    ethDst: macText(concat(Uint8Array.of(0x33, 0x33), group.subarray(12))),
    src: ip,
    dst: ipText(group),
  });
}

/** Tells the link where an address is now: an unsolicited advertisement with the override flag (RFC 4861, 7.2.6). */
export function neighbourAnnouncement(address: string, mac: string): Bytes {
  const body = concat(
    Uint8Array.of(TYPE_NA, 0, 0, 0, NA_OVERRIDE, 0, 0, 0),
    ipBytes(address),
    Uint8Array.of(OPTION_TARGET_MAC, 1),
    macBytes(mac),
  );
  return ndFrame(body, { ethSrc: mac, ethDst: ALL_NODES_MAC, src: address, dst: ALL_NODES });
}

function ndFrame(body: Bytes, at: Omit<Envelope, "protocol" | "ttl">): Bytes {
  const envelope = { ...at, protocol: IP_PROTO_ICMP6, ttl: HOP_LIMIT };
  return buildFrame(envelope, sealL4(body, { ...envelope, checksumAt: 2 }));
}

/** The link-local address that belongs to a MAC (RFC 4291, modified EUI-64). */
export function linkLocal(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macBytes(mac);
  return ipText(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f));
}

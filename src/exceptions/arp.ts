// SPDX-License-Identifier: Apache-2.0

/** Proxy ARP (RFC 826) for the vips behind the tunnel and for gateways. */
import type { Answer, ExceptionContext } from "./context.ts";
import {
  BROADCAST_MAC,
  type Bytes,
  concat,
  ETH_HEADER_LEN,
  ETH_TYPE_ARP,
  ethernet,
  ipBytes,
  ipText,
  macBytes,
  macText,
  view,
} from "./frame.ts";

const ARP_LEN = 28;
const ARP_FIXED = Uint8Array.of(0, 1, 0x08, 0, 6, 4, 0); // Ethernet, IPv4, lengths, high octet of op
const OP_REQUEST = 1;
const OP_REPLY = 2;

/** Answers a request for a vip that we stand for, and learns where a local workload is. */
export function answerArp(frame: Bytes, context: ExceptionContext): Answer {
  if (frame.length < ETH_HEADER_LEN + ARP_LEN) return {};
  const arp = frame.subarray(ETH_HEADER_LEN, ETH_HEADER_LEN + ARP_LEN);
  if (ARP_FIXED.some((octet, i) => arp[i] !== octet)) return {};
  const senderMac = macText(arp.subarray(8));
  const senderIp = ipText(arp.subarray(14, 18));
  const targetIp = ipText(arp.subarray(24, 28));
  const learned = context.isLocal(senderIp) ? { learned: { vip: senderIp, mac: senderMac } } : {};
  const isClaim = senderIp === "0.0.0.0" || senderIp === targetIp; // RFC 5227: probe, announcement
  if (arp[7] !== OP_REQUEST || !context.answersFor(targetIp, isClaim)) return learned;
  const from = { mac: context.gatewayMac, ip: targetIp };
  return { ...learned, reply: arpFrame(OP_REPLY, from, { mac: senderMac, ip: senderIp }) };
}

/** Asks who has a local vip; the sender address 0.0.0.0 claims nothing (RFC 5227). */
export function arpProbe(vip: string, gatewayMac: string): Bytes {
  return arpFrame(OP_REQUEST, { mac: gatewayMac, ip: "0.0.0.0" }, { mac: BROADCAST_MAC, ip: vip });
}

/** Asks who has an address of the segment, on behalf of one that this host has. */
export function arpRequest(address: string, from: Host): Bytes {
  return arpFrame(OP_REQUEST, from, { mac: BROADCAST_MAC, ip: address });
}

/** Tells the segment where an address is now: a gratuitous request (RFC 5227). */
export function arpAnnouncement(address: string, mac: string): Bytes {
  const [from, to] = [{ mac, ip: address }, { mac: BROADCAST_MAC, ip: address }];
  return arpFrame(OP_REQUEST, from, to);
}

/** Who speaks. */
export interface Host {
  readonly mac: string;
  readonly ip: string;
}

function arpFrame(op: number, from: Host, to: Host): Bytes {
  const targetMac = op === OP_REQUEST ? new Uint8Array(6) : macBytes(to.mac);
  return concat(
    ethernet({ ethDst: to.mac, ethSrc: from.mac }, ETH_TYPE_ARP),
    ARP_FIXED,
    Uint8Array.of(op),
    macBytes(from.mac),
    ipBytes(from.ip),
    targetMac,
    ipBytes(to.ip),
  );
}

/** Is this an ARP frame? */
export function isArp(frame: Bytes): boolean {
  return frame.length >= ETH_HEADER_LEN && view(frame).getUint16(12) === ETH_TYPE_ARP;
}

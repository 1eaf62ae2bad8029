// SPDX-License-Identifier: Apache-2.0

/** DHCPv4 (RFC 2131, options of RFC 2132 and 3442): leases for the vips that this host is given. */
import type { Answer, ExceptionContext, Lease } from "./context.ts";
import { LEASE_S } from "./leases.ts";
import {
  BROADCAST_MAC,
  buildUdp,
  type Bytes,
  concat,
  ipBytes,
  type IpPacket,
  ipText,
  l4ChecksumOk,
  macText,
  view,
} from "./frame.ts";

export const DHCP_SERVER_PORT = 67;
const DHCP_CLIENT_PORT = 68;
const BOOTREQUEST = 1;
const BOOTREPLY = 2;
const FIXED_LEN = 236;
const MAGIC = 0x63825363;
const FLAG_BROADCAST = 0x8000;
const DISCOVER = 1;
const OFFER = 2;
const REQUEST = 3;
const DECLINE = 4;
const ACK = 5;
const NAK = 6;
const RELEASE = 7;
const INFORM = 8;
const OPT_MASK = 1;
const OPT_ROUTER = 3;
const OPT_DNS = 6;
const OPT_MTU = 26;
const OPT_REQUESTED = 50;
const OPT_LEASE_TIME = 51;
const OPT_MESSAGE_TYPE = 53;
const OPT_SERVER = 54;
const OPT_CLIENT_ID = 61;
const OPT_ROUTES = 121;
const OPT_PAD = 0;
const OPT_END = 255;

/**
 * Answers a workload that asks for itself: DISCOVER with OFFER, REQUEST with ACK or NAK, INFORM with ACK; takes addresses
 * back on RELEASE and DECLINE, and where a client takes another server's offer.
 */
export function answerDhcp4(packet: IpPacket, context: ExceptionContext): Answer {
  const message = packet.l4.subarray(8);
  if (message.length < FIXED_LEN + 4 || !l4ChecksumOk(packet)) return {};
  const v = view(message);
  const isEthernet = message[0] === BOOTREQUEST && message[1] === 1 && message[2] === 6;
  if (!isEthernet || v.getUint32(FIXED_LEN) !== MAGIC) return {};
  const options = readOptions(message.subarray(FIXED_LEN + 4));
  const type = options?.get(OPT_MESSAGE_TYPE)?.[0];
  if (options === undefined || type === undefined) return {};
  const mac = macText(message.subarray(28));
  // Nobody speaks for another: with somebody else's MAC its lease could be given back, its address moved, the pool emptied.
  // What a relay sends on (its address stands in it) is for a server behind it.
  if (mac !== packet.ethSrc || v.getUint32(24) !== 0) return {};
  const client = ipText(message.subarray(12, 16));
  const asked = addressOption(options, OPT_REQUESTED);
  const server = addressOption(options, OPT_SERVER);
  const { leases } = context;
  const reply = (kind: number, lease: Lease) => ({
    reply: dhcpReply(message, kind, lease, context),
  });
  switch (type) {
    case DISCOVER: {
      const lease = leases.offer(mac, { asked });
      return lease === undefined ? {} : reply(OFFER, lease);
    }
    case REQUEST: {
      const wanted = asked ?? client;
      const about = leases.about(wanted) ?? leases.offer(mac);
      if (about === undefined) return {};
      if (server !== undefined && server !== about.gateway) {
        // It takes another server's offer: what was offered here is free again.
        leases.release(mac, wanted);
        return {};
      }
      const lease = leases.accept(mac, wanted);
      if (lease === undefined) return reply(NAK, about);
      return { ...reply(ACK, lease), learned: { vip: lease.address, mac } };
    }
    case INFORM: {
      const lease = leases.about(client);
      return lease === undefined ? {} : reply(ACK, lease);
    }
    case RELEASE:
      return leases.release(mac, client) ? { left: { vip: client, mac } } : {};
    case DECLINE:
      // RFC 2131, 4.3.3: somebody else is there, and the client says so before it has used it.
      if (asked !== undefined) leases.release(mac, asked, { declined: true });
      return {};
    default:
      return {};
  }
}

function addressOption(options: ReadonlyMap<number, Bytes>, code: number): string | undefined {
  const value = options.get(code);
  return value?.length === 4 ? ipText(value) : undefined;
}

function dhcpReply(request: Bytes, type: number, lease: Lease, context: ExceptionContext): Bytes {
  const head = new Uint8Array(FIXED_LEN + 4);
  const v = view(head);
  head.set([BOOTREPLY, 1, 6, 0]);
  head.set(request.subarray(4, 8), 4); // xid
  head.set(request.subarray(10, 12), 10); // flags
  const asked = readOptions(request.subarray(FIXED_LEN + 4));
  const isInform = asked?.get(OPT_MESSAGE_TYPE)?.[0] === INFORM;
  const clientId = asked?.get(OPT_CLIENT_ID);
  if (isInform) head.set(request.subarray(12, 16), 12); // ciaddr
  else if (type !== NAK) head.set(ipBytes(lease.address), 16); // yiaddr
  if (type !== NAK) head.set(ipBytes(lease.gateway), 20); // siaddr
  head.set(request.subarray(28, 44), 28); // chaddr
  v.setUint32(FIXED_LEN, MAGIC);
  const options = [
    option(OPT_MESSAGE_TYPE, Uint8Array.of(type)),
    option(OPT_SERVER, ipBytes(lease.gateway)),
  ];
  if (type !== NAK) options.push(...leaseOptions(lease, context.mtu, !isInform));
  // A client knows by it that the answer is for it (RFC 6842).
  if (clientId !== undefined) options.push(option(OPT_CLIENT_ID, clientId));
  const mac = macText(request.subarray(28));
  const client = isInform ? ipText(request.subarray(12, 16)) : lease.address;
  const isBroadcast = type === NAK || (view(request).getUint16(10) & FLAG_BROADCAST) !== 0;
  const payload = concat(head, ...options, Uint8Array.of(OPT_END));
  return buildUdp(
    {
      ethDst: isBroadcast ? BROADCAST_MAC : mac,
      ethSrc: context.gatewayMac,
      src: lease.gateway,
      dst: isBroadcast ? "255.255.255.255" : client,
      ttl: 64,
    },
    { src: DHCP_SERVER_PORT, dst: DHCP_CLIENT_PORT },
    payload.length < 300 ? concat(payload, new Uint8Array(300 - payload.length)) : payload,
  );
}

function leaseOptions(lease: Lease, mtu: number, withTime: boolean): Bytes[] {
  const mask = new Uint8Array(4);
  view(mask).setUint32(0, lease.prefixLength === 0 ? 0 : (-1 << (32 - lease.prefixLength)) >>> 0);
  const gateway = ipBytes(lease.gateway);
  const dns = lease.dns.filter((server) => !server.includes(":"));
  // A gateway outside the prefix needs a route of its own first (RFC 3442: 0.0.0.0 is "on this link").
  const routes = concat(Uint8Array.of(32), gateway, new Uint8Array(4), Uint8Array.of(0), gateway);
  return [
    ...(withTime
      ? [option(OPT_LEASE_TIME, Uint8Array.of(0, LEASE_S >> 16, LEASE_S >> 8, LEASE_S))]
      : []),
    option(OPT_MASK, mask),
    option(OPT_ROUTER, gateway),
    option(OPT_MTU, Uint8Array.of(mtu >> 8, mtu)),
    option(OPT_ROUTES, routes),
    ...(dns.length > 0 ? [option(OPT_DNS, concat(...dns.map(ipBytes)))] : []),
  ];
}

function option(code: number, value: Uint8Array): Bytes {
  return concat(Uint8Array.of(code, value.length), value);
}

function readOptions(bytes: Bytes): Map<number, Bytes> | undefined {
  const options = new Map<number, Bytes>();
  for (let at = 0; at < bytes.length;) {
    const code = bytes[at] ?? OPT_END;
    if (code === OPT_END) return options;
    if (code === OPT_PAD) {
      at += 1;
      continue;
    }
    const len = bytes[at + 1];
    if (len === undefined || at + 2 + len > bytes.length) return undefined;
    options.set(code, bytes.subarray(at + 2, at + 2 + len));
    at += 2 + len;
  }
  return options;
}

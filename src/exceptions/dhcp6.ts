// SPDX-License-Identifier: Apache-2.0

/** Stateless DHCPv6 (RFC 8415 section 18.3.6): INFORMATION-REQUEST is answered with the DNS servers. */
import type { Answer, ExceptionContext } from "./context.ts";
import {
  buildUdp,
  type Bytes,
  concat,
  ipBytes,
  type IpPacket,
  l4ChecksumOk,
  macBytes,
  view,
} from "./frame.ts";

export const DHCP6_SERVER_PORT = 547;
const DHCP6_CLIENT_PORT = 546;
const INFORMATION_REQUEST = 11;
const REPLY = 7;
const OPT_CLIENT_ID = 1;
const OPT_SERVER_ID = 2;
const OPT_DNS = 23;

/** Answers when there is something to say, from the gateway's link-local address. */
export function answerDhcp6(packet: IpPacket, context: ExceptionContext): Answer {
  const message = packet.l4.subarray(8);
  if (message.length < 4 || message[0] !== INFORMATION_REQUEST || !l4ChecksumOk(packet)) return {};
  const options = readOptions(message.subarray(4));
  if (options === undefined) return {};
  const servers = context.localVips.flatMap((vip) => vip.dns).filter((dns) => dns.includes(":"));
  if (servers.length === 0) return {};
  const serverId = concat(Uint8Array.of(0, 3, 0, 1), macBytes(context.gatewayMac)); // DUID-LL
  const wanted = options.get(OPT_SERVER_ID);
  if (wanted !== undefined && wanted.some((octet, i) => octet !== serverId[i])) return {};
  const clientId = options.get(OPT_CLIENT_ID);
  const payload = concat(
    Uint8Array.of(REPLY),
    message.subarray(1, 4), // transaction id
    option(OPT_SERVER_ID, serverId),
    ...(clientId === undefined ? [] : [option(OPT_CLIENT_ID, clientId)]),
    option(OPT_DNS, concat(...[...new Set(servers)].map(ipBytes))),
  );
  const reply = buildUdp(
    {
      ethDst: packet.ethSrc,
      ethSrc: context.gatewayMac,
      src: context.gatewayLinkLocal,
      dst: packet.src,
      ttl: 64,
    },
    { src: DHCP6_SERVER_PORT, dst: DHCP6_CLIENT_PORT },
    payload,
  );
  return { reply };
}

function option(code: number, value: Uint8Array): Bytes {
  const head = new Uint8Array(4);
  view(head).setUint16(0, code);
  view(head).setUint16(2, value.length);
  return concat(head, value);
}

function readOptions(bytes: Bytes): Map<number, Bytes> | undefined {
  const options = new Map<number, Bytes>();
  for (let at = 0; at < bytes.length;) {
    if (at + 4 > bytes.length) return undefined;
    const len = view(bytes).getUint16(at + 2);
    if (at + 4 + len > bytes.length) return undefined;
    options.set(view(bytes).getUint16(at), bytes.subarray(at + 4, at + 4 + len));
    at += 4 + len;
  }
  return options;
}

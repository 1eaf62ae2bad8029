// SPDX-License-Identifier: Apache-2.0

/** Echo requests to the gateway (RFC 792, RFC 4443): whoever looks for a fault pings it first. */
import type { Answer, ExceptionContext } from "./context.ts";
import {
  buildFrame,
  type Bytes,
  checksum,
  IP_PROTO_ICMP,
  IP_PROTO_ICMP6,
  type IpPacket,
  l4ChecksumOk,
  sealL4,
  view,
} from "./frame.ts";

const REQUEST = { 4: 8, 6: 128 } as const;
const REPLY = { 4: 0, 6: 129 } as const;
/** Type, code, checksum, identifier, sequence number. */
const HEADER_LEN = 8;

/** Whether it is one, to an address that the gateway itself has. */
export function isEchoToGateway(packet: IpPacket, context: ExceptionContext): boolean {
  const { family, protocol, l4, src, dst } = packet;
  return protocol === (family === 4 ? IP_PROTO_ICMP : IP_PROTO_ICMP6) && l4.length >= HEADER_LEN &&
    l4[0] === REQUEST[family] && l4[1] === 0 && src !== "::" && src !== "0.0.0.0" &&
    context.isGateway(dst);
}

/** The reply, with all that the request carried; none when its checksum is wrong. */
export function answerEcho(packet: IpPacket, { gatewayMac }: ExceptionContext): Answer {
  const { family, protocol, src, dst, ethSrc } = packet;
  const isRight = family === 4 ? checksum(packet.l4) === 0 : l4ChecksumOk(packet);
  if (!isRight) return {};
  const l4: Bytes = packet.l4.slice();
  l4[0] = REPLY[family];
  const at = { src: dst, dst: src, protocol };
  if (family === 4) {
    view(l4).setUint16(2, 0);
    view(l4).setUint16(2, checksum(l4));
  } else sealL4(l4, { ...at, checksumAt: 2 });
  return { reply: buildFrame({ ethSrc: gatewayMac, ethDst: ethSrc, ttl: 64, ...at }, l4) };
}

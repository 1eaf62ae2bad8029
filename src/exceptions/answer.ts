// SPDX-License-Identifier: Apache-2.0

/** Host exceptions: which answerer a frame from a workload belongs to. */
import { answerArp, isArp } from "./arp.ts";
import type { Answer, ExceptionContext } from "./context.ts";
import { answerDhcp4, DHCP_SERVER_PORT } from "./dhcp4.ts";
import { answerDhcp6, DHCP6_SERVER_PORT } from "./dhcp6.ts";
import { answerEcho, isEchoToGateway } from "./echo.ts";
import { type Bytes, IP_PROTO_ICMP6, IP_PROTO_UDP, parseIp, view } from "./frame.ts";
import { answerNd } from "./nd.ts";

/** Never throws, whatever the frame holds: an empty answer means silence. */
export function answerException(frame: Bytes, context: ExceptionContext): Answer {
  if (isArp(frame)) return answerArp(frame, context);
  const packet = parseIp(frame);
  if (packet === undefined) return {};
  if (isEchoToGateway(packet, context)) return answerEcho(packet, context);
  if (packet.protocol === IP_PROTO_ICMP6 && packet.family === 6) return answerNd(packet, context);
  if (packet.protocol !== IP_PROTO_UDP || packet.l4.length < 8) return {};
  const port = view(packet.l4).getUint16(2);
  if (packet.family === 4 && port === DHCP_SERVER_PORT) return answerDhcp4(packet, context);
  if (packet.family === 6 && port === DHCP6_SERVER_PORT) return answerDhcp6(packet, context);
  return {};
}

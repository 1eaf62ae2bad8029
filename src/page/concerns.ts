// SPDX-License-Identifier: Apache-2.0

/** Which events may change what becomes of a packet. */
import { addressOf, inNetwork, networkOf } from "../model/network.ts";
import type { Event } from "../rpc/gen/psp/v1/status_pb.ts";

/** Of the whole host, whatever the packet. */
const OF_ALL: ReadonlySet<string> = new Set([
  "agent-ready",
  "agent-stopping",
  "plane-fault",
  "plane-well",
]);

/** A packet as it was typed, and the peer that was found to own its other end; "": nobody known. */
export interface Flow {
  readonly src: string;
  readonly dst: string;
  readonly peer: string;
}

/** The cursor of the newest of these events (newest first) that concerns the flow; 0: none does. */
export function newestOf(
  events: readonly Pick<Event, "cursor" | "kind" | "localVip" | "remoteVip" | "peer">[],
  { src, dst, peer }: Flow,
): bigint {
  const ends = new Set([spelled(src), spelled(dst)]);
  const found = events.find((event) => {
    if (OF_ALL.has(event.kind)) return true;
    if (event.localVip === "") return peer !== "" && event.peer === peer;
    return ends.has(event.localVip) && ends.has(event.remoteVip);
  });
  return found?.cursor ?? 0n;
}

/** An address as events spell it; what is none stays as it is. */
function spelled(vip: string): string {
  const address = addressOf(vip);
  if (!address.includes(":")) return vip;
  const { hostname } = URL.parse(`http://[${address}]/`) ?? { hostname: address };
  return inNetwork(hostname.replace(/^\[(.*)\]$/, "$1"), networkOf(vip));
}

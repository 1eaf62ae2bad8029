// SPDX-License-Identifier: Apache-2.0

/** The packets with which flows begin. */
import { macBytes } from "../../ffi/address.ts";
import { workloadMac } from "./plan.ts";

/** What the agent says that its workloads' gateway is, by default. */
const GATEWAY_MAC = "02:50:53:50:00:01";
const HEADERS = 14 + 20 + 8;

/** A UDP packet of a pair from its workload's MAC, without payload. */
export function missFrame(
  pair: { readonly peer: number; readonly localVip: string; readonly remoteVip: string },
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(60);
  const view = new DataView(frame.buffer);
  frame.set(macBytes(GATEWAY_MAC), 0);
  frame.set(macBytes(workloadMac(pair.peer)), 6);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, HEADERS - 14);
  view.setUint16(22, 64 << 8 | 17);
  frame.set(octets(pair.localVip), 26);
  frame.set(octets(pair.remoteVip), 30);
  view.setUint16(24, checksum(view));
  view.setUint16(34, 4000);
  view.setUint16(36, 4000);
  view.setUint16(38, 8);
  return frame;
}

function octets(address: string): number[] {
  return address.split(".").map(Number);
}

/** Of the IPv4 header. */
function checksum(view: DataView): number {
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

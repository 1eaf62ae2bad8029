// SPDX-License-Identifier: Apache-2.0

/**
 * Sends UDP datagrams to many addresses in turn, at a pace, and says how many the kernel took. As a program in a
 * workload's namespace: `udp_flood.ts <packets> <seconds> <first>+<n> <mac> <source>`, for n IPv4 addresses.
 */
import { udpFrame } from "./frames.ts";
import { spawnHelper } from "./netns.ts";
import { GATEWAY_MAC, type HostName } from "./plan.ts";
import { sendFrames } from "./raw_socket.ts";
import { within } from "./wait.ts";
import type { World } from "./world.ts";

export interface Flood {
  /** Whose workload sends. */
  readonly in: HostName;
  readonly packets: number;
  readonly seconds: number;
  /** First of the addresses, and how many. */
  readonly first: string;
  readonly addresses: number;
}

/** Resolves with the number of datagrams sent. */
export async function flood(world: World, options: Flood): Promise<number> {
  const { packets, seconds, first, addresses } = options;
  const { mac, vips } = world.workload(options.in);
  const child = spawnHelper(new URL(import.meta.url).pathname, {
    ns: world.workload(options.in).ns,
    args: [`${packets}`, `${seconds}`, `${first}+${addresses}`, mac, vips.ipv4[0] ?? ""],
  });
  await child.stdin.close();
  const output = await within(child.output(), "the end of the flood", (seconds * 10 + 60) * 1000);
  const text = new TextDecoder().decode(output.stdout).trim();
  if (output.code !== 0) throw new Error(new TextDecoder().decode(output.stderr));
  return Number(text);
}

/** Frames in one call. */
const BATCH = 256;

/** The i-th IPv4 address from `first` on. */
function addressAt(first: string, i: number): string {
  const bits = first.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0) + i;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join(".");
}

function main([packets = "", seconds = "", range = ""]: string[]): void {
  const [first = "", n = "1"] = range.split("+");
  const [srcMac = "", src = ""] = Deno.args.slice(3);
  const frames = Array.from({ length: Number(n) }, (_, i) =>
    udpFrame({
      dstMac: GATEWAY_MAC,
      srcMac,
      src,
      dst: addressAt(first, i),
      srcPort: 1024 + i % 50_000,
      dstPort: 9,
    }, new Uint8Array(64)));
  const total = Number(packets);
  const perMs = total / (Number(seconds) * 1000);
  const start = performance.now();
  let sent = 0;
  while (sent < total) {
    const due = Math.min(total, Math.ceil((performance.now() - start + 1) * perMs), sent + BATCH);
    const batch = Array.from({ length: due - sent }, (_, i) => frames[(sent + i) % frames.length])
      .filter((frame) => frame !== undefined);
    sendFrames("eth0", batch);
    sent = due;
  }
  console.log(sent);
}

if (import.meta.main) main(Deno.args);

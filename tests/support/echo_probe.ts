// SPDX-License-Identifier: Apache-2.0

/**
 * Echo requests to many addresses from one process inside a namespace, and how long each answer took: one after
 * the other, or all at once. ping(8) is a process for each address, which is longer than the times in question.
 * This file is both ends; the inner one is given whole frames, one a line.
 */
import { spawnHelper } from "./netns.ts";
import { PacketSocket } from "./packet_socket.ts";
import { within } from "./wait.ts";

/** How the requests come. */
export type Arrival = "sequential" | "bunched";

/** A question with an ICMP echo in it: its sequence number tells the answers apart. */
export interface Probe {
  readonly ns: string;
  readonly device: string;
  readonly arrival: Arrival;
  /** Whole Ethernet frames over IPv4, in the order of their sequence numbers, from 0. */
  readonly frames: readonly Uint8Array[];
}

/** Offset of the ICMP header behind Ethernet and an IPv4 header without options. */
const ICMP_AT = 34;
const ECHO_REPLY = 0;

/** Milliseconds to each answer, in order. Throws when one does not come. */
export async function echoTimes({ ns, device, arrival, frames }: Probe): Promise<number[]> {
  const child = spawnHelper(new URL(import.meta.url).pathname, { ns, args: [device, arrival] });
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(frames.map((f) => `${f.toHex()}\n`).join("")));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  if (code !== 0) throw new Error(`Cannot take the times: ${text(stderr)}`);
  return JSON.parse(text(stdout)) as number[];
}

async function measure(device: string, arrival: Arrival): Promise<number[]> {
  const lines = (await new Response(Deno.stdin.readable).text()).trim().split("\n");
  const frames = lines.map((line) => Uint8Array.fromHex(line));
  using socket = new PacketSocket(device);
  const times: number[] = [];
  const sentAt: number[] = [];
  const size = arrival === "sequential" ? 1 : frames.length;
  for (let first = 0; first < frames.length; first += size) {
    const some = frames.slice(first, first + size);
    for (const [i, frame] of some.entries()) {
      sentAt[first + i] = performance.now();
      socket.send(frame);
    }
    let left = some.length;
    const all = async () => {
      while (left > 0) {
        await socket.readable();
        const now = performance.now();
        for (const { frame, outgoing } of socket.drain()) {
          const seq = outgoing ? undefined : echoReply(frame);
          if (seq === undefined || times[seq] !== undefined) continue;
          times[seq] = now - (sentAt[seq] ?? NaN);
          left--;
        }
      }
    };
    await within(all(), `${some.length} answers from number ${first} on`);
  }
  return times;
}

function echoReply(frame: Uint8Array): number | undefined {
  if (frame.length < ICMP_AT + 8) return undefined;
  const v = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (v.getUint16(12) !== 0x0800 || v.getUint8(23) !== 1) return undefined;
  return v.getUint8(ICMP_AT) === ECHO_REPLY ? v.getUint16(ICMP_AT + 6) : undefined;
}

if (import.meta.main) {
  const [device = "", arrival = ""] = Deno.args;
  console.log(JSON.stringify(await measure(device, arrival as Arrival)));
}

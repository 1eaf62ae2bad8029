// SPDX-License-Identifier: Apache-2.0

/** What captures of a soak say: no clear text, and no (key, IV) twice. */
import { Buffer } from "node:buffer";
import { classify } from "../support/frames.ts";
import { readPcap } from "../support/pcap_read.ts";
import { HOSTS } from "./lab.ts";

export interface Verdict {
  readonly psp: number;
  readonly spis: number;
  /** Frames in which what the workloads sent can be read. */
  readonly clear: number;
  /** (receiver, SPI, IV) that came more than once. SPIs begin at random in every process. */
  readonly repeated: readonly string[];
  /** What is neither PSP nor needed for it, with its number. */
  readonly foreign: Readonly<Record<string, number>>;
}

/** Reads one capture for each host, of what that host sent. */
export function judgeWire(paths: readonly string[], mark: string): Verdict {
  const needle = Buffer.from(mark, "hex");
  const seen = new Map<string, Set<bigint>>();
  const foreign: Record<string, number> = {};
  const repeated: string[] = [];
  let psp = 0;
  let clear = 0;
  for (const [n, path] of paths.entries()) {
    for (const { data } of readPcap(path)) {
      if (Buffer.from(data.buffer, data.byteOffset, data.length).includes(needle)) clear++;
      const found = classify(data, new Set([7443]));
      if (found.kind === "foreign") foreign[found.what] = (foreign[found.what] ?? 0) + 1;
      if (found.kind !== "psp") continue;
      psp++;
      const view = new DataView(data.buffer, data.byteOffset, data.length);
      const udp = 14 + 4 * (view.getUint8(14) & 15);
      const iv = view.getBigUint64(udp + 16);
      const key = `from h${HOSTS[n]} to ${data.subarray(30, 34).join(".")}, SPI ${
        found.spi.toString(16)
      }`;
      const ivs = seen.get(key) ?? new Set();
      if (ivs.has(iv)) repeated.push(`${key}, IV ${iv}`);
      seen.set(key, ivs.add(iv));
    }
  }
  return { psp, spis: seen.size, clear, repeated, foreign };
}

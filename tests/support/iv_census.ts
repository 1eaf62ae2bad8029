// SPDX-License-Identifier: Apache-2.0

/** Every (SPI, IV) of a capture: a pair that comes twice would be a nonce used twice, if the key is the same. */
import type { Capture } from "./capture.ts";
import { PSP_PORT } from "./frames.ts";

export interface Census {
  readonly packets: number;
  readonly spis: number;
  /** Pairs that came more than once, as text. */
  readonly repeated: readonly string[];
}

/** Reads a stopped capture. SPIs begin at random in every process, so equal SPIs mean equal keys. */
export function ivCensus(capture: Capture): Census {
  const seen = new Map<string, Set<bigint>>();
  const repeated: string[] = [];
  let packets = 0;
  for (const { to, data } of capture.frames()) {
    const found = spiAndIv(data);
    if (found === undefined) continue;
    packets++;
    const key = `${to} ${found.spi.toString(16).padStart(8, "0")}`;
    const ivs = seen.get(key) ?? new Set();
    if (ivs.has(found.iv)) repeated.push(`${key} IV ${found.iv}`);
    seen.set(key, ivs.add(found.iv));
  }
  return { packets, spis: seen.size, repeated };
}

/** Undefined for what is no PSP. */
function spiAndIv(frame: Uint8Array): { spi: number; iv: bigint } | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length < 14 + 20 + 8 + 16) return undefined;
  const type = view.getUint16(12);
  const v4 = type === 0x0800;
  if (!v4 && type !== 0x86dd) return undefined;
  const udp = v4 ? 14 + 4 * (view.getUint8(14) & 15) : 54;
  const protocol = view.getUint8(v4 ? 23 : 20);
  if (protocol !== 17 || frame.length < udp + 8 + 16) return undefined;
  if (view.getUint16(udp + 2) !== PSP_PORT) return undefined;
  return { spi: view.getUint32(udp + 12), iv: view.getBigUint64(udp + 16) };
}

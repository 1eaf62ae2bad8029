// SPDX-License-Identifier: Apache-2.0

/** How much of a long test is run: the short form, or all of it with PSP_SOAK=1. */
export function scaled(short: number, full: number): number {
  return Deno.env.get("PSP_SOAK") === "1" ? full : short;
}

/** So many that want to run for each processor are a busy machine; what has more to do is slower by that. */
const BUSY = 4;

/**
 * What a result in milliseconds is held to: the aim itself in the full form; five times that on a machine that may be busy,
 * and more on one that has even more to do.
 */
export function limitMs(aimMs: number): number {
  const [load = 0] = Deno.loadavg();
  return scaled(5 * aimMs * Math.max(1, load / (BUSY * navigator.hardwareConcurrency)), aimMs);
}

// SPDX-License-Identifier: Apache-2.0

/** How much of a long test is run: the short form, or all of it with PSP_SOAK=1. */
export function scaled(short: number, full: number): number {
  return Deno.env.get("PSP_SOAK") === "1" ? full : short;
}

/** What a result in milliseconds is held to: the aim itself in the full form, five times that on a machine that may be busy. */
export function limitMs(aimMs: number): number {
  return scaled(5 * aimMs, aimMs);
}

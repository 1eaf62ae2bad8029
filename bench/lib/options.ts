// SPDX-License-Identifier: Apache-2.0

/** Numbers that a bench takes from its environment. */

/** A positive number; throws with the value quoted when it is none. */
export function positive(name: string, fallback: number): number {
  const given = Deno.env.get(name);
  if (given === undefined || given === "") return fallback;
  const value = Number(given);
  if (!(value > 0)) throw new Error(`Cannot take ${name}="${given}": not a positive number`);
  return value;
}

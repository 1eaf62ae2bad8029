// SPDX-License-Identifier: Apache-2.0

/**
 * Waiting for somebody else's answer. A timer alone rings late on a host that stands still for a while (overloaded, stopped,
 * a suspended machine), and before what has come meanwhile is read: the answer lies there, and the other side is called silent.
 */

/** The wait is cut in so many parts; a host that stands still loses one of them. */
const PARTS = 8;

/** Calls `then` when `ms` have passed in which this host had its turns. The result ends the wait. Keeps no process alive. */
export function afterTurns(ms: number, then: () => void): () => void {
  let left = PARTS;
  const timer = setInterval(() => {
    left -= 1;
    if (left > 0) return;
    clearInterval(timer);
    then();
  }, ms / PARTS);
  Deno.unrefTimer(timer);
  return () => clearInterval(timer);
}

// SPDX-License-Identifier: Apache-2.0

/** The kinds of work that peers are asked for, and which comes first. */

/** What peers are asked for, the most urgent first. */
export const WORK = [
  /** A packet is held. */
  "packet",
  /** A peer was not heard on a tunnel that it asked for: it may be receiving nothing. */
  "unheard",
  /** What peers must know: SPIs that nobody accepts, tunnels that were closed. */
  "notice",
  /** An operator wants to know something. */
  "question",
  /** An SA comes to its end. */
  "rekey",
  /** A tunnel of the last run. */
  "restore",
  /** SAs leave the master key before. */
  "rotation",
  /** A connection is kept. */
  "warm",
] as const;
export type Work = (typeof WORK)[number];

/** Of two kinds the more urgent one. */
export function moreUrgent(a: Work, b: Work): Work {
  return WORK.indexOf(a) <= WORK.indexOf(b) ? a : b;
}

// SPDX-License-Identifier: Apache-2.0

/** The kinds of work that peers are asked for, and which comes first. */
import { isLive, isSpent, type State } from "./tunnel.ts";

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

/** What a tunnel's wish is, as the scheduler sees it. */
export function workOf(state: State, now: number): Work {
  if (state.kind === "opening") return state.flows.length > 0 ? "packet" : "restore";
  if (!isLive(state)) return "warm";
  if (state.tx.unconfirmed !== undefined) return "unheard";
  const isDue = now >= state.tx.softAt || isSpent(state.tx);
  return isDue ? "rekey" : "rotation";
}

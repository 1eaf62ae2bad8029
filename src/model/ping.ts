// SPDX-License-Identifier: Apache-2.0

/** A way to a workload that is tried, as an operator asks for it. */

/** What to try. */
export interface PingQuery {
  /** An address of this host; absent: one that the agent finds. */
  readonly src?: string | undefined;
  /** An address of a peer. Both canonical. */
  readonly dst: string;
  /** For each leg. */
  readonly timeoutMs: number;
}

/** A part of the way. */
export interface PingLeg {
  /** To the peer's agent; the tunnel; from the peer's agent to the workload. */
  readonly name: "control" | "tunnel" | "workload";
  /** "unknown": nobody could say. */
  readonly verdict: "ok" | "failed" | "unknown";
  /** How long it took to find out; absent: nothing had to be asked. */
  readonly ms?: number;
  readonly text: string;
}

/** What was found. */
export interface PingView {
  readonly peer?: string;
  readonly src?: string;
  readonly dst: string;
  /** Those that were tried, in the order of the way. */
  readonly legs: readonly PingLeg[];
}

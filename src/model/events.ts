// SPDX-License-Identifier: Apache-2.0

/** What happens that an operator may want to know afterwards: a closed list of kinds, and facts. No key appears here. */

/** Every kind, the sentence that stands for it, and whether it is a line of the log as well. */
export const EVENT_KINDS = {
  "agent-ready": { text: "The agent is ready", logged: false },
  "agent-stopping": { text: "The agent is stopping", logged: false },
  "tunnel-opened": { text: "A tunnel is up", logged: true },
  "tunnel-rekeyed": { text: "A tunnel has new SAs", logged: true },
  "tunnel-closed": { text: "A tunnel was closed", logged: true },
  "tunnel-lost": { text: "A tunnel is down until it is agreed anew", logged: true },
  "tunnel-failed": { text: "A tunnel could not be set up", logged: true },
  "tunnel-expired": { text: "A tunnel reached its hard limit without a new SA", logged: true },
  "peer-failing": { text: "Exchanges with a peer fail", logged: false },
  "peer-back": { text: "A peer answers again", logged: true },
  "path-lost": { text: "Packets to a peer do not arrive", logged: false },
  "path-back": { text: "Packets to a peer arrive again", logged: false },
  "peer-restarted": { text: "A peer was started anew", logged: false },
  "request-refused": { text: "A request of a peer was refused", logged: true },
  "rotated": { text: "The master key was rotated", logged: false },
  "plane-fault": { text: "Nothing passes", logged: false },
  "plane-well": { text: "Packets can pass again", logged: false },
} as const;

/** Name of a kind. */
export type EventKind = keyof typeof EVENT_KINDS;

/** The facts of an event; each kind has some of them. */
export interface EventFacts {
  readonly peer?: string;
  readonly localVip?: string;
  readonly remoteVip?: string;
  /** SPIs of the pair as it is now. */
  readonly txSpi?: number;
  readonly rxSpi?: number;
  /** Which host asked for it. */
  readonly role?: "initiator" | "responder";
  /** One word of a short list: what events are limited by. */
  readonly reason?: string;
  /** The reason in words, such as a peer's own. */
  readonly message?: string;
  /** From its cause to this event, such as the time that a first packet was held. */
  readonly durationMs?: number;
}

/** As it is kept. */
export interface AgentEvent extends EventFacts {
  /** Grows with every event, across starts of the agent. */
  readonly cursor: number;
  readonly timeMs: number;
  readonly kind: EventKind;
  /** How many of the same kind, peer and reason this one stands for: 1, or more when they came too fast. */
  readonly count: number;
}

/** Takes events. Never throws. */
export interface EventSink {
  add(kind: EventKind, facts?: EventFacts): void;
}

/** Which events are wanted. */
export interface EventQuery {
  /** Only those after this cursor. */
  readonly after?: number | undefined;
  /** Only those since then, wall clock. */
  readonly sinceMs?: number | undefined;
  readonly peer?: string | undefined;
  /** Empty: all. */
  readonly kinds?: readonly string[] | undefined;
}

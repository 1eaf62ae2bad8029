// SPDX-License-Identifier: Apache-2.0

/**
 * What a tunnel can do, by asking its machine (src/core/tunnel.ts) everything: from the closed tunnel on, every event in
 * every state that differs in what matters. It is what traces are held against, and what docs/protocol.md draws.
 */
import type { PspVersion } from "../../src/model/sa.ts";
import { CLOSED, type Event, type Rx, type State, step, type Tx } from "../../src/core/tunnel.ts";

/** One step as traces tell it. */
export interface Transition {
  readonly from: State["kind"];
  readonly event: Event<unknown>["type"];
  readonly to: State["kind"];
}

type Kind = State["kind"];

const GRACE_MS = 10;
const IDLE_MS = 100;
const LIFE_MS = 60;
const PAIR = { localVip: "10.0.0.1", remoteVip: "10.0.1.1" };
const VERSION: PspVersion = "aes-gcm-256";
/** States at most: more differ only in numbers. */
const MOST = 600;

interface Place {
  readonly state: State;
  readonly now: number;
  readonly serial: number;
}

/** Every transition there is, sorted. */
export function transitions(): readonly Transition[] {
  const found = new Map<string, Transition>();
  const seen = new Set<string>();
  const queue: Place[] = [{ state: CLOSED, now: 0, serial: 0 }];
  // What is put in on the way is gone through as well.
  for (const { state, now, serial } of queue) {
    for (const laterMs of [0, GRACE_MS, LIFE_MS, IDLE_MS]) {
      for (const event of events(state, { now: now + laterMs, serial })) {
        const context = { now: now + laterMs, graceMs: GRACE_MS, idleMs: IDLE_MS };
        const next = step(state, event, context).state;
        const transition = { from: state.kind, event: event.type, to: next.kind };
        found.set(`${transition.from} ${transition.event} ${transition.to}`, transition);
        const key = shape(next, context.now);
        if (seen.has(key) || seen.size >= MOST) continue;
        seen.add(key);
        queue.push({ state: next, now: context.now, serial: serial + 1 });
      }
    }
  }
  return [...found].sort(([a], [b]) => a < b ? -1 : 1).map(([, transition]) => transition);
}

/** The machine as a Mermaid diagram: what changes the state, by what does it. */
export function machineDiagram(): string {
  const byWay = new Map<string, string[]>();
  for (const { from, event, to } of transitions()) {
    if (from === to) continue;
    const way = `    ${from} --> ${to}`;
    byWay.set(way, [...byWay.get(way) ?? [], event]);
  }
  const lines = [...byWay].map(([way, events]) => `${way}: ${events.join(", ")}`);
  return ["stateDiagram-v2", "    [*] --> closed", ...lines].join("\n");
}

function events(state: State, { now, serial }: { now: number; serial: number }): AnyEvent[] {
  return Object.values(EVENTS).flatMap((make) => make(state, { now, serial: serial + 1 }));
}

type AnyEvent = Event<unknown>;
type Make = (state: State, at: { readonly now: number; readonly serial: number }) => AnyEvent[];

/** For each kind of event those that may make a difference: a new one has to be added here. */
const EVENTS: { readonly [K in AnyEvent["type"]]: Make } = {
  miss: () => [{ type: "miss", flow: 1 }],
  wanted: () => [{ type: "wanted" }],
  offered: (_, { now, serial }) => [{ type: "offered", rx: rxOf(serial, now) }],
  answered: ({ rx }, { now, serial }) =>
    rx.map(({ sa: { spi } }) => ({
      type: "answered",
      spi,
      tx: txOf(serial, { now, unconfirmed: false }),
      key: 0,
    })),
  offered_again: ({ rx }) => rx.map(({ sa: { spi } }) => ({ type: "offered_again", spi })),
  withdrawn: ({ rx }) =>
    rx.flatMap(({ sa: { spi } }) =>
      [true, false].map((maybe) => ({ type: "withdrawn" as const, spi, maybe }))
    ),
  refused: () => [{ type: "refused", reason: "refused", holdOffMs: 5 }],
  unanswered: () =>
    (["peer_unreachable", "refused"] as const).flatMap((reason) =>
      [true, false].map((maybe) => ({ type: "unanswered" as const, reason, holdOffMs: 5, maybe }))
    ),
  asked: (_, { now, serial }) =>
    [rxOf(serial, now), undefined].map((rx) => ({
      type: "asked",
      tx: txOf(serial, { now, unconfirmed: true }),
      key: 0,
      rx,
    })),
  tick: ({ rx }) => [
    { type: "tick", seen: { rx: new Map() } },
    ...rx.map(({ sa: { spi } }): AnyEvent => ({
      type: "tick",
      seen: { rx: new Map([[spi, { packets: 1n, bytes: 1n }]]) },
    })),
  ],
  confirmed: ({ rx }) => rx.map(({ sa: { spi } }) => ({ type: "confirmed", spi })),
  forgotten: ({ rx }) => rx.map(({ sa: { spi } }) => ({ type: "forgotten", spi })),
  lost: (state) => "tx" in state ? [{ type: "lost", spi: state.tx.sa.spi }] : [],
  rotated: () => [0n, 1n, 2n].map((generation) => ({ type: "rotated", generation })),
  peer_restarted: () => [{ type: "peer_restarted" }],
  peer_back: () => [{ type: "peer_back" }],
  closed_by_peer: () => [{ type: "closed_by_peer" }],
  evicted: () => [{ type: "evicted" }],
  close: () => [{ type: "close", reason: "shutdown" }],
  moved: () => [{ type: "moved" }],
  peer_changed: () => [{ type: "peer_changed", pip: "192.0.2.9" }],
  life_shortened: (_, { now }) => [{ type: "life_shortened", at: now }],
};

function rxOf(serial: number, now: number): Rx {
  const sa = {
    ...PAIR,
    peer: "h2",
    spi: serial,
    version: VERSION,
    cryptOffset: 5,
    mode: "tunnel" as const,
    serial: BigInt(serial),
    createdAtMs: 0,
  };
  return {
    sa,
    generation: 0n,
    expiresAt: now + LIFE_MS + GRACE_MS,
    given: false,
    confirmed: false,
    packets: 0n,
    bytes: 0n,
    seenAt: now,
    supersededAt: undefined,
    maybeUntil: undefined,
  };
}

function txOf(
  serial: number,
  { now, unconfirmed }: { readonly now: number; readonly unconfirmed: boolean },
): Tx {
  return {
    sa: {
      ...PAIR,
      peer: "h2",
      spi: 1000 + serial,
      version: VERSION,
      pip: "192.0.2.2",
      mac: "02:00:00:00:00:02",
      cryptOffset: 5,
      mode: "tunnel",
      epoch: 1n,
      serial: BigInt(serial),
      createdAtMs: 0,
      expiresAtMs: 0,
    },
    bornAt: now,
    softAt: now + LIFE_MS - 5,
    softPackets: 100n,
    expiresAt: now + LIFE_MS,
    expired: false,
    packets: 0n,
    bytes: 0n,
    unconfirmed: unconfirmed ? { serial: BigInt(serial), askAt: now + 5 } : undefined,
  };
}

/** What of a state matters, whatever its numbers are. */
function shape(state: State, now: number): string {
  const offered = "offered" in state ? state.offered : undefined;
  const rx = state.rx.slice(-2).map((rx) =>
    [
      rx.sa.spi === offered,
      rx.given,
      rx.confirmed,
      rx.supersededAt !== undefined,
      rx.maybeUntil !== undefined,
      rx.expiresAt <= now,
    ].map(Number).join("")
  );
  const kind: Kind = state.kind;
  const tx = "tx" in state
    ? [state.tx.expired, state.tx.unconfirmed !== undefined, state.tx.softAt <= now].map(Number)
    : [];
  const until = state.kind === "failed" ? `${state.until <= now} ${state.reason}` : "";
  return `${kind} ${offered !== undefined} ${rx} ${tx} ${until}`;
}

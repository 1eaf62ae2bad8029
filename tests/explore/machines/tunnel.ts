// SPDX-License-Identifier: Apache-2.0

/** What a tunnel can do: src/core/tunnel.ts, asked everything. */
import type { PspVersion } from "../../../src/model/sa.ts";
import {
  CLOSED,
  type Event,
  type Rx,
  type State,
  step,
  type Tx,
} from "../../../src/core/tunnel.ts";
import type { Machine } from "./machine.ts";

const GRACE_MS = 10;
const IDLE_MS = 100;
const LIFE_MS = 60;
const PAIR = { localVip: "10.0.0.1", remoteVip: "10.0.1.1" };
const VERSION: PspVersion = "aes-gcm-256";

interface Place {
  readonly state: State;
  readonly now: number;
  readonly serial: number;
}

/** A tunnel, at any time. */
export const TUNNEL: Machine<Place> = {
  first: { state: CLOSED, now: 0, serial: 0 },
  kindOf: ({ state }) => state.kind,
  shapeOf: ({ state, now }) => shape(state, now),
  *next({ state, now, serial }) {
    for (const laterMs of [0, GRACE_MS, LIFE_MS, IDLE_MS]) {
      const context = { now: now + laterMs, graceMs: GRACE_MS, idleMs: IDLE_MS };
      for (const event of events(state, { now: context.now, serial })) {
        const next = step(state, event, context).state;
        yield {
          event: event.type,
          to: { state: next, now: context.now, serial: serial + 1 },
        };
      }
    }
  },
  // More differ only in numbers.
  most: 600,
};

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
  const tx = "tx" in state
    ? [state.tx.expired, state.tx.unconfirmed !== undefined, state.tx.softAt <= now].map(Number)
    : [];
  const until = state.kind === "failed" ? `${state.until <= now} ${state.reason}` : "";
  return `${state.kind} ${offered !== undefined} ${rx} ${tx} ${until}`;
}

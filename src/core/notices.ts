// SPDX-License-Identifier: Apache-2.0

/**
 * What hosts tell each other without being asked: SPIs they do not know, tunnels they closed, SPIs they send with, that
 * they stop. What one peer is to be told and when is a pure function, and so is what its notices mean here;
 * `notices_driver.ts` carries both out.
 */
import type { Notice } from "../model/exchange.ts";
import { isReservedSpi, pairKey, type VipPair } from "../model/sa.ts";
import { canonicalVip } from "../model/vip.ts";
import {
  CONFIRM_AFTER_MS,
  DRAINING_COLD,
  HOLD_AFTER_MS,
  NOTICE_CONFIRMED,
  NOTICE_INTERVAL_MS,
  NOTICE_ITEMS,
  NOTICE_TRIES,
  PATIENCE_MS,
} from "./limits.ts";
import { type Event, isLive, type State } from "./tunnel.ts";
import type { Tunnel } from "./tunnel_table.ts";

/** An SPI of the peer that this host sends with; the peer is told from `at` on. */
export interface Confirmed {
  /** Of the tunnel. */
  readonly key: string;
  readonly spi: number;
  readonly at: number;
}

/** SPIs to be confirmed, the latest first: thousands come in one answer, and each is put in front of the others. */
interface Queue {
  readonly last: Confirmed;
  readonly before: Queue | undefined;
  readonly size: number;
  /** When the one that came first may be told. */
  readonly firstAt: number;
}

/** What a peer is told in one notice. */
export interface Contents {
  readonly unknownSpis: readonly number[];
  /** Tunnels by key. */
  readonly closed: ReadonlyMap<string, VipPair>;
  readonly confirmed: readonly Confirmed[];
}

/** What one peer is to be told. Times are of `Clock.now`. */
export interface Outbox {
  readonly unknownSpis: readonly number[];
  readonly closed: ReadonlyMap<string, VipPair>;
  readonly confirmed: Queue | undefined;
  /** Not before. */
  readonly nextAt: number;
  /** The notice that is under way. */
  readonly sent: Contents | undefined;
  /** Notices in a row that did not arrive. */
  readonly failures: number;
}

/** What can happen to it. */
export type OutboxEvent =
  /** A packet of the peer could not be authenticated, or nobody here accepts its SPI. */
  | { readonly type: "unknown"; readonly spi: number }
  /** This side closed a tunnel for want of traffic. */
  | { readonly type: "closed"; readonly pair: VipPair }
  /** The peer's answer came, and this host sends with the SPI in it: the peer cannot know. */
  | { readonly type: "confirm"; readonly key: string; readonly spi: number }
  /** It is to be looked at: the moment came that `look` named. */
  | { readonly type: "due" }
  /** The notice arrived. */
  | { readonly type: "arrived" }
  /** It did not. */
  | { readonly type: "failed" };

/** What is to be done about it, in this order. */
export type OutboxEffect =
  /** Send it, and say what came of it: `arrived` or `failed`. */
  | { readonly do: "send"; readonly notice: Omit<Notice, "bootEpoch"> }
  /** Look at it again then: `due`. */
  | { readonly do: "look"; readonly at: number }
  /** There is nothing to tell or to remember: it is as if it never was. */
  | { readonly do: "forget" }
  | { readonly do: "count"; readonly counter: "unknown-spis" };

/** What a step may know besides state and event. */
export interface OutboxContext {
  readonly now: number;
  /** A tunnel now; undefined: there is none. */
  readonly stateOf: (key: string) => State | undefined;
  /** Whether packets went out with a tunnel's transmit SA. */
  readonly hasSent: (key: string) => boolean;
}

export interface OutboxStep {
  readonly state: Outbox;
  readonly effects: readonly OutboxEffect[];
}

/** Nothing to tell. */
export const EMPTY: Outbox = {
  unknownSpis: [],
  closed: new Map(),
  confirmed: undefined,
  nextAt: 0,
  sent: undefined,
  failures: 0,
};

/** What the outbox becomes and what is to be done. Changes nothing, asks nobody. */
export function stepOutbox(
  state: Outbox,
  event: OutboxEvent,
  context: OutboxContext,
): OutboxStep {
  switch (event.type) {
    case "unknown": {
      const { unknownSpis } = state;
      if (unknownSpis.length >= NOTICE_ITEMS || unknownSpis.includes(event.spi)) {
        return { state, effects: [] };
      }
      const more = look({ ...state, unknownSpis: [...unknownSpis, event.spi] }, context);
      return { ...more, effects: [...more.effects, { do: "count", counter: "unknown-spis" }] };
    }
    case "closed": {
      const key = pairKey(event.pair);
      if (state.closed.size >= 4 * NOTICE_ITEMS) return { state, effects: [] };
      return look({ ...state, closed: new Map(state.closed).set(key, event.pair) }, context);
    }
    case "confirm": {
      const { key, spi } = event;
      const { confirmed } = state;
      // A packet says the same, and a peer that is not told asks.
      if ((confirmed?.size ?? 0) >= 4 * NOTICE_CONFIRMED) return { state, effects: [] };
      const last = { key, spi, at: context.now + CONFIRM_AFTER_MS };
      return look({ ...state, confirmed: put(confirmed, last) }, context);
    }
    case "due":
      return due(state, context);
    case "arrived":
      return look({ ...state, sent: undefined, failures: 0 }, context);
    case "failed":
      return look(putBack(state, context), context);
    default:
      return event satisfies never;
  }
}

/** Looks at it again when there is something to tell, and not before it may be told. */
function look(state: Outbox, { now }: OutboxContext): OutboxStep {
  const { unknownSpis, closed, confirmed, nextAt, sent } = state;
  if (sent !== undefined) return { state, effects: [] };
  const at = unknownSpis.length + closed.size > 0
    ? nextAt
    : confirmed !== undefined
    ? Math.max(nextAt, confirmed.firstAt)
    // Until then it remembers when the last notice was.
    : nextAt > now
    ? nextAt
    : undefined;
  return { state, effects: [at === undefined ? { do: "forget" } : { do: "look", at }] };
}

/** What waits is sent. */
function due(state: Outbox, context: OutboxContext): OutboxStep {
  if (state.sent !== undefined) return { state, effects: [] };
  const { contents, rest } = take(state, context);
  const { unknownSpis, closed, confirmed } = contents;
  if (unknownSpis.length + closed.size + confirmed.length === 0) return look(rest, context);
  const notice = {
    unknownSpis,
    closed: [...closed.values()],
    draining: false,
    confirmedSpis: confirmed.map(({ spi }) => spi),
  };
  return {
    state: { ...rest, sent: contents, nextAt: context.now + NOTICE_INTERVAL_MS },
    effects: [{ do: "send", notice }],
  };
}

/** As much as one notice has room for, of what is still so. */
function take(
  state: Outbox,
  context: OutboxContext,
): { readonly contents: Contents; readonly rest: Outbox } {
  const all = [...state.closed];
  const closed = new Map<string, VipPair>();
  let met = 0;
  for (const [key, pair] of all) {
    if (closed.size === NOTICE_ITEMS) break;
    met++;
    // It may have come back in the meantime.
    if ((context.stateOf(key)?.kind ?? "closed") === "closed") closed.set(key, pair);
  }
  const { taken, rest } = takeConfirmed(state.confirmed, context);
  return {
    contents: { unknownSpis: state.unknownSpis, closed, confirmed: taken },
    rest: {
      ...state,
      unknownSpis: [],
      closed: new Map(all.slice(met)),
      confirmed: rest.reduce<Queue | undefined>(put, undefined),
    },
  };
}

/** Those that are still in use and went out with no packet. */
function takeConfirmed(
  queue: Queue | undefined,
  { now, stateOf, hasSent }: OutboxContext,
): { readonly taken: readonly Confirmed[]; readonly rest: readonly Confirmed[] } {
  const all = queued(queue);
  const taken: Confirmed[] = [];
  let met = 0;
  for (const one of all) {
    if (one.at > now || taken.length === NOTICE_CONFIRMED) break;
    met++;
    const state = stateOf(one.key);
    const isInUse = state !== undefined && isLive(state) && state.tx.sa.spi === one.spi;
    if (isInUse && !hasSent(one.key)) taken.push(one);
  }
  return { taken, rest: all.slice(met) };
}

/** What did not arrive is told again, ever later, and at last forgotten: packets will say so again. */
function putBack(state: Outbox, { now }: OutboxContext): Outbox {
  const { sent } = state;
  const failures = state.failures + 1;
  if (sent === undefined || failures >= NOTICE_TRIES) {
    return { ...state, sent: undefined, failures: 0 };
  }
  const spis = new Set(state.unknownSpis);
  for (const spi of sent.unknownSpis) if (spis.size < NOTICE_ITEMS) spis.add(spi);
  const closed = new Map(state.closed);
  for (const [key, pair] of sent.closed) {
    if (closed.size < 4 * NOTICE_ITEMS) closed.set(key, pair);
  }
  const waiting = new Set(queued(state.confirmed).map(({ key }) => key));
  const again = sent.confirmed.filter(({ key }) => !waiting.has(key))
    .slice(0, Math.max(0, 4 * NOTICE_CONFIRMED - waiting.size));
  return {
    unknownSpis: [...spis],
    closed,
    confirmed: again.reduce<Queue | undefined>(put, state.confirmed),
    nextAt: now + NOTICE_INTERVAL_MS * 2 ** failures,
    sent: undefined,
    failures,
  };
}

function put(before: Queue | undefined, last: Confirmed): Queue {
  return {
    last,
    before,
    size: (before?.size ?? 0) + 1,
    firstAt: before?.firstAt ?? last.at,
  };
}

/** In the order in which they came; of several of one tunnel the last one alone. */
function queued(queue: Queue | undefined): readonly Confirmed[] {
  const seen = new Set<string>();
  const all: Confirmed[] = [];
  for (let at = queue; at !== undefined; at = at.before) {
    if (seen.has(at.last.key)) continue;
    seen.add(at.last.key);
    all.push(at.last);
  }
  return all.reverse();
}

// ---- who is told --------------------------------------------------------------------------------

/**
 * Whether the sender of a packet that was not accepted is to be told that nobody knows its SPI. Not of one that lives:
 * such packets are forged or damaged, and no reason to give it up. `state`: of the tunnel that receives with it.
 */
export function isUnknown(spi: number, state: State | undefined, generation: bigint): boolean {
  // Nobody was ever given one, and the peer would refuse the whole notice.
  if (isReservedSpi(spi)) return false;
  const rx = state?.rx.find(({ sa }) => sa.spi === spi);
  return rx === undefined || rx.generation + 2n <= generation;
}

/** Whom a host tells that it stops: there is no time for very many handshakes, and who is not told finds out by itself. */
export function toldOfEnd(
  peers: readonly string[],
  isConnected: (peer: string) => boolean,
): readonly string[] {
  return peers.length <= DRAINING_COLD ? peers : peers.filter(isConnected);
}

// ---- what peers tell this host ------------------------------------------------------------------

/** The tunnels with whoever sent a notice, as they may be looked at. */
export interface NoticeView {
  ofPeer(peer: string): readonly Tunnel[];
  byRxSpi(spi: number): Tunnel | undefined;
  get(key: string): Tunnel | undefined;
}

/** What happens to a tunnel. */
export interface Told {
  readonly tunnel: Tunnel;
  readonly event: Extract<Event<never>, { type: "lost" | "confirmed" | "closed_by_peer" }>;
}

/** What a notice of a peer means to the tunnels, in this order. A peer can speak of its own ones alone. */
export function toldBy(peer: string, notice: Notice, view: NoticeView): readonly Told[] {
  return [
    ...lost(peer, notice.unknownSpis, view),
    ...(notice.confirmedSpis ?? []).flatMap((spi): Told[] => {
      const tunnel = view.byRxSpi(spi);
      return tunnel?.peer === peer ? [{ tunnel, event: { type: "confirmed", spi } }] : [];
    }),
    ...notice.closed.flatMap(({ localVip, remoteVip }): Told[] => {
      const tunnel = view.get(pairKey({
        localVip: canonicalVip(remoteVip) ?? remoteVip,
        remoteVip: canonicalVip(localVip) ?? localVip,
      }));
      return tunnel?.peer === peer ? [{ tunnel, event: { type: "closed_by_peer" } }] : [];
    }),
  ];
}

function lost(peer: string, spis: readonly number[], view: NoticeView): Told[] {
  if (spis.length === 0) return [];
  const unknown = new Set(spis);
  return view.ofPeer(peer).flatMap((tunnel): Told[] => {
    const { state } = tunnel;
    const isLost = isLive(state) && unknown.has(state.tx.sa.spi);
    return isLost ? [{ tunnel, event: { type: "lost", spi: state.tx.sa.spi } }] : [];
  });
}

/** A peer that said that it stops. Times are of `Clock.now`. */
export interface Farewell {
  /** Until then nothing is dropped for it: it may come back at once. */
  readonly patientUntil: number;
  /** When its plane is about to close, and what goes to it is held from then on. */
  readonly holdAt: number;
}

/** A peer says that it stops; undefined: it has said so already. */
export function farewell(patientUntil: number, now: number): Farewell | undefined {
  if (patientUntil > now) return undefined;
  return { patientUntil: now + PATIENCE_MS, holdAt: now + HOLD_AFTER_MS };
}

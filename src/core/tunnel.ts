// SPDX-License-Identifier: Apache-2.0

/**
 * One tunnel: its states, what may happen to it, what is then to be done, and its life as one pure function.
 * Program receive, then advertise, then switch transmit, then retire the old: the effects come in that order and no
 * other.
 */
import type { DropReason } from "../../ffi/plane.ts";
import type { AgentCounter } from "../model/counters.ts";
import type { RxSa, TxSa } from "../model/sa.ts";
import { MAX_RX_SAS, MAYBE_MS } from "./limits.ts";

// Times are of `Clock.now`. Those of SAs that are there are whole milliseconds: V8 keeps a whole number in the field itself,
// and any other in sixteen octets more.

/** An SA that this host accepts. */
export interface Rx {
  readonly sa: RxSa;
  /** Rotations of the master key when the SPI was derived: two later it is dead. */
  readonly generation: bigint;
  /** When the entry goes in any case; Infinity: never. */
  readonly expiresAt: number;
  /** The peer may have it: through a reply of ours, or a request whose answer never came. */
  readonly given: boolean;
  /** The peer has it: it answered our request, or packets came with it. */
  readonly confirmed: boolean;
  readonly packets: bigint;
  readonly bytes: bigint;
  /** Last time that its packets were seen to grow, or its birth. */
  readonly seenAt: number;
  /** Since when the peer has a newer one for sure; undefined: it is current. */
  readonly supersededAt: number | undefined;
  /**
   * The request that offered it was given up without an answer: it is kept until then, or longer while packets
   * come with it, because the peer may send with it. undefined: an answer came, or is still awaited.
   */
  readonly maybeUntil: number | undefined;
}

/** The SA that this host sends with. */
export interface Tx {
  readonly sa: TxSa;
  readonly bornAt: number;
  /** When, or after how many packets, it is replaced. */
  readonly softAt: number;
  readonly softPackets: bigint;
  /** When it fails closed; Infinity: never. */
  readonly expiresAt: number;
  readonly expired: boolean;
  readonly packets: bigint;
  readonly bytes: bigint;
  /** The peer asked for it and was not heard since; undefined: it holds its side for sure. */
  readonly unconfirmed: Unconfirmed | undefined;
}

/** A transmit SA whose other end may be gone: the peer may have given up before the reply was there. */
export interface Unconfirmed {
  /** Serial of the receive SA in the reply: a packet with it, or with a newer one, confirms. */
  readonly serial: bigint;
  /** When this host asks by itself. */
  readonly askAt: number;
}

/** Nothing to send with. SAs in their grace time may still receive. */
export interface Closed {
  readonly kind: "closed";
  readonly rx: readonly Rx[];
}

/** An exchange is wanted or under way, and nothing to send with yet. `offered`: the SPI in the request. */
export interface Opening {
  readonly kind: "opening";
  readonly since: number;
  readonly flows: readonly number[];
  readonly offered: number | undefined;
  readonly rx: readonly Rx[];
}

/** Both directions are there. */
export interface Up {
  readonly kind: "up";
  readonly tx: Tx;
  readonly rx: readonly Rx[];
  readonly openedAt: number;
  readonly usedAt: number;
}

/** As `Up`, with an exchange wanted or under way. */
export interface Rekeying {
  readonly kind: "rekeying";
  readonly tx: Tx;
  readonly rx: readonly Rx[];
  readonly openedAt: number;
  readonly usedAt: number;
  readonly offered: number | undefined;
}

/** The last attempt failed; misses are dropped until `until`. */
export interface Failed {
  readonly kind: "failed";
  readonly until: number;
  readonly reason: DropReason;
  readonly rx: readonly Rx[];
}

export type State = Closed | Opening | Up | Rekeying | Failed;

/** Whether packets pass. */
export function isLive(state: State): state is Up | Rekeying {
  return state.kind === "up" || state.kind === "rekeying";
}

/** Whether an exchange is wanted or under way. */
export function isAsking(state: State): state is Opening | Rekeying {
  return state.kind === "opening" || state.kind === "rekeying";
}

/** The SPI in the request that is under way; undefined: there is none. */
export function offerOf(state: State): number | undefined {
  return isAsking(state) ? state.offered : undefined;
}

/** Live without a word of the peer: nobody knows whether its other end is there. */
export function isUnheard(state: State): boolean {
  return isLive(state) && state.tx.unconfirmed !== undefined;
}

/** Whether a rotation to this generation of the master key has something to do about a tunnel. */
export function staysBehind(state: State, generation: bigint): boolean {
  return state.rx.some((rx) => rx.generation < generation) &&
    (state.kind !== "up" || !movedTo(state.rx, generation) || deadBy(state.rx, generation));
}

/** Whether the peer is known to have an SA of it: one that it may not have heard of is none. */
function movedTo(all: readonly Rx[], generation: bigint): boolean {
  return all.some((rx) => rx.confirmed && rx.generation >= generation);
}

/** Whether an SA among them is of a key that is gone. */
function deadBy(all: readonly Rx[], generation: bigint): boolean {
  return all.some((rx) => rx.generation + 2n <= generation);
}

/** What the packets said since the last look: totals of the entries. */
export interface Seen {
  readonly tx?: { readonly packets: bigint; readonly bytes: bigint } | undefined;
  readonly rx: ReadonlyMap<number, { readonly packets: bigint; readonly bytes: bigint }>;
}

/** What can happen to a tunnel. `K` is a transmit key, which the machine only passes on. */
export type Event<K> =
  /** A packet of the pair is held under `flow`. */
  | { readonly type: "miss"; readonly flow: number }
  /** The tunnel is to be there, without a packet: it is restored. */
  | { readonly type: "wanted" }
  /** The initiator derived an SPI for its request. */
  | { readonly type: "offered"; readonly rx: Rx }
  /** The peer answered the request that offered `spi`. */
  | { readonly type: "answered"; readonly spi: number; readonly tx: Tx; readonly key: K }
  /** A request that was given up is sent again as it was: the SA in it is on offer once more. */
  | { readonly type: "offered_again"; readonly spi: number }
  /** The offer is taken back, the wish stays. `maybe`: the peer may have got it all the same. */
  | { readonly type: "withdrawn"; readonly spi: number; readonly maybe: boolean }
  /** The peer refused the tunnel: it holds nothing of ours. */
  | { readonly type: "refused"; readonly reason: DropReason; readonly holdOffMs: number }
  /** No answer came; `maybe`: the peer may have got the request all the same. */
  | {
    readonly type: "unanswered";
    readonly reason: DropReason;
    readonly holdOffMs: number;
    readonly maybe: boolean;
  }
  /** The peer asks. `rx` is the SA for the reply; undefined: the reply repeats what is being offered. */
  | { readonly type: "asked"; readonly tx: Tx; readonly key: K; readonly rx: Rx | undefined }
  /** Time passed. */
  | { readonly type: "tick"; readonly seen: Seen }
  /** The peer said that it sends with `spi`. */
  | { readonly type: "confirmed"; readonly spi: number }
  /** An SA that the peer may have is given up: the peer has too many of them. */
  | { readonly type: "forgotten"; readonly spi: number }
  /** The peer does not know the SPI that this host sends with. */
  | { readonly type: "lost"; readonly spi: number }
  /** The master key was rotated: SPIs of two generations ago are dead. */
  | { readonly type: "rotated"; readonly generation: bigint }
  /** The peer was started anew: all that was agreed before is void. */
  | { readonly type: "peer_restarted" }
  /** The peer was unreachable and is there again: the failure is forgotten. */
  | { readonly type: "peer_back" }
  /** The peer closed its side, or is about to stop: hold packets from now on. */
  | { readonly type: "closed_by_peer" }
  /** Its place is wanted for another one. */
  | { readonly type: "evicted" }
  /** This host ends it at once. `by`: who wants it so, where that is no policy. */
  | { readonly type: "close"; readonly reason: DropReason; readonly by?: "operator" }
  /** Its addresses are others' now: nothing of it stays, and what it holds is somebody else's to release. */
  | { readonly type: "moved" }
  /** What is said of the peer is different: it is asked anew. `pip`: its outer address, where that is another now. */
  | { readonly type: "peer_changed"; readonly pip: string | undefined }
  /** Keys live shorter now: this one is replaced at `at`, or before. */
  | { readonly type: "life_shortened"; readonly at: number };

/** What is to be done about it, in this order. Only `add_rx` and `set_tx` can fail. */
export type Effect<K> =
  | { readonly do: "add_rx"; readonly sa: RxSa }
  | { readonly do: "remove_rx"; readonly sa: RxSa }
  | { readonly do: "set_tx"; readonly sa: TxSa; readonly key: K }
  /** The same SA, key and counters, to another outer address. */
  | { readonly do: "readdress_tx"; readonly sa: TxSa }
  | { readonly do: "remove_tx" }
  | { readonly do: "expire_tx" }
  | { readonly do: "release"; readonly flow: number }
  | {
    readonly do: "drop";
    readonly flow: number;
    readonly reason: DropReason;
    readonly holdOffMs: number;
  }
  /** Put the pair into the next request to its peer. */
  | { readonly do: "ask" }
  /** Tell the peer that this side sends with its SPI: until a packet comes it cannot know. */
  | { readonly do: "tell_confirmed"; readonly spi: number }
  /** Tell the peer that this side closed. */
  | { readonly do: "tell_closed" }
  | { readonly do: "count"; readonly counter: AgentCounter };

/** What a step may know besides state and event. */
export interface Context {
  readonly now: number;
  /** How long a replaced receive SA goes on after its last packet. */
  readonly graceMs: number;
  /** How long a tunnel may carry nothing; 0: for ever. */
  readonly idleMs: number;
}

/** The outcome of a step. */
export interface Step<K> {
  readonly state: State;
  readonly effects: readonly Effect<K>[];
}

/** More packets than any key seals. */
const NEVER = 2n ** 64n;

/** A tunnel that nobody has asked for yet. */
export const CLOSED: Closed = { kind: "closed", rx: [] };

/** What the state becomes and what is to be done. Changes nothing, asks nobody. */
export function step<K>(state: State, event: Event<K>, context: Context): Step<K> {
  switch (event.type) {
    case "miss":
      return miss(state, event.flow, context);
    case "wanted":
      return wanted(state, context);
    case "offered":
      return offered(state, event.rx);
    case "answered":
      return answered(state, event, context);
    case "withdrawn":
      return withdrawn(state, event, context);
    case "offered_again":
      return offeredAgain(state, event.spi, context);
    case "refused":
      return gaveUp(state, { ...event, maybe: false }, context);
    case "unanswered":
      return gaveUp(state, event, context);
    case "asked":
      return asked(state, event, context);
    case "tick":
      return tick(state, event, context);
    case "confirmed":
      return confirmed(state, event.spi);
    case "forgotten":
      return forgotten(state, event.spi);
    case "lost":
      return lost(state, event.spi, context);
    case "rotated":
      return rotated(state, event.generation, context);
    case "peer_restarted":
      return peerRestarted(state, context);
    case "peer_back":
      return peerBack(state);
    case "closed_by_peer":
      return closedByPeer(state, context);
    case "evicted":
      return evicted(state);
    case "close":
      return close(state, event.reason);
    case "moved":
      return moved(state);
    case "peer_changed":
      return peerChanged(state, event.pip);
    case "life_shortened":
      if (!isLive(state) || state.tx.softAt <= event.at) return { state, effects: [] };
      return { state: { ...state, tx: { ...state.tx, softAt: Math.ceil(event.at) } }, effects: [] };
    default:
      return event satisfies never;
  }
}

// ---- from the first miss to the switch of transmit ----------------------------------------------

/** A packet of the pair is held. */
function miss<K>(state: State, flow: number, context: Context): Step<K> {
  switch (state.kind) {
    case "closed":
      return { state: opening(state.rx, context, [flow]), effects: [{ do: "ask" }] };
    case "opening": {
      const flows = state.flows.includes(flow) ? state.flows : [...state.flows, flow];
      return { state: { ...state, flows }, effects: [] };
    }
    case "up":
    case "rekeying":
      // The entry came while the event was on its way.
      return { state, effects: [{ do: "release", flow }] };
    case "failed": {
      const holdOffMs = state.until - context.now;
      if (holdOffMs <= 0) {
        return { state: opening(state.rx, context, [flow]), effects: [{ do: "ask" }] };
      }
      return {
        state,
        effects: [
          { do: "drop", flow, reason: "back_off", holdOffMs },
          { do: "count", counter: "back-off" },
        ],
      };
    }
    default:
      return state satisfies never;
  }
}

/** The tunnel is to be there without a packet. */
function wanted<K>(state: State, context: Context): Step<K> {
  switch (state.kind) {
    case "closed":
      return { state: opening(state.rx, context, []), effects: [{ do: "ask" }] };
    case "failed":
      return context.now < state.until
        ? { state, effects: [] }
        : { state: opening(state.rx, context, []), effects: [{ do: "ask" }] };
    case "opening":
    case "up":
    case "rekeying":
      return { state, effects: [] };
    default:
      return state satisfies never;
  }
}

/** The initiator derived an SPI. */
function offered<K>(state: State, rx: Rx): Step<K> {
  if (!isAsking(state) || state.offered !== undefined) {
    return { state, effects: [] };
  }
  return {
    state: { ...state, offered: rx.sa.spi, rx: state.rx.concat(rx) },
    effects: [{ do: "add_rx", sa: rx.sa }],
  };
}

/** A request that was given up is sent again: its SA is received with already, whatever became of the wish. */
function offeredAgain<K>(state: State, spi: number, context: Context): Step<K> {
  const known = state.rx.find((rx) => rx.sa.spi === spi);
  if (known === undefined || known.supersededAt !== undefined) return { state, effects: [] };
  switch (state.kind) {
    case "closed":
    case "failed":
      return { state: { ...opening(state.rx, context, []), offered: spi }, effects: [] };
    case "up":
      return { state: { ...state, kind: "rekeying", offered: spi }, effects: [] };
    case "opening":
    case "rekeying":
      return { state: { ...state, offered: state.offered ?? spi }, effects: [] };
    default:
      return state satisfies never;
  }
}

/** The peer answered. */
function answered<K>(
  state: State,
  event: { readonly spi: number; readonly tx: Tx; readonly key: K },
  context: Context,
): Step<K> {
  if (!isAsking(state) || state.offered !== event.spi) {
    // The attempt was given up and its offer is gone already: nothing of the answer is kept.
    return { state, effects: [{ do: "count", counter: "late-answers" }] };
  }
  const own = state.rx.find((rx) => rx.sa.spi === event.spi);
  if (own === undefined || context.now >= own.expiresAt) {
    // What was offered ended by its age while the answer was awaited: up would be a tunnel that receives nothing.
    return {
      state: { ...state, offered: undefined },
      effects: [{ do: "count", counter: "late-answers" }, { do: "ask" }],
    };
  }
  const rx = state.rx.map((rx) => hasIt(rx, event.spi));
  const next = switched(state, { ...event, rx, offered: undefined }, context);
  const { spi } = event.tx.sa;
  if (next.state.tx.sa.spi !== spi) return next;
  return { ...next, effects: [...next.effects, { do: "tell_confirmed", spi }] };
}

/** The peer asks. */
function asked<K>(
  state: State,
  event: { readonly tx: Tx; readonly key: K; readonly rx: Rx | undefined },
  context: Context,
): Step<K> {
  const inFlight = offerOf(state);
  if (event.rx === undefined && inFlight !== undefined && isAsking(state)) {
    const own = state.rx.find(({ sa }) => sa.spi === inFlight);
    if (own === undefined || context.now >= own.expiresAt) {
      // What this host had on offer ended in this moment: it asks anew, and sends nothing before it receives.
      return { state: { ...state, offered: undefined }, effects: [{ do: "ask" }] };
    }
  }
  const rx = event.rx === undefined
    ? state.rx.map((old) =>
      old.sa.spi === inFlight ? { ...old, given: true, maybeUntil: undefined } : old
    )
    : state.rx.concat({ ...event.rx, given: true });
  const next = switched(state, { ...event, rx, offered: inFlight }, context);
  if (event.rx === undefined) return next;
  return { ...next, effects: [{ do: "add_rx", sa: event.rx.sa }, ...next.effects] };
}

/** Transmit goes over to `tx` when it is the newest, waiting flows go out, old receive SAs begin to end. */
function switched<K>(
  state: State,
  to: {
    readonly tx: Tx;
    readonly key: K;
    readonly rx: readonly Rx[];
    readonly offered: number | undefined;
  },
  context: Context,
): Step<K> & { readonly state: Up | Rekeying } {
  const now = context.now;
  const settled = settle<K>(to.rx, { ...context, keep: to.offered });
  const live = isLive(state);
  const newer = !live || isNewer(to.tx.sa, state.tx.sa);
  const effects: Effect<K>[] = [];
  if (newer) effects.push({ do: "set_tx", sa: to.tx.sa, key: to.key });
  if (state.kind === "opening") {
    for (const flow of state.flows) effects.push({ do: "release", flow });
  }
  effects.push(...settled.effects);
  if (newer) effects.push({ do: "count", counter: live ? "rekeys" : "tunnels-opened" });
  // Written out, each in one literal: an object that grows takes more, and there are a hundred thousand of these.
  const tx = heard(newer ? to.tx : state.tx, settled.rx);
  const { rx } = settled;
  const openedAt = live ? state.openedAt : Math.floor(now);
  const usedAt = live ? state.usedAt : Math.floor(now);
  const { offered } = to;
  return {
    state: offered === undefined
      ? { kind: "up", tx, rx, openedAt, usedAt }
      : { kind: "rekeying", tx, rx, openedAt, usedAt, offered },
    effects,
  };
}

/** The offer is taken back, the wish stays. */
function withdrawn<K>(
  state: State,
  { spi, maybe }: { readonly spi: number; readonly maybe: boolean },
  context: Context,
): Step<K> {
  if (!isAsking(state) || state.offered !== spi) {
    return { state, effects: [] };
  }
  const { rx, effects } = takeBack<K>(state, { maybe, now: context.now });
  return { state: { ...state, offered: undefined, rx }, effects };
}

/** The attempt failed. */
function gaveUp<K>(
  state: State,
  why: {
    readonly reason: DropReason;
    readonly holdOffMs: number;
    readonly maybe: boolean;
  },
  context: Context,
): Step<K> {
  switch (state.kind) {
    case "opening": {
      const { rx, effects } = takeBack<K>(state, { maybe: why.maybe, now: context.now });
      for (const flow of state.flows) {
        effects.push({ do: "drop", flow, reason: why.reason, holdOffMs: why.holdOffMs });
      }
      const until = context.now + why.holdOffMs;
      return { state: { kind: "failed", until, reason: why.reason, rx }, effects };
    }
    case "rekeying": {
      const { rx, effects } = takeBack<K>(state, { maybe: why.maybe, now: context.now });
      const tx = askedLater(state.tx, context.now + why.holdOffMs);
      return {
        state: up(state, { tx, rx }),
        effects: [...effects, { do: "count", counter: "rekeys-failed" }],
      };
    }
    case "up":
    case "closed":
    case "failed":
      return { state, effects: [] };
    default:
      return state satisfies never;
  }
}

/**
 * The receive SAs without the one on offer. What the peer has stays, and what it may have stays too: it may be
 * sending with it by now, and would never learn that nobody receives.
 */
function takeBack<K>(
  state: Opening | Rekeying,
  { maybe, now }: { readonly maybe: boolean; readonly now: number },
): { rx: readonly Rx[]; effects: Effect<K>[] } {
  const offer = state.rx.find((rx) => rx.sa.spi === state.offered);
  // Given in a reply of ours, or in use.
  const has = offer?.confirmed || (offer?.given && offer.maybeUntil === undefined);
  if (offer === undefined || has) return { rx: state.rx, effects: [] };
  if (!maybe) {
    return {
      rx: state.rx.filter((rx) => rx !== offer),
      effects: [{ do: "remove_rx", sa: offer.sa }],
    };
  }
  // Counted from the first time: asking again and again must not keep it for ever.
  const maybeUntil = offer.maybeUntil ?? now + MAYBE_MS;
  return {
    rx: state.rx.map((rx) => rx === offer ? { ...rx, given: true, maybeUntil } : rx),
    effects: offer.maybeUntil === undefined ? [{ do: "count", counter: "maybe-sas-kept" }] : [],
  };
}

/**
 * The next exchange begins at `at`, however many packets have passed: for a tunnel that was not heard because of that, else
 * as a rekey.
 */
function askedLater(before: Tx, at: number): Tx {
  const tx = isSpent(before) ? { ...before, softPackets: NEVER } : before;
  const { unconfirmed } = tx;
  const softAt = Math.ceil(at);
  if (unconfirmed === undefined) return { ...tx, softAt };
  return { ...tx, softAt: Math.max(tx.softAt, softAt), unconfirmed: { ...unconfirmed, askAt: at } };
}

/** Whether so many packets have passed that it is time for another one. */
export function isSpent({ packets, softPackets }: Tx): boolean {
  return packets >= softPackets;
}

/** An attempt that begins now. */
function opening(rx: readonly Rx[], context: Context, flows: readonly number[]): Opening {
  return { kind: "opening", since: context.now, flows, offered: undefined, rx };
}

function up(state: Rekeying, { tx, rx }: { readonly tx: Tx; readonly rx: readonly Rx[] }): Up {
  const { openedAt, usedAt } = state;
  return { kind: "up", tx, rx, openedAt, usedAt };
}

// ---- aging and ending ---------------------------------------------------------------------------

/** Time passed. */
function tick<K>(
  before: State,
  event: { readonly seen: Seen },
  context: Context,
): Step<K> {
  const keep = offerOf(before);
  const state = followed(before, event.seen, context.now);
  const { rx, effects } = settle<K>(state.rx, { ...context, keep });
  switch (state.kind) {
    case "closed":
    case "opening":
      return { state: rx === state.rx ? state : { ...state, rx }, effects };
    case "failed":
      if (state.until <= context.now) return { state: { kind: "closed", rx }, effects };
      return { state: rx === state.rx ? state : { ...state, rx }, effects };
    case "up": {
      if (context.idleMs > 0 && context.now - state.usedAt >= context.idleMs) {
        effects.unshift({ do: "remove_tx" });
        effects.push({ do: "tell_closed" }, { do: "count", counter: "tunnels-closed" });
        return { state: { kind: "closed", rx: retire(rx, context.now) }, effects };
      }
      const tx = expire(state.tx, { effects, now: context.now });
      const due = context.now >= tx.softAt || isSpent(tx);
      const unheard = tx.unconfirmed !== undefined && context.now >= tx.unconfirmed.askAt;
      if (!due && !unheard) return { state: aged(state, { tx, rx }), effects };
      if (unheard) effects.push({ do: "count", counter: "unconfirmed-asks" });
      return {
        state: { ...state, kind: "rekeying", tx, rx, offered: undefined },
        effects: [...effects, { do: "ask" }],
      };
    }
    case "rekeying": {
      const tx = expire(state.tx, { effects, now: context.now });
      return { state: aged(state, { tx, rx }), effects };
    }
    default:
      return state satisfies never;
  }
}

/** The same state when neither changed: whoever follows it has nothing to do then. */
function aged(state: Up | Rekeying, to: Pick<Up, "tx" | "rx">): State {
  return to.tx === state.tx && to.rx === state.rx ? state : { ...state, ...to };
}

function expire<K>(tx: Tx, to: { readonly effects: Effect<K>[]; readonly now: number }): Tx {
  if (tx.expired || to.now < tx.expiresAt) return tx;
  to.effects.push({ do: "expire_tx" }, { do: "count", counter: "tx-sas-expired" });
  return { ...tx, expired: true };
}

/** The peer sends with an SA of this host, whether a packet came or not. */
function confirmed<K>(state: State, spi: number): Step<K> {
  if (!state.rx.some((rx) => rx.sa.spi === spi)) return { state, effects: [] };
  const rx = state.rx.map((old) => hasIt(old, spi));
  if (!isLive(state)) {
    return { state: { ...state, rx }, effects: [] };
  }
  const tx = heard(state.tx, rx);
  return {
    state: { ...state, rx, tx },
    effects: tx === state.tx ? [] : [{ do: "count", counter: "confirmations-received" }],
  };
}

/** One SA that the peer may have is not kept any longer. */
function forgotten<K>(state: State, spi: number): Step<K> {
  const offer = offerOf(state);
  const old = state.rx.find((rx) => rx.sa.spi === spi);
  if (old?.maybeUntil === undefined || spi === offer) return { state, effects: [] };
  return {
    state: { ...state, rx: state.rx.filter((rx) => rx !== old) },
    effects: [{ do: "remove_rx", sa: old.sa }, { do: "count", counter: "rx-sas-retired" }],
  };
}

/** The peer does not know the SPI that this host sends with. */
function lost<K>(state: State, spi: number, context: Context): Step<K> {
  if (!isLive(state) || state.tx.sa.spi !== spi) {
    return { state, effects: [] };
  }
  // Without its entry the pair misses, and packets are held until the new SA is there.
  const next: Opening = {
    ...opening(state.rx, context, []),
    offered: state.kind === "rekeying" ? state.offered : undefined,
  };
  return { state: next, effects: [{ do: "remove_tx" }, { do: "ask" }] };
}

/** SPIs of two generations ago are dead. */
function rotated<K>(state: State, generation: bigint, context: Context): Step<K> {
  const offer = offerOf(state);
  const dead = state.rx.filter((rx) => rx.generation + 2n <= generation && rx.sa.spi !== offer);
  const effects: Effect<K>[] = dead.map((rx) => ({ do: "remove_rx", sa: rx.sa }));
  const rx = state.rx.filter((rx) => !dead.includes(rx));
  // One that the peer may not have heard of is none: the rotation after this would wait for it.
  const moved = movedTo(rx, generation);
  if (state.kind === "closed" || state.kind === "failed") {
    // The peer may send with one of the key before, and the next rotation would kill it under it.
    const old = rx.some((rx) => rx.maybeUntil !== undefined && rx.generation < generation);
    if (!old) return { state: { ...state, rx }, effects };
    return { state: opening(rx, context, []), effects: [...effects, { do: "ask" }] };
  }
  if (state.kind !== "up" || moved) return { state: { ...state, rx }, effects };
  return {
    state: { ...state, kind: "rekeying", rx, offered: undefined },
    effects: [...effects, { do: "ask" }],
  };
}

/**
 * All that was agreed with the peer is void. An offer under way stands, and so does what was offered without an
 * answer: nobody knows which of the peer's starts has it.
 */
function peerRestarted<K>(state: State, context: Context): Step<K> {
  const offer = offerOf(state);
  const stays = ({ sa, maybeUntil }: Rx) => sa.spi === offer || maybeUntil !== undefined;
  const gone = state.rx.filter((rx) => !stays(rx));
  const rx = state.rx.filter(stays);
  const effects: Effect<K>[] = gone.map((rx) => ({ do: "remove_rx", sa: rx.sa }));
  switch (state.kind) {
    case "closed":
    case "failed":
      return { state: { kind: "closed", rx }, effects };
    case "opening":
      return { state: { ...state, rx }, effects };
    case "up":
      return { state: { kind: "closed", rx }, effects: [{ do: "remove_tx" }, ...effects] };
    case "rekeying":
      return {
        state: { ...opening(rx, context, []), offered: offer },
        effects: [{ do: "remove_tx" }, ...effects],
      };
    default:
      return state satisfies never;
  }
}

/** What failed because the peer was unreachable may be tried at once. */
function peerBack<K>(state: State): Step<K> {
  if (state.kind !== "failed" || state.reason !== "peer_unreachable") return { state, effects: [] };
  return { state: { kind: "closed", rx: state.rx }, effects: [] };
}

/** The peer closed its side: hold from now on. */
function closedByPeer<K>(state: State, context: Context): Step<K> {
  switch (state.kind) {
    case "closed":
    case "failed":
    case "opening":
      return { state, effects: [] };
    case "up":
      return {
        state: { kind: "closed", rx: retire(state.rx, context.now) },
        effects: [{ do: "remove_tx" }, { do: "count", counter: "tunnels-closed" }],
      };
    case "rekeying":
      return {
        state: { ...opening(state.rx, context, []), offered: state.offered },
        effects: [{ do: "remove_tx" }],
      };
    default:
      return state satisfies never;
  }
}

/** Its place is wanted for another one: nothing stays, and the peer is told. */
function evicted<K>(state: State): Step<K> {
  if (state.kind === "closed") return { state, effects: [] };
  const { state: next, effects } = close<K>(state, "no_resource");
  const tell: Effect<K>[] = isLive(state) ? [{ do: "tell_closed" }] : [];
  return {
    state: next,
    effects: [...effects, ...tell, { do: "count", counter: "tunnels-evicted" }],
  };
}

/** This host ends it at once. */
function close<K>(state: State, reason: DropReason): Step<K> {
  const effects: Effect<K>[] = [];
  if (state.kind === "opening") {
    for (const flow of state.flows) effects.push({ do: "drop", flow, reason, holdOffMs: 0 });
  }
  if (isLive(state)) effects.push({ do: "remove_tx" });
  for (const rx of state.rx) effects.push({ do: "remove_rx", sa: rx.sa });
  if (isLive(state)) {
    effects.push({ do: "count", counter: "tunnels-closed" });
  }
  return { state: { kind: "closed", rx: [] }, effects };
}

/** Nothing of it stays. */
function moved<K>(state: State): Step<K> {
  const effects: Effect<K>[] = isLive(state) ? [{ do: "remove_tx" }] : [];
  for (const rx of state.rx) effects.push({ do: "remove_rx", sa: rx.sa });
  if (isLive(state)) {
    effects.push({ do: "tell_closed" }, { do: "count", counter: "tunnels-closed" });
  }
  return { state: { kind: "closed", rx: [] }, effects };
}

/** Packets go to the new address at once; what else the peer has to say comes with a rekey. */
function peerChanged<K>(state: State, pip: string | undefined): Step<K> {
  if (!isLive(state)) return { state, effects: [] };
  const effects: Effect<K>[] = [];
  let { tx } = state;
  if (pip !== undefined && pip !== tx.sa.pip) {
    tx = { ...tx, sa: { ...tx.sa, pip } };
    effects.push({ do: "readdress_tx", sa: tx.sa });
  }
  if (state.kind === "rekeying") return { state: { ...state, tx }, effects };
  return {
    state: { ...state, kind: "rekeying", tx, offered: undefined },
    effects: [...effects, { do: "ask" }],
  };
}

// ---- what becomes of SAs with time --------------------------------------------------------------

/** Whether `a` replaces `b`: the newest (epoch, serial) wins. */
function isNewer(
  a: Pick<TxSa, "epoch" | "serial">,
  b: Pick<TxSa, "epoch" | "serial">,
): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.serial > b.serial);
}

/**
 * Marks receive SAs as superseded once the peer has a newer one for sure, and removes those whose
 * grace time or life is over. The one in `keep` (on offer) is left alone.
 */
function settle<K>(
  all: readonly Rx[],
  context: Context & { readonly keep: number | undefined },
): { rx: readonly Rx[]; effects: Effect<K>[] } {
  const { now, graceMs, keep } = context;
  let known = -1n;
  let newest = -1n;
  for (const rx of all) {
    if (rx.confirmed && rx.sa.serial > known) known = rx.sa.serial;
    if (rx.sa.serial > newest) newest = rx.sa.serial;
  }
  const surplus = all.length > MAX_RX_SAS
    ? leastLikely(all.filter(({ sa }) => ![known, newest].includes(sa.serial) && sa.spi !== keep))
    : undefined;
  const effects: Effect<K>[] = [];
  const kept: Rx[] = [];
  for (const rx of all) {
    const superseded = rx.sa.serial < known && rx.sa.spi !== keep;
    const supersededAt = rx.supersededAt ?? (superseded ? now : undefined);
    const over = supersededAt !== undefined && now >= graceEnd({ ...rx, supersededAt }, graceMs);
    const crowded = rx === surplus;
    const stale = rx.maybeUntil !== undefined && now >= rx.maybeUntil && rx.sa.spi !== keep;
    if (over || crowded || stale || now >= rx.expiresAt) {
      effects.push({ do: "remove_rx", sa: rx.sa }, { do: "count", counter: "rx-sas-retired" });
    } else {
      kept.push(supersededAt === rx.supersededAt ? rx : { ...rx, supersededAt });
    }
  }
  // The same array when nothing happened: a tunnel at rest is looked at again and again, and stays as it is.
  const same = effects.length === 0 && kept.every((rx, i) => rx === all[i]);
  return { rx: same ? all : kept, effects };
}

/** The receive SA that the peer is to send with, if it has heard of it. */
export function newestRx(all: readonly Rx[]): Rx | undefined {
  return all.reduce<Rx | undefined>(
    (a, b) => a === undefined || b.sa.serial > a.sa.serial ? b : a,
    undefined,
  );
}

/** All of them begin their grace time. */
function retire(all: readonly Rx[], now: number): readonly Rx[] {
  return all.map((rx) => rx.supersededAt === undefined ? { ...rx, supersededAt: now } : rx);
}

/** The state with the packet counts brought up to date; the same state when no packet passed. */
function followed(state: State, seen: Seen, now: number): State {
  let used = false;
  const counted = state.rx.map((old) => {
    const total = seen.rx.get(old.sa.spi);
    if (total === undefined || total.packets <= old.packets) return old;
    used = true;
    const maybeUntil = old.maybeUntil === undefined ? undefined : now + MAYBE_MS;
    return { ...old, ...pick(total), seenAt: Math.floor(now), confirmed: true, maybeUntil };
  });
  const rx = used ? counted : state.rx;
  if (!isLive(state)) return used ? { ...state, rx } : state;
  const sent = seen.tx !== undefined && seen.tx.packets !== state.tx.packets;
  if (!used && !sent) return state;
  const tx: Tx = seen.tx === undefined ? state.tx : { ...state.tx, ...pick(seen.tx) };
  return { ...state, rx, tx: heard(tx, rx), usedAt: Math.floor(now) };
}

/** The transmit SA, confirmed when the peer has a receive SA that it got with it or later; else the same. */
function heard(tx: Tx, all: readonly Rx[]): Tx {
  const { unconfirmed } = tx;
  if (unconfirmed === undefined) return tx;
  const is = all.some((rx) => rx.confirmed && rx.sa.serial >= unconfirmed.serial);
  return is ? { ...tx, unconfirmed: undefined } : tx;
}

/** The receive SA as it is once the peer has said that it has it; another one as it was. */
function hasIt(rx: Rx, spi: number): Rx {
  return rx.sa.spi === spi ? { ...rx, confirmed: true, given: true, maybeUntil: undefined } : rx;
}

/** When the tunnel has to be looked at again; Infinity: when something happens. */
export function nextDue(state: State, context: Pick<Context, "graceMs" | "idleMs">): number {
  let due = Infinity;
  for (const rx of state.rx) {
    due = Math.min(due, rx.expiresAt, rx.maybeUntil ?? Infinity);
    if (rx.supersededAt !== undefined) {
      due = Math.min(due, graceEnd({ ...rx, supersededAt: rx.supersededAt }, context.graceMs));
    }
  }
  switch (state.kind) {
    case "closed":
    case "opening":
      return due;
    case "failed":
      return Math.min(due, state.until);
    case "up":
      // No packet may come any more that would have its counters looked at.
      if (isSpent(state.tx)) return 0;
      due = Math.min(due, state.tx.softAt, state.tx.unconfirmed?.askAt ?? Infinity);
      if (context.idleMs > 0) due = Math.min(due, state.usedAt + context.idleMs);
      return Math.min(due, state.tx.expired ? Infinity : state.tx.expiresAt);
    case "rekeying":
      return Math.min(due, state.tx.expired ? Infinity : state.tx.expiresAt);
    default:
      return state satisfies never;
  }
}

function graceEnd(rx: Rx & { readonly supersededAt: number }, graceMs: number): number {
  return Math.max(rx.supersededAt, rx.seenAt) + graceMs;
}

/** One that was never heard of again rather than one that carried packets; then the oldest. */
function leastLikely(all: readonly Rx[]): Rx | undefined {
  return all.reduce<Rx | undefined>((a, b) => {
    if (a === undefined) return b;
    if (a.confirmed !== b.confirmed) return a.confirmed ? b : a;
    return b.sa.serial < a.sa.serial ? b : a;
  }, undefined);
}

function pick(total: { readonly packets: bigint; readonly bytes: bigint }) {
  return { packets: total.packets, bytes: total.bytes };
}

// SPDX-License-Identifier: Apache-2.0

/** How a tunnel comes up: the part of the machine from the first miss to the switch of transmit. */
import type { DropReason } from "../../ffi/plane.ts";
import type { Context, Effect, Opening, Rekeying, Rx, State, Step, Tx, Up } from "./sa_state.ts";
import { hasIt, heard, isNewer, MAYBE_MS, settle } from "./sa_upkeep.ts";

/** A packet of the pair is held. */
export function miss<K>(state: State, flow: number, context: Context): Step<K> {
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
export function wanted<K>(state: State, context: Context): Step<K> {
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
export function offered<K>(state: State, rx: Rx): Step<K> {
  if ((state.kind !== "opening" && state.kind !== "rekeying") || state.offered !== undefined) {
    return { state, effects: [] };
  }
  return {
    state: { ...state, offered: rx.sa.spi, rx: [...state.rx, rx] },
    effects: [{ do: "add_rx", sa: rx.sa }],
  };
}

/** A request that was given up is sent again: its SA is received with already, whatever became of the wish. */
export function offeredAgain<K>(state: State, spi: number, context: Context): Step<K> {
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
export function answered<K>(
  state: State,
  event: { readonly spi: number; readonly tx: Tx; readonly key: K },
  context: Context,
): Step<K> {
  if ((state.kind !== "opening" && state.kind !== "rekeying") || state.offered !== event.spi) {
    // The attempt was given up and its offer is gone already: nothing of the answer is kept.
    return { state, effects: [{ do: "count", counter: "late-answers" }] };
  }
  const rx = state.rx.map((rx) => hasIt(rx, event.spi));
  const next = switched(state, { ...event, rx, offered: undefined }, context);
  const { spi } = event.tx.sa;
  if (next.state.tx.sa.spi !== spi) return next;
  return { ...next, effects: [...next.effects, { do: "tell_confirmed", spi }] };
}

/** The peer asks. */
export function asked<K>(
  state: State,
  event: { readonly tx: Tx; readonly key: K; readonly rx: Rx | undefined },
  context: Context,
): Step<K> {
  const inFlight = state.kind === "opening" || state.kind === "rekeying"
    ? state.offered
    : undefined;
  const rx = event.rx === undefined
    ? state.rx.map((old) =>
      old.sa.spi === inFlight ? { ...old, given: true, maybeUntil: undefined } : old
    )
    : [...state.rx, { ...event.rx, given: true }];
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
  const live = state.kind === "up" || state.kind === "rekeying";
  const newer = !live || isNewer(to.tx.sa, state.tx.sa);
  const effects: Effect<K>[] = [];
  if (newer) effects.push({ do: "set_tx", sa: to.tx.sa, key: to.key });
  if (state.kind === "opening") {
    for (const flow of state.flows) effects.push({ do: "release", flow });
  }
  effects.push(...settled.effects);
  if (newer) effects.push({ do: "count", counter: live ? "rekeys" : "tunnels-opened" });
  const common = {
    tx: heard(newer ? to.tx : state.tx, settled.rx),
    rx: settled.rx,
    openedAt: live ? state.openedAt : now,
    usedAt: live ? state.usedAt : now,
  };
  return {
    state: to.offered === undefined
      ? { kind: "up", ...common }
      : { kind: "rekeying", ...common, offered: to.offered },
    effects,
  };
}

/** The offer is taken back, the wish stays. */
export function withdrawn<K>(
  state: State,
  { spi, maybe }: { readonly spi: number; readonly maybe: boolean },
  context: Context,
): Step<K> {
  if ((state.kind !== "opening" && state.kind !== "rekeying") || state.offered !== spi) {
    return { state, effects: [] };
  }
  const { rx, effects } = takeBack<K>(state, { maybe, now: context.now });
  return { state: { ...state, offered: undefined, rx }, effects };
}

/** The attempt failed. */
export function gaveUp<K>(
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

/** The next exchange begins at `at`: for a tunnel that was not heard because of that, else as a rekey. */
function askedLater(tx: Tx, at: number): Tx {
  const { unconfirmed } = tx;
  if (unconfirmed === undefined) return { ...tx, softAt: at };
  return { ...tx, softAt: Math.max(tx.softAt, at), unconfirmed: { ...unconfirmed, askAt: at } };
}

/** An attempt that begins now. */
export function opening(rx: readonly Rx[], context: Context, flows: readonly number[]): Opening {
  return { kind: "opening", since: context.now, flows, offered: undefined, rx };
}

function up(state: Rekeying, change: { readonly tx: Tx; readonly rx: readonly Rx[] }): Up {
  const { openedAt, usedAt } = state;
  return { kind: "up", openedAt, usedAt, ...change };
}

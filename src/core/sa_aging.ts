// SPDX-License-Identifier: Apache-2.0

/** How a tunnel ages and ends: the part of the machine after it came up. */
import type { DropReason } from "../../ffi/plane.ts";
import { opening } from "./sa_opening.ts";
import type {
  Context,
  Effect,
  Opening,
  Rekeying,
  Rx,
  Seen,
  State,
  Step,
  Tx,
  Up,
} from "./sa_state.ts";
import { followed, hasIt, heard, retire, settle } from "./sa_upkeep.ts";

/** Time passed. */
export function tick<K>(
  before: State,
  event: { readonly seen: Seen },
  context: Context,
): Step<K> {
  const keep = before.kind === "opening" || before.kind === "rekeying" ? before.offered : undefined;
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
      const due = context.now >= tx.softAt || tx.packets >= tx.softPackets;
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
export function confirmed<K>(state: State, spi: number): Step<K> {
  if (!state.rx.some((rx) => rx.sa.spi === spi)) return { state, effects: [] };
  const rx = state.rx.map((old) => hasIt(old, spi));
  if (state.kind !== "up" && state.kind !== "rekeying") {
    return { state: { ...state, rx }, effects: [] };
  }
  const tx = heard(state.tx, rx);
  return {
    state: { ...state, rx, tx },
    effects: tx === state.tx ? [] : [{ do: "count", counter: "confirmations-received" }],
  };
}

/** One SA that the peer may have is not kept any longer. */
export function forgotten<K>(state: State, spi: number): Step<K> {
  const offer = state.kind === "opening" || state.kind === "rekeying" ? state.offered : undefined;
  const old = state.rx.find((rx) => rx.sa.spi === spi);
  if (old?.maybeUntil === undefined || spi === offer) return { state, effects: [] };
  return {
    state: { ...state, rx: state.rx.filter((rx) => rx !== old) },
    effects: [{ do: "remove_rx", sa: old.sa }, { do: "count", counter: "rx-sas-retired" }],
  };
}

/** The peer does not know the SPI that this host sends with. */
export function lost<K>(state: State, spi: number, context: Context): Step<K> {
  if ((state.kind !== "up" && state.kind !== "rekeying") || state.tx.sa.spi !== spi) {
    return { state, effects: [] };
  }
  // Without its entry the pair misses, and packets are held until the new SA is there.
  const next: Opening = {
    ...opening(state.rx, context, []),
    offered: state.kind === "rekeying" ? state.offered : undefined,
  };
  return { state: next, effects: [{ do: "remove_tx" }, { do: "ask" }] };
}

/** Replace the SAs while they work. */
export function rekey<K>(state: State): Step<K> {
  if (state.kind !== "up") return { state, effects: [] };
  return { state: { ...state, kind: "rekeying", offered: undefined }, effects: [{ do: "ask" }] };
}

/** SPIs of two generations ago are dead. */
export function rotated<K>(state: State, generation: bigint, context: Context): Step<K> {
  const offer = state.kind === "opening" || state.kind === "rekeying" ? state.offered : undefined;
  const dead = state.rx.filter((rx) => rx.generation + 2n <= generation && rx.sa.spi !== offer);
  const effects: Effect<K>[] = dead.map((rx) => ({ do: "remove_rx", sa: rx.sa }));
  const rx = state.rx.filter((rx) => !dead.includes(rx));
  // One that the peer may not have heard of is none: the rotation after this would wait for it.
  const moved = rx.some((rx) => rx.confirmed && rx.generation >= generation);
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
export function peerRestarted<K>(state: State, context: Context): Step<K> {
  const offer = state.kind === "opening" || state.kind === "rekeying" ? state.offered : undefined;
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
export function peerBack<K>(state: State): Step<K> {
  if (state.kind !== "failed" || state.reason !== "peer_unreachable") return { state, effects: [] };
  return { state: { kind: "closed", rx: state.rx }, effects: [] };
}

/** The peer closed its side: hold from now on. */
export function closedByPeer<K>(state: State, context: Context): Step<K> {
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

/** This host ends it at once. */
export function close<K>(state: State, reason: DropReason): Step<K> {
  const effects: Effect<K>[] = [];
  if (state.kind === "opening") {
    for (const flow of state.flows) effects.push({ do: "drop", flow, reason, holdOffMs: 0 });
  }
  if (state.kind === "up" || state.kind === "rekeying") effects.push({ do: "remove_tx" });
  for (const rx of state.rx) effects.push({ do: "remove_rx", sa: rx.sa });
  if (state.kind === "up" || state.kind === "rekeying") {
    effects.push({ do: "count", counter: "tunnels-closed" });
  }
  return { state: { kind: "closed", rx: [] }, effects };
}

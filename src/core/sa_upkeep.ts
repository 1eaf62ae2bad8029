// SPDX-License-Identifier: Apache-2.0

/** What becomes of SAs with time: which receive SAs have had their day, what the packets say, what is due. */
import type { TxSa } from "../model/sa.ts";
import type { Context, Effect, Rx, Seen, State, Tx } from "./sa_state.ts";

/** Receive SAs of one tunnel at most: beyond it the one goes that the peer least likely sends with. */
const MAX_RX_SAS = 6;
/**
 * How long a receive SA is kept that the peer may have got with a request that nobody answered; its own life may
 * end it before. An SA of the default life is over by then. Beyond it, packets with its SPI are unknown, and their
 * sender is told.
 */
export const MAYBE_MS = 3_600_000;

/** Whether `a` replaces `b`: the newest (epoch, serial) wins. */
export function isNewer(
  a: Pick<TxSa, "epoch" | "serial">,
  b: Pick<TxSa, "epoch" | "serial">,
): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.serial > b.serial);
}

/**
 * Marks receive SAs as superseded once the peer has a newer one for sure, and removes those whose
 * grace time or life is over. The one in `keep` (on offer) is left alone.
 */
export function settle<K>(
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
export function retire(all: readonly Rx[], now: number): readonly Rx[] {
  return all.map((rx) => rx.supersededAt === undefined ? { ...rx, supersededAt: now } : rx);
}

/** The state with the packet counts brought up to date; the same state when no packet passed. */
export function followed(state: State, seen: Seen, now: number): State {
  let used = false;
  const counted = state.rx.map((old) => {
    const total = seen.rx.get(old.sa.spi);
    if (total === undefined || total.packets <= old.packets) return old;
    used = true;
    const maybeUntil = old.maybeUntil === undefined ? undefined : now + MAYBE_MS;
    return { ...old, ...pick(total), seenAt: now, confirmed: true, maybeUntil };
  });
  const rx = used ? counted : state.rx;
  if (state.kind !== "up" && state.kind !== "rekeying") return used ? { ...state, rx } : state;
  const sent = seen.tx !== undefined && seen.tx.packets !== state.tx.packets;
  if (!used && !sent) return state;
  const tx: Tx = seen.tx === undefined ? state.tx : { ...state.tx, ...pick(seen.tx) };
  return { ...state, rx, tx: heard(tx, rx), usedAt: now };
}

/** The transmit SA, confirmed when the peer has a receive SA that it got with it or later; else the same. */
export function heard(tx: Tx, all: readonly Rx[]): Tx {
  const { unconfirmed } = tx;
  if (unconfirmed === undefined) return tx;
  const is = all.some((rx) => rx.confirmed && rx.sa.serial >= unconfirmed.serial);
  return is ? { ...tx, unconfirmed: undefined } : tx;
}

/** The receive SA as it is once the peer has said that it has it; another one as it was. */
export function hasIt(rx: Rx, spi: number): Rx {
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

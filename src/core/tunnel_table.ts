// SPDX-License-Identifier: Apache-2.0

/** The live tunnels: every step of the machine is taken, performed and indexed here. */
import type { Plane, Stats, TxKey } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import { type Counters, spelled } from "../model/counters.ts";
import type { EventFacts, EventKind, EventSink } from "../model/events.ts";
import type { Ahead, Flows } from "../model/flows.ts";
import type { Log } from "../model/log.ts";
import { networkOf } from "../model/network.ts";
import { pairKey, type RxSa, type TxSa, type VipPair } from "../model/sa.ts";
import { Census } from "./census.ts";
import { BARREN_MS, DUE_AT_ONCE, EVICT_LOOKS, EVICT_PASSED, MANY_TUNNELS } from "./limits.ts";
import { DueRows, Rows, SpiRows } from "./rows.ts";
import {
  isSpare,
  type Party,
  patienceMs,
  type Promised,
  type Shares,
  type Shortage,
  type Side,
} from "./shares.ts";
import { SortedLate, SortedNames } from "./sorted.ts";
import {
  CLOSED,
  type Effect,
  type Event,
  isLive,
  newestRx,
  nextDue,
  type Seen,
  type State,
  step,
} from "./tunnel.ts";

/** What a step of a tunnel looks like in the log. */
const SAID: { readonly [K in Effect<TxKey>["do"]]?: string } = {
  ask: "A tunnel is asked for",
  add_rx: "Receiving: the SA is in INGR_ACL",
  set_tx: "Sending: the SA is in EGR_ACL",
  release: "Held packets are resubmitted",
  remove_rx: "The receive SA is retired",
  readdress_tx: "Sending to the peer's new outer address",
  remove_tx: "The transmit SA is removed",
  expire_tx: "The transmit SA has expired",
};

/** A tunnel and where it stands. Only the table writes it. */
export interface Tunnel {
  readonly key: string;
  /** A small number that no other has as long as it is there: its row in arrays. */
  readonly row: number;
  readonly pair: VipPair;
  readonly peer: string;
  readonly state: State;
  readonly lastError: string;
}

/** What the table acts upon, and whom it tells. */
export interface TunnelTableOptions {
  readonly flows: Flows;
  readonly plane: Pick<Plane, "releaseHeld" | "dropHeld">;
  readonly counters: Counters;
  readonly events: EventSink;
  readonly log: Log;
  readonly clock: Clock;
  readonly config: Pick<Config, "tunnel">;
  readonly shares: Shares;
  /** A flow that was held for so many seconds is resubmitted. */
  readonly onReleased: (seconds: number) => void;
  /** The pair wants to be in the next request to its peer. */
  readonly onAsk: (tunnel: Tunnel) => void;
  /** This side closed the tunnel for want of traffic. */
  readonly onClosed: (tunnel: Tunnel) => void;
  /** This side sends with an SPI that the peer gave in its answer. */
  readonly onConfirmed: (tunnel: Tunnel, spi: number) => void;
  /** A step was taken: the record of the tunnel may be out of date. */
  readonly onChange: (tunnel: Tunnel) => void;
}

/** Tells somebody of a step that was taken. */
type Tell = () => void;

/** A tunnel that is not there yet. */
export interface Wish {
  readonly pair: VipPair;
  readonly peer: string;
  readonly side: Side;
}

/** A step that a tunnel is about to take. */
export interface Expected extends Pick<Tunnel, "key" | "peer"> {
  readonly event: Event<TxKey>;
}

/** A tunnel, and the address to whose share it counts. */
type Entry = { -readonly [K in keyof Tunnel]: Tunnel[K] } & Pick<Party, "source">;

/** Among whose tunnels one is looked for that may go. */
const ONLY: Readonly<Partial<Record<Shortage, "network" | "source">>> = {
  "network-share": "network",
  "source-share": "source",
};

function txSpi(state: State): number | undefined {
  return isLive(state) ? state.tx.sa.spi : undefined;
}

const NONE_KEPT: ReadonlySet<string> = new Set();

/** Tunnels gone that the hand of a peer may hold on to: as many as are there, and never fewer than this. */
const HAND_GONE = 64;

function sourceOf({ localVip, remoteVip }: VipPair, side: Side): string {
  return side === "local" ? localVip : remoteVip;
}

/** Tunnels of one peer, and where the last search for a spare one among them ended. */
interface OfPeer {
  readonly entries: Set<Entry>;
  /** Those that are not closed. */
  open: number;
  /** By key, for pages. */
  readonly sorted: SortedLate<Entry>;
  /** When packets passed last, as far as was looked; of `Clock.now`. */
  usedAt: number;
  hand: Iterator<Entry> | undefined;
  /** Tunnels that have gone since the last search: where `hand` stands still it holds on to them. */
  gone: number;
  /** When none was found that is worth less than one more of somebody with few tunnels, and with many. */
  readonly barrenAt: { few: number; many: number };
}

/** All tunnels by pair, by peer and by SPI. */
export class TunnelTable {
  readonly #byKey = new Map<string, Entry>();
  readonly #byPeer = new Map<string, OfPeer>();
  readonly #names = new SortedNames();
  readonly #byRxSpi = new Map<number, Entry>();
  readonly #byTxSpi = new SpiRows();
  readonly #openByNetwork = new Map<string, number>();
  readonly #rows = new Rows();
  readonly #byRow: (Entry | undefined)[] = [];
  readonly #due = new DueRows();
  /** What is asked of all tunnels together. */
  readonly census: Census<Tunnel> = new Census();
  /** Held flows, and since when this table knows of them. */
  readonly #heldSince = new Map<number, number>();
  readonly #options: TunnelTableOptions;

  constructor(options: TunnelTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** What keeps one more tunnel from a place here; undefined: nothing. */
  lacks({ pair, peer, side }: Wish, promised?: Promised): Shortage | undefined {
    return this.#options.shares.lacks({ peer, source: sourceOf(pair, side) }, promised);
  }

  /** The same for one that something waits for: another one may go for it that is worth less, and not among the `kept`. */
  makeRoom(
    wish: Wish,
    { promised, kept = NONE_KEPT }: {
      readonly promised?: Promised;
      readonly kept?: ReadonlySet<string>;
    } = {},
  ): Shortage | undefined {
    const lack = this.lacks(wish, promised);
    if (lack === undefined) return undefined;
    const { peer, pair, side } = wish;
    const among = lack === "tunnels-full" ? this.#options.shares.heaviest() ?? peer : peer;
    const found = this.#evictOne(among, { for: sourceOf(pair, side), only: ONLY[lack], kept });
    return found ? this.lacks(wish, promised) : lack;
  }

  get(key: string): Tunnel | undefined {
    return this.#byKey.get(key);
  }

  /** Every one of them: for what must end all, and for nothing that happens again. */
  all(): Iterable<Tunnel> {
    return this.#byKey.values();
  }

  /** Peers that have tunnels. */
  get peers(): number {
    return this.#byPeer.size;
  }

  /** Peers that have tunnels, in the order in which they came. */
  peerNames(): Iterable<string> {
    return this.#byPeer.keys();
  }

  /** The tunnels in some order. It may be gone on with after changes, and then has what came meanwhile as well. */
  round(): Iterator<Tunnel> {
    return this.#byKey.values();
  }

  /** Peers that have tunnels and are not before `peer`, in the order of their names. */
  peersFrom(peer: string): Iterable<string> {
    return this.#names.from(peer);
  }

  /** The tunnels of a peer in the order of their keys. */
  sortedOfPeer(peer: string): readonly Tunnel[] {
    return this.#byPeer.get(peer)?.sorted.get() ?? [];
  }

  /** How many tunnels a peer has that are not closed. */
  countOfPeer(peer: string): number {
    return this.#byPeer.get(peer)?.open ?? 0;
  }

  /** Keys of a peer's tunnels, for whoever comes to them bit by bit. */
  keysOfPeer(peer: string): readonly string[] {
    return Array.from(this.#byPeer.get(peer)?.entries ?? [], ({ key }) => key);
  }

  ofPeer(peer: string): readonly Tunnel[] {
    return [...this.#byPeer.get(peer)?.entries ?? []];
  }

  /** How many tunnels of a network are not closed. */
  countOfNetwork(network: string): number {
    return this.#openByNetwork.get(network) ?? 0;
  }

  /** When packets passed last between this host and a peer, or a tunnel with it came up; -Infinity: never. */
  usedAt(peer: string): number {
    return this.#byPeer.get(peer)?.usedAt ?? -Infinity;
  }

  /** The tunnel that receives with an SPI. */
  byRxSpi(spi: number): Tunnel | undefined {
    return this.#byRxSpi.get(spi);
  }

  /** Those that send or receive with an SPI, in no order. */
  bySpi(spi: number): readonly Tunnel[] {
    const sending = this.#byTxSpi.of(spi).flatMap((row) => this.#byRow[row] ?? []);
    const receiving = this.#byRxSpi.get(spi);
    return receiving === undefined || sending.includes(receiving)
      ? sending
      : [...sending, receiving];
  }

  /** The tunnel of a pair; a closed one when there was none, which counts to whoever wished for it. */
  ensure(pair: VipPair, peer: string, side: Side = "local"): Tunnel {
    const key = pairKey(pair);
    const there = this.#byKey.get(key);
    if (there !== undefined) return there;
    const { localVip, remoteVip } = pair;
    const row = this.#rows.take();
    const entry: Entry = {
      key,
      row,
      pair: { localVip, remoteVip },
      peer,
      state: CLOSED,
      lastError: "",
      source: sourceOf(pair, side),
    };
    this.#byKey.set(key, entry);
    this.#byRow[row] = entry;
    const ofPeer = this.#byPeer.get(peer);
    if (ofPeer === undefined) {
      const entries = new Set([entry]);
      this.#byPeer.set(peer, {
        entries,
        open: 0,
        sorted: new SortedLate(entries),
        usedAt: -Infinity,
        hand: undefined,
        gone: 0,
        barrenAt: { few: -Infinity, many: -Infinity },
      });
      this.#names.add(peer);
    } else {
      ofPeer.entries.add(entry);
      ofPeer.sorted.came(entry);
    }
    this.#options.shares.enter(entry);
    return entry;
  }

  /**
   * Takes a step and performs its effects. When the plane refuses one, those before it are undone in
   * reverse, the state stays as it was, and the refusal is thrown. What was begun with another peer, before the
   * addresses were moved to this one, concerns nobody any more.
   */
  apply(tunnel: Tunnel, event: Event<TxKey>): void {
    const known = this.#byKey.get(tunnel.key);
    if (known !== undefined && known.peer !== tunnel.peer) return;
    const entry = known ?? this.ensure(tunnel.pair, tunnel.peer) as Entry;
    const now = this.#options.clock.now();
    const { graceMs, idleMs } = this.#options.config.tunnel;
    const before = entry.state;
    if (event.type === "miss" && !this.#heldSince.has(event.flow)) {
      this.#heldSince.set(event.flow, now);
    }
    const { state, effects } = step(before, event, { now, graceMs, idleMs });
    const tell: (Tell | undefined)[] = [];
    try {
      for (const effect of effects) tell.push(this.#perform(entry, effect));
    } catch (error) {
      for (const effect of effects.slice(0, tell.length).reverse()) {
        if (effect.do === "add_rx") {
          this.#attempt(() => this.#options.flows.removeRx(effect.sa.spi));
        }
      }
      this.#forgetEmpty(entry);
      throw error;
    }
    entry.state = state;
    this.#index(entry, before);
    if (event.type !== "tick" || state.kind !== before.kind) {
      const { peer, pair: { localVip, remoteVip } } = entry;
      const facts = { peer, localVip, remoteVip, kind: event.type, state: state.kind };
      this.#options.log.debug("A tunnel takes a step", facts);
    }
    for (const [i, effect] of effects.entries()) {
      tell[i]?.();
      this.#say(entry, effect);
    }
    const { lastError, pair, peer } = entry;
    const news = happened({ before, after: state, event, lastError, now });
    if (news !== undefined) {
      this.#options.events.add(news.kind, { peer, ...pair, ...news.facts });
    }
    this.#forgetEmpty(entry);
  }

  /** Why the last attempt failed, for status; "" when it did not. */
  note(tunnel: Tunnel, lastError: string): void {
    const entry = this.#byKey.get(tunnel.key);
    if (entry?.peer === tunnel.peer) entry.lastError = lastError;
  }

  /** The limits of age, idleness and grace are others now: every tunnel is looked at when these say so. */
  limitsChanged(): void {
    for (const { row, state } of this.#byKey.values()) {
      this.#due.set(row, nextDue(state, this.#options.config.tunnel));
    }
  }

  /** Looks at some of the tunnels whose time has come, the earliest first. True: there may be more. */
  tickDue(): boolean {
    const due = this.#due.take(this.#options.clock.now(), DUE_AT_ONCE)
      .flatMap((row) => this.#byRow[row] ?? []);
    this.together(() => {
      for (const entry of due) this.look(entry);
    });
    return due.length === DUE_AT_ONCE;
  }

  /** One event for many tunnels. */
  applyAll(tunnels: readonly Tunnel[], event: Event<TxKey>): void {
    this.together(() => {
      for (const tunnel of tunnels) this.apply(tunnel, event);
    });
  }

  /**
   * What steps within take out of the plane goes in few calls, and so does what the `expected` ones among them add.
   * Throws what `work` throws.
   */
  together(work: () => void, expected: readonly Expected[] = []): void {
    let failed: { readonly error: unknown } | undefined;
    this.#attempt(() =>
      this.#options.flows.together(() => {
        try {
          work();
        } catch (error) {
          failed = { error };
        }
      }, expected.length > 1 ? this.#ahead(expected) : undefined)
    );
    if (failed !== undefined) throw failed.error;
  }

  /** What steps will add. */
  #ahead(expected: readonly Expected[]): Ahead {
    const { clock, config: { tunnel: { graceMs, idleMs } } } = this.#options;
    const context = { now: clock.now(), graceMs, idleMs };
    const [rx, tx]: [RxSa[], { sa: TxSa; key: TxKey }[]] = [[], []];
    const seen = new Set<string>();
    for (const { key, peer, event } of expected) {
      const known = this.#byKey.get(key);
      if (seen.has(key) || known !== undefined && known.peer !== peer) continue;
      seen.add(key);
      for (const effect of step(known?.state ?? CLOSED, event, context).effects) {
        if (effect.do === "add_rx") rx.push(effect.sa);
        if (effect.do === "set_tx") tx.push(effect);
      }
    }
    return { rx, tx };
  }

  /** Looks at a tunnel: asks the plane what passed, and takes a step. */
  look(tunnel: Tunnel): void {
    const entry = this.#byKey.get(tunnel.key);
    if (entry !== undefined) this.apply(entry, { type: "tick", seen: this.#seen(entry) });
  }

  /**
   * Closes one tunnel of a peer that is worth less than a new one of the source `for`; `only`: one of the same network or
   * source. Each search goes on where the last one ended, so that none is asked about again and again.
   */
  #evictOne(
    peer: string,
    wanted: {
      readonly for: string;
      readonly only: "network" | "source" | undefined;
      readonly kept: ReadonlySet<string>;
    },
  ): boolean {
    const ofPeer = this.#byPeer.get(peer);
    if (ofPeer === undefined) return false;
    const { clock, shares } = this.#options;
    const wants = shares.tunnelsFrom(wanted.for);
    const network = networkOf(wanted.for);
    const who = wants < MANY_TUNNELS ? "few" : "many";
    // Who asks for hundreds at a time does not have hundreds of searches made.
    if (clock.now() - ofPeer.barrenAt[who] < BARREN_MS) return false;
    const isWorthLess = ({ state, source }: Entry) =>
      isSpare(state, {
        now: clock.now(),
        patienceMs: patienceMs(wants, shares.tunnelsFrom(source)),
      });
    let looks = EVICT_LOOKS;
    let restarts = 2;
    ofPeer.gone = 0;
    for (let passed = 0; passed < EVICT_PASSED && looks > 0; passed++) {
      const next = (ofPeer.hand ??= ofPeer.entries.values()).next();
      if (next.done) {
        ofPeer.hand = undefined;
        if (--restarts === 0) break;
        continue;
      }
      const entry = next.value;
      if (wanted.only === "source" && entry.source !== wanted.for) continue;
      if (wanted.only === "network" && networkOf(entry.source) !== network) continue;
      if (wanted.kept.has(entry.key) || !isWorthLess(entry)) continue;
      looks--;
      // By what has passed meanwhile it may be in use.
      this.look(entry);
      if (this.#byKey.get(entry.key) !== entry) return true;
      if (!isWorthLess(entry)) continue;
      this.apply(entry, { type: "evicted" });
      return true;
    }
    if (wanted.only === undefined) ofPeer.barrenAt[who] = clock.now();
    return false;
  }

  /** Looks at a tunnel where packets passed since the last look: without them only time has something to do with it. */
  glance({ key }: Tunnel): void {
    const entry = this.#byKey.get(key);
    if (entry !== undefined && this.#hasMoved(entry)) this.look(entry);
  }

  #hasMoved({ pair, state }: Entry): boolean {
    const { flows } = this.#options;
    for (const { sa: { spi }, packets } of state.rx) {
      const stats = flows.rxStats(spi);
      if (stats !== undefined && stats.packets !== packets) return true;
    }
    if (!isLive(state)) return false;
    const stats = flows.txStats(pair);
    return stats !== undefined && stats.packets !== state.tx.packets;
  }

  #seen({ pair, state }: Entry): Seen {
    const { flows } = this.#options;
    const rx = new Map<number, Stats>();
    for (const { sa: { spi } } of state.rx) {
      const stats = flows.rxStats(spi);
      if (stats !== undefined) rx.set(spi, stats);
    }
    return { tx: isLive(state) ? flows.txStats(pair) : undefined, rx };
  }

  /**
   * Performs an effect on the plane, in its turn among the others; `add_rx` and `set_tx` may throw. What only tells
   * somebody comes back, to be called once all were performed and the state stands.
   */
  #perform(entry: Entry, effect: Effect<TxKey>): Tell | undefined {
    const { flows, plane, counters, clock, onAsk, onConfirmed, onClosed, onReleased } =
      this.#options;
    switch (effect.do) {
      case "add_rx":
        flows.addRx(effect.sa);
        return undefined;
      case "set_tx":
        flows.setTx(effect.sa, effect.key);
        return undefined;
      case "remove_rx":
        return this.#attempt(() => flows.removeRx(effect.sa.spi));
      case "readdress_tx":
        return this.#attempt(() => flows.readdressTx(effect.sa));
      case "remove_tx":
        return this.#attempt(() => flows.removeTx(entry.pair));
      case "expire_tx":
        return this.#attempt(() => flows.expireTx(entry.pair));
      case "release": {
        const since = this.#heldSince.get(effect.flow);
        this.#heldSince.delete(effect.flow);
        this.#attempt(() => plane.releaseHeld(effect.flow));
        if (since === undefined) return undefined;
        return () => onReleased((clock.now() - since) / 1000);
      }
      case "drop": {
        const { flow, reason, holdOffMs } = effect;
        this.#heldSince.delete(flow);
        return this.#attempt(() => plane.dropHeld(flow, reason, Math.ceil(holdOffMs)));
      }
      case "ask":
        return () => onAsk(entry);
      case "tell_confirmed":
        return () => onConfirmed(entry, effect.spi);
      case "tell_closed":
        return () => onClosed(entry);
      case "count":
        return () => counters.add(effect.counter);
      default:
        return effect satisfies never;
    }
  }

  /** For whoever follows one tunnel. */
  #say({ pair: { localVip, remoteVip }, peer }: Entry, effect: Effect<TxKey>): void {
    const message = SAID[effect.do];
    if (message === undefined) return;
    const spi = "sa" in effect ? effect.sa.spi : undefined;
    this.#options.log.debug(message, { peer, localVip, remoteVip, spi });
  }

  /** A removal or release that the plane refuses is counted; what was wanted is not there any more. */
  #attempt(act: () => unknown): undefined {
    try {
      act();
    } catch (cause) {
      this.#options.counters.add("plane-errors");
      this.#options.log.debug("The plane refused a removal", { cause: String(cause) });
    }
  }

  #index(entry: Entry, before: State): void {
    const after = entry.state;
    if (before.rx !== after.rx) {
      for (const { sa: { spi } } of before.rx) this.#byRxSpi.delete(spi);
      for (const { sa: { spi } } of after.rx) this.#byRxSpi.set(spi, entry);
      this.#options.shares.sas(entry.peer, after.rx.length - before.rx.length);
    }
    const [was, is] = [txSpi(before), txSpi(after)];
    if (was !== is) {
      if (was !== undefined) this.#byTxSpi.delete(was, entry.row);
      if (is !== undefined) this.#byTxSpi.add(is, entry.row);
    }
    this.census.change(entry, before, after);
    const ofPeer = this.#byPeer.get(entry.peer);
    if (ofPeer !== undefined) {
      const more = Number(after.kind !== "closed") - Number(before.kind !== "closed");
      ofPeer.open += more;
      if (more !== 0) this.#countNetwork(networkOf(entry.pair.localVip), more);
      if (isLive(after) && after.usedAt > ofPeer.usedAt) ofPeer.usedAt = after.usedAt;
    }
    this.#due.set(entry.row, nextDue(after, this.#options.config.tunnel));
    this.#options.onChange(entry);
  }

  #countNetwork(network: string, more: number): void {
    const open = this.countOfNetwork(network) + more;
    if (open === 0) this.#openByNetwork.delete(network);
    else this.#openByNetwork.set(network, open);
  }

  #forgetEmpty(entry: Entry): void {
    if (entry.state.kind !== "closed" || entry.state.rx.length > 0) return;
    if (this.#byKey.get(entry.key) !== entry) return;
    this.#byKey.delete(entry.key);
    this.#due.delete(entry.row);
    this.#byRow[entry.row] = undefined;
    this.#rows.free(entry.row);
    const ofPeer = this.#byPeer.get(entry.peer);
    if (ofPeer !== undefined) {
      ofPeer.entries.delete(entry);
      ofPeer.sorted.went(entry);
      if (++ofPeer.gone > HAND_GONE + ofPeer.entries.size) ofPeer.hand = undefined;
      if (ofPeer.entries.size === 0) {
        this.#byPeer.delete(entry.peer);
        this.#names.delete(entry.peer);
      }
    }
    this.#options.shares.leave(entry);
  }
}

// ---- what is told of a step ---------------------------------------------------------------------

/** What happened, and what is to be told with it besides pair and peer. */
interface Happened {
  readonly kind: EventKind;
  readonly facts: EventFacts;
}

/** A step that was taken. `lastError` is why the last attempt failed. */
interface Taken {
  readonly before: State;
  readonly after: State;
  readonly event: Pick<Event<unknown>, "type"> & {
    readonly reason?: string;
    readonly by?: string;
  };
  readonly lastError: string;
  readonly now: number;
}

/** What a step means to whoever looks on: at most one event; undefined: nothing that anybody wants to know. */
export function happened({ before, after, event, lastError, now }: Taken): Happened | undefined {
  if (before === after) return undefined;
  if (isLive(after)) {
    const facts = { ...spis(after), ...role(event.type) };
    if (!isLive(before)) {
      const held = before.kind === "opening" ? { durationMs: now - before.since } : {};
      return { kind: "tunnel-opened", facts: { ...facts, ...held } };
    }
    if (after.tx.sa !== before.tx.sa) return { kind: "tunnel-rekeyed", facts };
    if (after.tx.expired && !before.tx.expired) return { kind: "tunnel-expired", facts };
    return undefined;
  }
  if (isLive(before)) {
    const kind = after.kind === "opening" ? "tunnel-lost" : "tunnel-closed";
    return { kind, facts: { ...spis(before), reason: cause(event) } };
  }
  if (after.kind === "failed" && before.kind !== "failed") {
    const message = lastError === "" ? {} : { message: lastError };
    return {
      kind: "tunnel-failed",
      facts: { reason: spelled(after.reason), ...message },
    };
  }
  return undefined;
}

function spis(state: Extract<State, { readonly tx: unknown }>): EventFacts {
  const rx = newestRx(state.rx);
  return { txSpi: state.tx.sa.spi, ...rx === undefined ? {} : { rxSpi: rx.sa.spi } };
}

function role(type: Event<unknown>["type"]): EventFacts {
  if (type === "answered") return { role: "initiator" };
  return type === "asked" ? { role: "responder" } : {};
}

/** Why a tunnel ended, in a word. */
function cause({ type, reason, by }: Taken["event"]): string {
  switch (type) {
    case "tick":
      return "idle";
    case "close":
      return spelled(by ?? reason ?? "");
    case "lost":
      return "unknown-to-peer";
    case "peer_restarted":
      return "peer-restarted";
    case "closed_by_peer":
      return "closed-by-peer";
    default:
      return spelled(type);
  }
}

// SPDX-License-Identifier: Apache-2.0

/** The live tunnels: every step of the machine is taken, performed and indexed here. */
import type { DropReason, Plane, Stats, TxKey } from "../../ffi/plane.ts";
import type { Counters } from "../model/counters.ts";
import { DueHeap } from "./due_heap.ts";
import type { Flows } from "../model/flows.ts";
import type { Log } from "../model/log.ts";
import type { VipPair } from "../model/sa.ts";
import type { Clock } from "../model/clock.ts";
import { CLOSED, step } from "./sa_machine.ts";
import type { Context, Effect, Event, Seen, State } from "./sa_state.ts";
import { nextDue } from "./sa_upkeep.ts";

/** What a step of a tunnel looks like in the log. */
const SAID: { readonly [K in Effect<TxKey>["do"]]?: string } = {
  ask: "A tunnel is asked for",
  add_rx: "Receiving: the SA is in INGR_ACL",
  set_tx: "Sending: the SA is in EGR_ACL",
  release: "Held packets are resubmitted",
  remove_rx: "The receive SA is retired",
  remove_tx: "The transmit SA is removed",
  expire_tx: "The transmit SA has expired",
};

/** A tunnel and where it stands. Only the table writes it. */
export interface Tunnel {
  readonly key: string;
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
  readonly log: Log;
  readonly clock: Clock;
  readonly limits: Pick<Context, "graceMs" | "idleMs">;
  /** The pair wants to be in the next request to its peer. */
  onAsk(tunnel: Tunnel): void;
  /** This side closed the tunnel for want of traffic. */
  onClosed(tunnel: Tunnel): void;
  /** This side sends with an SPI that the peer gave in its answer. */
  onConfirmed(tunnel: Tunnel, spi: number): void;
  /** A step was taken: the record of the tunnel may be out of date. */
  onChange(tunnel: Tunnel): void;
}

/** Tunnels at most; the plane has a limit of its own. */
const MAX_TUNNELS = 131_072;

/** Key of a pair in every map of the core. */
export function pairKey({ localVip, remoteVip }: VipPair): string {
  return `${localVip} ${remoteVip}`;
}

type Entry = { -readonly [K in keyof Tunnel]: Tunnel[K] };

/** All tunnels by pair, by peer and by SPI. */
export class TunnelTable {
  readonly #byKey = new Map<string, Entry>();
  readonly #byPeer = new Map<string, Set<Entry>>();
  readonly #byRxSpi = new Map<number, Entry>();
  readonly #due = new DueHeap();
  readonly #options: TunnelTableOptions;
  /** Grows when tunnels come or go: for sorted views. */
  membership = 0;

  constructor(options: TunnelTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Whether a new tunnel has no place here. */
  get full(): boolean {
    return this.#byKey.size >= MAX_TUNNELS;
  }

  get(key: string): Tunnel | undefined {
    return this.#byKey.get(key);
  }

  all(): Iterable<Tunnel> {
    return this.#byKey.values();
  }

  ofPeer(peer: string): readonly Tunnel[] {
    return [...this.#byPeer.get(peer) ?? []];
  }

  /** The tunnel that receives with an SPI. */
  byRxSpi(spi: number): Tunnel | undefined {
    return this.#byRxSpi.get(spi);
  }

  /** The tunnel of a pair; a closed one when there was none. */
  ensure(pair: VipPair, peer: string): Tunnel {
    const key = pairKey(pair);
    const there = this.#byKey.get(key);
    if (there !== undefined) return there;
    const { localVip, remoteVip } = pair;
    const entry: Entry = { key, pair: { localVip, remoteVip }, peer, state: CLOSED, lastError: "" };
    this.#byKey.set(key, entry);
    const ofPeer = this.#byPeer.get(peer);
    if (ofPeer === undefined) this.#byPeer.set(peer, new Set([entry]));
    else ofPeer.add(entry);
    this.membership++;
    return entry;
  }

  /**
   * Takes a step and performs its effects. When the plane refuses one, those before it are undone in
   * reverse, the state stays as it was, and the refusal is thrown.
   */
  apply(tunnel: Tunnel, event: Event<TxKey>): void {
    const known = this.#byKey.get(tunnel.key);
    const entry = known ?? this.ensure(tunnel.pair, tunnel.peer) as Entry;
    const now = this.#options.clock.now();
    const before = entry.state;
    const { state, effects } = step(before, event, { now, ...this.#options.limits });
    const done: Effect<TxKey>[] = [];
    try {
      for (const effect of effects) {
        this.#install(entry, effect);
        done.push(effect);
      }
    } catch (error) {
      for (const effect of done.reverse()) {
        if (effect.do === "add_rx") this.#flows(() => this.#options.flows.removeRx(effect.sa.spi));
      }
      this.#forgetEmpty(entry);
      throw error;
    }
    entry.state = state;
    this.#index(entry, before);
    for (const effect of effects) {
      this.#perform(entry, effect);
      this.#say(entry, effect);
    }
    this.#forgetEmpty(entry);
  }

  /** Why the last attempt failed, for status; "" when it did not. */
  note(tunnel: Tunnel, lastError: string): void {
    const entry = this.#byKey.get(tunnel.key);
    if (entry !== undefined) entry.lastError = lastError;
  }

  /** Looks at every tunnel whose time has come. */
  tickDue(): void {
    for (const key of this.#due.take(this.#options.clock.now())) {
      const entry = this.#byKey.get(key);
      if (entry !== undefined) this.look(entry);
    }
  }

  /** Looks at a tunnel: asks the plane what passed, and takes a step. */
  look(tunnel: Tunnel): void {
    const entry = this.#byKey.get(tunnel.key);
    if (entry !== undefined) this.apply(entry, { type: "tick", seen: this.#seen(entry) });
  }

  #seen({ pair, state }: Entry): Seen {
    const { flows } = this.#options;
    const rx = new Map<number, Stats>();
    for (const { sa: { spi } } of state.rx) {
      const stats = flows.rxStats(spi);
      if (stats !== undefined) rx.set(spi, stats);
    }
    const live = state.kind === "up" || state.kind === "rekeying";
    return { tx: live ? flows.txStats(pair) : undefined, rx };
  }

  /** The effects that can fail, and those that must come between them. */
  #install(entry: Entry, effect: Effect<TxKey>): void {
    const { flows } = this.#options;
    switch (effect.do) {
      case "add_rx":
        return flows.addRx(effect.sa);
      case "set_tx":
        return flows.setTx(effect.sa, effect.key);
      case "remove_rx":
        return this.#flows(() => flows.removeRx(effect.sa.spi));
      case "remove_tx":
        return this.#flows(() => flows.removeTx(entry.pair));
      case "expire_tx":
        return this.#flows(() => flows.expireTx(entry.pair));
      case "release":
        return this.#flows(() => this.#options.plane.releaseHeld(effect.flow));
      case "drop":
        return this.#drop(effect.flow, effect);
      case "ask":
      case "tell_confirmed":
      case "tell_closed":
      case "count":
        return;
      default:
        return effect satisfies never;
    }
  }

  /** The effects that tell somebody, once the state stands. */
  #perform(entry: Entry, effect: Effect<TxKey>): void {
    switch (effect.do) {
      case "ask":
        return this.#options.onAsk(entry);
      case "tell_confirmed":
        return this.#options.onConfirmed(entry, effect.spi);
      case "tell_closed":
        return this.#options.onClosed(entry);
      case "count":
        return this.#options.counters.add(effect.counter);
      case "drop":
      case "add_rx":
      case "set_tx":
      case "remove_rx":
      case "remove_tx":
      case "expire_tx":
      case "release":
        return;
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

  #drop(flow: number, { reason, holdOffMs }: { reason: DropReason; holdOffMs: number }): void {
    this.#flows(() => this.#options.plane.dropHeld(flow, reason, Math.ceil(holdOffMs)));
  }

  /** A removal or release that the plane refuses is counted; what was wanted is not there any more. */
  #flows(act: () => unknown): void {
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
    }
    this.#due.set(entry.key, nextDue(after, this.#options.limits));
    this.#options.onChange(entry);
  }

  #forgetEmpty(entry: Entry): void {
    if (entry.state.kind !== "closed" || entry.state.rx.length > 0) return;
    if (this.#byKey.get(entry.key) !== entry) return;
    this.#byKey.delete(entry.key);
    this.#due.delete(entry.key);
    const ofPeer = this.#byPeer.get(entry.peer);
    ofPeer?.delete(entry);
    if (ofPeer?.size === 0) this.#byPeer.delete(entry.peer);
    this.membership++;
  }
}

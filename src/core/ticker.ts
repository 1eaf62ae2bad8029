// SPDX-License-Identifier: Apache-2.0

/**
 * The core's one timer: looks at what is due, at a bounded share of the rest, and writes the record. And the record: what is
 * up is put into it, what ended is taken out, and what the last run left in it is restored.
 */
import type { Config } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import { MAX_TUNNELS_PER_REQUEST } from "../model/exchange.ts";
import type { Flows } from "../model/flows.ts";
import type { Log } from "../model/log.ts";
import { Rounds } from "../model/rounds.ts";
import { pairKey, type VipPair } from "../model/sa.ts";
import type { LostTunnel, SaRecord, SaRecords } from "../model/sa_record.ts";
import type { Tasks } from "../model/tasks.ts";
import type { Peers } from "./directory.ts";
import {
  POLLED,
  POLLED_MAX,
  RECORD_COUNTERS_MS,
  RECORDED_AT_ONCE,
  RESTORED_AT_ONCE,
  ROUND_TICKS,
  SLICE_GAP_MS,
  SLICE_MS,
  SLICE_WAITING,
  TICK_MS,
} from "./limits.ts";
import type { Misses } from "./misses.ts";
import { ProgressWatch } from "./progress.ts";
import { longEnough } from "./rows.ts";
import type { Scheduler } from "./scheduler.ts";
import { newestRx, type Rx, type Tx } from "./tunnel.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

/** What is done in each tick, and with what. */
export interface TickerOptions {
  readonly table: TunnelTable;
  /** In this order, after the tunnels that are due. One that throws does not keep the others from being done. */
  readonly duties: readonly (() => void)[];
  /** What takes longer than a tick may, in slices between ticks; true: there is more of it. */
  readonly slices: readonly (() => boolean)[];
  /** Is told how late each tick comes. */
  readonly scheduler: Pick<Scheduler, "tick">;
  readonly store: Pick<SaRecords, "flush" | "pending">;
  readonly flows: Pick<Flows, "carried">;
  readonly clock: Clock;
  readonly tasks: Pick<Tasks, "signal">;
  readonly counters: Counters;
  readonly log: Log;
}

/** The core's one timer. */
export class Ticker {
  readonly #options: TickerOptions;
  readonly #table: TunnelTable;
  readonly #duties: readonly (() => void)[];
  readonly #slices: readonly (() => boolean)[];
  /** Undefined while no round is due: one that stands still would hold on to every tunnel that has gone since. */
  #round: Iterator<Tunnel> | undefined;
  readonly #rounds: Rounds;
  #isMore = true;
  #isUnwritten = false;

  constructor(options: TickerOptions) {
    this.#options = options;
    this.#table = options.table;
    this.#rounds = new Rounds(() => options.flows.carried());
    this.#slices = [() => this.#table.tickDue(), ...options.slices];
    this.#duties = [
      () => this.#slice(),
      () => this.#poll(),
      ...options.duties,
      () => this.#record(),
    ];
  }

  /** Runs until the core stops. One duty that fails does not keep the others from being done. */
  async run(): Promise<void> {
    const { clock, tasks, scheduler } = this.#options;
    let dueAt = clock.now();
    while (!tasks.signal.aborted) {
      scheduler.tick(Math.max(0, clock.now() - dueAt));
      for (const duty of this.#duties) this.#attempt(duty);
      dueAt = clock.now() + TICK_MS;
      while (this.#isMore && clock.now() + SLICE_GAP_MS < dueAt) {
        await clock.sleep(SLICE_GAP_MS, tasks.signal);
        this.#slice();
      }
      await clock.sleep(Math.max(0, dueAt - clock.now()), tasks.signal);
    }
  }

  #slice(): void {
    this.#isMore = false;
    if (this.#isUnwritten) this.#attempt(() => this.#record());
    for (const slice of this.#slices) {
      this.#attempt(() => {
        if (slice()) this.#isMore = true;
      });
    }
  }

  #attempt(act: () => void): void {
    try {
      act();
    } catch (cause) {
      this.#options.log.error("A periodic duty failed", { cause: String(cause) });
    }
  }

  /** Packet limits, idleness and arrival on new SPIs show in the entries' counters only. */
  #poll(): void {
    if (!this.#rounds.isDue) {
      this.#round = undefined;
      return;
    }
    const share = Math.ceil(this.#table.size / ROUND_TICKS);
    for (let n = Math.min(Math.max(POLLED, share), POLLED_MAX); n > 0; n--) {
      const { value: tunnel } = (this.#round ??= this.#table.round()).next();
      if (tunnel === undefined) {
        this.#round = undefined;
        this.#rounds.ended();
        return;
      }
      this.#table.glance(tunnel);
    }
  }

  /** Some of the record; the rest between ticks, unless the disk refuses. */
  #record(): void {
    const { store, counters } = this.#options;
    const written = store.flush(RECORDED_AT_ONCE);
    if (!written) counters.add("record-failed");
    this.#isUnwritten = written && store.pending > 0;
    if (this.#isUnwritten) this.#isMore = true;
  }
}

// ---- the record ---------------------------------------------------------------------------------

/** Keeps the record in step with the tunnels. */
export class Recorder {
  /** By the tunnel's row: when it was written, a millisecond later than that; 0: it is not in the record. */
  #at = new Float64Array(0);
  /** The SAs that it had then, and the packets that both had carried: a hundred thousand tunnels have no more room. */
  #txSpi = new Uint32Array(0);
  #rxSpi = new Uint32Array(0);
  #packets = new Float64Array(0);
  /** The tunnels end because the agent stops: the record stays, to be restored from. */
  frozen = false;

  constructor(
    readonly store: Pick<SaRecords, "put" | "remove">,
    readonly clock: Clock,
    readonly bootEpoch: bigint,
  ) {}

  /** The tunnel changed, or was looked at. */
  changed({ row, pair, peer, state }: Tunnel): void {
    if (this.frozen) return;
    switch (state.kind) {
      case "opening":
        return;
      case "closed":
      case "failed":
        if ((this.#at[row] ?? 0) > 0) this.store.remove(pair);
        if (row < this.#at.length) this.#at[row] = 0;
        return;
      case "up":
      case "rekeying":
        break;
      default:
        return state satisfies never;
    }
    const rx = newestRx(state.rx);
    if (rx === undefined) return;
    const { tx } = state;
    const now = this.clock.now();
    const packets = Number(tx.packets + rx.packets);
    const at = this.#at[row] ?? 0;
    const isSame = this.#txSpi[row] === tx.sa.spi && this.#rxSpi[row] === rx.sa.spi;
    if (at > 0 && isSame) {
      if (this.#packets[row] === packets || now + 1 - at < RECORD_COUNTERS_MS) return;
    }
    this.#at = longEnough(this.#at, row);
    this.#txSpi = longEnough(this.#txSpi, row);
    this.#rxSpi = longEnough(this.#rxSpi, row);
    this.#packets = longEnough(this.#packets, row);
    this.#at[row] = now + 1;
    this.#txSpi[row] = tx.sa.spi;
    this.#rxSpi[row] = rx.sa.spi;
    this.#packets[row] = packets;
    const wall = this.clock.wallMs() - now;
    const txRecord = recordOf(tx, tx.sa);
    const expiresAtMs = rx.expiresAt === Infinity ? 0 : wall + rx.expiresAt;
    const rxRecord = recordOf(rx, { epoch: this.bootEpoch, expiresAtMs });
    const { localVip, remoteVip } = pair;
    const openedAtMs = wall + state.openedAt;
    this.store.put({
      localVip,
      remoteVip,
      peer,
      openedAtMs,
      tx: txRecord,
      rx: rxRecord,
    });
  }
}

function recordOf(
  { sa: { spi, version, serial, createdAtMs }, packets, bytes }: Rx | Tx,
  { epoch, expiresAtMs }: Pick<SaRecord, "epoch" | "expiresAtMs">,
): SaRecord {
  return { spi, version, epoch, serial, createdAtMs, expiresAtMs, packets, bytes };
}

// ---- after a start ------------------------------------------------------------------------------

/** What it takes to restore. */
export interface RestoreOptions {
  readonly config: Pick<Config, "tunnel">;
  readonly peers: Pick<Peers, "isLocal" | "owns">;
  readonly store: Pick<SaRecords, "lost" | "remove">;
  readonly table: TunnelTable;
  readonly misses: Pick<Misses, "want">;
  /** Where those that were asked for wait: no more are, while many do. */
  readonly scheduler: Pick<Scheduler, "waiting">;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly log: Log;
}

/** A tunnel of the last run that is not there yet. */
interface Lost {
  readonly pair: VipPair;
  readonly peer: string;
  /** When its SAs would have ended, of `Clock.wallMs`: nobody waits for it longer. */
  readonly untilMs: number;
}

/**
 * What is still to be restored: the tunnels of the last run are asked for again, without waiting for a packet, until they
 * are there or would have ended by their age. That it takes long, here or at the peer, ends nothing.
 */
export class Restore {
  readonly #options: RestoreOptions;
  /** What was not asked for yet, peer by peer; undefined: nothing. */
  #unread: Iterator<LostTunnel> | undefined;
  #next: LostTunnel | undefined;
  #lifeUntilMs = 0;
  /** What was asked for and is not there yet. */
  readonly #left = new Map<string, Lost>();
  /** Those that the last run left, and how many of them were not read yet. */
  #count = 0;
  #unasked = 0;
  readonly #progress = new ProgressWatch();

  constructor(options: RestoreOptions) {
    this.#options = options;
  }

  /** Begins to ask for what the last run left. */
  begin(): void {
    const { store, config, clock, counters, log } = this.#options;
    this.#lifeUntilMs = clock.wallMs() + config.tunnel.lifeMs;
    const { count, tunnels } = store.lost();
    if (count === 0) return;
    this.#count = this.#unasked = count;
    this.#unread = tunnels;
    this.#read();
    if (config.tunnel.restore) {
      counters.add("restored", BigInt(count));
      log.info("Restoring the tunnels of the last run", { tunnels: count });
    }
    this.slice();
  }

  /** Asks for some of those that were not asked for yet, whole peers at a time. True: there are more. */
  slice(): boolean {
    const { clock, scheduler } = this.#options;
    const begun = clock.now();
    let n = 0;
    while (this.#next !== undefined && scheduler.waiting < SLICE_WAITING) {
      const { peer } = this.#next;
      this.#unasked--;
      this.#want(this.#next);
      this.#read();
      n++;
      // A request has room for so many of a peer: fewer would be one request more.
      const whole = n % MAX_TUNNELS_PER_REQUEST === 0 || this.#next?.peer !== peer;
      if (whole && clock.now() - begun >= SLICE_MS) break;
    }
    return this.#next !== undefined;
  }

  /** Asks again for some of what is not there yet, those first that were not looked at for longest. */
  tick(): void {
    let looks = Math.min(RESTORED_AT_ONCE, this.#left.size);
    for (const [key, lost] of this.#left) {
      if (looks-- === 0) break;
      this.#left.delete(key);
      this.#look(key, lost);
    }
    if (this.#options.config.tunnel.restore) this.#sayProgress();
  }

  #sayProgress(): void {
    const { clock, log } = this.#options;
    const found = this.#progress.look(clock.now(), this.#unasked + this.#left.size);
    if (found === undefined) return;
    const facts = { count: this.#count, timeMs: Math.round(found.afterMs) };
    if (found.left === 0) log.info("The tunnels of the last run are back, or gone for good", facts);
    else log.info("Tunnels of the last run are still to come", { ...facts, tunnels: found.left });
  }

  #read(): void {
    const at = this.#unread?.next();
    this.#next = at === undefined || at.done ? undefined : at.value;
    if (this.#next === undefined) {
      this.#unread = undefined;
      this.#unasked = 0;
    }
  }

  #want({ localVip, remoteVip, peer, endsAtMs }: LostTunnel): void {
    const { config, peers, clock } = this.#options;
    const pair = { localVip, remoteVip };
    const key = pairKey(pair);
    // The configuration may have moved the vip to somebody else in the meantime.
    const ours = peers.isLocal(localVip) && peers.owns(peer, remoteVip);
    if (!ours || !config.tunnel.restore) return this.#forget(key, pair);
    // By a clock that was wrong then or is now it would have ended long ago: it has its life once more.
    const untilMs = endsAtMs > clock.wallMs()
      ? Math.min(endsAtMs, this.#lifeUntilMs)
      : this.#lifeUntilMs;
    this.#look(key, { pair, peer, untilMs });
  }

  #look(key: string, lost: Lost): void {
    const { table, misses, peers, clock } = this.#options;
    const kind = table.get(key)?.state.kind;
    if (kind === "up" || kind === "rekeying") return;
    if (clock.wallMs() >= lost.untilMs || !peers.owns(lost.peer, lost.pair.remoteVip)) {
      return this.#forget(key, lost.pair);
    }
    if (kind !== "opening") misses.want(lost.pair, lost.peer);
    // To the end: the next tick begins with the others.
    this.#left.set(key, lost);
  }

  /** Its record goes, unless somebody has opened it meanwhile. */
  #forget(key: string, pair: VipPair): void {
    const kind = this.#options.table.get(key)?.state.kind;
    if (kind !== "up" && kind !== "rekeying") this.#options.store.remove(pair);
  }
}

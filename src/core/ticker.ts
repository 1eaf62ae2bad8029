// SPDX-License-Identifier: Apache-2.0

/** The core's one timer: looks at what is due, at a bounded share of the rest, and writes the record. */
import type { Config } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import type { Log } from "../model/log.ts";
import { pairKey, type VipPair } from "../model/sa.ts";
import type { SaRecords } from "../model/sa_record.ts";
import type { Tasks } from "../model/tasks.ts";
import type { Peers } from "./directory.ts";
import { POLLED, POLLED_MAX, RESTORED_AT_ONCE, ROUND_TICKS, TICK_MS } from "./limits.ts";
import type { Misses } from "./misses.ts";
import type { Scheduler } from "./scheduler.ts";
import type { TunnelTable } from "./tunnel_table.ts";

/** What is done in each tick, and with what. */
export interface TickerOptions {
  readonly table: TunnelTable;
  /** In this order, after the tunnels that are due. One that throws does not keep the others from being done. */
  readonly duties: readonly (() => void)[];
  /** Is told how late each tick comes. */
  readonly scheduler: Pick<Scheduler, "tick">;
  readonly store: Pick<SaRecords, "flush">;
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
  #round: string[] = [];

  constructor(options: TickerOptions) {
    this.#options = options;
    this.#table = options.table;
    this.#duties = [
      () => this.#table.tickDue(),
      () => this.#poll(),
      ...options.duties,
      () => this.#record(),
    ];
  }

  /** Runs until the core stops. One duty that fails does not keep the others from being done. */
  async run(): Promise<void> {
    const { clock, tasks, log, scheduler } = this.#options;
    let dueAt = clock.now();
    while (!tasks.signal.aborted) {
      scheduler.tick(Math.max(0, clock.now() - dueAt));
      for (const duty of this.#duties) {
        try {
          duty();
        } catch (cause) {
          log.error("A periodic duty failed", { cause: String(cause) });
        }
      }
      dueAt = clock.now() + TICK_MS;
      await clock.sleep(TICK_MS, tasks.signal);
    }
  }

  /** Packet limits, idleness and arrival on new SPIs show in the entries' counters only. */
  #poll(): void {
    const share = Math.ceil(this.#table.size / ROUND_TICKS);
    const n = Math.min(Math.max(POLLED, share), POLLED_MAX);
    if (this.#round.length === 0) this.#round = [...this.#table.all()].map(({ key }) => key);
    for (const key of this.#round.splice(-n)) {
      const tunnel = this.#table.get(key);
      if (tunnel !== undefined) this.#table.look(tunnel);
    }
  }

  #record(): void {
    const { store, counters } = this.#options;
    if (!store.flush()) counters.add("record-failed");
  }
}

// ---- after a start ------------------------------------------------------------------------------

/** What it takes to restore. */
export interface RestoreOptions {
  readonly config: Pick<Config, "tunnel">;
  readonly peers: Pick<Peers, "isLocal" | "owns">;
  readonly store: Pick<SaRecords, "loseAll" | "remove">;
  readonly table: TunnelTable;
  readonly misses: Pick<Misses, "want">;
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
  readonly #left = new Map<string, Lost>();

  constructor(options: RestoreOptions) {
    this.#options = options;
  }

  /** Marks what the last run left as lost, and asks for it. */
  begin(): void {
    const { store, config, peers, clock, counters, log } = this.#options;
    const lifeUntilMs = clock.wallMs() + config.tunnel.lifeMs;
    for (const { localVip, remoteVip, peer, tx, rx } of store.loseAll()) {
      const pair = { localVip, remoteVip };
      // The configuration may have moved the vip to somebody else in the meantime.
      const ours = peers.isLocal(localVip) && peers.owns(peer, remoteVip);
      if (!ours || !config.tunnel.restore) {
        store.remove(pair);
        continue;
      }
      const endsAtMs = Math.max(tx.expiresAtMs, rx.expiresAtMs);
      // By a clock that was wrong then or is now it would have ended long ago: it has its life once more.
      const untilMs = endsAtMs > clock.wallMs() ? Math.min(endsAtMs, lifeUntilMs) : lifeUntilMs;
      this.#left.set(pairKey(pair), { pair, peer, untilMs });
    }
    if (this.#left.size === 0) return;
    counters.add("restored", BigInt(this.#left.size));
    log.info("Restoring the tunnels of the last run", { tunnels: this.#left.size });
    this.tick();
  }

  /** Asks again for some of what is not there yet, those first that were not looked at for longest. */
  tick(): void {
    const { table, misses, peers, store, clock } = this.#options;
    let looks = Math.min(RESTORED_AT_ONCE, this.#left.size);
    for (const [key, lost] of this.#left) {
      if (looks-- === 0) break;
      const kind = table.get(key)?.state.kind;
      this.#left.delete(key);
      if (kind === "up" || kind === "rekeying") continue;
      if (clock.wallMs() >= lost.untilMs || !peers.owns(lost.peer, lost.pair.remoteVip)) {
        store.remove(lost.pair);
        continue;
      }
      if (kind !== "opening") misses.want(lost.pair, lost.peer);
      // To the end: the next tick begins with the others.
      this.#left.set(key, lost);
    }
  }
}

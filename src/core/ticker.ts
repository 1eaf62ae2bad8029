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
import { POLLED, POLLED_MAX, RESTORE_GIVE_UP_MS, ROUND_TICKS, TICK_MS } from "./limits.ts";
import type { Misses } from "./misses.ts";
import type { TunnelTable } from "./tunnel_table.ts";

/** What is done in each tick, and with what. */
export interface TickerOptions {
  readonly table: TunnelTable;
  /** In this order, after the tunnels that are due. One that throws does not keep the others from being done. */
  readonly duties: readonly (() => void)[];
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
    const { clock, tasks, log } = this.#options;
    while (!tasks.signal.aborted) {
      for (const duty of this.#duties) {
        try {
          duty();
        } catch (cause) {
          log.error("A periodic duty failed", { cause: String(cause) });
        }
      }
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

/** What is still to be restored: the tunnels of the last run are asked for again, without waiting for a packet. */
export class Restore {
  readonly #options: RestoreOptions;
  readonly #left = new Map<string, { readonly pair: VipPair; readonly peer: string }>();
  #until = 0;

  constructor(options: RestoreOptions) {
    this.#options = options;
  }

  /** Marks what the last run left as lost, and asks for it. */
  begin(): void {
    const { store, config, peers, clock, counters, log } = this.#options;
    const records = store.loseAll();
    for (const { localVip, remoteVip, peer } of records) {
      const pair = { localVip, remoteVip };
      // The configuration may have moved the vip to somebody else in the meantime.
      const ours = peers.isLocal(localVip) && peers.owns(peer, remoteVip);
      if (ours && config.tunnel.restore) this.#left.set(pairKey(pair), { pair, peer });
      else store.remove(pair);
    }
    if (this.#left.size === 0) return;
    counters.add("restored", BigInt(this.#left.size));
    log.info("Restoring the tunnels of the last run", { tunnels: this.#left.size });
    this.#until = clock.now() + RESTORE_GIVE_UP_MS;
    this.tick();
  }

  /** Asks again for what is not there yet. */
  tick(): void {
    if (this.#left.size === 0) return;
    const over = this.#options.clock.now() >= this.#until;
    for (const [key, { pair, peer }] of this.#left) {
      const kind = this.#options.table.get(key)?.state.kind;
      if (kind === "up" || kind === "rekeying") this.#left.delete(key);
      else if (over) this.#giveUp(key, pair);
      else if (kind !== "opening") this.#options.misses.want(pair, peer);
    }
  }

  #giveUp(key: string, pair: VipPair): void {
    this.#left.delete(key);
    this.#options.store.remove(pair);
  }
}

// SPDX-License-Identifier: Apache-2.0

/** The core's one timer: looks at what is due, at a bounded share of the rest, and writes the record. */
import type { Initiator } from "./initiator.ts";
import type { Notices } from "./notices.ts";
import type { Parts } from "./parts.ts";
import type { RequestMemory } from "./request_memory.ts";
import type { Restore } from "./restore.ts";
import type { Rotation } from "./rotation.ts";
import type { TunnelTable } from "./tunnel_table.ts";

/** Between two looks. Limits are kept to this. */
const TICK_MS = 250;
/** Tunnels looked at in a tick at least; with more than this a round takes `ROUND_TICKS`. */
const POLLED = 256;
/** ... and at most, which is some 30 ms of work: a round of very many takes longer. */
const POLLED_MAX = 1024;
const ROUND_TICKS = 20;

/** What is done in each tick. */
export class Lifecycle {
  readonly #parts: Parts;
  readonly #table: TunnelTable;
  readonly #duties: readonly (() => void)[];
  #round: string[] = [];

  constructor(
    parts: Parts,
    others: {
      readonly table: TunnelTable;
      readonly initiator: Initiator;
      readonly rotation: Rotation;
      readonly notices: Notices;
      readonly restore: Restore;
      readonly memory: RequestMemory;
    },
  ) {
    this.#parts = parts;
    this.#table = others.table;
    this.#duties = [
      () => this.#table.tickDue(),
      () => this.#poll(),
      () => others.rotation.tick(),
      () => others.restore.tick(),
      () => others.notices.flush(),
      () => others.initiator.tick(),
      () => others.memory.expire(parts.clock.now()),
      () => this.#record(),
    ];
  }

  /** Runs until the core stops. One duty that fails does not keep the others from being done. */
  async run(): Promise<void> {
    const { clock, tasks, log } = this.#parts;
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
    const { store, counters } = this.#parts;
    if (!store.flush()) counters.add("record-failed");
  }
}

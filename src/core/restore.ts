// SPDX-License-Identifier: Apache-2.0

/** After a start: the tunnels of the last run are asked for again, without waiting for a packet. */
import type { Misses } from "./misses.ts";
import type { Parts } from "./parts.ts";
import { pairKey, type TunnelTable } from "./tunnel_table.ts";
import type { VipPair } from "../model/sa.ts";

/** After this long the next packet has to ask. */
const GIVE_UP_MS = 60_000;

/** What is still to be restored. */
export class Restore {
  readonly #parts: Parts;
  readonly #table: TunnelTable;
  readonly #misses: Misses;
  readonly #left = new Map<string, { readonly pair: VipPair; readonly peer: string }>();
  #until = 0;

  constructor(parts: Parts, others: { readonly table: TunnelTable; readonly misses: Misses }) {
    this.#parts = parts;
    this.#table = others.table;
    this.#misses = others.misses;
  }

  /** Marks what the last run left as lost, and asks for it. */
  begin(): void {
    const { store, config, peers, clock, counters, log } = this.#parts;
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
    this.#until = clock.now() + GIVE_UP_MS;
    this.tick();
  }

  /** Asks again for what is not there yet. */
  tick(): void {
    if (this.#left.size === 0) return;
    const over = this.#parts.clock.now() >= this.#until;
    for (const [key, { pair, peer }] of this.#left) {
      const kind = this.#table.get(key)?.state.kind;
      if (kind === "up" || kind === "rekeying") this.#left.delete(key);
      else if (over) this.#giveUp(key, pair);
      else if (kind !== "opening") this.#misses.want(pair, peer);
    }
  }

  #giveUp(key: string, pair: VipPair): void {
    this.#left.delete(key);
    this.#parts.store.remove(pair);
  }
}

// SPDX-License-Identifier: Apache-2.0

/** The record of a host in memory: what was flushed outlives the process, what was not is lost with it. */
import { pairKey, type VipPair } from "../../../src/model/sa.ts";
import type { LostTunnels, SaRecords, TunnelRecord } from "../../../src/model/sa_record.ts";

/** One state directory. */
export class WorldRecord implements SaRecords {
  readonly #tunnels = new Map<string, TunnelRecord>();
  readonly #pips = new Map<string, string>();
  #waiting = new Map<string, TunnelRecord | undefined>();
  #epoch = 0n;

  /** `aheadMs`: by how much the host's wall clock is ahead, so that no two hosts begin with the same epoch. */
  constructor(readonly aheadMs: number) {}

  reserveEpoch(wallMs: number): bigint {
    const wall = BigInt(Math.floor(wallMs + this.aheadMs));
    this.#epoch = this.#epoch >= wall ? this.#epoch + 1n : wall;
    return this.#epoch;
  }

  reserveSpis(): void {}

  loseAll(): LostTunnels {
    for (const [key, record] of this.#tunnels) this.#tunnels.set(key, { ...record, state: "lost" });
    const all = [...this.#tunnels.values()].sort((a, b) => a.peer < b.peer ? -1 : 1);
    return {
      count: all.length,
      tunnels: all.map(({ localVip, remoteVip, peer, tx, rx }) => ({
        localVip,
        remoteVip,
        peer,
        endsAtMs: Math.max(tx.expiresAtMs, rx.expiresAtMs),
      })).values(),
    };
  }

  pips(): ReadonlyMap<string, string> {
    return this.#pips;
  }

  putPip(peer: string, pip: string): void {
    this.#pips.set(peer, pip);
  }

  put(record: TunnelRecord): void {
    this.#waiting.set(pairKey(record), record);
  }

  remove(pair: VipPair): void {
    this.#waiting.set(pairKey(pair), undefined);
  }

  get pending(): number {
    return this.#waiting.size;
  }

  flush(): boolean {
    for (const [key, record] of this.#waiting) {
      if (record === undefined) this.#tunnels.delete(key);
      else this.#tunnels.set(key, record);
    }
    this.#waiting.clear();
    return true;
  }

  /** The process was killed. */
  crash(): void {
    this.#waiting = new Map();
  }

  /** What the next start would find: "pair peer" of each tunnel, and what is not written yet. */
  summary(): { readonly written: readonly string[]; readonly waiting: readonly string[] } {
    return {
      written: [...this.#tunnels.keys()].sort(),
      waiting: [...this.#waiting].map(([key, r]) => `${r === undefined ? "-" : "+"}${key}`).sort(),
    };
  }
}

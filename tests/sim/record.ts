// SPDX-License-Identifier: Apache-2.0

/** The record of a host in memory: what was flushed outlives the process, what was not is lost with it. */
import { pairKey, type VipPair } from "../../src/model/sa.ts";
import type { LostTunnels, SaRecords, TunnelRecord } from "../../src/model/sa_record.ts";

/** The record of a host that has it in memory. Throws where it is on disk: nobody can write that down. */
export function inMemory(record: object): WorldRecord {
  if (record instanceof WorldRecord) return record;
  throw new TypeError("Cannot look into a record on disk");
}

/** One state directory. */
export class WorldRecord implements SaRecords {
  private readonly _tunnels = new Map<string, TunnelRecord>();
  private readonly _pips = new Map<string, string>();
  private _waiting = new Map<string, TunnelRecord | undefined>();
  private _epoch = 0n;

  /** `aheadMs`: by how much the host's wall clock is ahead, so that no two hosts begin with the same epoch. */
  constructor(readonly aheadMs: number) {}

  reserveEpoch(wallMs: number): bigint {
    const wall = BigInt(Math.floor(wallMs + this.aheadMs));
    this._epoch = this._epoch >= wall ? this._epoch + 1n : wall;
    return this._epoch;
  }

  reserveSpis(): void {}

  lost(): LostTunnels {
    const all = [...this._tunnels.values()].sort((a, b) => a.peer < b.peer ? -1 : 1);
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
    return this._pips;
  }

  putPip(peer: string, pip: string): void {
    this._pips.set(peer, pip);
  }

  put(record: TunnelRecord): void {
    this._waiting.set(pairKey(record), record);
  }

  remove(pair: VipPair): void {
    this._waiting.set(pairKey(pair), undefined);
  }

  get pending(): number {
    return this._waiting.size;
  }

  flush(): boolean {
    for (const [key, record] of this._waiting) {
      if (record === undefined) this._tunnels.delete(key);
      else this._tunnels.set(key, record);
    }
    this._waiting.clear();
    return true;
  }

  /** The process was killed. */
  crash(): void {
    this._waiting = new Map();
  }

  /** What the next start would find: "pair peer" of each tunnel, and what is not written yet. */
  summary(): { readonly written: readonly string[]; readonly waiting: readonly string[] } {
    return {
      written: [...this._tunnels.keys()].sort(),
      waiting: [...this._waiting].map(([key, r]) => `${r === undefined ? "-" : "+"}${key}`).sort(),
    };
  }
}

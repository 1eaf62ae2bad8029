// SPDX-License-Identifier: Apache-2.0

/** What outlives the process: the record of tunnels, and what must never be used twice. No key has a place in it. */
import type { PspVersion, VipPair } from "./sa.ts";

/** One SA as recorded. Times are of the wall clock, 0: no limit. */
export interface SaRecord {
  readonly spi: number;
  readonly version: PspVersion;
  readonly epoch: bigint;
  readonly serial: bigint;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** A tunnel that is up, as recorded. */
export interface TunnelRecord extends VipPair {
  readonly peer: string;
  readonly openedAtMs: number;
  readonly tx: SaRecord;
  readonly rx: SaRecord;
}

/** A tunnel that was up when the last run ended. */
export interface LostTunnel extends VipPair {
  readonly peer: string;
  /** When the later of its SAs ends, of the wall clock; 0: never. */
  readonly endsAtMs: number;
}

/** What the last run left, as it was then, whatever is written while it is read. */
export interface LostTunnels {
  readonly count: number;
  /** Peer by peer; read as they are taken. */
  readonly tunnels: Iterator<LostTunnel>;
}

/** Where the record is kept. Everything is synchronous: a batch is small, and nothing else may come between. */
export interface SaRecords {
  /** The boot epoch of this run: greater than any before, durable when this returns. Throws `ConfigError`. */
  reserveEpoch(wallMs: number): bigint;
  /** Accounts for `n` SPIs about to be derived, before the first of them is used. Throws `ConfigError`. */
  reserveSpis(n: number): void;
  /** What the last run left. Call it once, before anything is put. */
  lost(): LostTunnels;
  /** The outer addresses that peers told. */
  pips(): ReadonlyMap<string, string>;
  /** Remembers a peer's outer address at the next `flush`. */
  putPip(peer: string, pip: string): void;
  /** Records a tunnel at the next `flush`. */
  put(record: TunnelRecord): void;
  /** Removes a tunnel at the next `flush`. */
  remove(pair: VipPair): void;
  /** Writes what waits, so many rows at most, all by default. False when the disk refused: it is tried again. */
  flush(most?: number): boolean;
  /** Rows that wait. */
  readonly pending: number;
}

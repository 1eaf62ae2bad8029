// SPDX-License-Identifier: Apache-2.0

/**
 * The record of tunnels and of what must never be used twice, in SQLite. No key is ever written.
 * Writes of the record are batched; reservations are durable before they are used.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { ConfigError, EnvironmentError } from "../config/config.ts";
import { fileReason } from "../config/reasons.ts";
import type { Log } from "../model/log.ts";
import type {
  LostTunnel,
  LostTunnels,
  SaRecord,
  SaRecords,
  TunnelRecord,
} from "../model/sa_record.ts";
import { pairKey, PSP_VERSIONS, type VipPair } from "../model/sa.ts";
import { messageOf } from "../model/errors.ts";
import { openPrivate } from "./database.ts";
import { SharedTexts } from "../model/shared_texts.ts";

/** SPIs that one durable reservation covers. */
export const SPI_BLOCK = 65_536n;

/** 24 bits, and those in which a new record begins: half of them are left in any case. */
const IV_RUN_MAX = 2n ** 24n - 1n;
const IV_RUNS_FIRST = 2 ** 23;

export interface SaStoreOptions {
  /** Of the database; ":memory:" for tests. */
  readonly path: string;
  readonly log: Log;
  readonly wallMs: () => number;
}

/** Opens, migrates, or sets a broken file aside and begins anew. Throws `ConfigError`. */
export function openSaStore(options: SaStoreOptions): SaStore {
  try {
    return new SaStore(openDatabase(options), options.log);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (!isCorrupt(error)) throw unusable(options.path, error);
    setAside(options, error);
  }
  try {
    return new SaStore(openDatabase(options), options.log);
  } catch (error) {
    throw unusable(options.path, error);
  }
}

/** The open record. Everything is synchronous: a batch is small, and nothing else may come between. */
export class SaStore implements SaRecords, Disposable {
  readonly #db: DatabaseSync;
  readonly #log: Log;
  readonly #dirty = new Map<string, TunnelRecord | VipPair>();
  readonly #upsert: StatementSync;
  readonly #delete: StatementSync;
  readonly #putPip: StatementSync;
  /** Outer addresses that are not written yet. */
  readonly #pips = new Map<string, string>();
  #spisUsed: bigint;
  #spisReserved: bigint;
  #failing = false;

  constructor(db: DatabaseSync, log: Log) {
    this.#db = db;
    this.#log = log;
    this.#upsert = db.prepare(UPSERT);
    this.#delete = db.prepare("DELETE FROM tunnel WHERE local_vip = ? AND remote_vip = ?");
    this.#putPip = db.prepare("INSERT OR REPLACE INTO peer (id, pip) VALUES (?, ?)");
    // What an earlier run reserved counts as used.
    this.#spisUsed = this.#spisReserved = this.#highWater("spis");
  }

  /** The boot epoch of this run: greater than any before, durable when this returns. */
  reserveEpoch(wallMs: number): bigint {
    const stored = this.#highWater("epoch");
    const wall = BigInt(Math.floor(wallMs));
    const epoch = stored + 1n > wall ? stored + 1n : wall;
    this.#reserve("epoch", epoch);
    return epoch;
  }

  /**
   * A number for the upper 24 bits of IVs: greater than any before, durable when this returns. A record that is new,
   * or was lost, begins at random: a second start of it begins elsewhere. `random`: in [0, 1).
   */
  reserveIvRun(random: number): bigint {
    const stored = this.#highWater("iv-run");
    const run = stored === 0n ? 1n + BigInt(Math.floor(random * IV_RUNS_FIRST)) : stored + 1n;
    if (run > IV_RUN_MAX) {
      throw new EnvironmentError(
        `Cannot begin a run of IVs: all ${IV_RUN_MAX} that the record has room for were used. ` +
          `Remove the state directory when every peer has been rotated or restarted`,
      );
    }
    this.#reserve("iv-run", run);
    return run;
  }

  /** Accounts for `n` SPIs about to be derived. Durable in blocks, before the first of a block is used. */
  reserveSpis(n: number): void {
    const used = this.#spisUsed + BigInt(n);
    if (used > this.#spisReserved) {
      const reserved = used + SPI_BLOCK;
      this.#reserve("spis", reserved);
      this.#spisReserved = reserved;
    }
    this.#spisUsed = used;
  }

  /** No SPI beyond this one was ever derived on this host's record. */
  get spiHighWater(): bigint {
    return this.#spisReserved;
  }

  /** What the last run left. Nothing is written of it: 100,000 rows in one statement would hold up everything else. */
  lost(): LostTunnels {
    const count = Number(this.#db.prepare("SELECT count(*) AS n FROM tunnel").get()?.n);
    // Sorted, and so read from the table before the first of them comes: what is written later does not disturb it.
    const rows = this.#db.prepare(
      "SELECT local_vip, remote_vip, peer, max(tx_expires_at_ms, rx_expires_at_ms) AS ends " +
        "FROM tunnel ORDER BY peer, local_vip, remote_vip",
    ).iterate();
    return { count, tunnels: lostFrom(rows) };
  }

  /** All recorded tunnels. */
  load(): TunnelRecord[] {
    const query = this.#db.prepare("SELECT * FROM tunnel ORDER BY peer, local_vip, remote_vip");
    query.setReadBigInts(true);
    return query.all().map((row) => fromRow(row as Row));
  }

  /** The outer addresses that peers told. */
  pips(): ReadonlyMap<string, string> {
    const rows = this.#db.prepare("SELECT id, pip FROM peer").all();
    return new Map(rows.map((row) => [String(row.id), String(row.pip)]));
  }

  /** Remembers a peer's outer address at the next `flush`. */
  putPip(peer: string, pip: string): void {
    this.#pips.set(peer, pip);
  }

  /** Records a tunnel at the next `flush`. */
  put(record: TunnelRecord): void {
    this.#dirty.set(pairKey(record), record);
  }

  /** Removes a tunnel at the next `flush`. */
  remove({ localVip, remoteVip }: VipPair): void {
    const pair = { localVip, remoteVip };
    this.#dirty.set(pairKey(pair), pair);
  }

  /** Rows that wait for `flush`. */
  get pending(): number {
    return this.#dirty.size + this.#pips.size;
  }

  /** Writes what waits, in one transaction. False when the disk refused: it is tried again. */
  flush(most = Infinity): boolean {
    if (this.pending === 0) return true;
    const keys: string[] = [];
    for (const key of this.#dirty.keys()) {
      if (keys.length >= most) break;
      keys.push(key);
    }
    const pips = [...this.#pips.entries().take(Math.min(most, this.#pips.size))];
    const written = this.#attempt(() => {
      this.#db.exec("BEGIN IMMEDIATE");
      try {
        for (const key of keys) {
          const change = this.#dirty.get(key);
          if (change === undefined) continue;
          if ("peer" in change) this.#upsert.run(...toRow(change));
          else this.#delete.run(change.localVip, change.remoteVip);
        }
        for (const [peer, pip] of pips) this.#putPip.run(peer, pip);
        this.#db.exec("COMMIT");
      } catch (error) {
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
        throw error;
      }
    });
    if (written) {
      for (const key of keys) this.#dirty.delete(key);
      for (const [peer] of pips) this.#pips.delete(peer);
    }
    return written;
  }

  /** Writes what waits and closes. */
  close(): void {
    if (!this.#db.isOpen) return;
    this.flush();
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #highWater(name: string): bigint {
    const query = this.#db.prepare("SELECT value FROM high_water WHERE name = ?");
    query.setReadBigInts(true);
    return BigInt.asUintN(64, (query.get(name)?.value as bigint | undefined) ?? 0n);
  }

  #reserve(name: string, value: bigint): void {
    try {
      // FULL: the WAL is on the disk when the statement returns.
      this.#db.exec("PRAGMA synchronous = FULL");
      this.#db.prepare("INSERT OR REPLACE INTO high_water (name, value) VALUES (?, ?)")
        .run(name, BigInt.asIntN(64, value));
      this.#db.exec("PRAGMA synchronous = NORMAL");
    } catch (error) {
      throw unusable("state", error);
    }
  }

  /** A record that cannot be written costs the restore after a crash, not the traffic. */
  #attempt(write: () => unknown): boolean {
    try {
      write();
      if (this.#failing) this.#log.info("The database can be written again");
      this.#failing = false;
      return true;
    } catch (error) {
      if (!this.#failing) {
        this.#log.error("Cannot write the database", { cause: messageOf(error) });
      }
      this.#failing = true;
      return false;
    }
  }
}

function openDatabase({ path }: SaStoreOptions): DatabaseSync {
  return openPrivate(path, (db) => {
    db.exec("PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 1000");
    const check = db.prepare("PRAGMA quick_check(1)").get()?.quick_check;
    if (check !== "ok") throw Object.assign(new Error(String(check)), { errcode: SQLITE_CORRUPT });
    const schema = schemaOf(db);
    if (schema > MIGRATIONS.length) {
      throw new ConfigError(
        `Cannot use database "${path}": its schema ${schema} is newer than this agent's ${MIGRATIONS.length}`,
      );
    }
    migrate(db);
  });
}

const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

function isCorrupt(error: unknown): boolean {
  // `exec` gives no code in Deno 2.9, only SQLite's text. The low octet is the primary result code.
  const code = (error as { errcode?: number }).errcode ?? 0;
  return (code & 0xff) === SQLITE_CORRUPT || (code & 0xff) === SQLITE_NOTADB ||
    /file is not a database|disk image is malformed/.test(messageOf(error));
}

function setAside({ path, log, wallMs }: SaStoreOptions, error: unknown): void {
  const aside = `${path}.corrupt-${wallMs()}`;
  try {
    Deno.renameSync(path, aside);
    for (const tail of ["-wal", "-shm"]) {
      try {
        Deno.renameSync(path + tail, aside + tail);
      } catch (missing) {
        if (!(missing instanceof Deno.errors.NotFound)) throw missing;
      }
    }
  } catch (cause) {
    throw unusable(path, cause);
  }
  log.error("The database is corrupt: it was set aside, and a new one begun", {
    path: aside,
    cause: messageOf(error),
  });
}

function unusable(path: string, cause: unknown): EnvironmentError {
  return new EnvironmentError(`Cannot use database "${path}": ${fileReason(cause)}`, [], { cause });
}

// ---- the schema ------------------------------------------------------------------------------------

/** `MIGRATIONS[n]` brings schema n to n + 1. Never edit one that was released: add another. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE high_water (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE peer (
    id TEXT PRIMARY KEY,
    pip TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tunnel (
    local_vip TEXT NOT NULL,
    remote_vip TEXT NOT NULL,
    peer TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('up', 'lost')),
    opened_at_ms INTEGER NOT NULL,
    tx_spi INTEGER NOT NULL,
    tx_version TEXT NOT NULL,
    tx_epoch INTEGER NOT NULL,
    tx_serial INTEGER NOT NULL,
    tx_created_at_ms INTEGER NOT NULL,
    tx_expires_at_ms INTEGER NOT NULL,
    tx_packets INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    rx_spi INTEGER NOT NULL,
    rx_version TEXT NOT NULL,
    rx_epoch INTEGER NOT NULL,
    rx_serial INTEGER NOT NULL,
    rx_created_at_ms INTEGER NOT NULL,
    rx_expires_at_ms INTEGER NOT NULL,
    rx_packets INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (local_vip, remote_vip)
  ) STRICT, WITHOUT ROWID;
  `,
];

/** Number of the schema that a database has. */
function schemaOf(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.user_version ?? 0);
}

/** Brings a database to the newest schema, one transaction per step. */
function migrate(db: DatabaseSync): void {
  for (let n = schemaOf(db); n < MIGRATIONS.length; n++) {
    db.exec(`BEGIN IMMEDIATE; ${MIGRATIONS[n]}; PRAGMA user_version = ${n + 1}; COMMIT`);
  }
}

// ---- a tunnel as a row ------------------------------------------------------------------------------

const SA_COLUMNS = ["spi", "version", "epoch", "serial", "created_at_ms", "expires_at_ms"]
  .concat(["packets", "bytes"]);
const COLUMNS = ["local_vip", "remote_vip", "peer", "state", "opened_at_ms"]
  .concat(SA_COLUMNS.map((c) => `tx_${c}`), SA_COLUMNS.map((c) => `rx_${c}`));
/** Writes a tunnel, whether it was there or not. */
const UPSERT = `INSERT OR REPLACE INTO tunnel (${COLUMNS.join(", ")})
  VALUES (${COLUMNS.map(() => "?").join(", ")})`;

/** Of the column `state`, which nobody reads: a row is of a tunnel that is up, in this run or when an earlier one ended. */
const STATE = "up";

type Value = string | number | bigint;
/** A row as SQLite gives it, integers as bigint. */
type Row = Record<string, string | bigint>;

/** The values for `UPSERT`. */
function toRow(
  { localVip, remoteVip, peer, openedAtMs, tx, rx }: TunnelRecord,
): Value[] {
  const head = [localVip, remoteVip, peer, STATE, Math.round(openedAtMs)];
  return [...head, ...saToRow(tx), ...saToRow(rx)];
}

function saToRow(sa: SaRecord): Value[] {
  const [epoch, serial, packets, bytes] = [sa.epoch, sa.serial, sa.packets, sa.bytes]
    .map((n) => BigInt.asIntN(64, n)) as [bigint, bigint, bigint, bigint];
  const times = [Math.round(sa.createdAtMs), Math.round(sa.expiresAtMs)];
  return [sa.spi, sa.version, epoch, serial, ...times, packets, bytes];
}

function* lostFrom(rows: Iterable<Record<string, unknown>>): Generator<LostTunnel> {
  // Every row has texts of its own, and each tunnel keeps them: those of workloads and of a peer are the same again and again.
  const texts = new SharedTexts();
  for (const { local_vip, remote_vip, peer, ends } of rows) {
    yield {
      localVip: texts.of(String(local_vip)),
      remoteVip: String(remote_vip),
      peer: texts.of(String(peer)),
      endsAtMs: Number(ends),
    };
  }
}

/** The tunnel of a row. */
function fromRow(row: Row): TunnelRecord {
  return {
    localVip: String(row.local_vip),
    remoteVip: String(row.remote_vip),
    peer: String(row.peer),
    openedAtMs: Number(row.opened_at_ms),
    tx: saFromRow(row, "tx"),
    rx: saFromRow(row, "rx"),
  };
}

function saFromRow(row: Row, direction: "tx" | "rx"): SaRecord {
  const u64 = (name: string) => BigInt.asUintN(64, BigInt(row[`${direction}_${name}`] ?? 0n));
  const version = row[`${direction}_version`];
  return {
    spi: Number(u64("spi")),
    version: PSP_VERSIONS.find((v) => v === version) ?? "aes-gcm-128",
    epoch: u64("epoch"),
    serial: u64("serial"),
    createdAtMs: Number(u64("created_at_ms")),
    expiresAtMs: Number(u64("expires_at_ms")),
    packets: u64("packets"),
    bytes: u64("bytes"),
  };
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The record of tunnels and of what must never be used twice, in SQLite. No key is ever written.
 * Writes of the record are batched; reservations are durable before they are used.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { ConfigError } from "../config/config.ts";
import { fileReason } from "../config/reasons.ts";
import type { Log } from "../log.ts";
import { fromRow, type Row, toRow, type TunnelRecord, UPSERT } from "./sa_record.ts";
import type { VipPair } from "./sa.ts";
import { migrate, MIGRATIONS, schemaOf } from "./sa_schema.ts";

export type { SaRecord, TunnelRecord } from "./sa_record.ts";

/** SPIs that one durable reservation covers. */
export const SPI_BLOCK = 65_536n;

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
export class SaStore implements Disposable {
  readonly #db: DatabaseSync;
  readonly #log: Log;
  readonly #dirty = new Map<string, TunnelRecord | VipPair>();
  readonly #upsert: StatementSync;
  readonly #delete: StatementSync;
  #spisUsed: bigint;
  #spisReserved: bigint;
  #failing = false;

  constructor(db: DatabaseSync, log: Log) {
    this.#db = db;
    this.#log = log;
    this.#upsert = db.prepare(UPSERT);
    this.#delete = db.prepare("DELETE FROM tunnel WHERE local_vip = ? AND remote_vip = ?");
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

  /** Marks what the last run left as lost, and returns it. */
  loseAll(): TunnelRecord[] {
    this.#db.exec("UPDATE tunnel SET state = 'lost'");
    return this.load();
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

  /** Remembers a peer's outer address. */
  putPip(peer: string, pip: string): void {
    this.#attempt(() =>
      this.#db.prepare("INSERT OR REPLACE INTO peer (id, pip) VALUES (?, ?)").run(peer, pip)
    );
  }

  /** Records a tunnel at the next `flush`. */
  put(record: TunnelRecord): void {
    this.#dirty.set(`${record.localVip} ${record.remoteVip}`, record);
  }

  /** Removes a tunnel at the next `flush`. */
  remove({ localVip, remoteVip }: VipPair): void {
    this.#dirty.set(`${localVip} ${remoteVip}`, { localVip, remoteVip });
  }

  /** Rows that wait for `flush`. */
  get pending(): number {
    return this.#dirty.size;
  }

  /** Writes what waits, in one transaction. False when the disk refused: it is tried again. */
  flush(): boolean {
    if (this.#dirty.size === 0) return true;
    const written = this.#attempt(() => {
      this.#db.exec("BEGIN IMMEDIATE");
      try {
        for (const change of this.#dirty.values()) {
          if ("peer" in change) this.#upsert.run(...toRow(change));
          else this.#delete.run(change.localVip, change.remoteVip);
        }
        this.#db.exec("COMMIT");
      } catch (error) {
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
        throw error;
      }
    });
    if (written) this.#dirty.clear();
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
  if (path !== ":memory:") {
    // SQLite gives its WAL the mode of the database, so the mode is right before there is one.
    Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
    Deno.chmodSync(path, 0o600);
  }
  const db = new DatabaseSync(path);
  try {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 1000");
    const check = db.prepare("PRAGMA quick_check(1)").get()?.quick_check;
    if (check !== "ok") throw Object.assign(new Error(String(check)), { errcode: SQLITE_CORRUPT });
    const schema = schemaOf(db);
    if (schema > MIGRATIONS.length) {
      throw new ConfigError(
        `Cannot use database "${path}": its schema ${schema} is newer than this agent's ${MIGRATIONS.length}`,
      );
    }
    migrate(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
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

function unusable(path: string, cause: unknown): ConfigError {
  return new ConfigError(`Cannot use database "${path}": ${fileReason(cause)}`, [], { cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

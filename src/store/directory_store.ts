// SPDX-License-Identifier: Apache-2.0

/**
 * What a directory of others was last known to say, in SQLite: with it an agent starts, and goes on, while the directory
 * is away. It is a copy: a file that cannot be used is begun anew.
 */
import type { DatabaseSync } from "node:sqlite";
import type { KnownDirectory, KnownRecord } from "../model/known_directory.ts";
import type { Log } from "../model/log.ts";
import { messageOf } from "../model/errors.ts";
import { openPrivate, removeDatabase } from "./database.ts";

const SCHEMA = 1;

/** Opens it, or begins a new one; where none can be kept, what is known is forgotten at the end. */
export function openDirectoryStore(
  { path, log }: { readonly path: string; readonly log: Log },
): DirectoryStore {
  try {
    return new DirectoryStore(open(path), log);
  } catch (cause) {
    log.warn("What was known of the directory cannot be read: it is read anew", {
      path,
      cause: messageOf(cause),
    });
  }
  try {
    if (path !== ":memory:") {
      removeDatabase(path);
    }
    return new DirectoryStore(open(path), log);
  } catch (cause) {
    log.error("What is known of the directory cannot be kept", { path, cause: messageOf(cause) });
    return new DirectoryStore(open(":memory:"), log);
  }
}

/** The copy. Everything is synchronous, and nothing throws: what cannot be written is known for this run. */
export class DirectoryStore implements KnownDirectory, Disposable {
  readonly #db: DatabaseSync;
  readonly #log: Log;
  #failing = false;

  constructor(db: DatabaseSync, log: Log) {
    this.#db = db;
    this.#log = log;
  }

  load(source: string): ReturnType<KnownDirectory["load"]> {
    const meta = this.#db.prepare("SELECT * FROM source WHERE name = ?");
    meta.setReadBigInts(true);
    const row = meta.get(source);
    if (row === undefined) return undefined;
    const query = this.#db.prepare(
      "SELECT key, value, created FROM record WHERE source = ? ORDER BY key",
    );
    query.setReadBigInts(true);
    const records = query.all(source).map((record): KnownRecord => ({
      key: String(record.key),
      value: String(record.value),
      order: BigInt(record.created as bigint),
    }));
    return {
      cluster: BigInt.asUintN(64, row.cluster as bigint),
      revision: row.revision as bigint,
      atMs: Number(row.at_ms),
      records,
    };
  }

  update(source: string, change: Parameters<KnownDirectory["update"]>[1]): void {
    this.#write(() => {
      const remove = this.#db.prepare("DELETE FROM record WHERE source = ? AND key = ?");
      for (const key of change.removed) remove.run(source, key);
      this.#put(source, change.put);
      this.#mark(source, change);
    });
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #put(source: string, records: readonly KnownRecord[]): void {
    const put = this.#db.prepare(
      "INSERT OR REPLACE INTO record (source, key, value, created) VALUES (?, ?, ?, ?)",
    );
    for (const { key, value, order } of records) put.run(source, key, value, order);
  }

  #mark(
    source: string,
    { cluster, revision, atMs }: Pick<
      Parameters<KnownDirectory["update"]>[1],
      "cluster" | "revision" | "atMs"
    >,
  ): void {
    this.#db.prepare(
      "INSERT OR REPLACE INTO source (name, cluster, revision, at_ms) VALUES (?, ?, ?, ?)",
    ).run(source, BigInt.asIntN(64, cluster), revision, Math.floor(atMs));
  }

  #write(act: () => void): void {
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      try {
        act();
        this.#db.exec("COMMIT");
      } catch (error) {
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
        throw error;
      }
      if (this.#failing) this.#log.info("What is known of the directory can be written again");
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) {
        this.#log.error("Cannot write what is known of the directory", {
          cause: messageOf(error),
        });
      }
      this.#failing = true;
    }
  }
}

function open(path: string): DatabaseSync {
  return openPrivate(path, (db) => {
    db.exec("PRAGMA synchronous = NORMAL");
    const version = Number(db.prepare("PRAGMA user_version").get()?.user_version ?? 0);
    if (version !== 0 && version !== SCHEMA) throw new Error(`its schema is ${version}`);
    db.exec(`
      CREATE TABLE IF NOT EXISTS source (
        name TEXT PRIMARY KEY,
        cluster INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS record (
        source TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        created INTEGER NOT NULL,
        PRIMARY KEY (source, key)
      ) STRICT, WITHOUT ROWID;
      PRAGMA user_version = ${SCHEMA};
    `);
  });
}

// SPDX-License-Identifier: Apache-2.0

/** A SQLite file of the agent's own: nobody else's to read, opened whole or not at all, and removed with its tails. */
import { DatabaseSync } from "node:sqlite";

/** What SQLite keeps beside a database. */
export const TAILS = ["-wal", "-shm"] as const;

/**
 * Opens a database in WAL mode, the file made (0600) where it is missing; ":memory:" is none. Closed again, and thrown,
 * when `prepare` throws.
 */
export function openPrivate(path: string, prepare: (db: DatabaseSync) => void): DatabaseSync {
  if (path !== ":memory:") {
    // SQLite gives its WAL the mode of the database, so the mode is right before there is one.
    Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
    Deno.chmodSync(path, 0o600);
  }
  const db = new DatabaseSync(path);
  try {
    db.exec("PRAGMA journal_mode = WAL");
    prepare(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Removes a database with what SQLite keeps beside it, where they are. */
export function removeDatabase(path: string): void {
  for (const tail of ["", ...TAILS]) {
    try {
      Deno.removeSync(path + tail);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

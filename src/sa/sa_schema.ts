// SPDX-License-Identifier: Apache-2.0

/** The schema of the database, one numbered migration after the other. There is no column for a key. */
import type { DatabaseSync } from "node:sqlite";

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
export function schemaOf(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.user_version ?? 0);
}

/** Brings a database to the newest schema, one transaction per step. */
export function migrate(db: DatabaseSync): void {
  for (let n = schemaOf(db); n < MIGRATIONS.length; n++) {
    db.exec(`BEGIN IMMEDIATE; ${MIGRATIONS[n]}; PRAGMA user_version = ${n + 1}; COMMIT`);
  }
}

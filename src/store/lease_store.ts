// SPDX-License-Identifier: Apache-2.0

/**
 * DHCP leases, so that a workload that asks a restarted agent has the address that it had. In a database of its own: it
 * can be lost at the cost of other addresses, and never keeps an agent from starting.
 */
import type { DatabaseSync } from "node:sqlite";
import type { KeptLease, LeaseBook } from "../model/lease.ts";
import { messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import { openPrivate, removeDatabase } from "./database.ts";

/** Most leases that are kept, of all networks. */
const KEPT_MAX = 65_536;

export interface LeaseStoreOptions {
  readonly path: string;
  readonly log: Pick<Log, "warn">;
}

/** The leases of all networks. */
export interface LeaseStore extends Disposable {
  /** Of one network; "": the default one. */
  book(network: string): LeaseBook;
}

/** Opens it, or begins a new one where there is none that can be read. Never throws. */
export function openLeaseStore({ path, log }: LeaseStoreOptions): LeaseStore {
  const db = openDatabase(path, log);
  let failing = false;
  // A disk that is full costs leases at the next start, and nothing now.
  const attempt = <T>(what: (db: DatabaseSync) => T): T | undefined => {
    if (db === undefined) return undefined;
    try {
      const result = what(db);
      failing = false;
      return result;
    } catch (error) {
      if (!failing) log.warn("Leases cannot be kept", { path, reason: messageOf(error) });
      failing = true;
      return undefined;
    }
  };
  return {
    book: (network) => ({
      all: () =>
        attempt((db) => {
          const query = db.prepare("SELECT address, mac, until_ms FROM lease WHERE network = ?");
          return query.all(network).map((row): KeptLease => ({
            address: String(row.address),
            mac: String(row.mac),
            untilMs: Number(row.until_ms),
          }));
        }) ?? [],
      put: ({ address, mac, untilMs }) => {
        attempt((db) => {
          db.prepare("DELETE FROM lease WHERE network = ? AND (mac = ? OR address = ?)")
            .run(network, mac, address);
          db.prepare("INSERT INTO lease (network, address, mac, until_ms) VALUES (?, ?, ?, ?)")
            .run(network, address, mac, Math.floor(untilMs));
          db.prepare(
            "DELETE FROM lease WHERE rowid IN (SELECT rowid FROM lease ORDER BY until_ms DESC LIMIT -1 OFFSET ?)",
          ).run(KEPT_MAX);
        });
      },
      remove: (address) => {
        attempt((db) =>
          db.prepare("DELETE FROM lease WHERE network = ? AND address = ?").run(network, address)
        );
      },
    }),
    [Symbol.dispose]: () => db?.close(),
  };
}

function openDatabase(path: string, log: Pick<Log, "warn">): DatabaseSync | undefined {
  try {
    return opened(path);
  } catch (first) {
    log.warn("The leases of the last run are lost", { path, reason: messageOf(first) });
    try {
      removeDatabase(path);
      return opened(path);
    } catch {
      return undefined;
    }
  }
}

function opened(path: string): DatabaseSync {
  return openPrivate(path, (db) => {
    db.exec("PRAGMA synchronous = OFF; PRAGMA busy_timeout = 1000");
    db.exec(
      "CREATE TABLE IF NOT EXISTS lease (network TEXT NOT NULL, address TEXT NOT NULL, mac TEXT NOT NULL, " +
        "until_ms INTEGER NOT NULL, PRIMARY KEY (network, address)) STRICT",
    );
    db.exec("CREATE INDEX IF NOT EXISTS lease_until ON lease (until_ms)");
  });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The events of the last hour: in memory for whoever reads, in SQLite for the start after this one. Whoever causes many
 * (a peer, for one reason) gets a few a second of its own, and the others are told as a number.
 */
import type { DatabaseSync } from "node:sqlite";
import { messageOf } from "../model/errors.ts";
import {
  type AgentEvent,
  EVENT_KINDS,
  type EventFacts,
  type EventKind,
  type EventQuery,
  type EventSink,
} from "../model/events.ts";
import type { Log } from "../model/log.ts";
import type { RefusalView } from "../model/status.ts";
import { openPrivate, removeDatabase } from "./database.ts";

/** How long an event is kept, and how many there are at most. */
export const KEPT_MS = 3_600_000;
export const KEPT_EVENTS = 10_000;
/** Of one kind, peer and reason: so many at once, and one more each half second. */
const BURST = 20;
const EACH_MS = 500;
/** Kinds, peers and reasons that are told apart. */
const MAX_CAUSES = 4096;
/** Rows that a tick writes, and removes, and numbers that it tells: some 5 ms of work each. The others come with the next. */
const ROWS_AT_ONCE = 1000;
const TOLD_AT_ONCE = 200;

export interface EventLogOptions {
  /** Of the database; undefined: in memory only. */
  readonly path?: string;
  readonly log: Log;
  /** Never runs backwards. */
  readonly now: () => number;
  readonly wallMs: () => number;
}

/** Of one kind, peer and reason. */
interface Cause {
  /** When the next one would have its turn if none came at once. */
  at: number;
  /** Those that had no turn, and the facts of the last of them. */
  held: number;
  kind: EventKind;
  facts: EventFacts;
}

type Kept = AgentEvent & { readonly keptAt: number };

/** Holds the events until it is disposed of. */
export class EventLog implements EventSink, Disposable {
  readonly #options: EventLogOptions;
  readonly #db: DatabaseSync | undefined;
  readonly #causes = new Map<string, Cause>();
  readonly #refusals = new Map<string, RefusalView>();
  readonly #waiting = new Set<() => void>();
  #events: Kept[] = [];
  /** How many of the newest are not in the database, and whether some are that are not here any more. */
  #unwritten = 0;
  #stale = false;
  #cursor = 0;
  #failing = false;

  constructor(options: EventLogOptions) {
    this.#options = options;
    this.#db = this.#open();
    this.#load();
  }

  add(kind: EventKind, facts: EventFacts = {}): void {
    const now = this.#options.now();
    const own = `${kind} ${facts.peer ?? ""} ${facts.reason ?? ""}`;
    // Peers choose some reasons: beyond a number, all share one place by kind.
    const key = this.#causes.has(own) || this.#causes.size < MAX_CAUSES ? own : kind;
    let cause = this.#causes.get(key);
    if (cause === undefined) this.#causes.set(key, cause = { at: now, held: 0, kind, facts });
    cause.facts = facts;
    this.#noteRefusal(kind, facts);
    if (cause.at > now + (BURST - 1) * EACH_MS) {
      cause.held++;
      return;
    }
    this.#tell(cause, 1, now);
  }

  /** Tells of those that were held back, lets go of what is old, and writes. Call about once a second. */
  tick(): void {
    const now = this.#options.now();
    const due: [string, Cause][] = [];
    for (const [key, cause] of this.#causes) {
      if (cause.held > 0 && cause.at <= now + (BURST - 1) * EACH_MS) due.push([key, cause]);
      if (due.length === TOLD_AT_ONCE) break;
    }
    for (const [key, cause] of due) {
      this.#tell(cause, 0, now);
      // To the end: the next tick begins with the others.
      this.#causes.delete(key);
      this.#causes.set(key, cause);
    }
    if (this.#causes.size > MAX_CAUSES / 2) this.#forgetQuiet(now);
    this.#write();
    const keep = this.#events.findIndex(({ keptAt }) => now - keptAt < KEPT_MS);
    this.#drop(keep < 0 ? this.#events.length : keep);
  }

  /** The newest cursor; 0: nothing has happened yet. */
  get cursor(): number {
    return this.#cursor;
  }

  /** The last refusal between this host and a peer, within the time that events are kept. */
  refusal(peer: string): RefusalView | undefined {
    const found = this.#refusals.get(peer);
    const isOld = found === undefined || this.#options.wallMs() - found.atMs > KEPT_MS;
    return isOld ? undefined : found;
  }

  /** Those that are kept, oldest first, at most `limit`. */
  list(query: EventQuery & { readonly limit: number }): readonly AgentEvent[] {
    const found: AgentEvent[] = [];
    for (let i = this.#firstAfter(query.after ?? 0); i < this.#events.length; i++) {
      const event = this.#events[i];
      if (event !== undefined && isWanted(event, query)) found.push(event);
      if (found.length === query.limit) break;
    }
    return found;
  }

  /** Those that are kept, then those to come, until `signal` aborts. A slow reader misses what is not kept any more. */
  async *watch(query: EventQuery, signal: AbortSignal): AsyncGenerator<AgentEvent> {
    let after = query.after ?? 0;
    while (!signal.aborted) {
      for (const event of this.list({ ...query, after, limit: 100 })) {
        yield event;
        after = event.cursor;
      }
      if (signal.aborted || this.list({ ...query, after, limit: 1 }).length > 0) continue;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise;
      this.#waiting.delete(resolve);
    }
  }

  [Symbol.dispose](): void {
    this.tick();
    this.#write(Infinity);
    if (this.#db?.isOpen) this.#db.close();
  }

  /** `own`: 1 when the event in `cause.facts` is not among those held back. */
  #tell(cause: Cause, own: 0 | 1, now: number): void {
    const { kind, facts, held } = cause;
    const event = {
      cursor: ++this.#cursor,
      timeMs: Math.round(this.#options.wallMs()),
      kind,
      count: held + own,
      ...facts,
    };
    cause.at = Math.max(cause.at, now) + EACH_MS;
    cause.held = 0;
    this.#events.push({ ...event, keptAt: now });
    this.#unwritten++;
    if (this.#events.length > KEPT_EVENTS * 1.1) this.#drop(this.#events.length - KEPT_EVENTS);
    const { text, logged } = EVENT_KINDS[kind];
    if (logged) this.#log(text, event);
    for (const wake of this.#waiting) wake();
  }

  #noteRefusal(kind: EventKind, { peer, reason = "", message = "" }: EventFacts): void {
    const by = refuser(kind, { reason, message });
    if (peer === undefined || by === undefined) return;
    if (this.#refusals.size >= MAX_CAUSES) this.#refusals.clear();
    this.#refusals.set(peer, { by, atMs: Math.round(this.#options.wallMs()), reason, message });
  }

  #log(text: string, { count, peer, localVip, remoteVip, reason, message, ...event }: AgentEvent) {
    this.#options.log.info(text, {
      peer,
      localVip,
      remoteVip,
      rxSpi: event.rxSpi,
      txSpi: event.txSpi,
      reason,
      cause: message,
      timeMs: event.durationMs === undefined ? undefined : Math.round(event.durationMs * 10) / 10,
      count: count === 1 ? undefined : count,
    });
  }

  #drop(count: number): void {
    if (count === 0) return;
    this.#events = this.#events.slice(count);
    this.#stale = true;
    this.#unwritten = Math.min(this.#unwritten, this.#events.length);
  }

  #firstAfter(cursor: number): number {
    let [low, high] = [0, this.#events.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle]?.cursor ?? Infinity) <= cursor) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #forgetQuiet(now: number): void {
    for (const [key, { at, held }] of this.#causes) {
      if (held === 0 && at <= now) this.#causes.delete(key);
    }
  }

  // ---- the database: what cannot be written is lost to the next start, and to nobody else --------------

  #open(): DatabaseSync | undefined {
    const { path } = this.#options;
    if (path === undefined) return undefined;
    try {
      return opened(path);
    } catch {
      // There is nothing in it that is worth a start that fails.
      return this.#attempt(() => {
        removeDatabase(path);
        return opened(path);
      });
    }
  }

  #load(): void {
    const { now, wallMs } = this.#options;
    const [mono, wall] = [now(), wallMs()];
    this.#attempt(() => {
      for (
        const row of this.#db?.prepare("SELECT cursor, event FROM event ORDER BY cursor").all() ??
          []
      ) {
        const event: AgentEvent = JSON.parse(String(row.event));
        this.#cursor = Number(row.cursor);
        // An age of the wall clock: whoever sets it loses events, and no more.
        const age = Math.max(0, wall - event.timeMs);
        if (age < KEPT_MS) this.#events.push({ ...event, keptAt: mono - age });
        else this.#stale = true;
      }
      const last = this.#db?.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'event'").get();
      this.#cursor = Math.max(this.#cursor, Number(last?.seq ?? 0));
    });
  }

  #write(most = ROWS_AT_ONCE): void {
    const db = this.#db;
    if (db === undefined || (this.#unwritten === 0 && !this.#stale)) return;
    this.#attempt(() => {
      const insert = db.prepare("INSERT INTO event (cursor, event) VALUES (?, ?)");
      const first = db.prepare("SELECT min(cursor) AS cursor FROM event").get()?.cursor;
      db.exec("BEGIN");
      try {
        const from = this.#events.length - this.#unwritten;
        const some = this.#events.slice(from, from + most);
        for (const { keptAt: _, ...event } of some) insert.run(event.cursor, JSON.stringify(event));
        const oldest = this.#events[0]?.cursor ?? this.#cursor + 1;
        const upTo = Math.min(oldest, Number(first ?? oldest) + most);
        if (this.#stale) db.prepare("DELETE FROM event WHERE cursor < ?").run(upTo);
        db.exec("COMMIT");
        this.#unwritten -= some.length;
        this.#stale &&= upTo < oldest;
      } catch (error) {
        if (db.isTransaction) db.exec("ROLLBACK");
        throw error;
      }
    });
  }

  #attempt<T>(act: () => T): T | undefined {
    try {
      const result = act();
      this.#failing = false;
      return result;
    } catch (error) {
      if (!this.#failing) {
        this.#options.log.warn("Events cannot be written: the next start will not know them", {
          cause: messageOf(error),
        });
      }
      this.#failing = true;
      return undefined;
    }
  }
}

function opened(path: string): DatabaseSync {
  return openPrivate(path, (db) => {
    db.exec("PRAGMA synchronous = OFF; PRAGMA busy_timeout = 1000");
    db.exec(
      "CREATE TABLE IF NOT EXISTS event (cursor INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL) STRICT",
    );
  });
}

/** Who refused whom, if anybody did. */
function refuser(
  kind: EventKind,
  { reason, message }: { readonly reason: string; readonly message: string },
): RefusalView["by"] | undefined {
  switch (kind) {
    case "request-refused":
      return "this host";
    // Of any exchange: the first one that fails.
    case "peer-failing":
      return reason === "permission-denied"
        ? "the peer"
        : reason === "unauthenticated"
        ? "this host"
        : undefined;
    case "tunnel-failed":
      if (reason !== "refused") return undefined;
      // This host believes neither what the peer shows nor what it grants.
      return /^(\[unauthenticated\]|bad answer:)/.test(message) ? "this host" : "the peer";
    default:
      return undefined;
  }
}

function isWanted(event: AgentEvent, { sinceMs, peer, kinds }: EventQuery): boolean {
  return (sinceMs === undefined || event.timeMs >= sinceMs) &&
    (peer === undefined || event.peer === peer) &&
    (kinds === undefined || kinds.length === 0 || kinds.includes(event.kind));
}

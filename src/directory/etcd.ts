// SPDX-License-Identifier: Apache-2.0

/**
 * Records in etcd, each under its host's own key: read page by page at one revision, then watched from that revision on.
 * While etcd is away the last known state goes on, over starts of the agent too. This host's own record is written under
 * a lease, so that a dead host disappears.
 */
import type { Clock } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { KnownDirectory, KnownRecord } from "../model/known_directory.ts";
import { type KvBatch, KvError, type KvStore } from "../model/kv.ts";
import type { Random } from "../model/random.ts";
import { Registration } from "./registration.ts";
import { type Source, type SourceOptions, type SourceState, Texts } from "./source.ts";

/** What it is given. */
export interface EtcdSourceOptions extends SourceOptions {
  readonly kv: KvStore;
  /** Under which the records stand: "/psp-agent/peers/". */
  readonly prefix: string;
  /** This host's own record, as it is to stand there, asked for now and then; absent: none is written. */
  readonly own?: (() => string) | undefined;
  readonly leaseS: number;
  readonly known: KnownDirectory;
  readonly clock: Clock;
  readonly random: Random;
}

const NAME = "etcd";
/** Records of one page. */
const PAGE = 1000;
/** Records that are read into peers before others get their turn: some 20 ms of work. */
const AT_ONCE = 200;
/** After a failure: this at first, doubling ... */
const RETRY_FIRST_MS = 250;
/** ... up to this. */
const RETRY_MAX_MS = 10_000;
/**
 * After an outage of so long records may have gone only because their hosts were cut off as well: one that is gone
 * then has this long to come back before its peer is given up.
 */
const OUTAGE_MS = 60_000;
const COME_BACK_MS = 30_000;

/** Reads what is known from before, and begins; ends when it is disposed of. */
export function openEtcdSource(options: EtcdSourceOptions): Source {
  return new EtcdSource(options);
}

class EtcdSource implements Source {
  readonly name = NAME;
  readonly #options: EtcdSourceOptions;
  readonly #texts: Texts;
  readonly #end = new AbortController();
  readonly #running: Promise<unknown>;
  readonly #registration: Registration | undefined;
  #cluster = 0n;
  /** What is known is of this revision; 0n: nothing is. */
  #revision = 0n;
  #isCurrent = false;
  #currentAtMs: number | undefined;
  #lastError = "";
  /** Since when it has been away, of `Clock.now`; undefined: it is there. */
  #awaySince: number | undefined;
  /** Until when a record that is gone may come back, of `Clock.now`. */
  #patientUntil = 0;
  readonly #gone = new Map<string, number>();
  /** Keys that were known under another prefix. */
  readonly #foreign: string[] = [];

  constructor(options: EtcdSourceOptions) {
    this.#options = options;
    const { prefix } = options;
    // Roles bind keys to hosts, so that a key binds what stands under it.
    this.#texts = new Texts({ ...options, bound: (place) => place.slice(prefix.length) });
    this.#awaySince = options.clock.now();
    this.#recall();
    const { own, kv, rules, leaseS, clock, random, log } = options;
    if (own !== undefined) {
      const key = prefix + rules.id;
      this.#registration = new Registration({ kv, key, own, leaseS, clock, random, log });
    }
    this.#running = Promise.allSettled([
      this.#follow(),
      this.#registration?.run(this.#end.signal),
    ]);
  }

  state(): SourceState {
    const error = this.#registration?.lastError ?? "";
    return {
      isCurrent: this.#isCurrent,
      currentAtMs: this.#isCurrent ? this.#options.clock.wallMs() : this.#currentAtMs,
      lastError: [this.#lastError, error && `this host's own record: ${error}`]
        .filter((text) => text !== "").join("; "),
      ...this.#texts.state(),
    };
  }

  judgeAgain(): void {
    this.#texts.judgeAgain();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    this.#options.kv[Symbol.dispose]();
    await this.#running;
    if (this.#isCurrent) this.#keep([], []);
  }

  get #ownKey(): string {
    return this.#options.prefix + this.#options.rules.id;
  }

  /** What the last run knew. */
  #recall(): void {
    const last = this.#options.known.load(NAME);
    if (last === undefined) return;
    const { prefix } = this.#options;
    const isOurs = ({ key }: KnownRecord) =>
      key.startsWith(prefix) && !key.slice(prefix.length).includes("/");
    const ours = last.records.filter(isOurs);
    this.#foreign.push(...last.records.filter((record) => !isOurs(record)).map(({ key }) => key));
    this.#cluster = last.cluster;
    // Of another prefix, or of nothing at all, nobody knows what stands there.
    if (ours.length > 0 && this.#foreign.length === 0) this.#revision = last.revision;
    this.#currentAtMs = last.atMs;
    this.#take(ours);
  }

  async #follow(): Promise<void> {
    const { clock, random, log } = this.#options;
    const { signal } = this.#end;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (this.#revision === 0n) await this.#readAll();
        await this.#watch(() => failures = 0);
      } catch (error) {
        if (signal.aborted) return;
        this.#away(messageOf(error));
        if (error instanceof KvError && error.failure === "compacted") {
          log.info("The directory has gone on too far to be followed: it is read anew", {
            reason: error.message,
          });
          this.#revision = 0n;
          // Once more at once; a store that says so again and again is not asked again and again.
          if (failures++ === 0) continue;
        }
        const fullMs = Math.min(RETRY_FIRST_MS * 2 ** Math.min(failures++, 20), RETRY_MAX_MS);
        await clock.sleep(fullMs * (0.5 + random.uniform() / 2), signal).catch(() => {});
      }
    }
  }

  /** All records, of one revision. */
  async #readAll(): Promise<void> {
    const { kv, prefix, clock } = this.#options;
    const records: KnownRecord[] = [];
    let revision: bigint | undefined;
    let cluster = 0n;
    let after: string | undefined;
    do {
      const page = await kv.range({ prefix, after, limit: PAGE, revision });
      revision ??= page.revision;
      cluster = page.cluster;
      for (const { key, value, createRevision } of page.items) {
        records.push({ key, value, order: createRevision });
      }
      after = page.more ? records.at(-1)?.key : undefined;
    } while (after !== undefined);
    this.#here();
    const there = new Set(records.map(({ key }) => key));
    const gone = [...this.#texts.places()].filter((key) => !there.has(key));
    this.#cluster = cluster;
    for (let i = 0; i < records.length; i += AT_ONCE) {
      const some = records.slice(i, i + AT_ONCE).filter((record) => !this.#has(record));
      this.#keep(some, []);
      this.#take(some);
      await clock.sleep(0, this.#end.signal);
    }
    if (!there.has(this.#ownKey)) this.#registration?.missing();
    this.#revision = revision;
    this.#keep([], this.#foreign.splice(0));
    this.#lose(gone);
    this.#options.onWhole?.();
  }

  async #watch(well: () => void): Promise<void> {
    const { kv, prefix } = this.#options;
    const from = this.#revision + 1n;
    const end = new AbortController();
    const signal = AbortSignal.any([this.#end.signal, end.signal]);
    try {
      for await (const batch of kv.watch({ prefix, fromRevision: from }, signal)) {
        // Another store, or this one from an older copy: its revisions are not those that are known.
        if (batch.cluster !== this.#cluster || batch.revision < this.#revision) {
          throw new KvError("compacted", "it is another store, or an older copy of it");
        }
        this.#here();
        well();
        this.#follows(batch);
      }
    } finally {
      end.abort();
    }
  }

  #follows({ changes, revision }: KvBatch): void {
    const put: KnownRecord[] = [];
    const removed: string[] = [];
    for (const { key, value, createRevision } of changes) {
      if (value === undefined) removed.push(key);
      else put.push({ key, value, order: createRevision });
    }
    this.#take(put);
    if (revision > this.#revision) this.#revision = revision;
    if (changes.length > 0) this.#keep(put, []);
    this.#lose(removed);
    this.#options.onWhole?.();
  }

  /** Whether a record stands there as it is known. */
  #has({ key, value, order }: KnownRecord): boolean {
    const there = this.#texts.at(key);
    return there?.order === order &&
      there.text === named(value, key.slice(this.#options.prefix.length));
  }

  #take(records: readonly KnownRecord[]): void {
    for (const { key } of records) this.#gone.delete(key);
    const { prefix } = this.#options;
    this.#texts.take(
      records.filter(({ key }) => key !== this.#ownKey).map(({ key, value, order }) =>
        [key, { text: named(value, key.slice(prefix.length)), order }] as const
      ),
    );
  }

  /** Records are gone: their peers too, at once or once they have had their time to come back. */
  #lose(keys: readonly string[]): void {
    const now = this.#options.clock.now();
    if (keys.includes(this.#ownKey)) this.#registration?.missing();
    if (now >= this.#patientUntil) return this.#drop(keys);
    if (this.#gone.size === 0 && keys.length > 0) this.#later();
    for (const key of keys) this.#gone.set(key, now + COME_BACK_MS);
  }

  #later(): void {
    const { clock } = this.#options;
    clock.sleep(COME_BACK_MS / 10, this.#end.signal).then(() => {
      const now = clock.now();
      const over = [...this.#gone].filter(([, at]) => at <= now).map(([key]) => key);
      for (const key of over) this.#gone.delete(key);
      this.#drop(over);
      if (this.#gone.size > 0) this.#later();
    }, () => {});
  }

  #drop(keys: readonly string[]): void {
    if (keys.length === 0) return;
    this.#texts.take(keys.map((key) => [key, undefined] as const));
    this.#keep([], keys);
  }

  #keep(put: readonly KnownRecord[], removed: readonly string[]): void {
    const { known, clock } = this.#options;
    known.update(NAME, {
      cluster: this.#cluster,
      revision: this.#revision,
      atMs: clock.wallMs(),
      put,
      removed,
    });
  }

  #here(): void {
    const { clock, log } = this.#options;
    const now = clock.now();
    if (this.#awaySince !== undefined) {
      const awayMs = now - this.#awaySince;
      if (awayMs >= OUTAGE_MS) this.#patientUntil = now + COME_BACK_MS;
      this.#awaySince = undefined;
    }
    if (!this.#isCurrent) {
      log.info("The directory is followed", { path: this.#options.prefix });
    }
    this.#isCurrent = true;
    this.#lastError = "";
  }

  #away(reason: string): void {
    const { clock, log } = this.#options;
    this.#awaySince ??= clock.now();
    if (this.#isCurrent) this.#currentAtMs = clock.wallMs();
    this.#isCurrent = false;
    if (this.#lastError === reason) return;
    this.#lastError = reason;
    log.warn("The directory cannot be followed: what it said last goes on", { reason });
  }
}

/** A record that does not say whose it is is that of its key. */
function named(value: string, id: string): string {
  try {
    const record = JSON.parse(value);
    const isBare = typeof record === "object" && record !== null && !Array.isArray(record) &&
      record.id === undefined;
    return isBare ? JSON.stringify({ id, ...record }) : value;
  } catch {
    return value;
  }
}

// SPDX-License-Identifier: Apache-2.0

/** What every source of records has in common: whom it tells, what it counts, and what it says of itself. */
import {
  parseManyRecords,
  parseRecords,
  type RecordRules,
  type Records,
} from "../config/records.ts";
import type { Log } from "../model/log.ts";
import { Slices } from "../model/slices.ts";
import type { Entry, SourceChanges } from "./combined.ts";

/** What a source is given. */
export interface SourceOptions {
  readonly rules: RecordRules;
  readonly log: Log;
  /** Whom alone a text at a place may speak of; absent: anybody. */
  readonly bound?: (place: string) => string;
  /** Takes what is different. Called with nothing else under way. */
  readonly onChanges: (changes: SourceChanges) => void;
  /** Everything that stands there has been told of, once at least. */
  readonly onWhole?: () => void;
}

/** How a source is doing. */
export interface SourceState {
  /** Whether what it knows is what stands there now, as far as it can tell. */
  readonly isCurrent: boolean;
  /** When that was last so, milliseconds of the wall clock; undefined: never. */
  readonly currentAtMs: number | undefined;
  /** Why it is not; "" when it is. */
  readonly lastError: string;
  readonly records: number;
  readonly skipped: number;
  /** What is wrong with records that are left out, so many at most, each with its place. */
  readonly problems: readonly string[];
}

/** A source besides the file. */
export interface Source extends AsyncDisposable {
  readonly name: string;
  state(): SourceState;
  /** The rules have changed: what was judged by them is judged anew. */
  judgeAgain(): void;
}

/** A text at a place, and how early it was there; undefined: nothing stands there any more. */
export interface Text {
  readonly text: string;
  readonly order: bigint;
}

/** Problems that are kept to be shown. */
const PROBLEMS_KEPT = 50;

interface Place extends Text {
  /** Places of its records, as the directory knows them. */
  readonly wheres: ReadonlySet<string>;
  readonly problems: readonly string[];
  readonly skipped: number;
}

/**
 * Texts by their place, read into records. A text that cannot be used changes nothing of what stood there before, and is
 * named and counted.
 */
export class Texts {
  readonly #options: SourceOptions;
  readonly #places = new Map<string, Place>();
  /** Those with problems. */
  readonly #bad = new Set<string>();
  #records = 0;
  #skipped = 0;

  constructor(options: SourceOptions) {
    this.#options = options;
  }

  /** Places where something stands. */
  places(): IterableIterator<string> {
    return this.#places.keys();
  }

  /** What stands at a place. */
  at(place: string): Text | undefined {
    return this.#places.get(place);
  }

  /** Takes what stands at some places now, and tells of what is different. */
  take(texts: Iterable<readonly [place: string, text: Text | undefined]>): void {
    const put: Entry[] = [];
    const removed: string[] = [];
    for (const [place, text] of texts) {
      if (text === undefined) this.#lose(place, removed);
      else if (!this.#says(place, text)) {
        this.#one(place, { text, read: this.#read(place, text.text), into: { put, removed } });
      }
    }
    if (put.length + removed.length > 0) this.#options.onChanges({ put, removed });
  }

  /** The same of very many, one after the other; `signal`: nobody is told any more. Nothing else is taken meanwhile. */
  async takeMany(
    texts: Iterable<readonly [place: string, text: Text | undefined]>,
    signal: AbortSignal,
  ): Promise<void> {
    const slices = new Slices();
    const put: Entry[] = [];
    const removed: string[] = [];
    for (const [place, text] of texts) {
      if (text === undefined) this.#lose(place, removed);
      else if (!this.#says(place, text)) {
        const { rules } = this.#options;
        const read = this.#bound(place, await parseManyRecords(text.text, rules, slices));
        this.#one(place, { text, read, into: { put, removed } });
      }
      await slices.next();
      if (signal.aborted) return;
    }
    if (put.length + removed.length > 0) this.#options.onChanges({ put, removed });
  }

  /** Other networks are known since: texts with something wrong, and those that name networks, are read anew. */
  judgeAgain(): void {
    const put: Entry[] = [];
    const removed: string[] = [];
    for (const [place, text] of this.#places) {
      if (!this.#bad.has(place) && !text.text.includes("@")) continue;
      const read = this.#read(place, text.text);
      this.#one(place, { text, read, into: { put, removed }, isAnew: true });
    }
    if (put.length + removed.length > 0) this.#options.onChanges({ put, removed });
  }

  state(): Pick<SourceState, "records" | "skipped" | "problems"> {
    const problems: string[] = [];
    for (const place of this.#bad) {
      for (const problem of this.#places.get(place)?.problems ?? []) {
        problems.push(`${place}:${problem}`);
      }
      if (problems.length >= PROBLEMS_KEPT) break;
    }
    return {
      records: this.#records,
      skipped: this.#skipped,
      problems: problems.slice(0, PROBLEMS_KEPT),
    };
  }

  /** Nothing stands there any more. */
  #lose(place: string, removed: string[]): void {
    const before = this.#places.get(place);
    if (before === undefined) return;
    removed.push(...before.wheres);
    this.#places.delete(place);
    this.#count(place, before, undefined);
  }

  /** Whether that stands there already: all files of a ConfigMap are others when one is, and most say the same. */
  #says(place: string, { text, order }: Text): boolean {
    const before = this.#places.get(place);
    return before?.text === text && before.order === order;
  }

  /** Another text stands there, or it was judged by other rules. */
  #one(
    place: string,
    { text, read, into, isAnew = false }: {
      readonly text: Text;
      readonly read: Records;
      readonly into: { readonly put: Entry[]; readonly removed: string[] };
      readonly isAnew?: boolean;
    },
  ): void {
    const before = this.#places.get(place);
    const { peers, problems, skipped } = read;
    const wheres = new Set<string>();
    for (const peer of peers) {
      // A place of one record is its own; of several each has its id.
      const where = `${place}#${peer.id}`;
      wheres.add(where);
      into.put.push({ where, peer, order: text.order });
    }
    for (const where of before?.wheres ?? []) {
      if (wheres.has(where)) continue;
      // What is left out may have been this one: it stays as it was, unless it is the rules that have changed.
      if (skipped > 0 && !isAnew) wheres.add(where);
      else into.removed.push(where);
    }
    if (skipped > 0) {
      this.#options.log.warn("A record of the directory is left out", {
        path: place,
        reason: `${place}:${problems[0]}`,
        count: skipped,
      });
    }
    const now = { ...text, wheres, problems, skipped };
    this.#places.set(place, now);
    this.#count(place, before, now);
  }

  #read(place: string, text: string): Records {
    return this.#bound(place, parseRecords(text, this.#options.rules));
  }

  #bound(place: string, read: Records): Records {
    const owner = this.#options.bound?.(place);
    if (owner === undefined) return read;
    const peers = read.peers.filter(({ id }) => id === owner);
    const strangers = read.peers.filter(({ id }) => id !== owner);
    return {
      peers,
      problems: [
        ...read.problems,
        ...strangers.map(({ id }) => `1:1: id: "${id}" is not "${owner}", whose place this is`),
      ],
      skipped: read.skipped + strangers.length,
    };
  }

  #count(place: string, before: Place | undefined, now: Place | undefined): void {
    this.#records += (now?.wheres.size ?? 0) - (before?.wheres.size ?? 0);
    this.#skipped += (now?.skipped ?? 0) - (before?.skipped ?? 0);
    if (now !== undefined && now.problems.length > 0) this.#bad.add(place);
    else this.#bad.delete(place);
  }
}

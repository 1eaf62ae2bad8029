// SPDX-License-Identifier: Apache-2.0

/** The sources of the directory, in their order, and what comes of them: one list of peers, and its changes. */
import { inParts, type PeerChanges } from "../config/changes.ts";
import type { PeerConfig } from "../config/config.ts";
import { Slices } from "../model/slices.ts";
import type { SourceView } from "../model/status.ts";
import { Combined, type SourceChanges } from "./combined.ts";
import type { Source, SourceOptions } from "./source.ts";

/** In this order: the first one that knows a peer says all of it. */
export const SOURCES = [
  { name: "file", strict: false },
  { name: "peers.d", strict: false },
  { name: "etcd", strict: true },
] as const;

/** Name of a source. */
export type SourceName = (typeof SOURCES)[number]["name"];

/** Prefixes that change in one step, unless one moves between more of them: some milliseconds of work. */
export const PREFIXES_AT_ONCE = 150;

/** Conflicts that a view shows of one source. */
const CONFLICTS_SHOWN = 50;

const NOTHING: PeerChanges = { changed: [], removed: [] };

/** Whom a source tells. */
export type Told = Required<Pick<SourceOptions, "onChanges" | "onWhole">>;

/** A source, and what the one before it said that it has not said yet. */
interface Slot {
  source: Source | undefined;
  readonly stale: Set<string>;
}

/** All of them together. */
export class Sources implements AsyncDisposable {
  readonly #combined: Combined;
  readonly #slots = new Map<SourceName, Slot>();
  /** Of sources that have made room. */
  readonly #ending = new Set<Promise<unknown>>();
  #file: ReadonlySet<string> = new Set();
  /** Called with each change that a source makes by itself, from `begin` on. */
  onChanges: (changes: PeerChanges) => void = () => {};
  /** A change that is made bit by bit has failed. */
  onFailed: (cause: unknown) => void = () => {};
  /** Until the last change that is made bit by bit is made; how many there are. */
  #turn: Promise<unknown> = Promise.resolve();
  #turns = 0;
  #isOver = false;
  /** What changed since somebody read `peers`; undefined: it is told at once. */
  #gathered: PeerChanges | undefined = NOTHING;

  /** As the file has it: what lives here, and its peers. */
  constructor(vips: readonly string[], peers: readonly PeerConfig[]) {
    this.#combined = new Combined(SOURCES, vips);
    this.file({ changed: peers, removed: [] });
  }

  /**
   * Opens a source; it is disposed of with these. It takes the place of the one of its name, if there is one: what that has
   * said last goes on until the new one has said everything once. undefined: there is none from now on.
   */
  replace(name: SourceName, open: ((told: Told) => Source) | undefined): void {
    const slot = this.#begin(name);
    if (open !== undefined) {
      slot.source = open(this.#told(name, slot));
      return;
    }
    this.#slots.delete(name);
    this.#forget(name, slot);
  }

  /** The same for one that is opened when it has told everything. */
  async open(name: SourceName, open: (told: Told) => Promise<Source>): Promise<void> {
    const slot = this.#begin(name);
    slot.source = await open(this.#told(name, slot));
  }

  /** The rules that records are judged by have changed. */
  judgeAgain(): void {
    for (const { source } of this.#slots.values()) source?.judgeAgain();
  }

  /** The one before has nothing to say any more. */
  #begin(name: SourceName): Slot {
    const old = this.#slots.get(name)?.source;
    const slot: Slot = { source: undefined, stale: new Set(this.#combined.places(name)) };
    this.#slots.set(name, slot);
    if (old !== undefined) {
      const ending: Promise<unknown> = Promise.resolve(old[Symbol.asyncDispose]())
        .finally(() => this.#ending.delete(ending));
      this.#ending.add(ending);
    }
    return slot;
  }

  #told(name: SourceName, slot: Slot): Told {
    const isCurrent = () => this.#slots.get(name) === slot;
    return {
      onChanges: (changes) => {
        if (!isCurrent()) return;
        for (const { where } of changes.put) slot.stale.delete(where);
        for (const where of changes.removed) slot.stale.delete(where);
        this.take(name, changes);
      },
      onWhole: () => {
        if (isCurrent()) this.#forget(name, slot);
      },
    };
  }

  #forget(name: SourceName, { stale }: Slot): void {
    if (stale.size === 0) return;
    const removed = [...stale];
    stale.clear();
    this.take(name, { put: [], removed });
  }

  /** Everybody, as all sources together say. */
  peers(): readonly PeerConfig[] {
    this.#gathered = NOTHING;
    return this.#combined.peers();
  }

  /** From now on changes are told: first those since `peers` was read. */
  begin(): void {
    const { changed, removed } = this.#gathered ?? NOTHING;
    this.#gathered = undefined;
    if (changed.length + removed.length > 0) this.onChanges({ changed, removed });
  }

  /** The file says something else; the result is what that changes. */
  file(changes: PeerChanges, vips?: readonly string[]): PeerChanges {
    const { changed, removed } = changes;
    const now = new Set(this.#file);
    for (const id of removed) now.delete(id);
    for (const { id } of changed) now.add(id);
    this.#file = now;
    const where = (id: string) => `peers[${id}]`;
    const first = this.#combined.update("file", {
      put: changed.map((peer) => ({ where: where(peer.id), peer, order: 0n })),
      removed: removed.map(where),
    });
    return vips === undefined ? first : joined(first, this.#combined.setLocal(vips));
  }

  /** A source has changes. Many are made bit by bit, and what comes meanwhile after them. */
  take(source: SourceName, changes: SourceChanges): void {
    if (this.#gathered !== undefined || (this.#turns === 0 && this.#isSmall(source, changes))) {
      return this.#make(source, changes);
    }
    this.alone(() => this.#makeInParts(source, changes)).catch((cause) => this.onFailed(cause));
  }

  /** Work between whose steps no source changes anything: each thing is changed before the next. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    this.#turns++;
    try {
      await before;
      return await work();
    } finally {
      this.#turns--;
      resolve();
    }
  }

  #isSmall(source: SourceName, { put, removed }: SourceChanges): boolean {
    let prefixes = 0;
    const add = (peer: PeerConfig | undefined) => prefixes += 1 + (peer?.vips.length ?? 0);
    for (const { peer } of put) if (add(peer) > PREFIXES_AT_ONCE) return false;
    for (const where of removed) {
      if (add(this.#combined.at(source, where)) > PREFIXES_AT_ONCE) return false;
    }
    return true;
  }

  /** A prefix that moves within the change does so in one step. */
  async #makeInParts(source: SourceName, { put, removed }: SourceChanges): Promise<void> {
    const entries = new Map(put.map((entry) => [entry.where, entry]));
    const slices = new Slices();
    const placed = (where: string, peer: PeerConfig | undefined) =>
      peer === undefined ? [] : [{ ...peer, id: where }];
    const all = [...entries.keys(), ...removed];
    const parts = await inParts(
      { changed: put.flatMap(({ where, peer }) => placed(where, peer)), removed },
      {
        before: all.flatMap((where) => placed(where, this.#combined.at(source, where))),
        vips: { before: [], after: [] },
        most: PREFIXES_AT_ONCE,
        slices,
      },
    );
    for (const part of parts) {
      if (this.#isOver) return;
      const puts = part.changed.flatMap(({ id }) => entries.get(id) ?? []);
      this.#make(source, { put: puts, removed: part.removed });
      await slices.next();
    }
  }

  #make(source: SourceName, changes: SourceChanges): void {
    const done = this.#combined.update(source, changes);
    if (done.changed.length + done.removed.length === 0) return;
    if (this.#gathered === undefined) this.onChanges(done);
    else this.#gathered = joined(this.#gathered, done);
  }

  /** As status shows them. */
  views(nowMs: number): readonly SourceView[] {
    const conflicts = this.#combined.conflicts();
    const of = (source: string) => {
      const all = conflicts.filter((conflict) => conflict.source === source);
      const texts = all.slice(0, CONFLICTS_SHOWN).map(({ where, vip, owner }) =>
        vip === undefined
          ? `${where}: ${owner} comes first`
          : `${where}: ${vip} belongs to ${owner === "" ? "this host" : `"${owner}"`}`
      );
      return { conflicts: all.length, texts };
    };
    const file = of("file");
    const first: SourceView = {
      name: "file",
      isCurrent: true,
      currentAtMs: nowMs,
      lastError: "",
      records: this.#file.size,
      skipped: 0,
      conflicts: file.conflicts,
      problems: file.texts,
    };
    const there = SOURCES.flatMap(({ name }) => this.#slots.get(name)?.source ?? []);
    const others = there.map((source): SourceView => {
      const { problems, currentAtMs, ...state } = source.state();
      const { conflicts, texts } = of(source.name);
      return {
        name: source.name,
        ...state,
        ...currentAtMs === undefined ? {} : { currentAtMs },
        conflicts,
        problems: [...problems, ...texts],
      };
    });
    return [first, ...others];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    const all = [...this.#slots.values()].flatMap(({ source }) => source ?? []);
    await Promise.all([...this.#ending, ...all.map((source) => source[Symbol.asyncDispose]())]);
    await this.#turn;
  }
}

/** One change after another, as one. */
function joined(first: PeerChanges, second: PeerChanges): PeerChanges {
  const changed = new Map(first.changed.map((peer) => [peer.id, peer]));
  for (const peer of second.changed) changed.set(peer.id, peer);
  const removed = new Set([...first.removed, ...second.removed]);
  for (const id of changed.keys()) removed.delete(id);
  return { changed: [...changed.values()], removed: [...removed] };
}

// SPDX-License-Identifier: Apache-2.0

/** Pipes and entries of the fake plane: what it takes, and what it refuses. */
import type {
  Actions,
  EntryDescriptor,
  Fwd,
  PipeDescriptor,
  PipeStats,
  Stats,
} from "../../ffi/plane.ts";
import { checkMatch, matchKey, refuse } from "./fake_checks.ts";

/** Packets that the tests send have this many octets. */
export const FAKE_PACKET_BYTES = 100n;

export interface FakePipe {
  readonly id: number;
  readonly descriptor: PipeDescriptor;
  readonly entries: Map<number, FakeEntry>;
  misses: bigint;
}

export interface FakeEntry {
  readonly id: number;
  readonly pipe: number;
  descriptor: EntryDescriptor;
  packets: bigint;
  bytes: bigint;
  lastUsedNs: bigint;
}

export interface FakeTablesOptions {
  readonly maxEntries: number;
  readonly nextId: () => number;
  /** Whether a crypto id holds a key. */
  readonly hasKey: (cryptoId: number) => boolean;
}

/** As those of `Plane`, without the record of calls. Each throws `DataPlaneError`. */
export class FakeTables {
  readonly #o: FakeTablesOptions;
  readonly #pipes = new Map<number, FakePipe>();
  readonly #entries = new Map<number, FakeEntry>();
  /** Which matches are taken, by pipe and match: tables are as large as hosts have tunnels. */
  readonly #matches = new Set<string>();
  /** How many entries match a pkt_meta, and how many set it. */
  readonly #matching = new Map<number, number>();
  readonly #setting = new Map<number, number>();

  constructor(options: FakeTablesOptions) {
    this.#o = options;
  }

  /** In the order of their creation. */
  pipes(): readonly FakePipe[] {
    return [...this.#pipes.values()];
  }

  named(name: string): FakePipe | undefined {
    return this.pipes().find((p) => p.descriptor.name === name);
  }

  nameOf(pipe: number): string | undefined {
    return this.#pipes.get(pipe)?.descriptor.name;
  }

  /** Name of the pipe that an entry is in. */
  pipeNameOf(entry: number): string | undefined {
    return this.nameOf(this.#entries.get(entry)?.pipe ?? 0);
  }

  createPipe(descriptor: PipeDescriptor): number {
    const what = `Cannot create pipe "${descriptor.name}"`;
    if (this.named(descriptor.name)) throw refuse(what, "it is there already", "EEXIST");
    if (descriptor.is_root && this.pipes().some((p) => p.descriptor.is_root)) {
      throw refuse(what, "there is a root pipe already", "EEXIST");
    }
    this.#checkFwd(what, descriptor.fwd);
    this.#checkFwd(what, descriptor.fwd_miss);
    const id = this.#o.nextId();
    this.#pipes.set(id, { id, descriptor, entries: new Map(), misses: 0n });
    return id;
  }

  destroyPipe(pipe: number): void {
    const p = this.#pipe("destroy", pipe);
    const before = this.pipes().find((other) =>
      [
        other.descriptor.fwd,
        other.descriptor.fwd_miss,
        ...[...other.entries.values()].map((e) => e.descriptor.fwd),
      ].some((fwd) => fwd?.type === "pipe" && fwd.pipe === pipe)
    );
    if (before !== undefined) {
      throw refuse(
        `Cannot destroy pipe "${p.descriptor.name}"`,
        `"${before.descriptor.name}" forwards to it`,
        "EBUSY",
      );
    }
    for (const e of p.entries.values()) this.#forget(e);
    this.#pipes.delete(pipe);
  }

  queryPipe(pipe: number): PipeStats {
    const p = this.#pipe("query", pipe);
    const entries = [...p.entries.values()];
    return {
      entries: entries.length,
      packets: entries.reduce((sum, e) => sum + e.packets, 0n),
      bytes: entries.reduce((sum, e) => sum + e.bytes, 0n),
      lastUsedNs: entries.reduce((last, e) => e.lastUsedNs > last ? e.lastUsedNs : last, 0n),
      missPackets: p.misses,
      missBytes: p.misses * FAKE_PACKET_BYTES,
    };
  }

  addEntry(pipe: number, entry: EntryDescriptor): number {
    const p = this.#pipe("add an entry to", pipe);
    const what = `Cannot add entry to pipe "${p.descriptor.name}"`;
    if (this.#entries.size >= this.#o.maxEntries) {
      throw refuse(what, "no room for another entry", "ENOSPC");
    }
    checkMatch(what, p.descriptor, entry);
    if (this.#matches.has(placeOf(pipe, entry))) {
      throw refuse(what, "an entry with this match is there already", "EEXIST");
    }
    this.#checkActions(what, entry.actions);
    this.#checkFwd(what, entry.fwd);
    if (entry.fwd === undefined && p.descriptor.fwd === undefined) {
      throw refuse(what, "neither the entry nor the pipe says where to forward", "EINVAL");
    }
    const id = this.#o.nextId();
    const e = { id, pipe, descriptor: entry, packets: 0n, bytes: 0n, lastUsedNs: 0n };
    p.entries.set(id, e);
    this.#entries.set(id, e);
    this.#matches.add(placeOf(pipe, entry));
    count(this.#matching, entry.match.meta?.pkt_meta, 1);
    count(this.#setting, entry.actions?.meta?.pkt_meta, 1);
    return id;
  }

  updateEntry(entry: number, descriptor: EntryDescriptor): void {
    const e = this.entry("update", entry);
    const what = `Cannot update entry of pipe "${this.pipeNameOf(entry)}"`;
    if (matchKey(descriptor) !== matchKey(e.descriptor)) {
      throw refuse(what, "its match differs", "EINVAL");
    }
    this.#checkActions(what, descriptor.actions);
    this.#checkFwd(what, descriptor.fwd);
    count(this.#setting, e.descriptor.actions?.meta?.pkt_meta, -1);
    count(this.#setting, descriptor.actions?.meta?.pkt_meta, 1);
    e.descriptor = descriptor;
  }

  removeEntry(entry: number): void {
    const e = this.entry("remove", entry);
    const meta = e.descriptor.match.meta?.pkt_meta;
    if (meta !== undefined && this.#setting.has(meta)) {
      throw refuse(
        `Cannot remove entry of pipe "${this.pipeNameOf(entry)}"`,
        `an entry upstream still sets pkt_meta ${meta}`,
        "EBUSY",
      );
    }
    this.#pipes.get(e.pipe)?.entries.delete(entry);
    this.#forget(e);
  }

  queryEntry(entry: number): Stats {
    const { packets, bytes, lastUsedNs } = this.entry("query", entry);
    return { packets, bytes, lastUsedNs };
  }

  /** Throws `DataPlaneError` "ENOENT": Cannot `verb` an entry that is not there. */
  entry(verb: string, id: number): FakeEntry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw refuse(`Cannot ${verb} entry ${id}`, "there is none", "ENOENT");
    return entry;
  }

  #pipe(verb: string, id: number): FakePipe {
    const pipe = this.#pipes.get(id);
    if (pipe === undefined) throw refuse(`Cannot ${verb} pipe ${id}`, "there is none", "ENOENT");
    return pipe;
  }

  #forget({ id, pipe, descriptor }: FakeEntry): void {
    this.#entries.delete(id);
    this.#matches.delete(placeOf(pipe, descriptor));
    count(this.#matching, descriptor.match.meta?.pkt_meta, -1);
    count(this.#setting, descriptor.actions?.meta?.pkt_meta, -1);
  }

  #checkFwd(what: string, fwd: Fwd | undefined): void {
    if (fwd?.type === "pipe" && !this.#pipes.has(fwd.pipe)) {
      throw refuse(what, `it forwards to pipe ${fwd.pipe}, which is not there`, "ENOENT");
    }
  }

  #checkActions(what: string, actions: Actions | undefined): void {
    const crypto = actions?.crypto;
    if (crypto?.action === "encrypt" && !this.#o.hasKey(crypto.crypto_id)) {
      throw refuse(what, `crypto id ${crypto.crypto_id} holds no key`, "ENOENT");
    }
    const meta = actions?.meta?.pkt_meta;
    if (meta !== undefined && !this.#matching.has(meta)) {
      throw refuse(what, `no entry downstream matches pkt_meta ${meta}`, "ENOENT");
    }
  }
}

function placeOf(pipe: number, entry: EntryDescriptor): string {
  return `${pipe} ${matchKey(entry)}`;
}

/** Counts what has a pkt_meta up or down; none is none, not 0. */
function count(counts: Map<number, number>, meta: number | undefined, by: 1 | -1): void {
  if (meta === undefined) return;
  const n = (counts.get(meta) ?? 0) + by;
  if (n === 0) counts.delete(meta);
  else counts.set(meta, n);
}

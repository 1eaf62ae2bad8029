// SPDX-License-Identifier: Apache-2.0

/**
 * Records of several sources as one directory. A peer is what the first source says that knows it, and a prefix has one
 * owner: this host, then the first source's, then who was there first. What loses is left out, and shown. Pure.
 */
import { type PeerChanges, sameValue } from "../config/changes.ts";
import type { PeerConfig } from "../config/config.ts";
import { MAX_PEERS } from "../config/schema.ts";
import { isOneAddress, parsePrefix, type Prefix } from "../model/vip.ts";

/** A peer, as a source has it. */
export interface Entry {
  /** Where it stands; one place in a source holds one record. */
  readonly where: string;
  readonly peer: PeerConfig;
  /** Within the source the smaller one was there first. */
  readonly order: bigint;
}

/** A source of records: the one that is named first comes first. */
export interface SourceKind {
  readonly name: string;
  /**
   * Its records are written by those whom they speak of, not by an operator: none of them takes a part out of a
   * prefix that another had before. Where an operator writes, the longer prefix is meant so.
   */
  readonly strict: boolean;
}

/** What of a source is different. */
export interface SourceChanges {
  /** New ones, and those that say something else. */
  readonly put: readonly Entry[];
  /** Their places. */
  readonly removed: readonly string[];
}

/** A record, or a prefix in it, that another one keeps out. */
export interface Conflict {
  readonly source: string;
  readonly where: string;
  readonly peer: string;
  /** Absent: the whole record. */
  readonly vip?: string;
  /**
   * Who has it instead: the id of a peer, "" for this host; of a whole record the place of that which comes first, or
   * what else is in its way.
   */
  readonly owner: string;
}

interface Candidate extends Entry {
  readonly rank: number;
}

/** Who claims a prefix: nearly always one, and a map for each prefix would be most of the memory of a directory. */
type Claimants = Candidate | Map<string, Candidate> | undefined;

interface Claim {
  readonly vip: string;
  readonly prefix: Prefix;
  /** Of the records that are in force. */
  by: Claimants;
  owner: string | undefined;
}

/** All records, and the directory that follows from them. */
export class Combined {
  readonly #kinds: readonly SourceKind[];
  readonly #places = new Map<string, Candidate>();
  /** Those of strict sources. */
  #strictPlaces = 0;
  /** By peer, the first one first. */
  readonly #byId = new Map<string, Candidate[]>();
  readonly #claims = new Map<string, Claim>();
  /** Of those, the ones that another prefix may be within: hosts' addresses, nearly all there are, take no room here. */
  readonly #byPrefix = new Map<string, Claim>();
  /** The record of each peer whose prefixes stand among the claims. */
  readonly #claimant = new Map<string, Candidate>();
  readonly #lengths: { readonly 4: number[]; readonly 6: number[] } = { 4: [], 6: [] };
  readonly #out = new Map<string, PeerConfig>();
  readonly #conflicts = new Map<string, readonly Conflict[]>();
  /** Peers for which there was no room. */
  readonly #waiting = new Set<string>();
  readonly #most: number;
  #local: ReadonlySet<string>;

  /** `local`: the prefixes of this host. `most`: peers that there can be. */
  constructor(kinds: readonly SourceKind[], local: readonly string[], most = MAX_PEERS) {
    this.#kinds = kinds;
    this.#local = new Set(local);
    this.#most = most;
  }

  /** Peers that there are. */
  get size(): number {
    return this.#out.size;
  }

  /** The directory as it is. */
  peers(): readonly PeerConfig[] {
    return [...this.#out.values()];
  }

  /** Where records of a source stand. */
  places(source: string): readonly string[] {
    const prefix = `${this.#kinds.findIndex(({ name }) => name === source)} `;
    return [...this.#places.keys()].flatMap((place) =>
      place.startsWith(prefix) ? [place.slice(prefix.length)] : []
    );
  }

  /** What a source says at a place. */
  at(source: string, where: string): PeerConfig | undefined {
    return this.#places.get(`${this.#kinds.findIndex(({ name }) => name === source)} ${where}`)
      ?.peer;
  }

  /** Makes the changes of one source, and says what they change in the directory. */
  update(source: string, { put, removed }: SourceChanges): PeerChanges {
    const rank = this.#kinds.findIndex(({ name }) => name === source);
    if (rank < 0) throw new RangeError(`There is no source "${source}"`);
    const ids = new Set<string>();
    const next = new Map<string, Candidate | undefined>();
    for (const where of removed) next.set(where, undefined);
    for (const entry of put) next.set(entry.where, { ...entry, rank });
    for (const [where, candidate] of next) {
      const place = `${rank} ${where}`;
      const old = this.#places.get(place);
      if (old !== undefined) ids.add(old.peer.id);
      if (this.#isStrict(rank)) {
        this.#strictPlaces += Number(candidate !== undefined) - Number(old !== undefined);
      }
      if (candidate === undefined) this.#places.delete(place);
      else {
        this.#places.set(place, candidate);
        ids.add(candidate.peer.id);
      }
      this.#replace(old, candidate);
    }
    return this.#settle(ids, new Set());
  }

  /** This host has other prefixes. */
  setLocal(local: readonly string[]): PeerChanges {
    const now = new Set(local);
    const vips = now.symmetricDifference(this.#local);
    this.#local = now;
    return this.#settle(new Set(), vips);
  }

  /** What is kept out, and by whom. */
  conflicts(): readonly Conflict[] {
    return [...this.#conflicts.values()].flat();
  }

  /** How many records and prefixes are kept out, of one source. */
  conflictsOf(source: string): number {
    let n = 0;
    for (const all of this.#conflicts.values()) {
      for (const conflict of all) if (conflict.source === source) n++;
    }
    return n;
  }

  #replace(old: Candidate | undefined, candidate: Candidate | undefined): void {
    if (old !== undefined) {
      const left = (this.#byId.get(old.peer.id) ?? []).filter((other) => other !== old);
      if (left.length === 0) this.#byId.delete(old.peer.id);
      else this.#byId.set(old.peer.id, left);
    }
    if (candidate === undefined) return;
    const { id } = candidate.peer;
    this.#byId.set(id, [...this.#byId.get(id) ?? [], candidate].sort(before));
  }

  /** Who has what, after these peers' records or the ownership of these prefixes may be others. */
  #settle(ids: ReadonlySet<string>, vips: ReadonlySet<string>): PeerChanges {
    const touched = new Set(vips);
    for (const id of ids) this.#claim(id, touched);
    const affected = new Set(ids);
    for (const claim of this.#inOrder(touched)) {
      const owner = this.#ownerOf(claim);
      if (owner !== claim.owner) {
        if (claim.owner !== undefined) affected.add(claim.owner);
        if (owner !== undefined) affected.add(owner);
        claim.owner = owner;
      }
      // Who is kept out by another one than before is shown so.
      for (const { peer } of allOf(claim.by)) affected.add(peer.id);
      if (claim.by === undefined) this.#drop(claim);
    }
    const changed: PeerConfig[] = [];
    const removed: string[] = [];
    for (const id of affected) {
      if (this.#byId.has(id)) continue;
      this.#conflicts.delete(id);
      this.#waiting.delete(id);
      if (this.#out.delete(id)) removed.push(id);
    }
    let room = this.#most - this.#out.size;
    for (const id of affected) if (this.#byId.has(id) && !this.#out.has(id)) room--;
    for (const id of this.#waiting) {
      if (room-- <= 0) break;
      affected.add(id);
    }
    for (const id of affected) {
      const [first] = this.#byId.get(id) ?? [];
      if (first === undefined) continue;
      if (!this.#out.has(id) && this.#out.size >= this.#most) {
        this.#waiting.add(id);
        this.#show(id);
        continue;
      }
      this.#waiting.delete(id);
      const peer = this.#effective(first);
      const old = this.#out.get(id);
      this.#show(id);
      if (old !== undefined && sameValue(old, peer)) continue;
      this.#out.set(id, peer);
      changed.push(peer);
    }
    return { changed, removed };
  }

  /** The prefixes that a peer claims by the record in force; those where that changes are `touched`. */
  #claim(id: string, touched: Set<string>): void {
    const [first] = this.#byId.get(id) ?? [];
    const old = this.#claimant.get(id);
    if (old === first) return;
    // A prefix that it claims as before, with the same right, concerns nobody else.
    const same = old !== undefined && first !== undefined && old.rank === first.rank &&
      old.order === first.order && old.where === first.where;
    const kept = same ? new Set(old.peer.vips).intersection(new Set(first.peer.vips)) : new Set();
    for (const vip of old?.peer.vips ?? []) {
      const claim = this.#claims.get(vip);
      if (claim !== undefined) claim.by = without(claim.by, id);
      if (!kept.has(vip)) touched.add(vip);
    }
    if (first === undefined) this.#claimant.delete(id);
    else this.#claimant.set(id, first);
    for (const vip of first?.peer.vips ?? []) {
      const claim = first && this.#at(vip);
      if (claim !== undefined && first !== undefined) claim.by = withOne(claim.by, first);
      if (!kept.has(vip)) touched.add(vip);
    }
  }

  #at(vip: string): Claim | undefined {
    const there = this.#claims.get(vip);
    if (there !== undefined) return there;
    const prefix = parsePrefix(vip);
    if (prefix === undefined) return undefined;
    const claim: Claim = { vip, prefix, by: undefined, owner: undefined };
    this.#claims.set(vip, claim);
    if (!isOneAddress(prefix)) this.#byPrefix.set(keyOf(prefix), claim);
    const lengths = this.#lengths[prefix.family];
    if (!lengths.includes(prefix.length)) {
      lengths.push(prefix.length);
      lengths.sort((a, b) => a - b);
    }
    return claim;
  }

  #drop({ vip, prefix }: Claim): void {
    this.#claims.delete(vip);
    if (!isOneAddress(prefix)) this.#byPrefix.delete(keyOf(prefix));
  }

  /** These claims, and those of strict sources inside them, the shortest prefix first. */
  #inOrder(vips: ReadonlySet<string>): readonly Claim[] {
    const named: Claim[] = [];
    const wide: Prefix[] = [];
    for (const vip of vips) {
      const claim = this.#claims.get(vip);
      if (claim === undefined) continue;
      named.push(claim);
      const { family, length } = claim.prefix;
      if (length < (this.#lengths[family].at(-1) ?? 0)) wide.push(claim.prefix);
    }
    let found: Iterable<Claim> = named;
    if (wide.length > 0 && this.#strictPlaces > 0) {
      const all = new Set(named);
      found = all;
      const keys = new Set(wide.map(keyOf));
      for (const claim of this.#claims.values()) {
        if (this.#isStrictly(claim.by) && this.#around(claim.prefix).some((key) => keys.has(key))) {
          all.add(claim);
        }
      }
    }
    return [...found].sort((a, b) => a.prefix.length - b.prefix.length);
  }

  /** Whether a strict source claims it. */
  #isStrictly(by: Claimants): boolean {
    for (const { rank } of allOf(by)) if (this.#isStrict(rank)) return true;
    return false;
  }

  /** Keys of the prefixes around one that somebody may claim, the shortest first. */
  #around(prefix: Prefix): readonly string[] {
    const width = prefix.family === 4 ? 32 : 128;
    return this.#lengths[prefix.family].filter((length) => length < prefix.length)
      .map((length) => {
        const shift = BigInt(width - length);
        return keyOf({ ...prefix, bits: (prefix.bits >> shift) << shift, length });
      });
  }

  /** The peer that has the prefix; undefined: this host, or nobody. */
  #ownerOf(claim: Claim): string | undefined {
    if (this.#local.has(claim.vip)) return undefined;
    const { by } = claim;
    // As nearly always: there is nobody to be compared with.
    if (by === undefined) return undefined;
    if (!("values" in by)) return this.#blocker(claim, by) === undefined ? by.peer.id : undefined;
    const all = [...by.values()].sort(before);
    return all.find((candidate) => this.#blocker(claim, candidate) === undefined)?.peer.id;
  }

  /** Who had a prefix around it before, where that counts. */
  #blocker({ prefix }: Claim, { rank, order, peer }: Candidate): string | undefined {
    if (!this.#isStrict(rank)) return undefined;
    for (const key of this.#around(prefix)) {
      const around = this.#byPrefix.get(key);
      const owner = around?.owner;
      if (owner === undefined || owner === peer.id) continue;
      const other = around && oneOf(around.by, owner);
      if (other?.rank === rank && before(other, { rank, order, where: "", peer }) < 0) return owner;
    }
    return undefined;
  }

  #isStrict(rank: number): boolean {
    return this.#kinds[rank]?.strict ?? false;
  }

  #effective({ peer }: Candidate): PeerConfig {
    const vips = peer.vips.filter((vip) => this.#claims.get(vip)?.owner === peer.id);
    return vips.length === peer.vips.length ? peer : { ...peer, vips };
  }

  #show(id: string): void {
    const [first, ...others] = this.#byId.get(id) ?? [];
    if (first === undefined) return;
    const of = ({ rank, where }: Candidate) => ({
      source: this.#kinds[rank]?.name ?? "",
      where,
      peer: id,
    });
    const shadowed = others.map((other): Conflict => ({ ...of(other), owner: first.where }));
    const lost = first.peer.vips.flatMap((vip): readonly Conflict[] => {
      const claim = this.#claims.get(vip);
      if (claim === undefined || claim.owner === id) return [];
      const owner = this.#local.has(vip) ? "" : claim.owner ?? this.#blocker(claim, first) ?? "";
      return [{ ...of(first), vip, owner }];
    });
    const beyond = this.#waiting.has(id)
      ? [{ ...of(first), owner: `the limit of ${this.#most} peers` }]
      : [];
    const all: readonly Conflict[] = [...beyond, ...shadowed, ...lost];
    if (all.length === 0) this.#conflicts.delete(id);
    else this.#conflicts.set(id, all);
  }
}

/** Which of two comes first. */
function before(a: Candidate, b: Candidate): number {
  if (a.rank !== b.rank) return a.rank - b.rank;
  if (a.order !== b.order) return a.order < b.order ? -1 : 1;
  return a.where < b.where ? -1 : a.where > b.where ? 1 : a.peer.id < b.peer.id ? -1 : 1;
}

function allOf(by: Claimants): Iterable<Candidate> {
  if (by === undefined) return [];
  return "values" in by ? by.values() : [by];
}

function oneOf(by: Claimants, id: string): Candidate | undefined {
  if (by === undefined || "values" in by) return by?.get(id);
  return by.peer.id === id ? by : undefined;
}

function withOne(by: Claimants, one: Candidate): Claimants {
  const { id } = one.peer;
  if (by === undefined) return one;
  if ("values" in by) return by.set(id, one);
  return by.peer.id === id ? one : new Map([[by.peer.id, by], [id, one]]);
}

function without(by: Claimants, id: string): Claimants {
  if (by === undefined || !("values" in by)) return by?.peer.id === id ? undefined : by;
  by.delete(id);
  return by.size === 0 ? undefined : by;
}

function keyOf({ network, family, bits, length }: Prefix): string {
  return `${family}/${length}/${bits}@${network}`;
}

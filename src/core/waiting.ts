// SPDX-License-Identifier: Apache-2.0

/**
 * Tunnels that wait for the next request to a peer, kept by how urgent each is, by its network and by its address: what goes
 * into a request is found without a look at the others, however many wait.
 */
import { networkOf } from "../model/network.ts";
import { isLive } from "./tunnel.ts";
import type { Tunnel } from "./tunnel_table.ts";
import { WORK, type Work, workOf } from "./work.ts";

/** One that waits. Its rank is its place among all of them. */
interface Item extends Ranks {
  readonly key: string;
  readonly vip: string;
  work: Work;
  /** Of those of its kind and address. */
  among: Party;
  /** What time alone makes more urgent. */
  due: Due | undefined;
}

/** Its rank is when, of `Clock.now`. */
interface Due extends Ranks {
  readonly item: Item;
}

/** Items of a kind; below it those of a network, and of an address. Its rank is that of the first of them. */
interface Party extends Ranks {
  readonly name: string;
  /** Undefined: it is a whole kind. */
  readonly among: Party | undefined;
  readonly items: Ranked<Item>;
  readonly parties: Ranked<Party>;
  readonly byName: Map<string, Party>;
}

/** While anything waits. */
interface Index {
  readonly items: Map<string, Item>;
  readonly kinds: Map<Work, Party>;
  readonly due: Ranked<Due>;
  last: number;
}

/** What waits for one peer, by key. */
export class Waiting {
  #index: Index | undefined;

  get size(): number {
    return this.#index?.items.size ?? 0;
  }

  /** The keys in the order in which they came. */
  [Symbol.iterator](): Iterator<string> {
    return (this.#index?.items ?? new Map<string, Item>()).keys();
  }

  /** One that waits already keeps its place. */
  add(tunnel: Tunnel, now: number): void {
    const index = this.#index ??= {
      items: new Map(),
      kinds: new Map(),
      due: new Ranked(),
      last: 0,
    };
    if (index.items.has(tunnel.key)) return this.changed(tunnel, now);
    const { key, pair: { localVip: vip }, state } = tunnel;
    const work = workOf(state, now);
    const among = partyOf(index, work, vip);
    const item: Item = { key, vip, work, among, due: undefined, rank: ++index.last, place: 0 };
    index.items.set(key, item);
    enter(item);
    this.#setDue(index, item, tunnel);
  }

  /** A tunnel has another state: it may be more urgent, or less, or gone. */
  changed(tunnel: Tunnel, now: number): void {
    const index = this.#index;
    const item = index?.items.get(tunnel.key);
    if (index === undefined || item === undefined) return;
    const { state } = tunnel;
    if (state.kind === "closed" && state.rx.length === 0) return this.delete(tunnel.key);
    this.#move(index, item, workOf(state, now));
    this.#setDue(index, item, tunnel);
  }

  delete(key: string): void {
    const index = this.#index;
    const item = index?.items.get(key);
    if (index === undefined || item === undefined) return;
    index.items.delete(key);
    if (index.items.size === 0) return this.clear();
    leave(item);
    if (item.due !== undefined) index.due.delete(item.due);
  }

  clear(): void {
    this.#index = undefined;
  }

  /** Time goes on: what is due by now is a rekey. */
  advance(now: number): void {
    const index = this.#index;
    for (let first = index?.due.first; index !== undefined && first !== undefined;) {
      if (first.rank > now) return;
      index.due.delete(first);
      first.item.due = undefined;
      this.#move(index, first.item, "rekey");
      first = index.due.first;
    }
  }

  /** The most urgent of what is wanted. */
  get urgency(): Work {
    const kinds = this.#index?.kinds;
    return WORK.find((work) => kinds?.get(work)?.parties.first !== undefined) ?? "warm";
  }

  /**
   * All keys, those of this kind first: of either part one of each network after the other, and within it one of each
   * address. Whoever stops early has not looked at the rest. It must not change meanwhile.
   */
  *inOrder(first: Work): Generator<string> {
    const kinds = this.#index?.kinds ?? new Map<Work, Party>();
    const others = [...kinds].flatMap(([work, kind]) => work === first ? [] : [kind]);
    const one = kinds.get(first);
    for (const { key } of fairly(one === undefined ? [] : [one])) yield key;
    for (const { key } of fairly(others)) yield key;
  }

  #move(index: Index, item: Item, work: Work): void {
    if (item.work === work) return;
    leave(item);
    item.work = work;
    item.among = partyOf(index, work, item.vip);
    enter(item);
  }

  #setDue({ due }: Index, item: Item, { state }: Tunnel): void {
    const at = item.work === "rotation" && isLive(state) ? state.tx.softAt : Infinity;
    if (at === Infinity) {
      if (item.due !== undefined) due.delete(item.due);
      item.due = undefined;
      return;
    }
    item.due ??= { item, rank: at, place: 0 };
    item.due.rank = at;
    due.put(item.due);
  }
}

function partyOf({ kinds }: Index, work: Work, vip: string): Party {
  let kind = kinds.get(work);
  if (kind === undefined) kinds.set(work, kind = party(work, undefined));
  return within(within(kind, networkOf(vip)), vip);
}

function within(among: Party, name: string): Party {
  let found = among.byName.get(name);
  if (found === undefined) among.byName.set(name, found = party(name, among));
  return found;
}

function party(name: string, among: Party | undefined): Party {
  return {
    name,
    among,
    items: new Ranked(),
    parties: new Ranked(),
    byName: new Map(),
    rank: 0,
    place: 0,
  };
}

function enter(item: Item): void {
  item.among.items.put(item);
  followFirst(item.among);
}

function leave(item: Item): void {
  item.among.items.delete(item);
  followFirst(item.among);
}

/** Its first is another one, or it has none any more. */
function followFirst(party: Party): void {
  const { among } = party;
  if (among === undefined) return;
  const first = party.items.first ?? party.parties.first;
  if (first === undefined) {
    among.parties.delete(party);
    among.byName.delete(party.name);
  } else if (party.place === 0 || party.rank !== first.rank) {
    party.rank = first.rank;
    among.parties.put(party);
  } else return;
  followFirst(among);
}

/** The items of all these kinds. */
function fairly(kinds: readonly Party[]): Iterable<Item> {
  return inTurns(
    below(kinds, (networks) => inTurns(below(networks, (addresses) => merged(addresses, itemsOf)))),
  );
}

/** Parties below these, those of the same name together, each found when it is its turn for the first time. */
function* below<T>(
  of: readonly Party[],
  all: (same: readonly Party[]) => Iterator<T>,
): Generator<Iterator<T>> {
  const seen = new Set<string>();
  for (const { name } of merged(of, ({ parties }) => parties)) {
    if (seen.has(name)) continue;
    seen.add(name);
    yield all(of.flatMap(({ byName }) => byName.get(name) ?? []));
  }
}

function itemsOf({ items }: Party): Ranked<Item> {
  return items;
}

/** One of each after the other. */
function* inTurns<T>(all: Iterable<Iterator<T>>): Generator<T> {
  let going: Iterator<T>[] = [];
  for (const one of all) {
    const next = one.next();
    if (next.done) continue;
    going.push(one);
    yield next.value;
  }
  while (going.length > 0) {
    const still: Iterator<T>[] = [];
    for (const one of going) {
      const next = one.next();
      if (next.done) continue;
      still.push(one);
      yield next.value;
    }
    going = still;
  }
}

/** What several parties have, in one order. */
function* merged<T extends Ranks>(
  of: readonly Party[],
  orderOf: (party: Party) => Ranked<T>,
): Generator<T> {
  const heads = of.flatMap((party) => {
    const rest = orderOf(party).inOrder();
    const next = rest.next();
    return next.done ? [] : [{ rest, first: next.value }];
  });
  while (heads.length > 0) {
    const head = heads.reduce((a, b) => a.first.rank <= b.first.rank ? a : b);
    yield head.first;
    const next = head.rest.next();
    if (next.done) heads.splice(heads.indexOf(head), 1);
    else head.first = next.value;
  }
}

/** Has a rank among its like, the least of them first; ranks differ. */
export interface Ranks {
  /** May change only before `put`. */
  rank: number;
  /** Where the order has it, from 1; 0: nowhere. Only the order writes it. */
  place: number;
}

/** An order of such. Each stands in one of them at most. */
export class Ranked<T extends Ranks> {
  /** A heap: what stands at `i` comes before what stands at 2i and 2i + 1, from 1. */
  readonly #heap: T[] = [];

  get first(): T | undefined {
    return this.#heap[0];
  }

  /** Puts it in, or where it belongs when its rank has changed. */
  put(one: T): void {
    if (one.place === 0) {
      this.#heap.push(one);
      one.place = this.#heap.length;
    }
    this.#settle(one);
  }

  delete(one: T): void {
    const { place } = one;
    if (place === 0) return;
    one.place = 0;
    const last = this.#heap.pop();
    if (last === undefined || last === one) return;
    last.place = place;
    this.#settle(last);
  }

  /** The first ones of them, as many as are taken: each costs the logarithm of those before it. It must not change meanwhile. */
  *inOrder(): Generator<T> {
    // What may be next, the last one first.
    const next: T[] = [];
    const see = (place: number) => {
      const one = this.#heap[place - 1];
      if (one === undefined) return;
      let [from, to] = [0, next.length];
      while (from < to) {
        const middle = (from + to) >> 1;
        if ((next[middle]?.rank ?? 0) > one.rank) from = middle + 1;
        else to = middle;
      }
      next.splice(from, 0, one);
    };
    see(1);
    for (let one = next.pop(); one !== undefined; one = next.pop()) {
      yield one;
      see(2 * one.place);
      see(2 * one.place + 1);
    }
  }

  #settle(one: T): void {
    let { place } = one;
    const { rank } = one;
    for (let up = this.#at(place >> 1); up !== undefined && up.rank > rank;) {
      this.#set(place, up);
      place >>= 1;
      up = this.#at(place >> 1);
    }
    for (;;) {
      const [left, right] = [this.#at(2 * place), this.#at(2 * place + 1)];
      const down = right !== undefined && left !== undefined && right.rank < left.rank
        ? right
        : left;
      if (down === undefined || down.rank >= rank) break;
      const below = down.place;
      this.#set(place, down);
      place = below;
    }
    this.#set(place, one);
  }

  #at(place: number): T | undefined {
    return place === 0 ? undefined : this.#heap[place - 1];
  }

  #set(place: number, one: T): void {
    this.#heap[place - 1] = one;
    one.place = place;
  }
}

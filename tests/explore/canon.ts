// SPDX-License-Identifier: Apache-2.0

/**
 * The state of a world as a number, such that two worlds with the same number behave alike: times are relative to now, SPIs
 * and epochs to their host's latest, ids are numbered as they are met, and of all namings of hosts and pairs the one with
 * the least number is taken. It walks whatever the cores hold, once, so that a new field makes states finer, never coarser.
 */
import { Key } from "../../ffi/key.ts";
import { pipOf, vipOf, type WorldHost } from "../sim/host.ts";
import { partsOf } from "../sim/load.ts";
import { OpenController, OpenSignal, Promised } from "../sim/promise.ts";
import { placeOf } from "../sim/plane.ts";
import { inMemory } from "../sim/record.ts";
import type { World } from "../sim/world.ts";

/** Parts of a core that hold no state of the protocol, or that others hold as well. */
const NO_STATE: ReadonlySet<string> = new Set([
  "counters",
  "tasks",
  "defaults",
  "calls",
  "scheduler",
  "recorder",
  "watch",
  "gate",
  "spis",
  "views",
  "ticker",
  "responder",
  "noticeHandler",
  "misses",
  "explainer",
  "pinger",
  "orders",
  "keyShares",
]);

/** Fields that are powers, derived from others, or for people only. */
const SKIPPED: readonly string[] = [
  ..."_options options _o config clock counters log random store plane flows shares".split(" "),
  ..."_table table _outcomes _due _byPeer _byRxSpi _pace pace raise _wake census".split(" "),
  ..."lastError createdAtMs expiresAtMs untilMs bornAt openedAt since asked peer".split(" "),
  ..."tunnel packets bytes key mac pip spisLow softPackets dueAt _noticedAt heardAt".split(" "),
  ..."_names _owners _lifeUntilMs membership _rows _byRow row _progress _count _unasked _cost _heldSince"
    .split(" "),
];

/** Whose value is a moment of `Clock.now`. */
const MOMENT = /(?:At|^at)$/;
/** ... and of one that is over when it has passed, however long ago. */
const END = /[uU]ntil$|^nextAt$/;
/** What lies further ahead is far; nothing in a core that is explored waits for so long but to forget. */
export const FAR_MS = 10_000;
/** Smaller numbers are no SPIs: see ../sim/plane.ts. */
const LEAST_SPI = 2 ** 20;

/** What is written: numbers and words, mixed already, or what names something by its place among others of its kind. */
const PLAIN = 0;
const HOST = 2;
/** A host, and a workload on it: `host * VIPS + vip`. */
const VIP = 3;
const ID = 4;
/** Between `OPEN` and `CLOSE` stand items in no order, each after a `NEXT`. */
const OPEN = 5;
const NEXT = 6;
const CLOSE = 7;

const VIPS = 256;

/** Objects whose fields are remembered at most: most of them are gone by then. */
const REMEMBERED = 20_000;

/** What was written, each with what it is: a value, or the two halves of what was mixed. */
class Tape {
  kinds: Uint8Array = new Uint8Array(1024);
  lows: Int32Array = new Int32Array(1024);
  highs: Int32Array = new Int32Array(1024);
  length = 0;
  readonly #plain = new Mixer();

  /** A number, or a word by its two halves: what depends on no naming is the same under all of them. */
  plain(low: number, high: number): void {
    this.#plain.mix(low, high);
  }

  /** Something else than a number or a word. */
  put(kind: number, value: number): void {
    this.flush();
    this.#put(kind, value, 0);
  }

  flush(): void {
    const plain = this.#plain;
    if (plain.n === 0) return;
    this.#put(PLAIN, plain.a, plain.b);
    plain.reset();
  }

  clear(): void {
    this.length = 0;
  }

  #put(kind: number, low: number, high: number): void {
    const i = this.length++;
    if (i === this.kinds.length) this.#grow();
    this.kinds[i] = kind;
    this.lows[i] = low;
    this.highs[i] = high;
  }

  #grow(): void {
    const { kinds, lows, highs } = this;
    const n = 2 * kinds.length;
    (this.kinds = new Uint8Array(n)).set(kinds);
    (this.lows = new Int32Array(n)).set(lows);
    (this.highs = new Int32Array(n)).set(highs);
  }
}

/** What a field's value is; undefined: it is not written. */
type Sort = "moment" | "end" | "generation" | "serial" | "keys" | "other" | undefined;

interface Field {
  readonly name: string;
  readonly word: number;
  readonly sort: Sort;
}

/** Of a text, what is written of it. */
interface Piece {
  readonly kind: number;
  readonly value: number;
}

/** Which name a host, and a workload, has. */
interface Naming {
  /** The hosts in the order of their names, and the name of each. */
  readonly order: readonly number[];
  readonly hosts: readonly number[];
  /** By workload, from 1. */
  readonly vips: readonly number[];
}

/** What is to come depends on it, besides the state. */
export type Ahead = readonly (number | boolean | WorldHost)[];

/** What a host has besides its core, and what it has of each other one. */
export type More = (
  host: WorldHost,
  put: (what: string | boolean) => void,
) => readonly (readonly [other: string, what: string])[];

/** Writes worlds with the same hosts as numbers. */
export class Canon {
  readonly #namings: readonly Naming[];
  readonly #fields = new Map<string, Field>();
  readonly #classes = new Map<object, readonly Field[]>();
  readonly #plains = new Map<object, readonly Field[]>();
  readonly #words = new Map<string, number>();
  /** Two halves of what stands for each word; the first one stands for an end. */
  readonly #wordBits: number[] = [1, 1];
  readonly #texts = new Map<string, readonly Piece[]>();
  readonly #ids = new Map<string, number>();
  readonly #hostByText = new Map<string, number>();
  readonly #vipByText = new Map<string, number>();
  /** One for each host, one for what is between them, and one for what is ahead. */
  readonly #tapes: readonly Tape[];
  #tape: Tape;
  #epochs = new Map<bigint, { readonly host: number; readonly age: number }>();
  #seen = new Map<object, number>();
  #host: WorldHost;

  /** `pastMs`, `farMs`: what lies further back, or ahead, makes no difference. */
  constructor(
    readonly world: World,
    readonly bounds: { readonly pastMs: number; readonly farMs: number; readonly pairs: number },
  ) {
    const n = world.hosts.length;
    this.#host = world.host(0);
    this.#tapes = [...world.hosts.keys(), n, n + 1].map(() => new Tape());
    this.#tape = this.#tapes[n] as Tape;
    const vips = Array.from({ length: bounds.pairs }, (_, v) => v + 1);
    const hosts = Array.from({ length: n }, (_, i) => i);
    this.#namings = permutations(hosts).flatMap((order) =>
      permutations(vips).map((of) => ({
        order,
        hosts: hosts.map((i) => order.indexOf(i)),
        vips: [0, ...vips.map((v) => of.indexOf(v) + 1)],
      }))
    );
    for (const { id, index } of world.hosts) {
      for (const text of [id, pipOf(index), vipOf(index, 0)]) this.#hostByText.set(text, index);
      for (const v of vips) this.#vipByText.set(vipOf(index, v), index * VIPS + v);
    }
  }

  /** The number, 53 bits of it, for each of `aheads`: what is to come depends on that as well. */
  hashes(aheads: readonly Ahead[], more: More): number[] {
    this.#epochs.clear();
    const { hosts } = this.world;
    for (const { index, epochs } of hosts) {
      for (const [i, epoch] of epochs.entries()) {
        this.#epochs.set(epoch, { host: index, age: epochs.length - 1 - i });
      }
    }
    for (const host of hosts) this.#on(host.index, () => this.#writeHost(host, more));
    const between = hosts.length;
    this.#on(between, () => this.#writeWire());
    const sums = this.#namings.map((naming) => {
      const sum = new Sum(naming);
      for (const i of naming.order) sum.add(this.#tapes[i] as Tape);
      sum.add(this.#tapes[between] as Tape);
      return sum;
    });
    return aheads.map((ahead) => {
      this.#on(between + 1, () => {
        for (const value of ahead) {
          if (typeof value === "object") this.#put(HOST, value.index);
          else this.#plain(Number(value));
        }
      });
      const tape = this.#tapes[between + 1] as Tape;
      return Math.min(...sums.map((sum) => sum.with(tape)));
    });
  }

  #on(tape: number, write: () => void): void {
    this.#tape = this.#tapes[tape] as Tape;
    this.#tape.clear();
    this.#seen.clear();
    write();
    this.#tape.flush();
  }

  #writeHost(host: WorldHost, more: More): void {
    this.#host = host;
    for (const [name, part] of Object.entries(partsOf(host.core))) {
      if (NO_STATE.has(name)) continue;
      this.#word(name);
      this.#fieldsOf(part);
    }
    const { written, waiting } = inMemory(host.record).summary();
    this.#unordered([...written, ...waiting], (text) => this.#text(text));
    for (const ms of this.world.clock.sleepsOf(host.life)) {
      if (ms < this.bounds.farMs) this.#plain(ms);
    }
    this.#plane(host);
    const of = more(host, (what) => this.#word(String(what)));
    this.#unordered(of, ([id, what]) => {
      this.#text(id);
      this.#word(what);
    });
  }

  #plane({ plane, table }: WorldHost): void {
    this.#unordered(plane.rx, ([spi, { packets }]) => {
      const seen = table.byRxSpi(spi)?.state.rx.find(({ sa }) => sa.spi === spi)?.packets;
      this.#spi(spi);
      this.#plain(Number(packets > (seen ?? 0n)));
    });
    this.#unordered(plane.tx, ([pair, { sa, packets, expired, ivLimit }]) => {
      const state = table.get(pair)?.state;
      const seen = state !== undefined && "tx" in state ? state.tx.packets : 0n;
      this.#text(pair);
      this.#spi(sa.spi);
      const soft = state !== undefined && "tx" in state ? state.tx.softPackets : 0n;
      const marks = [packets > 0n, packets > seen, packets >= soft, packets >= ivLimit, expired];
      for (const mark of marks) this.#plain(Number(mark));
    });
    this.#unordered(plane.holds(), ({ pair, packets, offMs }) => {
      this.#text(pair);
      this.#plain(Math.min(packets, 2));
      this.#plain(Math.min(offMs, this.bounds.farMs));
    });
    for (const refusal of plane.refusals()) this.#word(refusal);
  }

  #writeWire(): void {
    const { wire, flying, hosts } = this.world;
    const ways = hosts.flatMap(({ id: from }) => hosts.map(({ id: to }) => ({ from, to })));
    const messages = [...wire.messages.values()];
    this.#unordered(ways, ({ from, to }) => {
      // In one direction one after the other.
      for (const message of messages) {
        if (message.from !== from || message.to !== to) continue;
        const { body, call, life } = message;
        const sender = this.world.byId(from);
        this.#text(from);
        this.#text(to);
        this.#word(call === undefined ? "copy" : call.over ? "over" : call.life.alive ? "" : "-");
        this.#word(life === sender.life ? "" : "old");
        this.#host = sender;
        this.#seen.clear();
        this.#fieldsOf(body);
      }
    });
    this.#unordered(flying.values(), ({ from, packet: { sa }, ticks }) => {
      this.#plain(ticks);
      this.#text(from.id);
      this.#spi(sa.spi);
    });
  }

  #unordered<T>(items: Iterable<T>, write: (item: T) => void): void {
    this.#put(OPEN, 0);
    for (const item of items) {
      this.#put(NEXT, 0);
      write(item);
    }
    this.#put(CLOSE, 0);
  }

  #fieldsOf(object: object): void {
    if (Object.getPrototypeOf(object) !== Object.prototype) {
      // It is written where it was met first.
      const place = this.#seen.get(object);
      if (place !== undefined) return this.#plain(place);
      this.#seen.set(object, this.#seen.size);
    }
    const all = object as Readonly<Record<string, unknown>>;
    const hasSpi = all.spi !== undefined;
    for (const { name, sort, word } of this.#fieldsIn(all)) {
      const value = all[name];
      if (value === undefined || typeof value === "function") continue;
      // An SA says with its SPI what its serial says.
      if (hasSpi && sort === "serial") continue;
      this.#putWord(word);
      this.#value(value, sort);
    }
    this.#putWord(0);
  }

  /** Fields that are written. Objects keep those that they were made with. */
  #fieldsIn(object: Readonly<Record<string, unknown>>): readonly Field[] {
    const prototype = Object.getPrototypeOf(object);
    const isPlain = prototype === Object.prototype || prototype === null;
    // Most plain objects are values that stay for many states.
    const known = isPlain ? this.#plains.get(object) : this.#classes.get(prototype);
    if (known !== undefined) return known;
    const fields: Field[] = [];
    for (const name in object) {
      let field = this.#fields.get(name);
      if (field === undefined) this.#fields.set(name, field = this.#fieldOf(name));
      if (field.sort !== undefined) fields.push(field);
    }
    if (this.#plains.size >= REMEMBERED) this.#plains.clear();
    if (isPlain) this.#plains.set(object, fields);
    else this.#classes.set(prototype, fields);
    return fields;
  }

  #fieldOf(name: string): Field {
    const sort = SKIPPED.includes(name)
      ? undefined
      : END.test(name)
      ? "end"
      : MOMENT.test(name)
      ? "moment"
      : /eneration$/.test(name)
      ? "generation"
      : name === "serial"
      ? "serial"
      : name === "waiting"
      ? "keys"
      : "other";
    return { name, word: this.#wordOf(name), sort };
  }

  #value(value: unknown, sort: Sort): void {
    switch (typeof value) {
      case "number":
        if (sort === "moment") return this.#moment(value, -this.bounds.pastMs);
        return sort === "end" ? this.#moment(value, 0) : this.#number(value);
      case "bigint":
        return this.#bigint(value, sort);
      case "string":
        return this.#text(value);
      case "boolean":
        return this.#plain(Number(value));
      case "object":
        return value === null ? undefined : this.#object(value, sort);
      default:
        return;
    }
  }

  #object(value: object, sort: Sort): void {
    if (Object.getPrototypeOf(value) === Object.prototype) return this.#fieldsOf(value);
    if (value instanceof Map) {
      for (const [key, item] of value) {
        this.#value(key, "other");
        this.#value(item, sort);
      }
      return this.#putWord(0);
    }
    // How those that wait are found follows from their order and from what they are.
    if (value instanceof Set || Array.isArray(value) || sort === "keys") {
      for (const item of value as Iterable<unknown>) this.#value(item, sort);
      return this.#putWord(0);
    }
    if (value instanceof Key || value instanceof Promised) return;
    if (value instanceof OpenSignal || value instanceof OpenController) return;
    this.#fieldsOf(value);
  }

  #moment(at: number, leastMs: number): void {
    const ms = at - this.world.clock.now();
    this.#plain(Math.min(Math.max(ms, leastMs), this.bounds.farMs));
  }

  #number(value: number): void {
    if (value > LEAST_SPI && Number.isInteger(value)) this.#spi(value);
    else this.#plain(value);
  }

  #bigint(value: bigint, sort: Sort): void {
    const { plane, core } = this.#host;
    const epoch = this.#epochs.get(value);
    if (epoch !== undefined) {
      this.#put(HOST, epoch.host);
      return this.#plain(epoch.age);
    }
    if (sort === "generation") {
      return this.#plain(Number(plane.masterKey().rotations - value));
    }
    if (sort === "serial") {
      const { _serial } = partsOf(core).spis as unknown as { readonly _serial: bigint };
      return this.#plain(Number(_serial - value));
    }
    this.#plain(Number(value));
  }

  /** Whose it is, how many were derived since, and how old its key is. */
  #spi(spi: number): void {
    const { index, n } = placeOf(spi);
    const owner = this.world.hosts[index];
    if (owner === undefined) return this.#plain(spi);
    this.#put(HOST, owner.index);
    this.#plain(owner.plane.spis - n);
    this.#plain(Number(owner.plane.ageOf(spi) ?? -1n));
  }

  /** A text, in which names of hosts and workloads, request ids and epochs are what they are. */
  #text(text: string): void {
    let pieces = this.#texts.get(text);
    if (pieces === undefined) {
      const [epoch, id] = /^(\d+)\/([0-9a-f]{32})$/.exec(text)?.slice(1) ?? [];
      if (epoch !== undefined && id !== undefined) {
        this.#bigint(BigInt(epoch), "other");
        return this.#text(id);
      }
      this.#texts.set(text, pieces = this.#parsed(text));
    }
    for (const { kind, value } of pieces) {
      if (kind === PLAIN) this.#putWord(value);
      else this.#put(kind, value);
    }
  }

  #parsed(text: string): Piece[] {
    return [...text.matchAll(/[\w.]+|[^\w.]+/g)].map(([word]) => {
      const [host, vip] = [this.#hostByText.get(word), this.#vipByText.get(word)];
      if (host !== undefined) return { kind: HOST, value: host };
      if (vip !== undefined) return { kind: VIP, value: vip };
      if (/^[0-9a-f]{32}$/.test(word)) return { kind: ID, value: this.#idOf(word) };
      return { kind: PLAIN, value: this.#wordOf(word) };
    });
  }

  #idOf(text: string): number {
    let id = this.#ids.get(text);
    if (id === undefined) this.#ids.set(text, id = this.#ids.size);
    return id;
  }

  #word(text: string): void {
    this.#putWord(this.#wordOf(text));
  }

  /** Where it stands in `#wordBits`; 0 is an end. */
  #wordOf(text: string): number {
    let word = this.#words.get(text);
    if (word === undefined) {
      word = this.#wordBits.length;
      this.#wordBits.push(...halvesOf(text));
      this.#words.set(text, word);
    }
    return word;
  }

  #putWord(word: number): void {
    this.#tape.plain(this.#wordBits[word] as number, this.#wordBits[word + 1] as number);
  }

  #plain(value: number): void {
    BITS[0] = value;
    this.#tape.plain(HALVES[0] as number, HALVES[1] as number);
  }

  #put(kind: number, value: number): void {
    this.#tape.put(kind, value);
  }
}

/** Mixes what it is given, one after the other. */
class Mixer {
  a = 7;
  b = 7;
  /** How much it was given. */
  n = 0;

  mix(low: number, high: number): void {
    let x = Math.imul(low, 0xcc9e2d51);
    x = Math.imul(x << 15 | x >>> 17, 0x1b873593) ^ this.a;
    let y = Math.imul(high, 0x239b961b);
    y = Math.imul(y << 17 | y >>> 15, 0xab0e9789) ^ this.b;
    x = Math.imul(x << 13 | x >>> 19, 5) + 0xe6546b64 + y | 0;
    y = Math.imul(y << 16 | y >>> 16, 5) + 0x561ccd1b + x | 0;
    this.a = x;
    this.b = y;
    this.n++;
  }

  reset(): void {
    this.a = this.b = 7;
    this.n = 0;
  }
}

/** What tapes come to under one naming. */
class Sum {
  readonly #mixer = new Mixer();
  readonly #ids: number[] = [];

  constructor(readonly naming: Naming) {}

  value(): number {
    const { a, b } = this.#mixer;
    return 2 ** 32 * (finished(b) & 0x1fffff) + (finished(a) >>> 0);
  }

  add(tape: Tape): void {
    this.#run(tape, 0);
  }

  /** What it would come to with another tape. */
  with(tape: Tape): number {
    const mixer = this.#mixer;
    const { a, b } = mixer;
    this.add(tape);
    const value = this.value();
    mixer.a = a;
    mixer.b = b;
    return value;
  }

  /** Until the end, or that of the items that began before `i`: where that is. */
  #run(tape: Tape, from: number): number {
    const { hosts, vips } = this.naming;
    const { kinds, lows, highs, length } = tape;
    const mixer = this.#mixer;
    for (let i = from; i < length; i++) {
      const value = lows[i] as number;
      switch (kinds[i]) {
        case PLAIN:
          mixer.mix(value, highs[i] as number);
          break;
        case HOST:
          mixer.mix(hosts[value] as number, HOST);
          break;
        case VIP:
          mixer.mix(hosts[Math.floor(value / VIPS)] as number, vips[value % VIPS] as number);
          break;
        case ID: {
          let id = this.#ids.indexOf(value);
          if (id < 0) id = this.#ids.push(value) - 1;
          mixer.mix(id, ID);
          break;
        }
        case OPEN:
          i = this.#unordered(tape, i + 1);
          break;
        default:
          return i;
      }
    }
    return length;
  }

  /** Items in no order: what each comes to is added up. */
  #unordered(tape: Tape, from: number): number {
    const mixer = this.#mixer;
    const { a, b } = mixer;
    let [lows, highs, n] = [0, 0, 0];
    let i = from;
    for (; tape.kinds[i] === NEXT; n++) {
      mixer.reset();
      i = this.#run(tape, i + 1);
      lows = lows + finished(mixer.a) | 0;
      highs = highs + finished(mixer.b) | 0;
    }
    mixer.a = a;
    mixer.b = b;
    mixer.mix(lows, highs);
    mixer.mix(n, CLOSE);
    return i;
  }
}

/** For the bits of a number. */
const BITS = new Float64Array(1);
const HALVES = new Int32Array(BITS.buffer);

function finished(h: number): number {
  h = Math.imul(h ^ h >>> 16, 0x85ebca6b);
  h = Math.imul(h ^ h >>> 13, 0xc2b2ae35);
  return h ^ h >>> 16;
}

function halvesOf(text: string): [number, number] {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    a = Math.imul(a ^ c, 2654435761);
    b = Math.imul(b ^ c, 1597334677);
  }
  return [finished(a), finished(b)];
}

function permutations<T>(all: readonly T[]): T[][] {
  if (all.length <= 1) return [[...all]];
  return all.flatMap((first, i) =>
    permutations(all.filter((_, k) => k !== i)).map((rest) => [first, ...rest])
  );
}

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
  "shares",
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
const FAR_MS = 10_000;
/** Smaller numbers are no SPIs: see ../sim/plane.ts. */
const LEAST_SPI = 2 ** 20;

/** What is written: its value is a number, or names something by its place among others of its kind. */
const NUMBER = 0;
const WORD = 1;
const HOST = 2;
/** A host, and a workload on it: `host * VIPS + vip`. */
const VIP = 3;
const ID = 4;
/** Between `OPEN` and `CLOSE` stand items in no order, each after a `NEXT`. */
const OPEN = 5;
const NEXT = 6;
const CLOSE = 7;

const VIPS = 256;

/** What was written, each with what it is. */
interface Tape {
  readonly kinds: number[];
  readonly values: number[];
}

/** What a field's value is; undefined: it is not written. */
type Sort = "moment" | "end" | "generation" | "serial" | "keys" | "other" | undefined;

interface Field {
  readonly word: number;
  readonly sort: Sort;
}

/** Which name a host, and a workload, has. */
interface Naming {
  /** The hosts in the order of their names, and the name of each. */
  readonly order: readonly number[];
  readonly hosts: readonly number[];
  /** By workload, from 1. */
  readonly vips: readonly number[];
}

/** What a host has besides its core, and what it has of each other one. */
export type More = (
  host: WorldHost,
  put: (what: string | boolean) => void,
) => readonly (readonly [other: string, what: string])[];

/** Writes worlds with the same hosts as numbers. */
export class Canon {
  readonly #namings: readonly Naming[];
  readonly #fields = new Map<string, Field>();
  readonly #words = new Map<string, number>();
  /** Two halves of what stands for each word; the first one stands for an end. */
  readonly #wordBits: number[] = [1, 1];
  readonly #texts = new Map<string, Tape>();
  readonly #ids = new Map<string, number>();
  readonly #hostByText = new Map<string, number>();
  readonly #vipByText = new Map<string, number>();
  #tape: Tape = { kinds: [], values: [] };
  #epochs = new Map<bigint, { readonly host: number; readonly age: number }>();
  #seen = new Map<object, number>();
  #host: WorldHost;

  /** `pastMs`: what lies further back makes no difference. */
  constructor(
    readonly world: World,
    readonly bounds: { readonly pastMs: number; readonly pairs: number },
  ) {
    const n = world.hosts.length;
    this.#host = world.host(0);
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

  /** The number, 53 bits of it. `ahead`: what is to come depends on that as well. */
  hash(ahead: readonly (number | boolean | WorldHost)[], more: More): number {
    this.#epochs.clear();
    const { hosts } = this.world;
    for (const { index, epochs } of hosts) {
      for (const [i, epoch] of epochs.entries()) {
        this.#epochs.set(epoch, { host: index, age: epochs.length - 1 - i });
      }
    }
    const tapes = hosts.map((host) => this.#on(() => this.#writeHost(host, more)));
    const wire = this.#on(() => {
      for (const value of ahead) {
        if (typeof value === "object") this.#put(HOST, value.index);
        else this.#put(NUMBER, Number(value));
      }
      this.#writeWire();
    });
    let best = Infinity;
    for (const naming of this.#namings) {
      const sum = new Sum(naming, this.#wordBits);
      for (const i of naming.order) sum.add(tapes[i] as Tape);
      sum.add(wire);
      best = Math.min(best, sum.value());
    }
    return best;
  }

  #on(write: () => void): Tape {
    const tape = this.#tape = { kinds: [], values: [] };
    this.#seen.clear();
    write();
    return tape;
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
      if (ms < FAR_MS) this.#put(NUMBER, ms);
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
      this.#put(NUMBER, Number(packets > (seen ?? 0n)));
    });
    this.#unordered(plane.tx, ([pair, { sa, packets, expired }]) => {
      const state = table.get(pair)?.state;
      const seen = state !== undefined && "tx" in state ? state.tx.packets : 0n;
      this.#text(pair);
      this.#spi(sa.spi);
      const soft = state !== undefined && "tx" in state ? state.tx.softPackets : 0n;
      const marks = [packets > 0n, packets > seen, packets >= soft, expired];
      for (const mark of marks) this.#put(NUMBER, Number(mark));
    });
    this.#unordered(plane.holds(), ({ pair, packets, offMs }) => {
      this.#text(pair);
      this.#put(NUMBER, Math.min(packets, 2));
      this.#put(NUMBER, Math.min(offMs, FAR_MS));
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
      this.#put(NUMBER, ticks);
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
      if (place !== undefined) return this.#put(NUMBER, place);
      this.#seen.set(object, this.#seen.size);
    }
    const all = object as Readonly<Record<string, unknown>>;
    const hasSpi = all.spi !== undefined;
    for (const name in all) {
      let field = this.#fields.get(name);
      if (field === undefined) this.#fields.set(name, field = this.#fieldOf(name));
      const { sort, word } = field;
      if (sort === undefined) continue;
      const value = all[name];
      if (value === undefined || typeof value === "function") continue;
      // An SA says with its SPI what its serial says.
      if (hasSpi && sort === "serial") continue;
      this.#put(WORD, word);
      this.#value(value, sort);
    }
    this.#put(WORD, 0);
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
    return { word: this.#wordOf(name), sort };
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
        return this.#put(NUMBER, Number(value));
      case "object":
        return value === null ? undefined : this.#object(value, sort);
      default:
        return;
    }
  }

  #object(value: object, sort: Sort): void {
    if (value instanceof Map) {
      for (const [key, item] of value) {
        this.#value(key, "other");
        this.#value(item, sort);
      }
      return this.#put(WORD, 0);
    }
    // How those that wait are found follows from their order and from what they are.
    if (value instanceof Set || Array.isArray(value) || sort === "keys") {
      for (const item of value as Iterable<unknown>) this.#value(item, sort);
      return this.#put(WORD, 0);
    }
    if (value instanceof Key || value instanceof Promised) return;
    if (value instanceof OpenSignal || value instanceof OpenController) return;
    this.#fieldsOf(value);
  }

  #moment(at: number, leastMs: number): void {
    const ms = at - this.world.clock.now();
    this.#put(NUMBER, ms > FAR_MS ? FAR_MS : Math.max(ms, leastMs));
  }

  #number(value: number): void {
    if (value > LEAST_SPI && Number.isInteger(value)) this.#spi(value);
    else this.#put(NUMBER, value);
  }

  #bigint(value: bigint, sort: Sort): void {
    const { plane, core } = this.#host;
    const epoch = this.#epochs.get(value);
    if (epoch !== undefined) {
      this.#put(HOST, epoch.host);
      return this.#put(NUMBER, epoch.age);
    }
    if (sort === "generation") {
      return this.#put(NUMBER, Number(plane.masterKey().rotations - value));
    }
    if (sort === "serial") {
      const { _serial } = partsOf(core).spis as unknown as { readonly _serial: bigint };
      return this.#put(NUMBER, Number(_serial - value));
    }
    this.#put(NUMBER, Number(value));
  }

  /** Whose it is, how many were derived since, and how old its key is. */
  #spi(spi: number): void {
    const low = spi % 2 ** 31;
    const owner = this.world.hosts[Math.floor(low / LEAST_SPI) - 1];
    if (owner === undefined) return this.#put(NUMBER, spi);
    this.#put(HOST, owner.index);
    this.#put(NUMBER, owner.plane.spis - low % LEAST_SPI);
    this.#put(NUMBER, Number(owner.plane.ageOf(spi) ?? -1n));
  }

  /** A text, in which names of hosts and workloads, request ids and epochs are what they are. */
  #text(text: string): void {
    let tape = this.#texts.get(text);
    if (tape === undefined) {
      const [epoch, id] = /^(\d+)\/([0-9a-f]{32})$/.exec(text)?.slice(1) ?? [];
      if (epoch !== undefined && id !== undefined) {
        this.#bigint(BigInt(epoch), "other");
        return this.#text(id);
      }
      this.#texts.set(text, tape = this.#parsed(text));
    }
    const { kinds, values } = tape;
    for (let i = 0; i < kinds.length; i++) this.#put(kinds[i] as number, values[i] as number);
  }

  #parsed(text: string): Tape {
    const tape: Tape = { kinds: [], values: [] };
    for (const [word = ""] of text.matchAll(/[\w.]+|[^\w.]+/g)) {
      const [host, vip] = [this.#hostByText.get(word), this.#vipByText.get(word)];
      const isId = /^[0-9a-f]{32}$/.test(word);
      tape.kinds.push(host !== undefined ? HOST : vip !== undefined ? VIP : isId ? ID : WORD);
      tape.values.push(host ?? vip ?? (isId ? this.#idOf(word) : this.#wordOf(word)));
    }
    return tape;
  }

  #idOf(text: string): number {
    let id = this.#ids.get(text);
    if (id === undefined) this.#ids.set(text, id = this.#ids.size);
    return id;
  }

  #word(text: string): void {
    this.#put(WORD, this.#wordOf(text));
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

  #put(kind: number, value: number): void {
    this.#tape.kinds.push(kind);
    this.#tape.values.push(value);
  }
}

/** What tapes come to under one naming. */
class Sum {
  #a = 0x2f0b4c47;
  #b = 0x41c6ce57;
  readonly #ids = new Map<number, number>();

  constructor(readonly naming: Naming, readonly wordBits: readonly number[]) {}

  value(): number {
    return 2 ** 32 * (finished(this.#b) & 0x1fffff) + (finished(this.#a) >>> 0);
  }

  add(tape: Tape): void {
    this.#run(tape, 0);
  }

  /** Until the end, or that of the items that began before `i`: where that is. */
  #run({ kinds, values }: Tape, from: number): number {
    const { hosts, vips } = this.naming;
    for (let i = from; i < kinds.length; i++) {
      const value = values[i] as number;
      const kind = kinds[i] as number;
      switch (kind) {
        case NUMBER:
          BITS[0] = value;
          this.#mix(HALVES[0] as number, HALVES[1] as number);
          break;
        case WORD:
          this.#mix(this.wordBits[value] as number, this.wordBits[value + 1] as number);
          break;
        case HOST:
          this.#mix(hosts[value] as number, HOST);
          break;
        case VIP:
          this.#mix(hosts[Math.floor(value / VIPS)] as number, vips[value % VIPS] as number);
          break;
        case ID: {
          let id = this.#ids.get(value);
          if (id === undefined) this.#ids.set(value, id = this.#ids.size);
          this.#mix(id, ID);
          break;
        }
        case OPEN:
          i = this.#unordered({ kinds, values }, i + 1);
          break;
        default:
          return i;
      }
    }
    return kinds.length;
  }

  /** Items in the order of what they come to. */
  #unordered(tape: Tape, from: number): number {
    const [a, b] = [this.#a, this.#b];
    const items: number[] = [];
    let i = from;
    while (tape.kinds[i] === NEXT) {
      this.#a = this.#b = 7;
      i = this.#run(tape, i + 1);
      items.push(this.value());
    }
    [this.#a, this.#b] = [a, b];
    items.sort((one, other) => one - other);
    for (const item of items) this.#mix(item | 0, Math.floor(item / 2 ** 32));
    this.#mix(items.length, CLOSE);
    return i;
  }

  #mix(low: number, high: number): void {
    let x = Math.imul(low, 0xcc9e2d51);
    x = Math.imul(x << 15 | x >>> 17, 0x1b873593) ^ this.#a;
    let y = Math.imul(high, 0x239b961b);
    y = Math.imul(y << 17 | y >>> 15, 0xab0e9789) ^ this.#b;
    x = Math.imul(x << 13 | x >>> 19, 5) + 0xe6546b64 + y | 0;
    y = Math.imul(y << 16 | y >>> 16, 5) + 0x561ccd1b + x | 0;
    this.#a = x;
    this.#b = y;
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

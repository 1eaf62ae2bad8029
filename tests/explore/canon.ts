// SPDX-License-Identifier: Apache-2.0

/**
 * The state of a world as text, such that two worlds with the same text behave alike: times are relative to
 * now, SPIs and epochs to their host's latest, ids are numbered as they are met, and of all namings of hosts and pairs the
 * first in order is taken. It walks whatever the cores hold, so that a new field makes states finer, never coarser.
 */
import { Key } from "../../ffi/key.ts";
import type { WorldHost } from "./world/host.ts";
import { partsOf } from "./world/load.ts";
import type { World } from "./world/world.ts";

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
  "orders",
  "shares",
]);

/** Fields that are powers, derived from others, or for people only. */
const SKIPPED: ReadonlySet<string> = new Set([
  ..."_options options config clock counters log random store plane flows shares".split(" "),
  ..."_table table _outcomes _due _byPeer _byRxSpi membership _pace pace raise _wake".split(" "),
  ..."lastError createdAtMs expiresAtMs untilMs bornAt openedAt since asked peer".split(" "),
  ..."tunnel packets bytes key mac pip spisLow softPackets dueAt _noticedAt heardAt".split(" "),
]);

/** Whose value is a moment of `Clock.now`. */
const MOMENT = /(?:At|Until|until|^at)$/;
/** What lies further ahead is far; nothing in a core that is explored waits for so long but to forget. */
const FAR_MS = 10_000;
/** Smaller numbers are no SPIs: see world/plane.ts. */
const LEAST_SPI = 2 ** 20;

/** How hosts and workloads are named. */
interface Naming {
  readonly hosts: readonly WorldHost[];
  readonly letters: ReadonlyMap<string, string>;
}

/** The text of a world. `pastMs`: what lies further back makes no difference. */
export function canonical(
  world: World,
  { pastMs, pairs, more }: {
    readonly pastMs: number;
    readonly pairs: number;
    /** What a host has besides its core; hosts are named by letters. */
    readonly more: (host: WorldHost, letterOf: (id: string) => string) => string;
  },
): string {
  let best: string | undefined;
  for (const naming of namings(world, pairs)) {
    const text = new Writer(world, naming, pastMs).world(more);
    if (best === undefined || text < best) best = text;
  }
  return best ?? "";
}

/** 53 bits of it. */
export function hashOf(text: string): number {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    a = Math.imul(a ^ c, 2654435761);
    b = Math.imul(b ^ c, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & b) + (a >>> 0);
}

function* namings(world: World, pairs: number): Generator<Naming> {
  for (const hosts of permutations(world.hosts)) {
    for (const vips of permutations(Array.from({ length: pairs }, (_, i) => i + 1))) {
      const letters = new Map<string, string>();
      for (const [rank, host] of hosts.entries()) {
        const letter = String.fromCharCode(65 + rank);
        letters.set(host.id, letter);
        for (const [v, vip] of vips.entries()) {
          letters.set(`10.0.${host.index}.${vip}`, `${letter}${v}`);
        }
      }
      yield { hosts, letters };
    }
  }
}

function permutations<T>(all: readonly T[]): T[][] {
  if (all.length <= 1) return [[...all]];
  return all.flatMap((first, i) =>
    permutations(all.filter((_, k) => k !== i)).map((rest) => [first, ...rest])
  );
}

class Writer {
  readonly #ids = new Map<string, number>();
  readonly #epochs = new Map<bigint, string>();
  #out = "";
  /** Whose core is being written. */
  #host: WorldHost | undefined;

  constructor(readonly of: World, readonly naming: Naming, readonly pastMs: number) {
    for (const host of of.hosts) {
      for (const [i, epoch] of host.epochs.entries()) {
        this.#epochs.set(epoch, `${this.#letter(host.id)}-${host.epochs.length - 1 - i}`);
      }
    }
  }

  world(more: (host: WorldHost, letterOf: (id: string) => string) => string): string {
    for (const host of this.naming.hosts) {
      this.#host = host;
      this.#core(host);
      this.#plane(host);
      this.#put(`|${more(host, (id) => this.#letter(id))}`);
    }
    this.#wire();
    return this.#out;
  }

  #core(host: WorldHost): void {
    for (const [name, part] of Object.entries(partsOf(host.core))) {
      if (NO_STATE.has(name)) continue;
      this.#put(`\n${name}`);
      this.#fields(part);
    }
    const { written, waiting } = host.record.summary();
    this.#value("record", [...written, ...waiting]);
    this.#put(this.of.clock.sleepsOf(host.life).filter((ms) => ms < FAR_MS).join(","));
  }

  #plane({ plane, table }: WorldHost): void {
    const entries: string[] = [];
    for (const [spi, entry] of plane.rx) {
      const seen = table.byRxSpi(spi)?.state.rx.find(({ sa }) => sa.spi === spi)?.packets;
      entries.push(`${this.#spi(spi)}:${entry.packets > (seen ?? 0n) ? "+" : "="}`);
    }
    for (const [pair, { sa, packets, expired }] of plane.tx) {
      const state = table.get(pair)?.state;
      const seen = state !== undefined && "tx" in state ? state.tx.packets : 0n;
      const news = packets > seen ? "+" : "=";
      entries.push(`${this.#text(pair)}>${this.#spi(sa.spi)}${packets > 0n}${news}${expired}`);
    }
    const holds = plane.holds().map(({ pair, packets, offMs }) =>
      `${this.#text(pair)}#${Math.min(packets, 2)}#${Math.min(offMs, FAR_MS)}`
    );
    this.#put(`\nplane ${entries.sort()} ${holds.sort()} ${plane.refusals()}`);
  }

  #wire(): void {
    const byWay = new Map<string, string[]>();
    const letter = (id: string) => this.#letter(id);
    const before = this.#out;
    for (const { from, to, body, call, life } of this.of.wire.messages.values()) {
      this.#out = "";
      const sender = this.of.byId(from);
      const awaited = call === undefined ? "copy" : call.over ? "over" : call.life.alive ? "" : "-";
      this.#put(`${body.kind}${awaited}${life === sender.life ? "" : "old"}`);
      this.#host = sender;
      this.#fields(body);
      const way = `${letter(from)}${letter(to)}`;
      const list = byWay.get(way) ?? [];
      byWay.set(way, list);
      list.push(this.#out);
    }
    const flying = [...this.of.flying.values()].map(({ from, packet: { sa } }) =>
      `${letter(from.id)} ${this.#spi(sa.spi)}`
    );
    const ways = [...byWay].sort(([a], [b]) => a < b ? -1 : 1).map(([way, list]) =>
      `${way}:${list.join(";")}`
    );
    this.#out = `${before}\nwire ${ways.join(" ")}\nflying ${flying.sort()}`;
  }

  #fields(object: object): void {
    this.#put("{");
    for (const [name, value] of Object.entries(object)) {
      if (SKIPPED.has(name) || typeof value === "function" || value === undefined) continue;
      // An SA says with its SPI what its serial says.
      if (name === "serial" && "spi" in object) continue;
      this.#put(`${name}:`);
      this.#value(name, value);
    }
    this.#put("}");
  }

  #value(name: string, value: unknown): void {
    switch (typeof value) {
      case "number":
        return this.#put(MOMENT.test(name) ? this.#moment(value) : this.#number(value));
      case "bigint":
        return this.#put(this.#bigint(name, value));
      case "string":
        return this.#put(`"${this.#text(value)}"`);
      case "boolean":
        return this.#put(String(value));
      case "object":
        return this.#object(name, value);
      default:
        return;
    }
  }

  #object(name: string, value: object | null): void {
    if (value === null || value instanceof Key || value instanceof Promise) return;
    if (value instanceof AbortSignal || value instanceof AbortController) return;
    if (value instanceof Map) {
      this.#put("<");
      for (const [key, item] of value) {
        this.#value("key", key);
        this.#put("=");
        this.#value(name, item);
      }
      return this.#put(">");
    }
    if (value instanceof Set || Array.isArray(value)) {
      this.#put("[");
      for (const item of value) this.#value(name, item);
      return this.#put("]");
    }
    this.#fields(value);
  }

  #moment(at: number): string {
    if (at === Infinity) return "never";
    const ms = at - this.of.clock.now();
    return ms > FAR_MS ? "far" : String(Math.max(ms, -this.pastMs));
  }

  #number(value: number): string {
    return value > LEAST_SPI && Number.isInteger(value) ? this.#spi(value) : `${value} `;
  }

  #bigint(name: string, value: bigint): string {
    const epoch = this.#epochs.get(value);
    if (epoch !== undefined) return epoch;
    const { plane, core } = this.#host ?? {};
    if (/eneration$/.test(name)) return `g${(plane?.masterKey().rotations ?? 0n) - value}`;
    if (name === "serial" && core !== undefined) {
      const { _serial } = partsOf(core).spis as unknown as { readonly _serial: bigint };
      return `s${_serial - value}`;
    }
    return `${value}n`;
  }

  /** Whose it is, how many were derived since, and how old its key is. */
  #spi(spi: number): string {
    const low = spi % 2 ** 31;
    const owner = this.of.hosts[Math.floor(low / LEAST_SPI) - 1];
    if (owner === undefined) return `?${spi}`;
    const age = owner.plane.ageOf(spi) ?? "dead";
    return `${this.#letter(owner.id)}${owner.plane.spis - low % LEAST_SPI}/${age} `;
  }

  #letter(id: string): string {
    return this.naming.letters.get(id) ?? id;
  }

  #text(text: string): string {
    const letter = this.naming.letters.get(text);
    if (letter !== undefined) return letter;
    if (/^[0-9a-f]{32}$/.test(text)) return `id${this.#id(text)}`;
    if (/^\d+\/[0-9a-f]{32}$/.test(text)) {
      const [epoch = "", id = ""] = text.split("/");
      return `${this.#epochs.get(BigInt(epoch))}/id${this.#id(id)}`;
    }
    return text.replaceAll(/[\w.]+/g, (word) => this.naming.letters.get(word) ?? word);
  }

  #id(text: string): number {
    let n = this.#ids.get(text);
    if (n === undefined) this.#ids.set(text, n = this.#ids.size);
    return n;
  }

  #put(text: string): void {
    this.#out += text;
  }
}

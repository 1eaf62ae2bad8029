// SPDX-License-Identifier: Apache-2.0

/** `Flows` over a plane: which entry, crypto id and key each SA has. */
import {
  DataPlaneError,
  type EntryChange,
  type EntryDescriptor,
  type Fwd,
  type Outcome,
  type Plane,
  type Stats,
  type TxKey,
} from "../../ffi/plane.ts";
import { LIMITS } from "../../ffi/symbols.ts";
import { CryptoIds, TxKeys } from "./crypto_ids.ts";
import { Ledger, type Line, type Sum } from "./ledger.ts";
import { inner, rxOverhead } from "./mtu.ts";
import type { Ahead, Flows, FlowTotals, Traffic } from "../model/flows.ts";
import { addCarried, type Carried, NOTHING_CARRIED, type PeerTraffic } from "../model/status.ts";
import { egrAclEntry, ingrAclEntry, pspEncryptEntry } from "../pipes/entries.ts";
import type { InstalledTopology } from "../pipes/install.ts";
import type { PipeName } from "../pipes/types.ts";
import { addressOf, networkOf } from "../model/network.ts";
import { pairKey, type RxSa, type TxSa, type VipPair } from "../model/sa.ts";
import { Rounds } from "../model/rounds.ts";
import type { Clock } from "../model/clock.ts";
import type { Place } from "./workload_table.ts";

/** What `FlowTable` needs of a plane. */
export type FlowPlane = Pick<
  Plane,
  | "addEntry"
  | "updateEntry"
  | "removeEntry"
  | "kind"
  | "queryEntry"
  | "queryPipe"
  | "changeEntries"
  | "changeKeys"
  | "setCrypto"
  | "clearCrypto"
  | "queryCrypto"
  | "port"
  | "granted"
>;

export interface FlowTableOptions {
  readonly plane: FlowPlane;
  readonly installed: InstalledTopology;
  readonly clock: Clock;
  /** Outer address of this host. */
  readonly localPip: string;
  /** Hop limit of the outer header. */
  readonly ttl: number;
  readonly copyDscp: boolean;
  /** MAC that workloads see as their gateway's. */
  readonly gatewayMac: string;
  /** MAC of the next hop towards an SA's peer. */
  readonly nextHopMac: (sa: TxSa) => string;
  /** Octets of IP that the way to an outer address carries; undefined: what the uplink does. */
  readonly pathMtu?: (pip: string) => number | undefined;
  /** Where a workload is; undefined: not known yet, and it is looked for. */
  readonly placeOf: (vip: string) => Place | undefined;
  /**
   * Where packets go whose workload is not known: to the agent, which looks for it, or ("nowhere", on planes whose
   * pipes fix their forward) to a MAC that no workload has. Default: "agent".
   */
  readonly unknown?: "agent" | "nowhere";
  /** See `TxKeysOptions.nextRun`. */
  readonly nextIvRun?: () => bigint;
  /** IVs of the replay window of receive SAs whose sender's IVs count; 0 or absent: none. */
  readonly replayWindow?: () => number;
  /** Ids are 1..maxCryptoIds. Default: the plane's own. */
  readonly maxCryptoIds?: number;
  /** How long a retired crypto id keeps its key for packets in flight. Default: 1000. */
  readonly retireMs?: number;
}

/** Receive SAs that are asked at a time whether anything came, and transmit SAs of one vip whether it said anything. */
const LISTENING_LOOKS = 2048;
const LISTENING_PAIRS = 16;

/** Keys that go in one call: some milliseconds of work. */
const RELEASED_AT_ONCE = 512;

interface Tx extends Line {
  sa: TxSa;
  readonly cryptoId: number;
  /** Undefined: it waits until somebody knows at which port the workload is. */
  entry: number | undefined;
  /** The port that the entry is for, where EGR_ACL tells ports apart. */
  port: number | undefined;
  ethDst: string;
  expired: boolean;
  /** When its workload was asked about. */
  packets: bigint;
}

interface Rx extends Line {
  readonly sa: RxSa;
  readonly entry: number;
  place: Place | undefined;
  /** IVs; 0: none. */
  window: number;
  /** When it was asked about last. */
  packets: bigint;
  /** The one of the same pair that came before. */
  older: Rx | undefined;
}

/** What a receive SA has in the plane. */
type RxPart = Pick<Rx, "entry" | "place" | "window">;

/** What a transmit SA has in the plane; `before`: the one that its entry was of. */
interface TxPart extends Pick<Tx, "cryptoId" | "entry" | "port" | "ethDst"> {
  readonly before: Tx | undefined;
}

/** A part that was put into the plane ahead of its SA; or with what it was refused. */
type Made<P> = { readonly part: P } | { readonly error: DataPlaneError };

/** A transmit SA whose key goes later. */
interface Retiring {
  readonly tx: Tx;
  readonly at: number;
}

/** An entry to be removed. */
interface Leaving {
  readonly entry: number;
  /** Of a receive SA: its account gets what the entry has counted. */
  readonly rx?: Rx;
}

/** What a pair has in the plane: one SA in each direction, for a while two. There are a hundred thousand pairs. */
interface Pair {
  tx: Tx | undefined;
  /** The newest; the others hang on it. */
  rx: Rx | undefined;
  /** With SAs that are gone. */
  sent: Carried;
  received: Carried;
  /** Crypto ids that may still seal what is under way. */
  retiring: readonly number[];
}

/** What a local vip has: its pairs by their remote vip, so that no pair needs a key of its own. */
interface Local {
  readonly pairs: Map<string, Pair>;
  /** Where it is, as its newest receive SA has it. */
  place: Place | undefined;
}

const NO_NUMBERS: readonly number[] = [];

/** One for each installed topology. Closing it frees what is still retiring; the entries stay the pipes'. */
export class FlowTable implements Flows, AsyncDisposable {
  readonly #o: FlowTableOptions;
  readonly #ids: CryptoIds;
  readonly #keys: TxKeys;
  /** Whether the plane has replay windows. */
  readonly #windows: boolean;
  readonly #locals = new Map<string, Local>();
  /** By SPI, the oldest first. */
  readonly #rx = new Map<number, Rx>();
  /** The one that sends with an SPI, the oldest first. Two peers may give out the same: then the newest. */
  readonly #txBySpi = new Map<number, Tx>();
  /** crypto id -> its entry in PSP_ENCRYPT (with sampling). */
  readonly #encrypt = new Map<number, number>();
  /** The earliest first. */
  readonly #retiring: Retiring[] = [];
  readonly #ledger = new Ledger();
  /** Entries to be removed at the end of `together`. */
  readonly #leaving: Leaving[] = [];
  /** Parts of SAs that are to come before the end of `together`. */
  readonly #rxAhead = new Map<RxSa, Made<RxPart>>();
  readonly #txAhead = new Map<TxKey, Made<TxPart>>();
  #depth = 0;
  #reaping: Promise<void> | undefined;
  readonly #stop = new AbortController();
  readonly #sampling: boolean;
  readonly #vc: boolean;
  /** Host ports come and go: EGR_ACL matches on the port, and each entry of INGR_ACL names its own. */
  readonly #ports: boolean;
  /** Transmit SAs by the outer address that they send to. */
  readonly #byPip = new Map<string, Set<Tx>>();
  /** Undefined while nobody looks: one that stands still would hold on to every SA that has gone since. */
  #looked: Iterator<Rx> | undefined;
  readonly #listens = new Rounds(() => this.carried());
  #ethSrc: string;

  constructor(options: FlowTableOptions) {
    this.#o = options;
    this.#ids = new CryptoIds(options.maxCryptoIds ?? LIMITS.max_crypto_ids.default);
    this.#keys = new TxKeys({ plane: options.plane, nextRun: options.nextIvRun });
    this.#windows = options.plane.granted().features.has("replay-window");
    const { topology } = options.installed;
    this.#sampling = topology.pipes.some((pipe) => pipe.name === "PSP_ENCRYPT");
    this.#vc = topology.pipes.some((pipe) => pipe.match_mask?.tun?.psp?.vc !== undefined);
    const egrAcl = topology.pipes.find((pipe) => pipe.name === "EGR_ACL");
    this.#ports = egrAcl?.match_mask?.parser_meta?.port_id !== undefined;
    this.#ethSrc = options.plane.port("uplink").mac;
  }

  addRx(sa: RxSa): void {
    const there = this.#rx.get(sa.spi);
    if (there !== undefined) {
      if (isSamePair(there.sa, sa)) return;
      throw new DataPlaneError(
        `Cannot add entry to pipe "INGR_ACL": SPI ${hex(sa.spi)} belongs to another tunnel`,
        "EEXIST",
      );
    }
    const { entry, place, window } = taken(this.#rxAhead, sa) ?? this.#programRx(sa);
    const pair = this.#ensure(sa, place);
    const rx: Rx = {
      sa,
      entry,
      place,
      window,
      packets: 0n,
      older: pair.rx,
      sum: this.#sumOf(sa, "received"),
      booked: NOTHING_CARRIED,
    };
    pair.rx = rx;
    this.#rx.set(sa.spi, rx);
  }

  ignoreReplays(spi: number): void {
    const rx = this.#rx.get(spi);
    if (rx === undefined || rx.window === 0) return;
    this.#o.plane.updateEntry(
      rx.entry,
      built("INGR_ACL", () => this.#rxEntry({ ...rx, window: 0 })),
    );
    rx.window = 0;
  }

  removeRx(spi: number): void {
    const rx = this.#rx.get(spi);
    if (rx === undefined) return;
    this.#rx.delete(spi);
    const pair = this.#pair(rx.sa);
    if (pair !== undefined) unlink(pair, rx);
    this.#leave({ entry: rx.entry, rx });
  }

  together<T>(work: () => T, ahead?: Ahead): T {
    this.#depth++;
    try {
      if (ahead !== undefined) this.#makeAhead(ahead);
      return work();
    } finally {
      try {
        if (ahead !== undefined) this.#undoAhead(ahead);
      } finally {
        if (--this.#depth === 0) this.#flush();
      }
    }
  }

  /** At once, or with all others of the same `together`. */
  #leave(leaving: Leaving): void {
    this.#leaving.push(leaving);
    if (this.#depth === 0) this.#flush();
  }

  setTx(sa: TxSa, key: TxKey): void {
    const { cryptoId, entry, port, ethDst } = this.#programTx(sa, key);
    const pair = this.#ensure(sa);
    const old = pair.tx;
    const tx: Tx = {
      sa,
      cryptoId,
      entry,
      port,
      ethDst,
      expired: false,
      packets: 0n,
      sum: this.#sumOf(sa, "sent"),
      booked: NOTHING_CARRIED,
    };
    pair.tx = tx;
    if (old !== undefined) {
      this.#unindex(old);
      this.#retire(old, pair);
    }
    // At the end: the oldest key comes first.
    this.#txBySpi.delete(sa.spi);
    this.#txBySpi.set(sa.spi, tx);
    index(this.#byPip, sa.pip, tx);
  }

  readdressTx(sa: TxSa): void {
    const tx = this.#pair(sa)?.tx;
    if (tx === undefined) return;
    const moved = { ...tx, sa: { ...tx.sa, pip: sa.pip } };
    this.#renew(moved, this.#o.nextHopMac(moved.sa));
    unindex(this.#byPip, tx.sa.pip, tx);
    tx.sa = moved.sa;
    tx.ethDst = moved.ethDst;
    index(this.#byPip, sa.pip, tx);
  }

  removeTx(vips: VipPair): void {
    const pair = this.#pair(vips);
    const tx = pair?.tx;
    if (pair === undefined || tx === undefined) return;
    pair.tx = undefined;
    this.#unindex(tx);
    this.#retire(tx, pair);
    if (tx.entry !== undefined) this.#leave({ entry: tx.entry });
    this.#forgetEmpty(vips);
  }

  expireTx(vips: VipPair): void {
    const pair = this.#pair(vips);
    const tx = pair?.tx;
    if (pair === undefined || tx === undefined || tx.expired) return;
    const [outcome] = this.#o.plane.changeKeys([{ op: "clear", cryptoId: tx.cryptoId }]);
    if (outcome?.error !== undefined) throw outcome.error;
    const sealed = outcome?.stats ?? NOTHING_CARRIED;
    credit(pair, "sent", sealed);
    this.#ledger.book(tx, sealed);
    tx.expired = true;
  }

  txStats(pair: VipPair): Stats | undefined {
    const tx = this.#pair(pair)?.tx;
    if (tx === undefined || tx.expired) return undefined;
    const stats = this.#o.plane.queryCrypto(tx.cryptoId);
    if (stats !== undefined) this.#ledger.book(tx, stats);
    return stats;
  }

  rxStats(spi: number): Stats | undefined {
    const rx = this.#rx.get(spi);
    if (rx === undefined) return undefined;
    const stats = this.#inner(rx.sa, this.#o.plane.queryEntry(rx.entry));
    this.#ledger.book(rx, stats);
    return stats;
  }

  /** When a packet of the pair came last, nanoseconds of CLOCK_MONOTONIC; 0n: never, as far as its SAs tell. */
  heardNs(vips: VipPair): bigint {
    const pair = this.#pair(vips);
    if (pair === undefined) return 0n;
    const queries = [...allOf(pair)].map(({ entry: id }) => ({ op: "query", id } as const));
    return this.#o.plane.changeEntries(queries)
      .reduce((last, { stats }) => max(last, stats?.lastUsedNs ?? 0n), 0n);
  }

  /** What each peer was sent and has sent; see `Ledger`. */
  carriedByPeer(): readonly PeerTraffic[] {
    return this.#ledger.views();
  }

  /** When the oldest key of each direction was made, of the wall clock; absent: there is none. */
  oldestKeys(): { readonly txAtMs?: number; readonly rxAtMs?: number } {
    const [tx] = this.#txBySpi.values();
    const [rx] = this.#rx.values();
    return {
      ...tx === undefined ? {} : { txAtMs: tx.sa.createdAtMs },
      ...rx === undefined ? {} : { rxAtMs: rx.sa.createdAtMs },
    };
  }

  /** Hardware adds up its entries for this, which is what it is to spare. */
  carried(): bigint | undefined {
    const { plane, installed } = this.#o;
    if (plane.kind !== "soft") return undefined;
    const of = (pipe: PipeName) => plane.queryPipe(installed.pipeId(pipe)).packets;
    return of("EGR_ACL") + of("INGR_ACL");
  }

  traffic(vips: VipPair): Traffic | undefined {
    const pair = this.#pair(vips);
    if (pair === undefined) return undefined;
    const { plane } = this.#o;
    let { sent: tx, received: rx } = pair;
    const now = pair.tx;
    const ids = [...pair.retiring, ...now === undefined || now.expired ? [] : [now.cryptoId]];
    // One whose key has gone meanwhile is in the sum.
    for (
      const { stats } of plane.changeKeys(ids.map((cryptoId) => ({ op: "query", cryptoId })))
    ) tx = addCarried(tx, stats);
    const all = [...allOf(pair)];
    const outcomes = plane.changeEntries(all.map(({ entry: id }) => ({ op: "query", id })));
    for (const [i, { sa }] of all.entries()) {
      const stats = outcomes[i]?.stats;
      if (stats !== undefined) rx = addCarried(rx, this.#inner(sa, stats));
    }
    return { tx, rx };
  }

  #inner(sa: RxSa, stats: Stats): Stats {
    return inner(stats, rxOverhead(sa, this.#o.localPip));
  }

  /** The outer addresses that transmit SAs send to. */
  outerAddresses(): Pick<ReadonlyMap<string, unknown>, "has" | "keys"> {
    return this.#byPip;
  }

  /** At most `n` transmit SAs to an outer address, from the `first` on, and from the beginning again behind the last. */
  sasTo(pip: string, { first, n }: { readonly first: number; readonly n: number }): TxSa[] {
    const all = [...this.#byPip.get(pip) ?? []];
    const most = Math.min(n, all.length);
    return Array.from({ length: most }, (_, i) => all[(first + i) % all.length]?.sa)
      .flatMap((sa) => sa ?? []);
  }

  /** Asks `nextHopMac` again for the transmit SAs to an outer address and follows it. */
  refreshNextHop(pip: string): void {
    const moved = this.#sendingTo(pip).map((tx) => [tx, this.#o.nextHopMac(tx.sa)] as const);
    this.#renewAll(moved.filter(([tx, ethDst]) => ethDst !== tx.ethDst));
  }

  /** Asks `pathMtu` again for the transmit SAs to an outer address. */
  refreshPathMtu(pip: string): void {
    this.#renewAll(this.#sendingTo(pip).map((tx) => [tx, tx.ethDst]));
  }

  #sendingTo(pip: string): readonly Tx[] {
    return [...this.#byPip.get(pip) ?? []];
  }

  /**
   * The outer address of the transmit SA with this SPI whose packets have this destination; undefined: there is none, or
   * another peer has given out the same SPI since.
   */
  pipOf(spi: number, dst: string): string | undefined {
    const sa = this.#txBySpi.get(spi)?.sa;
    if (sa === undefined) return undefined;
    return (sa.mode === "tunnel" ? sa.pip : sa.remoteVip) === dst ? sa.pip : undefined;
  }

  /** The uplink has another MAC: every outer header takes it. */
  followUplink(mac: string): void {
    if (mac === this.#ethSrc) return;
    this.#ethSrc = mac;
    const all = [...this.#byPip.values()].flatMap((set) => [...set]);
    this.#renewAll(all.map((tx) => [tx, tx.ethDst]));
  }

  /**
   * Where the workload is is known now, is another place, or is not known any more: its packets go there, and from there
   * alone it can send. Throws `DataPlaneError` for the first that the plane refused, having tried all.
   */
  movePlace(vip: string, place: Place | undefined): void {
    const failures: unknown[] = [];
    const attempt = (what: () => void) => {
      try {
        what();
      } catch (cause) {
        failures.push(cause);
      }
    };
    const local = this.#locals.get(vip);
    if (local === undefined) return;
    local.place = place;
    const all = [...local.pairs.values()].flatMap((pair) => [...allOf(pair)]);
    attempt(() => this.#moveRxs(all.filter((rx) => !samePlace(rx.place, place)), place));
    for (const { tx } of local.pairs.values()) {
      if (this.#ports && tx !== undefined) attempt(() => this.#moveTx(tx, place?.port));
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Local vips whose packets go to a port. */
  vipsAt(port: number): readonly string[] {
    const there = [...this.#rx.values()].filter(({ place }) => place?.port === port);
    return [...new Set(there.map(({ sa }) => sa.localVip))];
  }

  /**
   * Local vips that got packets since they were looked at last and sent none: so many receive SAs in each call, all of
   * them in turn.
   */
  *listening(looks = LISTENING_LOOKS): Generator<string> {
    const got = new Set<string>();
    if (!this.#listens.isDue || this.#rx.size === 0) {
      this.#looked = undefined;
      return;
    }
    for (let n = Math.min(looks, this.#rx.size); n > 0; n--) {
      const next = (this.#looked ??= this.#rx.values()).next();
      if (next.done) {
        this.#looked = undefined;
        this.#listens.ended();
        continue;
      }
      const rx = next.value;
      if (rx.place === undefined || this.#rx.get(rx.sa.spi) !== rx) continue;
      const { packets } = this.#o.plane.queryEntry(rx.entry);
      if (packets > rx.packets) got.add(rx.sa.localVip);
      rx.packets = packets;
    }
    for (const vip of got) if (!this.#hasSent(vip)) yield vip;
  }

  /** Whether a vip has sent anything to peers since the last question. */
  #hasSent(vip: string): boolean {
    let any = false;
    let looks = 0;
    for (const { tx } of this.#locals.get(vip)?.pairs.values() ?? []) {
      if (tx?.entry === undefined) continue;
      if (++looks > LISTENING_PAIRS) break;
      const { packets } = this.#o.plane.queryEntry(tx.entry);
      if (packets !== tx.packets) any = true;
      tx.packets = packets;
    }
    return any;
  }

  /** The vip that a frame is for which the plane handed over because nobody knew its workload; undefined: it is too late. */
  vipOf(frame: Uint8Array): string | undefined {
    const spi = spiOfUndelivered(frame);
    return spi === undefined ? undefined : this.#rx.get(spi)?.sa.localVip;
  }

  totals(): FlowTotals {
    return {
      tx: [...this.#byPip.values()].reduce((sum, { size }) => sum + size, 0),
      rx: this.#rx.size,
      cryptoIds: this.#ids.size,
      retiring: this.#retiring.length,
      pspEncrypt: this.#encrypt.size,
    };
  }

  /** Clears and frees the retired crypto ids at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#reaping;
  }

  /**
   * Writes entries anew, each with its outer header as it is to be now, in few calls. Throws `DataPlaneError` for the
   * first that the plane refused, having tried all.
   */
  #renewAll(moved: readonly (readonly [tx: Tx, ethDst: string])[]): void {
    const changes = moved.flatMap(([tx, ethDst]) => {
      if (tx.entry === undefined) {
        tx.ethDst = ethDst;
        return [];
      }
      const entry = built("EGR_ACL", () => this.#txEntry({ ...tx, ethDst }));
      return [{ tx, ethDst, change: { op: "update", id: tx.entry, entry } as const }];
    });
    const outcomes = this.#o.plane.changeEntries(changes.map(({ change }) => change));
    for (const [i, { tx, ethDst }] of changes.entries()) {
      if (outcomes[i]?.error === undefined) tx.ethDst = ethDst;
    }
    const failed = outcomes.find(({ error }) => error !== undefined);
    if (failed?.error !== undefined) throw failed.error;
  }

  /** Writes the entry anew, with its outer header as it is to be now. */
  #renew(tx: Tx, ethDst: string): void {
    if (tx.entry !== undefined) {
      const entry = built("EGR_ACL", () => this.#txEntry({ ...tx, ethDst }));
      this.#o.plane.updateEntry(tx.entry, entry);
    }
    tx.ethDst = ethDst;
  }

  /** In few calls. Throws `DataPlaneError` for the first that the plane refused, having tried all. */
  #moveRxs(moved: readonly Rx[], place: Place | undefined): void {
    const outcomes = this.#o.plane.changeEntries(moved.map((rx) => ({
      op: "update",
      id: rx.entry,
      entry: built("INGR_ACL", () => this.#rxEntry({ ...rx, place })),
    })));
    for (const [i, rx] of moved.entries()) {
      if (outcomes[i]?.error === undefined) rx.place = place;
    }
    const failed = outcomes.find(({ error }) => error !== undefined);
    if (failed?.error !== undefined) throw failed.error;
  }

  /** The new entry before the old one goes: what the workload sends meets one of the two. */
  #moveTx(tx: Tx, port: number | undefined): void {
    if (tx.port === port) return;
    const before = tx.entry;
    tx.entry = port === undefined
      ? undefined
      : this.#add("EGR_ACL", () => this.#txEntry({ ...tx, port }));
    tx.port = port;
    if (before !== undefined) this.#o.plane.removeEntry(before);
  }

  /** Where a workload is: the very object that its other SAs have, where it is there. */
  #placeOf(vip: string): Place | undefined {
    const place = this.#o.placeOf(vip);
    const known = this.#locals.get(vip)?.place;
    return samePlace(known, place) ? known : place;
  }

  #portFor(vip: string): number | undefined {
    return this.#ports ? this.#o.placeOf(vip)?.port : undefined;
  }

  /** Nothing finds a transmit SA any more that was replaced or removed. */
  #unindex(tx: Tx): void {
    unindex(this.#byPip, tx.sa.pip, tx);
    if (this.#txBySpi.get(tx.sa.spi) === tx) this.#txBySpi.delete(tx.sa.spi);
  }

  /** Where its packets go, and whether IVs are looked at. */
  #rxTo(sa: RxSa): Omit<RxPart, "entry"> {
    const window = sa.ivCounts && this.#windows ? this.#o.replayWindow?.() ?? 0 : 0;
    return { place: this.#placeOf(sa.localVip), window };
  }

  #programRx(sa: RxSa): RxPart {
    const to = this.#rxTo(sa);
    return { ...to, entry: this.#add("INGR_ACL", () => this.#rxEntry({ sa, ...to })) };
  }

  /** With a crypto id, and the entry of the SA that it comes after. Throws `DataPlaneError` when there is no id. */
  #txFrom(sa: TxSa): TxPart {
    const ethDst = this.#o.nextHopMac(sa);
    const cryptoId = this.#ids.take();
    if (cryptoId === undefined) {
      throw new DataPlaneError(`Cannot add entry to pipe "EGR_ACL": no free crypto id`, "ENOSPC");
    }
    const before = this.#pair(sa)?.tx;
    const port = before === undefined ? this.#portFor(sa.localVip) : before.port;
    return { cryptoId, port, ethDst, ...entryOf(before) };
  }

  #programTx(sa: TxSa, key: TxKey): TxPart {
    const ahead = taken(this.#txAhead, key);
    const before = this.#pair(sa)?.tx;
    if (ahead !== undefined && ahead.before === before) return ahead;
    const part = ahead === undefined ? this.#txFrom(sa) : { ...ahead, ...entryOf(before) };
    const entry = () => this.#txEntry({ sa, ...part });
    try {
      if (ahead === undefined) this.#keys.set(part.cryptoId, key);
      this.#ensureEncrypt(part.cryptoId);
      if (part.entry !== undefined) {
        this.#o.plane.updateEntry(part.entry, built("EGR_ACL", entry));
        return part;
      }
      if (this.#waits(part)) return part;
      return { ...part, entry: this.#add("EGR_ACL", entry) };
    } catch (error) {
      this.#release(part.cryptoId);
      throw error;
    }
  }

  /** Nobody knows at which port its workload is. */
  #waits({ port }: TxPart): boolean {
    return this.#ports && port === undefined;
  }

  // ---- ahead of the SAs ------------------------------------------------------------------------

  /** Puts parts of SAs into the plane, receive first. Where a list as a whole cannot be, each SA tries by itself. */
  #makeAhead({ rx, tx }: Ahead): void {
    try {
      this.#flush();
    } catch (cause) {
      if (!(cause instanceof DataPlaneError)) throw cause;
    }
    try {
      if (rx.length > 1) this.#makeRxAhead(rx.filter(({ spi }) => !this.#rx.has(spi)));
      // A pair that does not receive is not to send: its key stays as new as it is.
      const refused = new Set(rx.filter((sa) => isRefused(this.#rxAhead.get(sa))).map(pairKey));
      if (tx.length > 1) this.#makeTxAhead(tx.filter(({ sa }) => !refused.has(pairKey(sa))));
    } catch (cause) {
      if (!(cause instanceof DataPlaneError)) throw cause;
    }
  }

  #makeRxAhead(sas: readonly RxSa[]): void {
    const wanted = sas.map((sa) => ({ sa, to: this.#rxTo(sa) }));
    const pipe = this.#o.installed.pipeId("INGR_ACL");
    const outcomes = this.#changeAll("INGR_ACL", wanted, ({ sa, to }) => ({
      op: "add",
      pipe,
      entry: this.#rxEntry({ sa, ...to }),
    }));
    for (const [i, { sa, to }] of wanted.entries()) {
      const made = outcomes[i];
      if (made === undefined) continue;
      this.#rxAhead.set(sa, "error" in made ? made : { part: { ...to, entry: made.part } });
    }
  }

  /** Keys, then PSP_ENCRYPT, then EGR_ACL. */
  #makeTxAhead(sas: Ahead["tx"]): void {
    let going: { readonly sa: TxSa; readonly key: TxKey; readonly part: TxPart }[] = [];
    for (const { sa, key } of sas) {
      const made = attempted(() => this.#txFrom(sa));
      if ("error" in made) this.#txAhead.set(key, made);
      else going.push({ sa, key, part: made.part });
    }
    // From here on their ids are given back, whatever throws.
    for (const { key, part } of going) this.#txAhead.set(key, { part });
    const refuse = (key: TxKey, { cryptoId }: TxPart, error: DataPlaneError) => {
      this.#release(cryptoId);
      this.#txAhead.set(key, { error });
    };
    try {
      const refusals = this.#keys.setAll(
        going.map(({ key, part: { cryptoId } }) => ({ cryptoId, key })),
      );
      going = going.filter(({ key, part }, i) => {
        const error = refusals[i];
        if (error !== undefined) refuse(key, part, error);
        return error === undefined;
      });
      const encrypt = this.#ensureEncryptAll(going.map(({ part: { cryptoId } }) => cryptoId));
      going = going.filter(({ key, part }) => {
        const error = encrypt.get(part.cryptoId);
        if (error !== undefined) refuse(key, part, error);
        return error === undefined && !this.#waits(part);
      });
      const pipe = this.#o.installed.pipeId("EGR_ACL");
      const outcomes = this.#changeAll("EGR_ACL", going, ({ sa, part }) => {
        const entry = this.#txEntry({ sa, ...part });
        return part.entry === undefined
          ? { op: "add", pipe, entry }
          : { op: "update", id: part.entry, entry };
      });
      for (const [i, { key, part }] of going.entries()) {
        const made = outcomes[i];
        if (made === undefined) continue;
        if ("error" in made) refuse(key, part, made.error);
        else this.#txAhead.set(key, { part: { ...part, entry: made.part } });
      }
    } catch (cause) {
      for (const { key, part: { cryptoId } } of going) {
        this.#txAhead.delete(key);
        this.#release(cryptoId);
      }
      throw cause;
    }
  }

  /** Entries in few calls: the id of each, or with what it was refused. */
  #changeAll<W>(
    pipe: PipeName,
    wanted: readonly W[],
    change: (wanted: W) => EntryChange,
  ): readonly Made<number>[] {
    const changes = wanted.map((each) => attempted(() => built(pipe, () => change(each))));
    const outcomes = this.#o.plane.changeEntries(
      changes.flatMap((made) => "error" in made ? [] : [made.part]),
    ).values();
    return changes.map((made) => {
      if ("error" in made) return made;
      const outcome = outcomes.next().value;
      return outcome?.error === undefined ? { part: outcome?.id ?? 0 } : { error: outcome.error };
    });
  }

  /** Takes away what was made for SAs that did not come. */
  #undoAhead({ rx, tx }: Ahead): void {
    for (const sa of rx) {
      const made = this.#rxAhead.get(sa);
      this.#rxAhead.delete(sa);
      if (made !== undefined && "part" in made) this.#leave({ entry: made.part.entry });
    }
    this.#undoTxs(tx.flatMap(({ sa, key }) => {
      const made = this.#txAhead.get(key);
      this.#txAhead.delete(key);
      return made === undefined || "error" in made ? [] : [{ sa, part: made.part }];
    }));
  }

  /** Their pairs send as before; EGR_ACL first, then the keys go. */
  #undoTxs(made: readonly { readonly sa: TxSa; readonly part: TxPart }[]): void {
    if (made.length === 0) return;
    const restored: EntryChange[] = [];
    for (const { sa, part: { entry, before } } of made) {
      if (entry === undefined) continue;
      if (before === undefined) this.#leaving.push({ entry });
      else if (this.#pair(sa)?.tx === before) {
        const tx = built("EGR_ACL", () => this.#txEntry(before));
        restored.push({ op: "update", id: entry, entry: tx });
      }
    }
    try {
      const failed = this.#o.plane.changeEntries(restored).find(({ error }) => error !== undefined);
      if (failed?.error !== undefined) throw failed.error;
      this.#flush();
    } finally {
      for (const { part: { cryptoId } } of made) this.#release(cryptoId);
    }
  }

  // ---- entries ----------------------------------------------------------------------------------

  /** PSP_ENCRYPT maps pkt_meta to the crypto id of the same number; an entry, once there, is reused. */
  #ensureEncrypt(cryptoId: number): void {
    if (!this.#sampling || this.#encrypt.has(cryptoId)) return;
    this.#encrypt.set(cryptoId, this.#add("PSP_ENCRYPT", () => pspEncryptEntry(cryptoId)));
  }

  /** The same for many, in few calls; what those were refused with that were. */
  #ensureEncryptAll(cryptoIds: readonly number[]): ReadonlyMap<number, DataPlaneError> {
    const refused = new Map<number, DataPlaneError>();
    const missing = this.#sampling ? cryptoIds.filter((id) => !this.#encrypt.has(id)) : [];
    if (missing.length === 0) return refused;
    const pipe = this.#o.installed.pipeId("PSP_ENCRYPT");
    const outcomes = this.#changeAll("PSP_ENCRYPT", missing, (id) => ({
      op: "add",
      pipe,
      entry: pspEncryptEntry(id),
    }));
    for (const [i, id] of missing.entries()) {
      const made = outcomes[i];
      if (made === undefined) continue;
      if ("error" in made) refused.set(id, made.error);
      else this.#encrypt.set(id, made.part);
    }
    return refused;
  }

  #txEntry(
    { sa, cryptoId, ethDst, port }: Pick<Tx, "sa" | "cryptoId" | "ethDst" | "port">,
  ): EntryDescriptor {
    const { localPip, ttl, copyDscp } = this.#o;
    return egrAclEntry(withAddresses(sa), {
      localPip,
      ttl,
      copyDscp,
      cryptoId,
      ethDst,
      ethSrc: this.#ethSrc,
      sampling: this.#sampling,
      port,
      pathMtu: this.#o.pathMtu?.(sa.pip),
    });
  }

  /** Without a place: no workload has the gateway's MAC, and nothing of a tenant is broadcast. */
  #rxEntry({ sa, place, window }: Pick<Rx, "sa" | "place" | "window">): EntryDescriptor {
    const { gatewayMac, unknown = "agent" } = this.#o;
    const at = { ethDst: place?.mac ?? gatewayMac, ethSrc: gatewayMac, vc: this.#vc, window };
    if (place === undefined && unknown === "agent") {
      const fwd: Fwd = { type: "rss", rss: "exception" };
      return ingrAclEntry(withAddresses(sa), { ...at, ethDst: undeliveredMac(sa.spi), fwd });
    }
    const fwd: Fwd | undefined = this.#ports
      ? place === undefined ? { type: "drop" } : { type: "port", port: place.port }
      : undefined;
    return ingrAclEntry(withAddresses(sa), { ...at, fwd });
  }

  #add(pipe: PipeName, build: () => EntryDescriptor): number {
    // One that is to go may have the very match.
    try {
      this.#flush();
    } catch (cause) {
      if (!(cause instanceof DataPlaneError)) throw cause;
    }
    return this.#o.plane.addEntry(this.#o.installed.pipeId(pipe), built(pipe, build));
  }

  /** Packets in flight may still hold the id: its key goes, and it is given out again, only later. */
  #retire(tx: Tx, pair: Pair): void {
    const { clock, retireMs = 1000 } = this.#o;
    this.#retiring.push({ tx, at: clock.now() + retireMs });
    pair.retiring = [...pair.retiring, tx.cryptoId];
    this.#reaping ??= this.#reap();
  }

  /** One sleep for all that retire, not one each: thousands may at once. */
  async #reap(): Promise<void> {
    const { signal } = this.#stop;
    // Whoever retires a key still has its entry to remove.
    await Promise.resolve();
    let areMore = false;
    for (let [next] = this.#retiring; next !== undefined; [next] = this.#retiring) {
      const { clock } = this.#o;
      const waitMs = Math.max(0, next.at - clock.now());
      // Closing: at once. Else the rest of the event loop has its turn between two parts of very many.
      if ((waitMs > 0 || areMore) && !signal.aborted) {
        await clock.sleep(waitMs, signal).catch(() => {});
      }
      const now = signal.aborted ? Infinity : clock.now();
      const later = this.#retiring.findIndex(({ at }, i) => at > now || i === RELEASED_AT_ONCE);
      const due = this.#retiring.splice(0, later < 0 ? this.#retiring.length : later);
      this.#releaseAll(due);
      areMore = due.length === RELEASED_AT_ONCE;
    }
    this.#reaping = undefined;
  }

  /** In few calls; what their keys have sealed stays with their tunnels. */
  #releaseAll(due: readonly Retiring[]): void {
    let outcomes: readonly Outcome[] = [];
    try {
      outcomes = this.#o.plane.changeKeys(
        due.map(({ tx: { cryptoId } }) => ({ op: "clear", cryptoId })),
      );
    } catch (error) {
      if (!isGone(error)) return;
    }
    for (const [i, { tx }] of due.entries()) {
      const { cryptoId, sa } = tx;
      const outcome = outcomes[i];
      const pair = this.#pair(sa);
      if (pair !== undefined) pair.retiring = without(pair.retiring, cryptoId);
      if (outcome !== undefined) {
        credit(pair, "sent", outcome.stats);
        this.#ledger.book(tx, outcome.stats);
      }
      this.#ledger.close(tx);
      // An id that may still hold a key is never given out again.
      if (outcome?.error === undefined || isGone(outcome.error)) this.#ids.free(cryptoId);
    }
  }

  #release(cryptoId: number): void {
    try {
      this.#o.plane.clearCrypto(cryptoId);
    } catch (error) {
      if (!isGone(error)) return;
    }
    this.#ids.free(cryptoId);
  }

  #pair({ localVip, remoteVip }: VipPair): Pair | undefined {
    return this.#locals.get(localVip)?.pairs.get(remoteVip);
  }

  /** `place`: where its workload is, if that was asked. */
  #ensure({ localVip, remoteVip }: VipPair, place?: Place): Pair {
    let local = this.#locals.get(localVip);
    if (local === undefined) {
      local = { pairs: new Map(), place };
      this.#locals.set(localVip, local);
    }
    local.place = place ?? local.place;
    let pair = local.pairs.get(remoteVip);
    if (pair === undefined) {
      pair = {
        tx: undefined,
        rx: undefined,
        sent: NOTHING_CARRIED,
        received: NOTHING_CARRIED,
        retiring: NO_NUMBERS,
      };
      local.pairs.set(remoteVip, pair);
    }
    return pair;
  }

  #sumOf(
    { peer, localVip }: { readonly peer: string; readonly localVip: string },
    direction: "sent" | "received",
  ): Sum {
    return this.#ledger.open({ peer, network: networkOf(localVip), direction });
  }

  /** Nothing of the pair is in the plane any more: what it carried is forgotten. */
  #forgetEmpty({ localVip, remoteVip }: VipPair): void {
    const local = this.#locals.get(localVip);
    const pair = local?.pairs.get(remoteVip);
    if (local === undefined || pair?.tx !== undefined || pair?.rx !== undefined) return;
    local.pairs.delete(remoteVip);
    if (local.pairs.size === 0) this.#locals.delete(localVip);
  }

  /** Takes entries away, in few calls, and returns the outcomes. */
  #flush(): void {
    const leaving = this.#leaving.splice(0);
    if (leaving.length === 0) return;
    const outcomes = this.#o.plane.changeEntries(
      leaving.map(({ entry }) => ({ op: "remove", id: entry })),
    );
    for (const [i, each] of leaving.entries()) {
      const outcome = outcomes[i];
      if (outcome?.error !== undefined && !isGone(outcome.error)) {
        // Its match is taken as long as it is there: it is tried again with the next.
        this.#leaving.push(each);
        continue;
      }
      if (outcome === undefined || each.rx === undefined) continue;
      const carried = this.#inner(each.rx.sa, outcome.stats);
      credit(this.#pair(each.rx.sa), "received", carried);
      this.#ledger.book(each.rx, carried);
      this.#ledger.close(each.rx);
      this.#forgetEmpty(each.rx.sa);
    }
    const failed = outcomes.find(({ error }) => error !== undefined);
    if (failed?.error !== undefined) throw failed.error;
  }
}

/** ENOENT: it never got a key, or has expired. ECLOSED: the plane wiped them all. */
function isGone(error: unknown): boolean {
  return error instanceof DataPlaneError && (error.code === "ENOENT" || error.code === "ECLOSED");
}

/** The entry that a transmit SA takes over. */
function entryOf(before: Tx | undefined): Pick<TxPart, "entry" | "before"> {
  return { entry: before?.entry, before };
}

function isRefused(made: Made<unknown> | undefined): boolean {
  return made !== undefined && "error" in made;
}

/** What was made ahead, once. Throws `DataPlaneError` that it was refused with. */
function taken<K, P>(ahead: Map<K, Made<P>>, key: K): P | undefined {
  const made = ahead.get(key);
  if (made === undefined) return undefined;
  ahead.delete(key);
  if ("error" in made) throw made.error;
  return made.part;
}

function attempted<P>(make: () => P): Made<P> {
  try {
    return { part: make() };
  } catch (error) {
    if (error instanceof DataPlaneError) return { error };
    throw error;
  }
}

function isSamePair(a: VipPair, b: VipPair): boolean {
  return a.localVip === b.localVip && a.remoteVip === b.remoteVip;
}

/** The receive SAs of a pair, the newest first. */
function* allOf(pair: Pair): Generator<Rx> {
  for (let rx = pair.rx; rx !== undefined; rx = rx.older) yield rx;
}

function unlink(pair: Pair, rx: Rx): void {
  if (pair.rx === rx) pair.rx = rx.older;
  for (const other of allOf(pair)) if (other.older === rx) other.older = rx.older;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** What an SA that is gone has carried stays with its pair. */
function credit(pair: Pair | undefined, direction: "sent" | "received", carried: Carried): void {
  if (pair === undefined || carried.packets === 0n && carried.bytes === 0n) return;
  pair[direction] = addCarried(pair[direction], carried);
}

function without(numbers: readonly number[], gone: number): readonly number[] {
  const left = numbers.filter((number) => number !== gone);
  return left.length === 0 ? NO_NUMBERS : left;
}

function index<T>(sets: Map<string, Set<T>>, key: string, value: T): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else set.add(value);
}

function unindex<T>(sets: Map<string, Set<T>>, key: string, value: T): void {
  const set = sets.get(key);
  set?.delete(value);
  if (set?.size === 0) sets.delete(key);
}

/** Pipes compare addresses: the port, the SPI and the cookie say whose network they are of. */
function withAddresses<S extends VipPair>(sa: S): S {
  if (networkOf(sa.localVip) === "") return sa;
  return { ...sa, localVip: addressOf(sa.localVip), remoteVip: addressOf(sa.remoteVip) };
}

/** Ethernet destination of packets that go to the agent: the SPI, for equal addresses of two networks are told apart by it. */
function undeliveredMac(spi: number): string {
  return `06:${hex(spi).replace(/../g, "$&:")}00`;
}

function spiOfUndelivered(frame: Uint8Array): number | undefined {
  if (frame.length < 6 || frame[0] !== 6 || frame[5] !== 0) return undefined;
  return new DataView(frame.buffer, frame.byteOffset).getUint32(1);
}

function samePlace(a: Place | undefined, b: Place | undefined): boolean {
  return a?.mac === b?.mac && a?.port === b?.port;
}

function built<T>(pipe: PipeName, build: () => T): T {
  try {
    return build();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const what = `Cannot add entry to pipe "${pipe}"`;
    throw new DataPlaneError(`${what}: ${cause.message}`, "EINVAL", { cause });
  }
}

function hex(spi: number): string {
  return (spi >>> 0).toString(16).padStart(8, "0");
}

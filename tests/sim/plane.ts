// SPDX-License-Identifier: Apache-2.0

/**
 * The plane of a host in memory: entries, held packets and keys as numbers. It looks at what the core asks of it, and says
 * what must never be asked: to release before transmit is programmed, a key twice, a rotation too early. What a story wants to
 * know besides is counted only where it is asked for: an exploration goes through millions of planes.
 */
import { Key } from "../../ffi/key.ts";
import {
  DataPlaneError,
  type DropReason,
  type Feature,
  type MasterKeyInfo,
  type PlaneEvent,
  type PortInfo,
  type PspVersionNumber,
  type SpiKey,
  type Stats,
  type TxKey,
} from "../../ffi/plane.ts";
import { LIMITS } from "../../ffi/symbols.ts";
import type { CorePlane } from "../../src/core/core.ts";
import type { Flows, Traffic } from "../../src/model/flows.ts";
import { pairKey, type RxSa, type TxSa, type VipPair } from "../../src/model/sa.ts";

/** What a sealed packet says of itself. `key`: the number of the key that it was sealed with. */
export interface Sealed {
  readonly sa: TxSa;
  readonly key: number;
}

/** Calls that change something. Each can be refused. */
export type PlaneCall =
  | "addRx"
  | "removeRx"
  | "ignoreReplays"
  | "setTx"
  | "readdressTx"
  | "removeTx"
  | "expireTx"
  | "generateSpis"
  | "rotateMasterKey"
  | "releaseHeld"
  | "dropHeld"
  | "clearHoldOff";

export interface TxEntry extends Sealed {
  sa: TxSa;
  expired: boolean;
  packets: bigint;
  /** As many packets may be sealed with its key. */
  readonly ivLimit: bigint;
}

export interface RxEntry {
  sa: RxSa;
  packets: bigint;
}

interface Held {
  readonly id: number;
  readonly pair: VipPair;
  packets: number;
  offUntil: number;
}

/** What a plane needs of its world. */
export interface PlanePowers {
  /** Of the host among all, from 0: no two hosts derive the same key or SPI. */
  readonly host: number;
  /** Of the process: a later one goes on where an earlier one ended. */
  readonly spisBefore: number;
  readonly now: () => number;
  /** Sends a sealed packet. */
  readonly transmit: (packet: Sealed) => void;
  readonly event: (event: PlaneEvent) => void;
  /** Something happened that must never happen. */
  readonly wrong: (what: string) => void;
  /** Whether SAs of a peer may be killed by a rotation: it has been gone for long. */
  readonly isGone: (peer: string) => boolean;
  readonly options: PlaneOptions;
}

/** What a plane is like. */
export interface PlaneOptions {
  /** Absent: the plane's own default. */
  readonly maxEntries?: number | undefined;
  /** Absent: the IVs of this host count. */
  readonly features?: ReadonlySet<Feature> | undefined;
  /** Packets of each pair are counted, by whatever SA. */
  readonly countsPairs?: boolean;
  /** Calls that changed something are written down. */
  readonly keepsCalls?: boolean;
}

/** Packets of a pair. */
interface Carried {
  tx: bigint;
  rx: bigint;
}

/** Of a port through which nothing has passed. */
export const NO_TRAFFIC: PortInfo["traffic"] = {
  rxPackets: 0n,
  rxBytes: 0n,
  txPackets: 0n,
  txBytes: 0n,
  txBusy: 0n,
  txError: 0n,
  missesLimited: 0n,
  exceptionsLimited: 0n,
};

/** The uplink, as the core asks for it. */
const UPLINK: PortInfo = {
  kind: "uplink",
  name: "up0",
  present: true,
  identity: 1,
  traffic: NO_TRAFFIC,
  network: 0,
  ifindex: 1,
  mac: "02:00:00:00:00:01",
  mtu: 1500,
  linkUp: true,
  forwards: [],
  guard: { state: "stands", restored: 0 },
};

/** SPIs of one host, below the bit that names the master key. */
const SPIS_OF_HOST = 2 ** 20;

/** Which host of a small world derived an SPI, from 0 (-1: none), and as the how manieth of its own. */
export function placeOf(spi: number): { readonly index: number; readonly n: number } {
  const low = spi % 2 ** 31;
  return { index: Math.floor(low / SPIS_OF_HOST) - 1, n: low % SPIS_OF_HOST };
}

/** Keys of one host, in all of its lives. */
const KEYS_OF_HOST = 2 ** 32;

/** One process's plane. */
export class WorldPlane implements Flows, CorePlane {
  readonly rx = new Map<number, RxEntry>();
  readonly tx = new Map<string, TxEntry>();
  /** Calls that changed something, in order; empty where nobody wants to know. */
  readonly calls: { readonly call: PlaneCall; readonly what: string }[] = [];
  /** SPIs that a master key has. */
  spisPerKey = 2 ** 31 - 1;
  /** SPIs derived by this host so far, in all of its lives. */
  spis: number;
  /** A key may be offered again, and is refused: answers were forgotten for a peer that was denied. */
  maybeAgain = false;
  /** SPIs whose key has not died. */
  private readonly _keys = new Map<number, { readonly key: number; readonly generation: bigint }>();
  private readonly _used = new Set<number>();
  private readonly _held = new Map<number, Held>();
  private readonly _heldByPair = new Map<string, Held>();
  private readonly _refused = new Map<PlaneCall, number>();
  private readonly _dropped = new Map<string, number>();
  private readonly _carried = new Map<string, Carried>();
  private _rotations = 0n;
  /** Of the active key. */
  private _derived: number;
  private _flow = 0;

  constructor(readonly powers: PlanePowers) {
    this.spis = this._derived = powers.spisBefore;
  }

  /** The next calls of this kind are refused. */
  failNext(call: PlaneCall, times = 1): void {
    this._refused.set(call, (this._refused.get(call) ?? 0) + times);
  }

  /** Packets that were not carried, by reason. */
  get drops(): Readonly<Record<string, number>> {
    return Object.fromEntries(this._dropped);
  }

  /** Keys that were set for transmit, as hex. */
  get keysUsed(): ReadonlySet<string> {
    return new Set(Array.from(this._used, (key) => keyOf(key).toHex()));
  }

  /** Refusals that are still to come. */
  refusals(): readonly string[] {
    return [...this._refused].filter(([, n]) => n > 0).map(([call, n]) => `${call}*${n}`).sort();
  }

  /** A workload's packet. */
  packet(pair: VipPair): "sent" | "held" | "dropped" {
    const entry = this.tx.get(pairKey(pair));
    if (entry === undefined) return this.#hold(pair);
    if (entry.expired || entry.packets >= entry.ivLimit) {
      this.#drop("tx-key-expired");
      return "dropped";
    }
    entry.packets++;
    if (this.powers.options.countsPairs) this.#carriedBy(pair).tx++;
    this.powers.transmit(entry);
    return "sent";
  }

  /** A PSP packet from the net: true when it reaches the workload. */
  receive({ sa, key }: Sealed, srcPip: string): boolean {
    const entry = this.rx.get(sa.spi);
    if (entry !== undefined && this.accepts({ sa, key })) {
      if (entry.sa.cryptOffset !== sa.cryptOffset) {
        this.#drop("rx-crypt-offset");
        return false;
      }
      entry.packets++;
      if (this.powers.options.countsPairs) this.#carriedBy(entry.sa).rx++;
      return true;
    }
    const known = this.#living(sa.spi);
    const syndrome = known === key ? "ok" : "icv_failed";
    this.#drop(syndrome === "ok" ? "rx-no-sa" : "rx-auth-fail");
    this.powers.event({ type: "syndrome", spi: sa.spi, syndrome, srcPip, dstPip: sa.pip });
    return false;
  }

  /** Whether a packet sealed so would reach the workload. */
  accepts({ sa, key }: Sealed): boolean {
    const entry = this.rx.get(sa.spi);
    return entry !== undefined && this.#living(sa.spi) === key &&
      entry.sa.localVip === sa.remoteVip && entry.sa.remoteVip === sa.localVip;
  }

  /** Packets held, over all flows. */
  get held(): number {
    let sum = 0;
    for (const { packets } of this._held.values()) sum += packets;
    return sum;
  }

  /** Held packets and hold-offs by pair: how many packets, and for how long none is held. */
  holds(): readonly { readonly pair: string; readonly packets: number; readonly offMs: number }[] {
    const now = this.powers.now();
    return [...this._held.values()]
      .map(({ pair, packets, offUntil }) => ({
        pair: pairKey(pair),
        packets,
        offMs: Math.max(0, offUntil - now),
      }))
      .sort((a, b) => a.pair < b.pair ? -1 : 1);
  }

  /** Rotations since an SPI was derived; undefined: its key has died, or there was none. */
  ageOf(spi: number): bigint | undefined {
    const known = this._keys.get(spi);
    return known === undefined ? undefined : this._rotations - known.generation;
  }

  // ---- Flows -------------------------------------------------------------------------------------

  addRx(sa: RxSa): void {
    this.#call("addRx", sa.spi);
    if (!this.rx.has(sa.spi)) this.rx.set(sa.spi, { sa, packets: 0n });
  }

  ignoreReplays(spi: number): void {
    this.#call("ignoreReplays", spi);
    const entry = this.rx.get(spi);
    if (entry !== undefined) entry.sa = { ...entry.sa, ivCounts: false };
  }

  carried(): undefined {}

  removeRx(spi: number): void {
    this.#call("removeRx", spi);
    this.rx.delete(spi);
  }

  setTx(sa: TxSa, { key, ivLimit }: TxKey): void {
    this.#call("setTx", sa.spi);
    const number = keyNumber(key);
    if (number === 0) {
      this.powers.wrong(`a wiped key was to be set for SPI ${sa.spi}`);
      throw new DataPlaneError("Cannot set a wiped key", "EINVAL");
    }
    if (this._used.has(number)) {
      if (!this.maybeAgain) {
        this.powers.wrong(`the key of SPI ${sa.spi} was to be set a second time`);
      }
      throw new DataPlaneError("Cannot set a key twice", "EKEY");
    }
    this._used.add(number);
    this.tx.set(pairKey(sa), { sa, key: number, expired: false, packets: 0n, ivLimit });
  }

  readdressTx(sa: TxSa): void {
    this.#call("readdressTx", sa.spi, sa.pip);
    const entry = this.tx.get(pairKey(sa));
    if (entry !== undefined) entry.sa = sa;
  }

  removeTx(pair: VipPair): void {
    this.#call("removeTx", pairKey(pair));
    this.tx.delete(pairKey(pair));
  }

  expireTx(pair: VipPair): void {
    this.#call("expireTx", pairKey(pair));
    const entry = this.tx.get(pairKey(pair));
    if (entry !== undefined) entry.expired = true;
  }

  txStats(pair: VipPair): Stats | undefined {
    return stats(this.tx.get(pairKey(pair)));
  }

  traffic(pair: VipPair): Traffic | undefined {
    if (!this.powers.options.countsPairs) return undefined;
    const key = pairKey(pair);
    const isThere = this.tx.has(key) || [...this.rx.values()].some(({ sa }) => pairKey(sa) === key);
    if (!isThere) {
      this._carried.delete(key);
      return undefined;
    }
    const { tx, rx } = this.#carriedBy(pair);
    const of = (packets: bigint) => ({ packets, bytes: packets * 100n });
    return { tx: of(tx), rx: of(rx) };
  }

  together<T>(work: () => T): T {
    return work();
  }

  rxStats(spi: number): Stats | undefined {
    return stats(this.rx.get(spi));
  }

  // ---- CorePlane ---------------------------------------------------------------------------------

  port(): PortInfo {
    return { ...UPLINK, mac: macOf(this.powers.host) };
  }

  generateSpis(version: PspVersionNumber, n: number): SpiKey[] {
    this.#call("generateSpis", n);
    if (this._derived + n > this.spisPerKey) throw new DataPlaneError("No SPI left", "EKEY");
    this._derived += n;
    const { host } = this.powers;
    return Array.from({ length: n }, () => {
      const index = ++this.spis % SPIS_OF_HOST;
      // Few hosts have SPIs that nobody else has: what is printed can be told apart.
      const low = (host % 1024 + 1) * SPIS_OF_HOST + index;
      const spi = (Number(this._rotations & 1n) * 2 ** 31 + low) >>> 0;
      const number = (host + 1) * KEYS_OF_HOST + this.spis;
      const bytes = keyOf(number).subarray(0, version % 2 === 1 ? 32 : 16);
      const key = new Key(bytes);
      this._keys.set(spi, { key: number, generation: this._rotations });
      return { spi, version, key };
    });
  }

  rotateMasterKey(): void {
    this.#call("rotateMasterKey", "");
    for (const [spi, { sa }] of this.rx) {
      if ((this.ageOf(spi) ?? 2n) < 1n || this.powers.isGone(sa.peer)) continue;
      this.powers.wrong(`a rotation kills SPI ${spi}, which is still accepted from ${sa.peer}`);
    }
    this._rotations++;
    this._derived = 0;
    for (const [spi, { generation }] of this._keys) {
      if (generation + 2n <= this._rotations) this._keys.delete(spi);
    }
  }

  granted(): ReturnType<CorePlane["granted"]> {
    const { maxEntries = LIMITS.max_entries.default, features } = this.powers.options;
    const all = features ?? new Set<Feature>(["iv-counts"]);
    return { maxEntries, maxCryptoIds: Math.ceil(maxEntries / 2), features: all };
  }

  masterKey(): MasterKeyInfo {
    const spisLeft = BigInt(this.spisPerKey - this._derived);
    return { active: this._rotations % 2n === 0n ? 0 : 1, rotations: this._rotations, spisLeft };
  }

  releaseHeld(flow: number): number {
    this.#call("releaseHeld", flow);
    const held = this._held.get(flow);
    if (held === undefined) throw new DataPlaneError("Cannot release: no such flow", "ENOENT");
    if (!this.tx.has(pairKey(held.pair))) {
      this.powers.wrong(`packets of ${pairKey(held.pair)} are released before transmit is there`);
    }
    this.#forget(held);
    for (let i = 0; i < held.packets; i++) this.packet(held.pair);
    return held.packets;
  }

  dropHeld(flow: number, reason: DropReason, holdOffMs: number): number {
    this.#call("dropHeld", flow, reason);
    const held = this._held.get(flow);
    if (held === undefined) throw new DataPlaneError("Cannot drop: no such flow", "ENOENT");
    const { packets } = held;
    this.#drop(reason, packets);
    held.packets = 0;
    held.offUntil = this.powers.now() + holdOffMs;
    if (holdOffMs <= 0) this.#forget(held);
    return packets;
  }

  clearHoldOff(): void {
    this.#call("clearHoldOff", "");
    for (const held of this._held.values()) if (held.offUntil > 0) this.#forget(held);
  }

  // ---- helpers -----------------------------------------------------------------------------------

  #living(spi: number): number | undefined {
    return this._keys.get(spi)?.key;
  }

  #hold(pair: VipPair): "held" | "dropped" {
    const key = pairKey(pair);
    let held = this._heldByPair.get(key);
    if (held !== undefined && held.offUntil > this.powers.now()) {
      this.#drop("hold-off");
      return "dropped";
    }
    if (held === undefined || held.offUntil > 0) {
      if (held !== undefined) this.#forget(held);
      held = { id: ++this._flow, pair, packets: 0, offUntil: 0 };
      this._held.set(held.id, held);
      this._heldByPair.set(key, held);
      this.powers.event({
        type: "miss",
        flow: held.id,
        port: 2,
        network: 0,
        srcVip: pair.localVip,
        dstVip: pair.remoteVip,
        ethSrc: "02:00:00:00:00:0a",
      });
    }
    held.packets++;
    return "held";
  }

  #forget(held: Held): void {
    this._held.delete(held.id);
    this._heldByPair.delete(pairKey(held.pair));
  }

  #call(call: PlaneCall, what: string | number, more?: string): void {
    const left = this._refused.get(call) ?? 0;
    if (left > 0) {
      this._refused.set(call, left - 1);
      throw new DataPlaneError(`Cannot ${call}: it is to be refused`, "ENOSPC");
    }
    if (!this.powers.options.keepsCalls) return;
    this.calls.push({ call, what: more === undefined ? `${what}` : `${what} ${more}` });
  }

  #drop(reason: string, n = 1): void {
    this._dropped.set(reason, (this._dropped.get(reason) ?? 0) + n);
  }

  #carriedBy(pair: VipPair): Carried {
    const key = pairKey(pair);
    let carried = this._carried.get(key);
    if (carried === undefined) this._carried.set(key, carried = { tx: 0n, rx: 0n });
    return carried;
  }
}

/** Of the uplink of a host: no other has it. */
function macOf(host: number): string {
  const octets = host.toString(16).padStart(8, "0").match(/../g) ?? [];
  return ["02", "00", ...octets].join(":");
}

/** Of a key that a plane here derived; 0: it was wiped. */
export function keyNumber(key: Key): number {
  const bytes = key.reveal();
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return view.getUint32(0) * KEYS_OF_HOST + view.getUint32(4);
}

/** The octets of that key, as long as the longest: whoever looks for it finds nothing else. */
function keyOf(number: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(32).fill(0xa5);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(number / KEYS_OF_HOST));
  view.setUint32(4, number % KEYS_OF_HOST);
  return bytes;
}

function stats(entry: { readonly packets: bigint } | undefined): Stats | undefined {
  if (entry === undefined) return undefined;
  const { packets } = entry;
  return { packets, bytes: packets * 100n, lastUsedNs: 0n };
}

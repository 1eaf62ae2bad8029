// SPDX-License-Identifier: Apache-2.0

/** `Flows` and the plane's core part in memory: entries in maps, held packets as counts, keys that can be compared. */
import { Key } from "../../ffi/key.ts";
import {
  DataPlaneError,
  type DropReason,
  type Feature,
  type MasterKeyInfo,
  type PlaneEvent,
  type PortInfo,
  type PortTraffic,
  type PspVersionNumber,
  type SpiKey,
  type Stats,
  type TxKey,
} from "../../ffi/plane.ts";
import { LIMITS } from "../../ffi/symbols.ts";
import type { CorePlane } from "../../src/core/core.ts";
import type { Flows, Traffic } from "../../src/model/flows.ts";
import type { RxSa, TxSa, VipPair } from "../../src/model/sa.ts";
import type { Clock } from "../../src/model/clock.ts";

/** A call that changed something, in order. */
export type FlowCall =
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

interface TxEntry {
  sa: TxSa;
  key: string;
  expired: boolean;
  ivLimit: bigint;
  packets: bigint;
}

interface Held {
  readonly id: number;
  readonly srcVip: string;
  readonly dstVip: string;
  packets: number;
  offUntil: number;
}

const NO_TRAFFIC: PortTraffic = {
  rxPackets: 0n,
  rxBytes: 0n,
  txPackets: 0n,
  txBytes: 0n,
  txBusy: 0n,
  txError: 0n,
  missesLimited: 0n,
  exceptionsLimited: 0n,
};

/** One host's tables and held packets. */
export class MemoryFlows implements Flows, CorePlane {
  readonly calls: { readonly call: FlowCall; readonly what: string }[] = [];
  readonly rx = new Map<number, { sa: RxSa; packets: bigint }>();
  readonly tx = new Map<string, TxEntry>();
  readonly drops: Record<string, number> = {};
  readonly keysUsed = new Set<string>();
  /** Keys that could still decrypt, as hex, by SPI. */
  readonly #keys = new Map<number, { hex: string; generation: bigint }>();
  readonly #held = new Map<number, Held>();
  readonly #heldByPair = new Map<string, Held>();
  readonly #failures = new Map<FlowCall, number>();
  /** Packets of each pair, by whatever SA. */
  readonly #carried = new Map<string, { tx: bigint; rx: bigint }>();
  /** Of the uplink; no two hosts have the same. */
  readonly mac: string;
  #rotations = 0n;
  #spi = 0;
  #flow = 0;
  spisPerKey = 0x7fffffff;

  constructor(
    readonly options: {
      readonly clock: Clock;
      readonly seed: number;
      /** Absent: the plane's own default. */
      readonly maxEntries?: number;
      /** Absent: the IVs of this host count. */
      readonly features?: ReadonlySet<Feature>;
      /** Sends a sealed packet; called for each packet that has an entry. */
      transmit(packet: { sa: TxSa; key: string }): void;
      event(event: PlaneEvent): void;
    },
  ) {
    const host = Math.floor(options.seed / 1000) & 0xff;
    this.mac = `02:00:00:00:01:${host.toString(16).padStart(2, "0")}`;
  }

  /** Makes the next calls fail. */
  failNext(call: FlowCall, times = 1): void {
    this.#failures.set(call, times);
  }

  /** A packet of a workload. */
  packet(pair: VipPair): "sent" | "held" | "dropped" {
    const entry = this.tx.get(keyOf(pair));
    if (entry === undefined) return this.#hold(pair);
    if (entry.expired || entry.packets >= entry.ivLimit) {
      this.#count("tx-key-expired");
      return "dropped";
    }
    entry.packets++;
    this.#carriedBy(pair).tx++;
    this.options.transmit(entry);
    return "sent";
  }

  /** A PSP packet from the net: true when it reaches the workload. */
  receive({ sa, key, srcPip }: { sa: TxSa; key: string; srcPip: string }): boolean {
    const known = this.#keys.get(sa.spi);
    const syndrome = (known?.hex === key && known.generation + 2n > this.#rotations)
      ? "ok"
      : "icv_failed";
    const entry = this.rx.get(sa.spi);
    const matches = entry !== undefined && entry.sa.localVip === sa.remoteVip &&
      entry.sa.remoteVip === sa.localVip;
    if (syndrome === "ok" && matches && entry.sa.cryptOffset !== sa.cryptOffset) {
      this.#count("rx-crypt-offset");
      return false;
    }
    if (syndrome === "ok" && matches) {
      entry.packets++;
      this.#carriedBy(entry.sa).rx++;
      return true;
    }
    this.#count(syndrome === "ok" ? "rx-unknown-spi" : "rx-auth-fail");
    this.options.event({ type: "syndrome", spi: sa.spi, syndrome, srcPip, dstPip: sa.pip });
    return false;
  }

  /** Packets held, over all flows. */
  get held(): number {
    return [...this.#held.values()].reduce((sum, { packets }) => sum + packets, 0);
  }

  /** The key that a receiver would derive; undefined: none that lives. */
  keyHex(spi: number): string | undefined {
    const known = this.#keys.get(spi);
    return known && known.generation + 2n > this.#rotations ? known.hex : undefined;
  }

  // ---- Flows -------------------------------------------------------------------------------------

  addRx(sa: RxSa): void {
    this.#call("addRx", String(sa.spi));
    this.rx.set(sa.spi, { sa, packets: this.rx.get(sa.spi)?.packets ?? 0n });
  }

  carried(): undefined {}

  ignoreReplays(spi: number): void {
    this.#call("ignoreReplays", String(spi));
    const entry = this.rx.get(spi);
    if (entry !== undefined) entry.sa = { ...entry.sa, ivCounts: false };
  }

  removeRx(spi: number): void {
    this.#call("removeRx", String(spi));
    this.rx.delete(spi);
  }

  setTx(sa: TxSa, key: TxKey): void {
    this.#call("setTx", String(sa.spi));
    const hex = key.key.reveal().toHex();
    if (/^0*$/.test(hex)) throw new DataPlaneError("Cannot set a wiped key", "EINVAL");
    if (this.keysUsed.has(hex)) throw new DataPlaneError("Cannot set a key twice", "EKEY");
    this.keysUsed.add(hex);
    this.tx.set(keyOf(sa), { sa, key: hex, expired: false, ivLimit: key.ivLimit, packets: 0n });
  }

  readdressTx(sa: TxSa): void {
    this.#call("readdressTx", `${sa.spi} ${sa.pip}`);
    const entry = this.tx.get(keyOf(sa));
    if (entry !== undefined) entry.sa = sa;
  }

  removeTx(pair: VipPair): void {
    this.#call("removeTx", keyOf(pair));
    this.tx.delete(keyOf(pair));
  }

  expireTx(pair: VipPair): void {
    this.#call("expireTx", keyOf(pair));
    const entry = this.tx.get(keyOf(pair));
    if (entry !== undefined) entry.expired = true;
  }

  txStats(pair: VipPair): Stats | undefined {
    return stats(this.tx.get(keyOf(pair)));
  }

  traffic(pair: VipPair): Traffic | undefined {
    const key = keyOf(pair);
    const there = this.tx.has(key) || [...this.rx.values()].some(({ sa }) => keyOf(sa) === key);
    if (!there) {
      this.#carried.delete(key);
      return undefined;
    }
    const { tx, rx } = this.#carriedBy(pair);
    const of = (packets: bigint) => ({ packets, bytes: packets * 100n });
    return { tx: of(tx), rx: of(rx) };
  }

  #carriedBy(pair: VipPair): { tx: bigint; rx: bigint } {
    const known = this.#carried.get(keyOf(pair));
    if (known !== undefined) return known;
    const fresh = { tx: 0n, rx: 0n };
    this.#carried.set(keyOf(pair), fresh);
    return fresh;
  }

  together<T>(work: () => T): T {
    return work();
  }

  rxStats(spi: number): Stats | undefined {
    return stats(this.rx.get(spi));
  }

  // ---- Plane -------------------------------------------------------------------------------------

  port(): PortInfo {
    return {
      kind: "uplink",
      name: "up0",
      present: true,
      identity: 1,
      network: 0,
      traffic: NO_TRAFFIC,
      ifindex: 1,
      mac: this.mac,
      mtu: 1500,
      linkUp: true,
      forwards: [],
      guard: { state: "stands", restored: 0 },
    };
  }

  granted(): ReturnType<CorePlane["granted"]> {
    const { maxEntries = LIMITS.max_entries.default } = this.options;
    const features = this.options.features ?? new Set<Feature>(["iv-counts"]);
    return { maxEntries, maxCryptoIds: Math.ceil(maxEntries / 2), features };
  }

  generateSpis(version: PspVersionNumber, n: number): SpiKey[] {
    this.#call("generateSpis", String(n));
    if (this.#spi + n > this.spisPerKey) throw new DataPlaneError("No SPI left", "EKEY");
    return Array.from({ length: n }, () => {
      const msb = Number(this.#rotations & 1n) * 0x80000000;
      const spi = (msb + ++this.#spi) >>> 0;
      const bytes = new Uint8Array(version % 2 === 1 ? 32 : 16);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, this.options.seed + 1);
      view.setUint32(4, spi);
      view.setUint32(8, Number(this.#rotations));
      this.#keys.set(spi, { hex: bytes.toHex(), generation: this.#rotations });
      return { spi, version, key: new Key(bytes) };
    });
  }

  rotateMasterKey(): void {
    this.#call("rotateMasterKey", "");
    this.#rotations++;
    this.#spi = 0;
  }

  masterKey(): MasterKeyInfo {
    const spisLeft = BigInt(this.spisPerKey - this.#spi);
    return { active: this.#rotations % 2n === 0n ? 0 : 1, rotations: this.#rotations, spisLeft };
  }

  releaseHeld(flow: number): number {
    this.#call("releaseHeld", String(flow));
    const held = this.#held.get(flow);
    if (held === undefined) throw new DataPlaneError("Cannot release: no such flow", "ENOENT");
    this.#forget(held);
    const pair = { localVip: held.srcVip, remoteVip: held.dstVip };
    for (let i = 0; i < held.packets; i++) this.packet(pair);
    return held.packets;
  }

  dropHeld(flow: number, reason: DropReason, holdOffMs: number): number {
    this.#call("dropHeld", `${flow} ${reason}`);
    const held = this.#held.get(flow);
    if (held === undefined) throw new DataPlaneError("Cannot drop: no such flow", "ENOENT");
    this.#count(reason, held.packets);
    const { packets } = held;
    held.packets = 0;
    held.offUntil = this.options.clock.now() + holdOffMs;
    if (holdOffMs <= 0) this.#forget(held);
    return packets;
  }

  clearHoldOff(): void {
    this.#call("clearHoldOff", "");
    for (const held of this.#held.values()) if (held.offUntil > 0) this.#forget(held);
  }

  // ---- helpers -----------------------------------------------------------------------------------

  #hold({ localVip, remoteVip }: VipPair): "held" | "dropped" {
    const now = this.options.clock.now();
    let held = this.#heldByPair.get(keyOf({ localVip, remoteVip }));
    if (held !== undefined && held.offUntil > now) {
      this.#count("hold-off");
      return "dropped";
    }
    if (held === undefined || held.offUntil > 0) {
      if (held !== undefined) this.#forget(held);
      held = {
        id: ++this.#flow,
        srcVip: localVip,
        dstVip: remoteVip,
        packets: 0,
        offUntil: 0,
      };
      this.#held.set(held.id, held);
      this.#heldByPair.set(keyOf({ localVip, remoteVip }), held);
      this.options.event({
        type: "miss",
        flow: held.id,
        port: 2,
        network: 0,
        srcVip: localVip,
        dstVip: remoteVip,
        ethSrc: "02:00:00:00:00:0a",
      });
    }
    held.packets++;
    return "held";
  }

  #forget(held: Held): void {
    this.#held.delete(held.id);
    this.#heldByPair.delete(keyOf({ localVip: held.srcVip, remoteVip: held.dstVip }));
  }

  #call(call: FlowCall, what: string): void {
    const failures = this.#failures.get(call) ?? 0;
    if (failures > 0) {
      this.#failures.set(call, failures - 1);
      throw new DataPlaneError(`Cannot ${call}: the test wants it to fail`, "ENOSPC");
    }
    this.calls.push({ call, what });
  }

  #count(reason: string, n = 1): void {
    this.drops[reason] = (this.drops[reason] ?? 0) + n;
  }
}

function keyOf({ localVip, remoteVip }: VipPair): string {
  return `${localVip} ${remoteVip}`;
}

function stats(entry: { packets: bigint } | undefined): Stats | undefined {
  if (entry === undefined) return undefined;
  return { packets: entry.packets, bytes: entry.packets * 100n, lastUsedNs: 0n };
}

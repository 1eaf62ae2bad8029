// SPDX-License-Identifier: Apache-2.0

/** A data plane in memory, stricter than the real ones: for tests of the core. */
import type {
  DropReason,
  EntryChange,
  EntryDescriptor,
  Feature,
  Granted,
  HoldLimits,
  KeyChange,
  MasterKeyInfo,
  NextHop,
  Outcome,
  PipeDescriptor,
  PipeStats,
  Plane,
  PlaneEvent,
  PortInfo,
  PortName,
  PortOptions,
  PspVersionNumber,
  SpiKey,
  Stats,
  TxKey,
} from "../../ffi/plane.ts";
import { LIMITS } from "../../ffi/symbols.ts";
import { NO_STATS, outcomeOf, refuse } from "./fake_checks.ts";
import { FakeCalls, type PlaneCall } from "./fake_calls.ts";
import { FakeEvents } from "./fake_events.ts";
import { dropCounter, FakeHold } from "./fake_hold.ts";
import { FakeKeys, type FakeSlot } from "./fake_keys.ts";
import { FakeTables } from "./fake_tables.ts";
import { FakeTraffic } from "./fake_traffic.ts";
import { NO_TRAFFIC } from "../sim/plane.ts";

export interface FakePlaneOptions {
  /** Makes the keys of two planes differ. */
  readonly seed?: number;
  readonly maxEntries?: number;
  readonly maxCryptoIds?: number;
  readonly holdPacketsPerFlow?: number;
  readonly holdFlows?: number;
  /** SPIs that each master key has. */
  readonly spis?: number;
  /** Keys with one ivStart. */
  readonly rememberedKeys?: number;
  /** Default: what the soft plane has but for networks. */
  readonly features?: ReadonlySet<Feature>;
  readonly uplink?: Partial<PortInfo>;
  readonly host?: Partial<PortInfo>;
  /** Milliseconds; what hold-off is measured by. Default: time stands still. */
  readonly now?: () => number;
}

/**
 * Implements `Plane`. Beyond the ABI it refuses an entry that encrypts with a crypto id without a key,
 * and an entry that sets a pkt_meta for which PSP_ENCRYPT has no entry: downstream comes first.
 */
export class FakePlane implements Plane {
  readonly kind = "fake";
  /** Frames that were injected. */
  readonly injected: { readonly port: number; readonly frame: Uint8Array<ArrayBuffer> }[] = [];
  readonly ports = { uplink: 1, host: 2 } as const;
  /** What `nextHop` answers, by outer address. */
  readonly nextHops = new Map<string, NextHop>();
  started = false;

  readonly #options: FakePlaneOptions;
  readonly #tables: FakeTables;
  readonly #keys: FakeKeys;
  readonly #hold: FakeHold;
  readonly #traffic: FakeTraffic;
  readonly #calls = new FakeCalls();
  readonly #events = new FakeEvents();
  #nextId = 1;
  /** Host ports that were added, by handle. */
  readonly #added = new Map<number, PortOptions>();
  #nextPort = 3;

  constructor(options: FakePlaneOptions = {}) {
    this.#options = options;
    const now = options.now ?? (() => 0);
    this.#keys = new FakeKeys({
      seed: options.seed ?? 1,
      maxCryptoIds: options.maxCryptoIds ?? LIMITS.max_crypto_ids.default,
      spis: options.spis ?? 0x7fffffff,
      ivStarts: options.features?.has("iv-start") ?? true,
      remembered: options.rememberedKeys ?? 65536,
    });
    this.#tables = new FakeTables({
      maxEntries: options.maxEntries ?? LIMITS.max_entries.default,
      nextId: () => this.#nextId++,
      hasKey: (cryptoId) => this.#keys.slots.has(cryptoId),
    });
    this.#hold = new FakeHold({
      packetsPerFlow: options.holdPacketsPerFlow ?? LIMITS.hold_packets_per_flow.default,
      flows: options.holdFlows ?? LIMITS.hold_flows.default,
      now,
      nextId: () => this.#nextId++,
      count: (name) => this.#traffic.count(name),
      push: (event) => this.push(event),
    });
    const [tables, keys, hold] = [this.#tables, this.#keys, this.#hold];
    this.#traffic = new FakeTraffic({ tables, keys, hold, now });
  }

  // ---- what tests do -----------------------------------------------------------------------------

  /** Every call of the interface, in order. */
  get calls(): PlaneCall[] {
    return this.#calls.made;
  }

  get closed(): boolean {
    return this.#calls.closed;
  }

  /** crypto id -> what it holds. */
  get crypto(): ReadonlyMap<number, FakeSlot> {
    return this.#keys.slots;
  }

  /** A packet from a workload. Returns the handle of the flow that now holds it, 0 when it was not held. */
  miss(srcVip: string, dstVip: string): number {
    return this.#traffic.miss(srcVip, dstVip);
  }

  /** A good PSP packet from the net. Returns whether INGR_ACL let it through to the workload. */
  receive(packet: { spi: number; srcVip: string; dstVip: string; vc?: bigint }): boolean {
    return this.#traffic.receive(packet);
  }

  /** Adds traffic to an entry, as if it had passed. */
  traffic(entry: number, packets: bigint, lastUsedNs?: bigint): void {
    this.#traffic.add(entry, packets, lastUsedNs);
  }

  /** Puts an event into the queue. */
  push(event: PlaneEvent): void {
    this.#events.push(event);
  }

  /** Makes the next `times` calls of a method fail (on one pipe, when named). */
  failNext(
    method: keyof Plane,
    options: { code?: string; pipe?: string; times?: number } = {},
  ): void {
    this.#calls.failNext(method, options);
  }

  /** Packets held for a flow, 0 when there is no such flow. */
  held(flow: number): number {
    return this.#hold.packets(flow);
  }

  /** Names of the pipes in the order of their creation. */
  pipeNames(): string[] {
    return this.#tables.pipes().map((p) => p.descriptor.name);
  }

  /** Descriptors of a pipe's entries. */
  entriesOf(pipe: string): EntryDescriptor[] {
    return [...this.#tables.named(pipe)?.entries.values() ?? []].map((e) => e.descriptor);
  }

  // ---- Plane -------------------------------------------------------------------------------------

  version(): string {
    return "fake 0; backends: none";
  }

  granted(): Granted {
    return {
      maxEntries: this.#options.maxEntries ?? LIMITS.max_entries.default,
      maxCryptoIds: this.#options.maxCryptoIds ?? LIMITS.max_crypto_ids.default,
      holdPacketsPerFlow: this.#options.holdPacketsPerFlow ?? LIMITS.hold_packets_per_flow.default,
      holdFlows: this.#options.holdFlows ?? LIMITS.hold_flows.default,
      holdBytes: LIMITS.hold_bytes.default,
      ringBytes: Array<number>(5).fill(LIMITS.ring_bytes.default),
      sampleBytes: LIMITS.sample_bytes.default,
      workers: 0,
      queues: 0,
      mbufs: 0,
      actionsMemory: 0,
      features: this.#options.features ?? new Set(["iv-start", "iv-counts", "replay-window"]),
    };
  }

  port(port: PortName | number): PortInfo {
    const handle = this.#port(port);
    const uplink = handle === this.ports.uplink;
    const added = this.#added.get(handle);
    if (handle > this.ports.host && added === undefined) {
      throw refuse(`Cannot query port ${handle}`, "there is none", "ENOENT");
    }
    return {
      kind: uplink ? "uplink" : "host",
      name: added?.name ?? (uplink ? "up0" : "host0"),
      present: true,
      identity: 1,
      network: added?.network ?? 0,
      traffic: NO_TRAFFIC,
      ifindex: uplink ? 1 : 2,
      mac: `02:00:00:00:00:0${uplink ? 1 : 2}`,
      mtu: uplink ? 1500 : 1420,
      linkUp: true,
      forwards: [],
      guard: { state: "stands", restored: 0 },
      ...(uplink ? this.#options.uplink : this.#options.host),
    };
  }

  addPort(port: PortOptions): number {
    return this.#call("addPort", [port], undefined, () => {
      const handle = this.#nextPort++;
      this.#added.set(handle, port);
      return handle;
    });
  }

  removePort(port: number): void {
    this.#call("removePort", [port], undefined, () => {
      if (!this.#added.delete(port)) {
        throw refuse(`Cannot remove port ${port}`, "there is none", "ENOENT");
      }
    });
  }

  nextHop(pip: string): NextHop | undefined {
    return this.nextHops.get(pip);
  }

  start(): void {
    this.#call("start", [], undefined, () => {
      this.started = true;
    });
  }

  createPipe(descriptor: PipeDescriptor): number {
    const make = () => this.#tables.createPipe(descriptor);
    return this.#call("createPipe", [descriptor], descriptor.name, make);
  }

  destroyPipe(pipe: number): void {
    const destroy = () => this.#tables.destroyPipe(pipe);
    this.#call("destroyPipe", [pipe], this.#tables.nameOf(pipe), destroy);
  }

  queryPipe(pipe: number): PipeStats {
    return this.#tables.queryPipe(pipe);
  }

  addEntry(pipe: number, entry: EntryDescriptor): number {
    const name = this.#tables.nameOf(pipe);
    const add = () => this.#tables.addEntry(pipe, entry);
    return this.#call("addEntry", [name ?? pipe, entry], name, add);
  }

  updateEntry(entry: number, descriptor: EntryDescriptor): void {
    const name = this.#tables.pipeNameOf(entry);
    const update = () => this.#tables.updateEntry(entry, descriptor);
    this.#call("updateEntry", [name ?? entry, descriptor], name, update);
  }

  removeEntry(entry: number): void {
    const name = this.#tables.pipeNameOf(entry);
    this.#call("removeEntry", [name ?? entry], name, () => this.#tables.removeEntry(entry));
  }

  queryEntry(entry: number): Stats {
    return this.#tables.queryEntry(entry);
  }

  changeEntries(changes: readonly EntryChange[]): readonly Outcome[] {
    return changes.map((change) =>
      outcomeOf(() => {
        switch (change.op) {
          case "add":
            return { id: this.addEntry(change.pipe, change.entry), stats: NO_STATS };
          case "update":
            this.updateEntry(change.id, change.entry);
            return { id: change.id, stats: this.queryEntry(change.id) };
          case "remove": {
            const stats = this.queryEntry(change.id);
            this.removeEntry(change.id);
            return { id: change.id, stats };
          }
          case "query":
            return { id: change.id, stats: this.queryEntry(change.id) };
        }
      })
    );
  }

  changeKeys(changes: readonly KeyChange[]): readonly Outcome[] {
    return changes.map((change) =>
      outcomeOf(() => {
        const { cryptoId: id } = change;
        const stats = change.op !== "set" || this.#keys.slots.has(id)
          ? this.queryCrypto(id)
          : NO_STATS;
        if (change.op === "set") this.setCrypto(id, change.key);
        if (change.op === "clear") this.clearCrypto(id);
        return { id, stats };
      })
    );
  }

  setCrypto(cryptoId: number, key: TxKey): void {
    const set = () => this.#keys.setCrypto(cryptoId, key);
    this.#call("setCrypto", [cryptoId, { ...key }], undefined, set);
  }

  clearCrypto(cryptoId: number): void {
    this.#call("clearCrypto", [cryptoId], undefined, () => this.#keys.clearCrypto(cryptoId));
  }

  queryCrypto(cryptoId: number): Stats {
    return this.#keys.queryCrypto(cryptoId);
  }

  generateSpis(version: PspVersionNumber, n: number): SpiKey[] {
    const generate = () => this.#keys.generateSpis(version, n);
    return this.#call("generateSpis", [version, n], undefined, generate);
  }

  rotateMasterKey(): void {
    this.#call("rotateMasterKey", [], undefined, () => {
      this.#keys.rotateMasterKey();
      this.#traffic.count("key-rotations");
    });
  }

  masterKey(): MasterKeyInfo {
    return this.#keys.masterKey();
  }

  events(signal?: AbortSignal): AsyncGenerator<readonly PlaneEvent[]> {
    return this.#events.batches(signal);
  }

  releaseHeld(flow: number): number {
    return this.#call("releaseHeld", [flow], undefined, () => {
      const f = this.#hold.take("release", flow);
      for (let i = 0; i < f.packets; i++) this.miss(f.srcVip, f.dstVip);
      return f.packets;
    });
  }

  dropHeld(flow: number, reason: DropReason, holdOffMs: number): number {
    return this.#call("dropHeld", [flow, reason, holdOffMs], undefined, () => {
      const { packets, ...f } = this.#hold.take("drop", flow);
      this.#traffic.count(dropCounter(reason), BigInt(packets));
      if (holdOffMs > 0) this.#hold.holdOff(f, { reason, ms: holdOffMs });
      return packets;
    });
  }

  clearHoldOff(): void {
    this.#call("clearHoldOff", [], undefined, () => {
      this.#hold.clearHoldOff();
    });
  }

  limitHold(limits: HoldLimits): void {
    this.#call("limitHold", [limits], undefined, () => this.#hold.limit(limits));
  }

  inject(port: PortName | number, frame: Uint8Array<ArrayBuffer>): void {
    this.#call("inject", [port, frame], undefined, () => {
      this.injected.push({ port: this.#port(port), frame: frame.slice() });
    });
  }

  counters(): Readonly<Record<string, bigint>> {
    return { ...this.#traffic.counters };
  }

  close(): Promise<void> {
    this.#calls.close();
    this.#events.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #port(port: PortName | number): number {
    return typeof port === "number" ? port : this.ports[port];
  }

  // ---- helpers -----------------------------------------------------------------------------------

  #call<T>(
    method: keyof Plane,
    args: readonly unknown[],
    pipe: string | undefined,
    body: () => T,
  ): T {
    return this.#calls.make(method, { args, pipe }, body);
  }
}

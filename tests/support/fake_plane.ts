// SPDX-License-Identifier: Apache-2.0

/** A data plane in memory, stricter than the real ones: for tests of the core. */
import type {
  Actions,
  DropReason,
  EntryDescriptor,
  Fwd,
  MasterKeyInfo,
  NextHop,
  PipeDescriptor,
  PipeStats,
  Plane,
  PlaneEvent,
  PortInfo,
  PortName,
  PspVersionNumber,
  SpiKey,
  Stats,
  TxKey,
} from "../../ffi/plane.ts";
import { Key } from "../../ffi/key.ts";
import { checkMatch, matchKey, refuse } from "./fake_checks.ts";
import { dropCounter, FakeHold } from "./fake_hold.ts";

export interface FakePlaneOptions {
  /** Makes the keys of two planes differ. */
  readonly seed?: number;
  readonly maxEntries?: number;
  readonly maxCryptoIds?: number;
  readonly holdPacketsPerFlow?: number;
  readonly holdFlows?: number;
  /** SPIs that each master key has. */
  readonly spis?: number;
  readonly uplink?: Partial<PortInfo>;
  readonly host?: Partial<PortInfo>;
  /** Milliseconds; what hold-off is measured by. Default: time stands still. */
  readonly now?: () => number;
}

/** One call as it was made. Keys in `args` print as `[key]`. */
export interface PlaneCall {
  readonly method: keyof Plane;
  readonly args: readonly unknown[];
  readonly failed: boolean;
}

interface FakePipe {
  readonly id: number;
  readonly descriptor: PipeDescriptor;
  readonly entries: Map<number, FakeEntry>;
  misses: bigint;
}

interface FakeEntry {
  readonly id: number;
  readonly pipe: number;
  descriptor: EntryDescriptor;
  packets: bigint;
  bytes: bigint;
  lastUsedNs: bigint;
}

interface Failure {
  readonly method: keyof Plane;
  readonly code: string;
  readonly pipe?: string;
  times: number;
}

/** Packets that the tests send have this many octets. */
export const FAKE_PACKET_BYTES = 100n;

/**
 * Implements `Plane`. Beyond the ABI it refuses an entry that encrypts with a crypto id without a key,
 * and an entry that sets a pkt_meta for which PSP_ENCRYPT has no entry: downstream comes first.
 */
export class FakePlane implements Plane {
  readonly kind = "fake";
  /** Every call of the interface, in order. */
  readonly calls: PlaneCall[] = [];
  /** Frames that were injected. */
  readonly injected: { readonly port: PortName; readonly frame: Uint8Array<ArrayBuffer> }[] = [];
  /** crypto id -> what it holds (the key as hex, to compare with). */
  readonly crypto = new Map<
    number,
    { spi: number; version: PspVersionNumber; key: string; ivLimit: bigint; stats: Stats }
  >();
  /** What `nextHop` answers, by outer address. */
  readonly nextHops = new Map<string, NextHop>();
  started = false;
  closed = false;

  readonly #options: FakePlaneOptions;
  readonly #pipes = new Map<number, FakePipe>();
  readonly #entries = new Map<number, FakeEntry>();
  readonly #hold: FakeHold;
  readonly #usedKeys = new Set<string>();
  readonly #counters: Record<string, bigint> = {};
  readonly #failures: Failure[] = [];
  #queue: PlaneEvent[] = [];
  #wake: (() => void) | undefined;
  #reading = false;
  #nextId = 1;
  #active: 0 | 1 = 0;
  #rotations = 0n;
  #generated: [number, number] = [0, 0];

  constructor(options: FakePlaneOptions = {}) {
    this.#options = options;
    for (const name of KERNEL_COUNTERS) this.#counters[name] = 0n;
    this.#hold = new FakeHold({
      packetsPerFlow: options.holdPacketsPerFlow ?? 64,
      flows: options.holdFlows ?? 16384,
      now: () => this.#now(),
      nextId: () => this.#nextId++,
      count: (name) => this.#count(name),
      push: (event) => this.push(event),
    });
  }

  // ---- what tests do -----------------------------------------------------------------------------

  /** A packet from a workload. Returns the handle of the flow that now holds it, 0 when it was not held. */
  miss(srcVip: string, dstVip: string): number {
    const entry = this.#egressEntry(srcVip, dstVip);
    if (entry !== undefined) {
      this.#transmit(entry);
      return 0;
    }
    const acl = this.#pipeNamed("EGR_ACL");
    if (acl !== undefined) {
      acl.misses++;
      if (acl.descriptor.fwd_miss.type !== "rss") {
        this.#count("drop-pipe");
        return 0;
      }
    }
    return this.#hold.add(srcVip, dstVip);
  }

  /** A good PSP packet from the net. Returns whether INGR_ACL let it through to the workload. */
  receive(packet: { spi: number; srcVip: string; dstVip: string; vc?: bigint }): boolean {
    const acl = this.#pipeNamed("INGR_ACL");
    const entry = acl && [...acl.entries.values()].find(({ descriptor: { match } }) => {
      const addresses = match.inner ?? match.outer;
      return match.tun?.psp?.spi === packet.spi && addresses?.src_ip === packet.srcVip &&
        addresses.dst_ip === packet.dstVip && (match.tun.psp.vc ?? 0n) === (packet.vc ?? 0n);
    });
    if (entry === undefined) {
      if (acl !== undefined) acl.misses++;
      return false;
    }
    this.#use(entry);
    this.#count("rx-packets");
    return true;
  }

  /** Puts an event into the queue. */
  push(event: PlaneEvent): void {
    this.#queue.push(event);
    this.#wake?.();
  }

  /** Makes the next `times` calls of a method fail (on one pipe, when named). */
  failNext(
    method: keyof Plane,
    options: { code?: string; pipe?: string; times?: number } = {},
  ): void {
    this.#failures.push({
      method,
      code: options.code ?? "EIO",
      times: options.times ?? 1,
      ...(options.pipe === undefined ? {} : { pipe: options.pipe }),
    });
  }

  /** Packets held for a flow, 0 when there is no such flow. */
  held(flow: number): number {
    return this.#hold.packets(flow);
  }

  /** Names of the pipes in the order of their creation. */
  pipeNames(): string[] {
    return [...this.#pipes.values()].map((p) => p.descriptor.name);
  }

  /** Descriptors of a pipe's entries. */
  entriesOf(pipe: string): EntryDescriptor[] {
    return [...this.#pipeNamed(pipe)?.entries.values() ?? []].map((e) => e.descriptor);
  }

  /** Adds traffic to an entry, as if it had passed. */
  traffic(entry: number, packets: bigint, lastUsedNs = packets): void {
    const e = this.#entry("count on", entry);
    e.packets += packets;
    e.bytes += packets * FAKE_PACKET_BYTES;
    e.lastUsedNs = lastUsedNs;
  }

  // ---- Plane -------------------------------------------------------------------------------------

  version(): string {
    return "fake 0; backends: none";
  }

  port(name: PortName): PortInfo {
    const uplink = name === "uplink";
    return {
      ifindex: uplink ? 1 : 2,
      mac: `02:00:00:00:00:0${uplink ? 1 : 2}`,
      mtu: uplink ? 1500 : 1420,
      linkUp: true,
      forwards: [],
      ...(uplink ? this.#options.uplink : this.#options.host),
    };
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
    return this.#call("createPipe", [descriptor], descriptor.name, () => {
      const what = `Cannot create pipe "${descriptor.name}"`;
      if (this.#pipeNamed(descriptor.name)) throw refuse(what, "it is there already", "EEXIST");
      if (descriptor.is_root && [...this.#pipes.values()].some((p) => p.descriptor.is_root)) {
        throw refuse(what, "there is a root pipe already", "EEXIST");
      }
      this.#checkFwd(what, descriptor.fwd);
      this.#checkFwd(what, descriptor.fwd_miss);
      const id = this.#nextId++;
      this.#pipes.set(id, { id, descriptor, entries: new Map(), misses: 0n });
      return id;
    });
  }

  destroyPipe(pipe: number): void {
    const name = this.#pipes.get(pipe)?.descriptor.name;
    this.#call("destroyPipe", [pipe], name, () => {
      const p = this.#pipe("destroy", pipe);
      const before = [...this.#pipes.values()].find((other) =>
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
      for (const id of p.entries.keys()) this.#entries.delete(id);
      this.#pipes.delete(pipe);
    });
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
    const name = this.#pipes.get(pipe)?.descriptor.name;
    return this.#call("addEntry", [name ?? pipe, entry], name, () => {
      const p = this.#pipe("add an entry to", pipe);
      const what = `Cannot add entry to pipe "${p.descriptor.name}"`;
      if (this.#entries.size >= (this.#options.maxEntries ?? 262144)) {
        throw refuse(what, "no room for another entry", "ENOSPC");
      }
      checkMatch(what, p.descriptor, entry);
      const key = matchKey(entry);
      if ([...p.entries.values()].some((e) => matchKey(e.descriptor) === key)) {
        throw refuse(what, "an entry with this match is there already", "EEXIST");
      }
      this.#checkActions(what, entry.actions);
      this.#checkFwd(what, entry.fwd);
      if (entry.fwd === undefined && p.descriptor.fwd === undefined) {
        throw refuse(what, "neither the entry nor the pipe says where to forward", "EINVAL");
      }
      const id = this.#nextId++;
      const e = { id, pipe, descriptor: entry, packets: 0n, bytes: 0n, lastUsedNs: 0n };
      p.entries.set(id, e);
      this.#entries.set(id, e);
      return id;
    });
  }

  updateEntry(entry: number, descriptor: EntryDescriptor): void {
    const name = this.#pipeNameOf(entry);
    this.#call("updateEntry", [name ?? entry, descriptor], name, () => {
      const e = this.#entry("update", entry);
      const what = `Cannot update entry of pipe "${name}"`;
      if (matchKey(descriptor) !== matchKey(e.descriptor)) {
        throw refuse(what, "its match differs", "EINVAL");
      }
      this.#checkActions(what, descriptor.actions);
      this.#checkFwd(what, descriptor.fwd);
      e.descriptor = descriptor;
    });
  }

  removeEntry(entry: number): void {
    const name = this.#pipeNameOf(entry);
    this.#call("removeEntry", [name ?? entry], name, () => {
      const e = this.#entry("remove", entry);
      const meta = e.descriptor.match.meta?.pkt_meta;
      if (
        meta !== undefined &&
        [...this.#entries.values()].some((o) => o.descriptor.actions?.meta?.pkt_meta === meta)
      ) {
        throw refuse(
          `Cannot remove entry of pipe "${name}"`,
          `an entry upstream still sets pkt_meta ${meta}`,
          "EBUSY",
        );
      }
      this.#pipes.get(e.pipe)?.entries.delete(entry);
      this.#entries.delete(entry);
    });
  }

  queryEntry(entry: number): Stats {
    const { packets, bytes, lastUsedNs } = this.#entry("query", entry);
    return { packets, bytes, lastUsedNs };
  }

  setCrypto(cryptoId: number, key: TxKey): void {
    this.#call("setCrypto", [cryptoId, { ...key }], undefined, () => {
      const what = `Cannot set crypto id ${cryptoId}`;
      if (cryptoId < 1 || cryptoId > (this.#options.maxCryptoIds ?? 131072)) {
        throw refuse(what, "it is out of range", "EINVAL");
      }
      const hex = key.key.reveal().toHex();
      if (/^0*$/.test(hex)) throw refuse(what, "the key was wiped", "EINVAL");
      if (hex.length !== (key.version % 2 === 1 ? 64 : 32)) {
        throw refuse(what, `the key has not the length of version ${key.version}`, "EINVAL");
      }
      if (this.#usedKeys.has(hex)) throw refuse(what, "the key was in use before", "EKEY");
      this.#usedKeys.add(hex);
      const { spi, version, ivLimit } = key;
      this.crypto.set(cryptoId, { spi, version, key: hex, ivLimit, stats: NO_STATS });
    });
  }

  clearCrypto(cryptoId: number): void {
    this.#call("clearCrypto", [cryptoId], undefined, () => {
      if (!this.crypto.delete(cryptoId)) {
        throw refuse(`Cannot clear crypto id ${cryptoId}`, "it holds no key", "ENOENT");
      }
    });
  }

  queryCrypto(cryptoId: number): Stats {
    const slot = this.crypto.get(cryptoId);
    if (slot === undefined) {
      throw refuse(`Cannot query crypto id ${cryptoId}`, "it holds no key", "ENOENT");
    }
    return slot.stats;
  }

  generateSpis(version: PspVersionNumber, n: number): SpiKey[] {
    return this.#call("generateSpis", [version, n], undefined, () => {
      const used = this.#generated[this.#active];
      if (used + n > (this.#options.spis ?? 0x7fffffff)) {
        throw refuse(`Cannot generate ${n} SPIs`, "the master key has none left: rotate", "EKEY");
      }
      this.#generated[this.#active] = used + n;
      return Array.from({ length: n }, (_, i) => this.#spiKey(version, used + i + 1));
    });
  }

  rotateMasterKey(): void {
    this.#call("rotateMasterKey", [], undefined, () => {
      this.#active = this.#active === 0 ? 1 : 0;
      this.#generated[this.#active] = 0;
      this.#rotations++;
      this.#count("key-rotations");
    });
  }

  masterKey(): MasterKeyInfo {
    const spisLeft = BigInt((this.#options.spis ?? 0x7fffffff) - this.#generated[this.#active]);
    return { active: this.#active, rotations: this.#rotations, spisLeft };
  }

  async *events(signal?: AbortSignal): AsyncGenerator<readonly PlaneEvent[]> {
    if (this.#reading) throw refuse("Cannot read events", "they are being read already", "EBUSY");
    this.#reading = true;
    const wake = () => this.#wake?.();
    signal?.addEventListener("abort", wake);
    try {
      while (!this.closed && !signal?.aborted) {
        if (this.#queue.length === 0) {
          await new Promise<void>((resolve) => this.#wake = resolve);
          this.#wake = undefined;
          continue;
        }
        const batch = this.#queue;
        this.#queue = [];
        yield batch;
      }
    } finally {
      signal?.removeEventListener("abort", wake);
      this.#reading = false;
    }
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
      this.#count(dropCounter(reason), BigInt(packets));
      if (holdOffMs > 0) this.#hold.holdOff(f, { reason, ms: holdOffMs });
      return packets;
    });
  }

  clearHoldOff(): void {
    this.#call("clearHoldOff", [], undefined, () => {
      this.#hold.clearHoldOff();
    });
  }

  inject(port: PortName, frame: Uint8Array<ArrayBuffer>): void {
    this.#call("inject", [port, frame], undefined, () => {
      this.injected.push({ port, frame: frame.slice() });
    });
  }

  counters(): Readonly<Record<string, bigint>> {
    return { ...this.#counters };
  }

  close(): Promise<void> {
    if (!this.closed) this.calls.push({ method: "close", args: [], failed: false });
    this.closed = true;
    this.#wake?.();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ---- helpers -----------------------------------------------------------------------------------

  #call<T>(
    method: keyof Plane,
    args: readonly unknown[],
    pipe: string | undefined,
    body: () => T,
  ): T {
    let failed = true;
    try {
      if (this.closed) {
        throw refuse(`Cannot call ${String(method)}`, "the plane is closed", "ECLOSED");
      }
      const failure = this.#failures.find((f) =>
        f.method === method && f.times > 0 && (f.pipe === undefined || f.pipe === pipe)
      );
      if (failure !== undefined) {
        failure.times--;
        throw refuse(`Cannot call ${String(method)}`, "the test wants it to fail", failure.code);
      }
      const result = body();
      failed = false;
      return result;
    } finally {
      this.calls.push({ method, args, failed });
    }
  }

  #pipeNamed(name: string): FakePipe | undefined {
    return [...this.#pipes.values()].find((p) => p.descriptor.name === name);
  }

  #pipe(verb: string, id: number): FakePipe {
    const pipe = this.#pipes.get(id);
    if (pipe === undefined) throw refuse(`Cannot ${verb} pipe ${id}`, "there is none", "ENOENT");
    return pipe;
  }

  #entry(verb: string, id: number): FakeEntry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw refuse(`Cannot ${verb} entry ${id}`, "there is none", "ENOENT");
    return entry;
  }

  #pipeNameOf(entry: number): string | undefined {
    return this.#pipes.get(this.#entries.get(entry)?.pipe ?? 0)?.descriptor.name;
  }

  #checkFwd(what: string, fwd: Fwd | undefined): void {
    if (fwd?.type === "pipe" && !this.#pipes.has(fwd.pipe)) {
      throw refuse(what, `it forwards to pipe ${fwd.pipe}, which is not there`, "ENOENT");
    }
  }

  #checkActions(what: string, actions: Actions | undefined): void {
    const crypto = actions?.crypto;
    if (crypto?.action === "encrypt" && !this.crypto.has(crypto.crypto_id)) {
      throw refuse(what, `crypto id ${crypto.crypto_id} holds no key`, "ENOENT");
    }
    const meta = actions?.meta?.pkt_meta;
    const metaEntries = [...this.#entries.values()].map((e) => e.descriptor.match.meta?.pkt_meta);
    if (meta !== undefined && !metaEntries.includes(meta)) {
      throw refuse(what, `no entry downstream matches pkt_meta ${meta}`, "ENOENT");
    }
  }

  #egressEntry(srcVip: string, dstVip: string): FakeEntry | undefined {
    return [...this.#pipeNamed("EGR_ACL")?.entries.values() ?? []].find(({ descriptor }) =>
      descriptor.match.outer?.src_ip === srcVip && descriptor.match.outer.dst_ip === dstVip
    );
  }

  #transmit(entry: FakeEntry): void {
    const { crypto, meta } = entry.descriptor.actions ?? {};
    const id = crypto?.action === "encrypt" ? crypto.crypto_id : meta?.pkt_meta ?? 0;
    const slot = this.crypto.get(id);
    if (slot === undefined) return this.#count("tx-key-expired");
    this.#use(entry);
    slot.stats = {
      packets: slot.stats.packets + 1n,
      bytes: slot.stats.bytes + FAKE_PACKET_BYTES,
      lastUsedNs: entry.lastUsedNs,
    };
    this.#count("tx-packets");
  }

  #use(entry: FakeEntry): void {
    entry.packets++;
    entry.bytes += FAKE_PACKET_BYTES;
    entry.lastUsedNs = BigInt(Math.floor(this.#now() * 1e6)) + 1n;
  }

  #spiKey(version: PspVersionNumber, index: number): SpiKey {
    const bytes = new Uint8Array(version % 2 === 1 ? 32 : 16);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, this.#options.seed ?? 1);
    view.setUint32(4, Number(this.#rotations));
    view.setUint32(8, index);
    view.setUint32(12, 0x5eed0000 + version);
    return { spi: (this.#active * 0x80000000 + index) >>> 0, version, key: new Key(bytes) };
  }

  #count(name: string, n = 1n): void {
    this.#counters[name] = (this.#counters[name] ?? 0n) + n;
  }

  #now(): number {
    return this.#options.now?.() ?? 0;
  }
}

const KERNEL_COUNTERS = [
  "key-rotations",
  "stale-events",
  "rx-packets",
  "rx-bytes",
  "rx-auth-fail",
  "rx-error",
  "rx-bad",
  "tx-packets",
  "tx-bytes",
  "tx-error",
] as const;

const NO_STATS: Stats = { packets: 0n, bytes: 0n, lastUsedNs: 0n };

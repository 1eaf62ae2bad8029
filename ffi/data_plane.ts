// SPDX-License-Identifier: Apache-2.0

/** `Plane` over the C ABI: its calls, its events by long poll, its counters by name. */
import { addressBytes, putAddress } from "./address.ts";
import {
  decodeEvents,
  decodeGranted,
  decodeItems,
  decodeKeys,
  decodeMasterKey,
  decodeNextHop,
  decodePipeStats,
  decodePort,
  decodeStats,
  DROP_REASONS,
  encodeConfig,
  encoded,
  encodeEntryItems,
  encodeKey,
  encodeKeyItems,
  encodePipe,
  encodePort,
  encodePorts,
  EntryEncoder,
  type ItemOutcome,
  keyArray,
  LIST_MAX,
  Struct,
} from "./codec.ts";
import { ECLOSED, ENOENT, Handle, type Library, readText, refusalOf, unwrap } from "./library.ts";
import { NumberMap } from "./number_map.ts";
import {
  DataPlaneError,
  type DropReason,
  type EntryChange,
  type EntryDescriptor,
  type Granted,
  type HoldLimits,
  type KeyChange,
  type MasterKeyInfo,
  type NextHop,
  type NextHopOptions,
  type Outcome,
  type PipeDescriptor,
  type PipeStats,
  type Plane,
  type PlaneEvent,
  type PlaneOptions,
  type PortInfo,
  type PortName,
  type PortOptions,
  type PspVersionNumber,
  type SpiKey,
  type Stats,
  type TxKey,
} from "./plane.ts";
import type { Symbols } from "./symbols.ts";

/** An open data plane. The library must outlive it. */
export class DataPlane implements Plane {
  /** First word of the library's version: "soft" or "doca". */
  readonly kind: string;
  readonly ports: Readonly<Record<PortName, number>>;
  readonly #library: Library;
  readonly #symbols: Symbols;
  readonly #handle: Handle;
  #closing: Promise<void> | undefined;
  readonly #events: EventReader;
  #counterNames: readonly string[] | undefined;
  // One of each for all calls: thousands of entries are programmed and asked every second, one after the other.
  readonly #entryIn = new EntryEncoder();
  readonly #keyIn = new Struct("psp_dp_key");
  readonly #statsOut = Struct.sized("psp_dp_stats");
  readonly #numberOut = new Uint32Array(1);
  /** What psp_dp_pipe_create() and psp_dp_entry_add() returned, for messages and masks. */
  readonly #pipes = new Map<number, Pick<PipeDescriptor, "name" | "type">>();
  readonly #entryPipe = new NumberMap();

  private constructor(library: Library, handle: bigint, ports: readonly PortOptions[]) {
    this.#library = library;
    this.#symbols = library.symbols;
    this.#handle = new Handle(library.symbols, handle);
    this.#events = new EventReader(library.symbols, this.#handle);
    // Handles are given in the order in which ports are opened.
    const first = (kind: PortName) => ports.findIndex((port) => port.kind === kind) + 1;
    this.ports = { uplink: first("uplink"), host: first("host") };
    this.kind = library.version.split(" ", 1)[0] ?? "";
  }

  /** Opens the ports; packets flow after `start()`. Throws `DataPlaneError`. */
  static open(library: Library, options: PlaneOptions): DataPlane {
    const n = options.ports.length;
    const names = options.ports.map((port) => `"${port.name}"`).join(" and ");
    const what = `Cannot open the data plane on ${names}`;
    const { config, ports } = encoded(what, () => ({
      config: encodeConfig(options),
      ports: encodePorts(options.ports),
    }));
    const out = new BigUint64Array(1);
    const err = new Uint8Array(1024);
    const status = library.symbols.psp_dp_open(config.bytes, ports, n, out, err, err.length);
    unwrap(status, what, () => new TextDecoder().decode(err.subarray(0, err.indexOf(0))));
    const handle = out[0] ?? 0n;
    if (handle === 0n) throw new DataPlaneError(`${what}: the library gave no handle`, "EIO");
    return new DataPlane(library, handle, options.ports);
  }

  version(): string {
    return this.#library.version;
  }

  granted(): Granted {
    const out = Struct.sized("psp_dp_granted");
    const what = "Cannot ask what was granted";
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_granted(dp, out.bytes));
    return decodeGranted(out);
  }

  port(port: PortName | number): PortInfo {
    const what = `Cannot query ${portText(port)}`;
    const info = Struct.sized("psp_dp_port_info");
    const handle = this.#port(port);
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_port_query(dp, handle, info.bytes));
    return decodePort(info);
  }

  addPort(port: PortOptions): number {
    const what = `Cannot add port "${port.name}"`;
    const { bytes } = encoded(what, () => encodePort(port));
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_port_add(dp, bytes, this.#numberOut));
    return first(this.#numberOut);
  }

  removePort(port: number): void {
    const what = `Cannot remove port ${port}`;
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_port_remove(dp, port));
  }

  nextHop(pip: string, { source, probe = false }: NextHopOptions = {}): NextHop | undefined {
    const what = `Cannot find the next hop towards "${pip}"`;
    const address = encoded(what, () => addressBytes(pip));
    const hop = Struct.sized("psp_dp_next_hop");
    if (source !== undefined) encoded(what, () => hop.write("source", putAddress, source));
    hop.set("probe", probe ? 1 : 0);
    const dp = this.#handle.need(what);
    const status = this.#symbols.psp_dp_next_hop_query(dp, address, hop.bytes);
    if (status === ENOENT) return undefined;
    this.#handle.unwrap(status, what);
    return decodeNextHop(hop);
  }

  start(): void {
    this.#handle.do("Cannot start the data plane", (dp) => this.#symbols.psp_dp_start(dp));
  }

  createPipe(descriptor: PipeDescriptor): number {
    const what = `Cannot create pipe "${descriptor.name}"`;
    const { bytes } = encoded(what, () => encodePipe(descriptor));
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_pipe_create(dp, bytes, this.#numberOut));
    const id = first(this.#numberOut);
    this.#pipes.set(id, { name: descriptor.name, type: descriptor.type });
    return id;
  }

  destroyPipe(pipe: number): void {
    const what = `Cannot destroy pipe ${this.#pipeText(pipe)}`;
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_pipe_destroy(dp, pipe));
    this.#pipes.delete(pipe);
    for (const entry of [...this.#entryPipe.keys()]) {
      if (this.#entryPipe.get(entry) === pipe) this.#entryPipe.delete(entry);
    }
  }

  queryPipe(pipe: number): PipeStats {
    const what = () => `Cannot query pipe ${this.#pipeText(pipe)}`;
    return decodePipeStats(
      this.#stats(what, (dp, out) => this.#symbols.psp_dp_pipe_query(dp, pipe, out)),
    );
  }

  addEntry(pipe: number, entry: EntryDescriptor): number {
    const what = `Cannot add entry to pipe ${this.#pipeText(pipe)}`;
    const { bytes } = this.#entryDesc(what, pipe, entry);
    const out = this.#numberOut;
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_entry_add(dp, pipe, bytes, out));
    const id = first(out);
    this.#entryPipe.set(id, pipe);
    return id;
  }

  updateEntry(entry: number, descriptor: EntryDescriptor): void {
    const pipe = this.#entryPipe.get(entry) ?? 0;
    const what = `Cannot update entry of pipe ${this.#pipeText(pipe)}`;
    const { bytes } = this.#entryDesc(what, pipe, descriptor);
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_entry_update(dp, entry, bytes));
  }

  removeEntry(entry: number): void {
    const what = `Cannot remove entry of pipe ${this.#pipeText(this.#entryPipe.get(entry) ?? 0)}`;
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_entry_remove(dp, entry));
    this.#entryPipe.delete(entry);
  }

  queryEntry(entry: number): Stats {
    const what = () =>
      `Cannot query entry of pipe ${this.#pipeText(this.#entryPipe.get(entry) ?? 0)}`;
    return decodeStats(
      this.#stats(what, (dp, out) => this.#symbols.psp_dp_entry_query(dp, entry, out)),
    );
  }

  changeEntries(changes: readonly EntryChange[]): readonly Outcome[] {
    const name = (change: EntryChange) => {
      const pipe = change.op === "add" ? change.pipe : this.#entryPipe.get(change.id) ?? 0;
      return `Cannot ${change.op} entry of pipe ${this.#pipeText(pipe)}`;
    };
    const isControl = (change: EntryChange) => {
      const pipe = change.op === "add" ? change.pipe : this.#entryPipe.get(change.id) ?? 0;
      return this.#pipes.get(pipe)?.type === "control";
    };
    return this.#lists(changes, {
      struct: "psp_dp_entry_item",
      encode: (part) => encodeEntryItems(part, { encoder: this.#entryIn, isControl }),
      call: (dp, items, n) => this.#symbols.psp_dp_entry_list(dp, items, n),
      name,
      done: (change, { entry }) => {
        if (change.op === "add") this.#entryPipe.set(entry, change.pipe);
        if (change.op === "remove") this.#entryPipe.delete(change.id);
      },
      idOf: (change, { entry }) => change.op === "add" ? entry : change.id,
    });
  }

  changeKeys(changes: readonly KeyChange[]): readonly Outcome[] {
    return this.#lists(changes, {
      struct: "psp_dp_key_item",
      encode: encodeKeyItems,
      call: (dp, items, n) => this.#symbols.psp_dp_key_list(dp, items, n),
      name: ({ op, cryptoId }) => `Cannot ${op} the key of crypto id ${cryptoId}`,
      done: () => {},
      idOf: ({ cryptoId }) => cryptoId,
    });
  }

  setCrypto(cryptoId: number, key: TxKey): void {
    const what = `Cannot set the key of crypto id ${cryptoId}`;
    const { bytes } = this.#keyIn;
    try {
      encoded(what, () => encodeKey(key, this.#keyIn));
      this.#handle.do(what, (dp) => this.#symbols.psp_dp_crypto_set(dp, cryptoId, bytes));
    } finally {
      bytes.fill(0);
    }
  }

  clearCrypto(cryptoId: number): void {
    const what = `Cannot clear crypto id ${cryptoId}`;
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_crypto_clear(dp, cryptoId));
  }

  queryCrypto(cryptoId: number): Stats {
    const what = () => `Cannot query crypto id ${cryptoId}`;
    return decodeStats(
      this.#stats(what, (dp, out) => this.#symbols.psp_dp_crypto_query(dp, cryptoId, out)),
    );
  }

  generateSpis(version: PspVersionNumber, n: number): SpiKey[] {
    if (n === 0) return [];
    const keys = keyArray(n);
    try {
      const what = `Cannot generate ${n} SPIs of version ${version}`;
      this.#handle.do(what, (dp) => this.#symbols.psp_dp_spi_generate(dp, version, keys, n));
      return decodeKeys(keys, version);
    } finally {
      keys.fill(0);
    }
  }

  rotateMasterKey(): void {
    this.#handle.do(
      "Cannot rotate the master key",
      (dp) => this.#symbols.psp_dp_master_key_rotate(dp),
    );
  }

  masterKey(): MasterKeyInfo {
    const info = Struct.sized("psp_dp_master_key_info");
    const what = "Cannot query the master key";
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_master_key_query(dp, info.bytes));
    return decodeMasterKey(info);
  }

  events(signal?: AbortSignal): AsyncGenerator<readonly PlaneEvent[]> {
    return this.#events.read(signal);
  }

  releaseHeld(flow: number): number {
    const packets = this.#numberOut;
    const what = `Cannot release the packets of flow ${flow}`;
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_held_release(dp, flow, packets));
    return first(packets);
  }

  dropHeld(flow: number, reason: DropReason, holdOffMs: number): number {
    const packets = this.#numberOut;
    const ms = Math.min(Math.ceil(holdOffMs), 0xffffffff);
    const { psp_dp_held_drop: drop } = this.#symbols;
    const what = `Cannot drop the packets of flow ${flow}`;
    this.#handle.do(what, (dp) => drop(dp, flow, DROP_REASONS[reason], ms, packets));
    return first(packets);
  }

  clearHoldOff(): void {
    this.#handle.do("Cannot end the hold-off", (dp) => this.#symbols.psp_dp_hold_off_clear(dp));
  }

  limitHold({ packetsPerFlow = 0, flows = 0, bytes = 0 }: HoldLimits): void {
    const { psp_dp_hold_set: set } = this.#symbols;
    this.#handle.do("Cannot limit the hold", (dp) => set(dp, packetsPerFlow, flows, BigInt(bytes)));
  }

  inject(port: PortName | number, frame: Uint8Array<ArrayBuffer>): void {
    const what = `Cannot inject a frame of ${frame.length} octets into ${portText(port)}`;
    const handle = this.#port(port);
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_inject(dp, handle, frame, frame.length));
  }

  counters(): Readonly<Record<string, bigint>> {
    const names = this.#counterNames ??= this.#readCounterNames();
    const values = new BigUint64Array(Math.max(names.length, 1));
    const n = this.#numberOut;
    const what = "Cannot read the counters";
    this.#handle.do(what, (dp) => this.#symbols.psp_dp_counters(dp, values, names.length, n));
    return Object.fromEntries(names.map((name, i) => [name, values[i] ?? 0n]));
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    // From here on no call gets the handle, but the long poll in flight may still be on its way into the library: it
    // finds a plane that has stopped, and what it would find after that is gone only when it is back.
    const handle = this.#handle.take();
    if (handle === undefined) return;
    const stopped = await this.#symbols.psp_dp_stop(handle);
    await this.#events.idle();
    const closed = await this.#symbols.psp_dp_close(handle);
    unwrap(stopped, "Cannot stop the data plane");
    unwrap(closed, "Cannot close the data plane");
  }

  #port(port: PortName | number): number {
    return typeof port === "number" ? port : this.ports[port];
  }

  #readCounterNames(): readonly string[] {
    const what = "Cannot read the counters' names";
    const { psp_dp_counter_names: read } = this.#symbols;
    const text = readText(what, (...args) => read(this.#handle.need(what), ...args));
    return text.split("\n").filter((name) => name !== "");
  }

  /** Carries out changes, as many as one call takes at a time. */
  #lists<C>(changes: readonly C[], how: ListOf<C>): readonly Outcome[] {
    const outcomes: Outcome[] = [];
    for (let from = 0; from < changes.length; from += LIST_MAX) {
      const part = changes.slice(from, from + LIST_MAX);
      const items = encoded("Cannot change a list", () => how.encode(part));
      try {
        const status = how.call(this.#handle.need("Cannot change a list"), items, part.length);
        const results = decodeItems(how.struct, items);
        // What was no list at all was not tried.
        if (status !== 0 && results.every((result) => result.status === 0)) {
          this.#handle.unwrap(status, "Cannot change a list");
        }
        let sentence: string | undefined = status === 0 ? undefined : this.#handle.errorText();
        for (const [i, change] of part.entries()) {
          const result = results[i];
          if (result === undefined) continue;
          let error: DataPlaneError | undefined;
          if (result.status !== 0) {
            // The library has a sentence for the first.
            const text = sentence;
            error = refusalOf(result.status, how.name(change), text ? () => text : undefined);
            sentence = undefined;
          }
          const id = how.idOf(change, result);
          if (error === undefined) how.done(change, result);
          outcomes.push({ id, stats: result.stats, error });
        }
      } finally {
        items.fill(0);
      }
    }
    return outcomes;
  }

  #entryDesc(what: string, pipe: number, entry: EntryDescriptor): Struct<"psp_dp_entry_desc"> {
    const control = this.#pipes.get(pipe)?.type === "control";
    return encoded(what, () => this.#entryIn.encode(entry, { control }));
  }

  #pipeText(pipe: number): string {
    const name = this.#pipes.get(pipe)?.name;
    return name === undefined ? `${pipe}` : `"${name}"`;
  }

  /** `what` is worded where it is needed: very many entries are queried. */
  #stats(
    what: () => string,
    call: (handle: bigint, out: Uint8Array<ArrayBuffer>) => number,
  ): Struct<"psp_dp_stats"> {
    const dp = this.#handle.value ?? this.#handle.need(what());
    const status = call(dp, this.#statsOut.setSize().bytes);
    if (status !== 0) this.#handle.unwrap(status, what());
    return this.#statsOut;
  }
}

/** How changes of one kind are carried out. */
interface ListOf<C> {
  readonly struct: "psp_dp_entry_item" | "psp_dp_key_item";
  readonly encode: (part: readonly C[]) => Uint8Array<ArrayBuffer>;
  readonly call: (dp: bigint, items: Uint8Array<ArrayBuffer>, n: number) => number;
  /** "Cannot ..." */
  readonly name: (change: C) => string;
  readonly done: (change: C, result: ItemOutcome) => void;
  readonly idOf: (change: C, result: ItemOutcome) => number;
}

/** "the uplink port", "port 3". */
function portText(port: PortName | number): string {
  return typeof port === "number" ? `port ${port}` : `the ${port} port`;
}

function first(out: Uint32Array): number {
  return out[0] ?? 0;
}

// ---- events --------------------------------------------------------------------------------------

/** How long one long poll may last: the time until an abort is seen. */
const POLL_MS = 500;
/** Octets of a batch of events. */
const BATCH_BYTES = 256 * 1024;

/** One call in flight at most, its buffers untouched until it is back. Belongs to one plane. */
class EventReader {
  readonly #symbols: Symbols;
  readonly #handle: Handle;
  readonly #batch = new Uint8Array(BATCH_BYTES);
  readonly #len = new Uint32Array(1);
  #poll: Promise<number> | undefined;
  #reading = false;

  constructor(symbols: Symbols, handle: Handle) {
    this.#symbols = symbols;
    this.#handle = handle;
  }

  /** Batches until the plane closes or `signal` aborts. Throws `DataPlaneError` "EBUSY" for a second reader. */
  async *read(signal?: AbortSignal): AsyncGenerator<readonly PlaneEvent[]> {
    if (this.#reading) {
      throw new DataPlaneError("Cannot read events: another reader is at it", "EBUSY");
    }
    this.#reading = true;
    try {
      while (!signal?.aborted) {
        const status = await this.#wait();
        if (status === ECLOSED) return;
        this.#handle.unwrap(status, "Cannot read events");
        const events = decodeEvents(this.#batch.subarray(0, this.#len[0]));
        if (events.length > 0) yield events;
      }
    } finally {
      this.#reading = false;
    }
  }

  /** Resolves when no poll is in flight. To be awaited between stopping the plane and closing it. */
  async idle(): Promise<void> {
    await this.#poll;
  }

  async #wait(): Promise<number> {
    const handle = this.#handle.value;
    if (handle === undefined) return ECLOSED;
    const { psp_dp_event_wait: wait } = this.#symbols;
    this.#poll = wait(handle, this.#batch, this.#batch.length, POLL_MS, this.#len);
    try {
      return await this.#poll;
    } finally {
      this.#poll = undefined;
    }
  }
}

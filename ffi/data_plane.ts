// SPDX-License-Identifier: Apache-2.0

/** `Plane` over the C ABI. */
import { addressBytes } from "./address.ts";
import {
  decodeKeys,
  decodeMasterKey,
  decodeNextHop,
  decodePort,
  decodeStats,
  keyArray,
} from "./decode.ts";
import { encodeConfig, encodeEntry, encodeKey, encodePipe, PORTS } from "./encode.ts";
import { EventReader } from "./event_reader.ts";
import { type Library, readText } from "./library.ts";
import {
  DataPlaneError,
  type DropReason,
  type EntryDescriptor,
  type MasterKeyInfo,
  type NextHop,
  type PipeDescriptor,
  type PipeStats,
  type Plane,
  type PlaneEvent,
  type PlaneOptions,
  type PortInfo,
  type PortName,
  type PspVersionNumber,
  type SpiKey,
  type Stats,
  type TxKey,
} from "./plane.ts";
import { Struct } from "./struct.ts";
import { ENOENT, type Symbols, unwrap } from "./symbols.ts";

/** enum psp_dp_drop_reason */
const DROP_REASONS: Readonly<Record<DropReason, number>> = {
  no_peer: 0,
  peer_unreachable: 1,
  refused: 2,
  no_resource: 3,
  shutdown: 4,
  back_off: 5,
};

/** An open data plane. The library must outlive it. */
export class DataPlane implements Plane {
  /** First word of the library's version: "soft" or "doca". */
  readonly kind: string;
  readonly #library: Library;
  readonly #symbols: Symbols;
  #handle: bigint | undefined;
  #closing: Promise<void> | undefined;
  readonly #events: EventReader;
  #counterNames: readonly string[] | undefined;
  /** What psp_dp_pipe_create() and psp_dp_entry_add() returned, for messages and masks. */
  readonly #statsOut = Struct.sized("psp_dp_stats");
  readonly #pipes = new Map<number, Pick<PipeDescriptor, "name" | "type">>();
  readonly #entryPipe = new Map<number, number>();

  private constructor(library: Library, handle: bigint) {
    this.#library = library;
    this.#symbols = library.symbols;
    this.#handle = handle;
    this.#events = new EventReader({
      symbols: library.symbols,
      handle: () => this.#handle,
      errorText: () => this.#errorText(),
    });
    this.kind = library.version.split(" ", 1)[0] ?? "";
  }

  /** Opens both ports; packets flow after `start()`. Throws `DataPlaneError`. */
  static open(library: Library, options: PlaneOptions): DataPlane {
    const what = `Cannot open the data plane on "${options.uplink}" and "${options.host}"`;
    const config = encoded(what, () => encodeConfig(options));
    const out = new BigUint64Array(1);
    const err = new Uint8Array(512);
    const status = library.symbols.psp_dp_open(config.bytes, out, err, err.length);
    unwrap(status, what, () => new TextDecoder().decode(err.subarray(0, err.indexOf(0))));
    const handle = out[0] ?? 0n;
    if (handle === 0n) throw new DataPlaneError(`${what}: the library gave no handle`, "EIO");
    return new DataPlane(library, handle);
  }

  version(): string {
    return this.#library.version;
  }

  port(name: PortName): PortInfo {
    const what = `Cannot query the ${name} port`;
    const info = Struct.sized("psp_dp_port_info");
    this.#do(what, (dp) => this.#symbols.psp_dp_port_query(dp, PORTS[name], info.bytes));
    return decodePort(info);
  }

  nextHop(pip: string): NextHop | undefined {
    const what = `Cannot find the next hop towards "${pip}"`;
    const address = encoded(what, () => addressBytes(pip));
    const hop = Struct.sized("psp_dp_next_hop");
    const dp = this.#open(what);
    const status = this.#symbols.psp_dp_next_hop_query(dp, address, hop.bytes);
    if (status === ENOENT) return undefined;
    unwrap(status, what, () => this.#errorText());
    return decodeNextHop(hop);
  }

  start(): void {
    this.#do("Cannot start the data plane", (dp) => this.#symbols.psp_dp_start(dp));
  }

  createPipe(descriptor: PipeDescriptor): number {
    const what = `Cannot create pipe "${descriptor.name}"`;
    const { bytes } = encoded(what, () => encodePipe(descriptor));
    const pipe = new Uint32Array(1);
    this.#do(what, (dp) => this.#symbols.psp_dp_pipe_create(dp, bytes, pipe));
    const id = first(pipe);
    this.#pipes.set(id, { name: descriptor.name, type: descriptor.type });
    return id;
  }

  destroyPipe(pipe: number): void {
    const what = `Cannot destroy pipe ${this.#pipeText(pipe)}`;
    this.#do(what, (dp) => this.#symbols.psp_dp_pipe_destroy(dp, pipe));
    this.#pipes.delete(pipe);
    for (const [entry, of] of this.#entryPipe) if (of === pipe) this.#entryPipe.delete(entry);
  }

  queryPipe(pipe: number): PipeStats {
    const what = `Cannot query pipe ${this.#pipeText(pipe)}`;
    return this.#stats(what, (dp, out) => this.#symbols.psp_dp_pipe_query(dp, pipe, out));
  }

  addEntry(pipe: number, entry: EntryDescriptor): number {
    const what = `Cannot add entry to pipe ${this.#pipeText(pipe)}`;
    const { bytes } = this.#entryDesc(what, pipe, entry);
    const id = new Uint32Array(1);
    this.#do(what, (dp) => this.#symbols.psp_dp_entry_add(dp, pipe, bytes, id));
    this.#entryPipe.set(first(id), pipe);
    return first(id);
  }

  updateEntry(entry: number, descriptor: EntryDescriptor): void {
    const pipe = this.#entryPipe.get(entry) ?? 0;
    const what = `Cannot update entry of pipe ${this.#pipeText(pipe)}`;
    const { bytes } = this.#entryDesc(what, pipe, descriptor);
    this.#do(what, (dp) => this.#symbols.psp_dp_entry_update(dp, entry, bytes));
  }

  removeEntry(entry: number): void {
    const what = `Cannot remove entry of pipe ${this.#pipeText(this.#entryPipe.get(entry) ?? 0)}`;
    this.#do(what, (dp) => this.#symbols.psp_dp_entry_remove(dp, entry));
    this.#entryPipe.delete(entry);
  }

  queryEntry(entry: number): Stats {
    const what = `Cannot query entry of pipe ${this.#pipeText(this.#entryPipe.get(entry) ?? 0)}`;
    return pickStats(
      this.#stats(what, (dp, out) => this.#symbols.psp_dp_entry_query(dp, entry, out)),
    );
  }

  setCrypto(cryptoId: number, key: TxKey): void {
    const what = `Cannot set the key of crypto id ${cryptoId}`;
    const { bytes } = encoded(what, () => encodeKey(key));
    try {
      this.#do(what, (dp) => this.#symbols.psp_dp_crypto_set(dp, cryptoId, bytes));
    } finally {
      bytes.fill(0);
    }
  }

  clearCrypto(cryptoId: number): void {
    const what = `Cannot clear crypto id ${cryptoId}`;
    this.#do(what, (dp) => this.#symbols.psp_dp_crypto_clear(dp, cryptoId));
  }

  queryCrypto(cryptoId: number): Stats {
    const what = `Cannot query crypto id ${cryptoId}`;
    return pickStats(
      this.#stats(what, (dp, out) => this.#symbols.psp_dp_crypto_query(dp, cryptoId, out)),
    );
  }

  generateSpis(version: PspVersionNumber, n: number): SpiKey[] {
    if (n === 0) return [];
    const keys = keyArray(n);
    try {
      const what = `Cannot generate ${n} SPIs of version ${version}`;
      this.#do(what, (dp) => this.#symbols.psp_dp_spi_generate(dp, version, keys, n));
      return decodeKeys(keys, version);
    } finally {
      keys.fill(0);
    }
  }

  rotateMasterKey(): void {
    this.#do("Cannot rotate the master key", (dp) => this.#symbols.psp_dp_master_key_rotate(dp));
  }

  masterKey(): MasterKeyInfo {
    const info = Struct.sized("psp_dp_master_key_info");
    const what = "Cannot query the master key";
    this.#do(what, (dp) => this.#symbols.psp_dp_master_key_query(dp, info.bytes));
    return decodeMasterKey(info);
  }

  events(signal?: AbortSignal): AsyncGenerator<readonly PlaneEvent[]> {
    return this.#events.read(signal);
  }

  releaseHeld(flow: number): number {
    const packets = new Uint32Array(1);
    const what = `Cannot release the packets of flow ${flow}`;
    this.#do(what, (dp) => this.#symbols.psp_dp_held_release(dp, flow, packets));
    return first(packets);
  }

  dropHeld(flow: number, reason: DropReason, holdOffMs: number): number {
    const packets = new Uint32Array(1);
    const why = DROP_REASONS[reason];
    this.#do(
      `Cannot drop the packets of flow ${flow}`,
      (dp) =>
        this.#symbols.psp_dp_held_drop(
          dp,
          flow,
          why,
          Math.min(Math.ceil(holdOffMs), 0xffffffff),
          packets,
        ),
    );
    return first(packets);
  }

  clearHoldOff(): void {
    this.#do("Cannot end the hold-off", (dp) => this.#symbols.psp_dp_hold_off_clear(dp));
  }

  inject(port: PortName, frame: Uint8Array<ArrayBuffer>): void {
    const what = `Cannot inject a frame of ${frame.length} octets into the ${port} port`;
    this.#do(what, (dp) => this.#symbols.psp_dp_inject(dp, PORTS[port], frame, frame.length));
  }

  counters(): Readonly<Record<string, bigint>> {
    const names = this.#counterNames ??= this.#readCounterNames();
    const values = new BigUint64Array(Math.max(names.length, 1));
    const n = new Uint32Array(1);
    const what = "Cannot read the counters";
    this.#do(what, (dp) => this.#symbols.psp_dp_counters(dp, values, names.length, n));
    return Object.fromEntries(names.map((name, i) => [name, values[i] ?? 0n]));
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    // From here on no call gets the handle; the long poll in flight is woken by psp_dp_close() itself.
    this.#handle = undefined;
    if (handle === undefined) return;
    await this.#events.entered();
    const status = await this.#symbols.psp_dp_close(handle);
    await this.#events.idle();
    unwrap(status, "Cannot close the data plane");
  }

  #readCounterNames(): readonly string[] {
    const text = readText(
      "Cannot read the counters' names",
      (...args) =>
        this.#symbols.psp_dp_counter_names(this.#open("Cannot read the counters' names"), ...args),
    );
    return text.split("\n").filter((name) => name !== "");
  }

  #entryDesc(what: string, pipe: number, entry: EntryDescriptor): Struct<"psp_dp_entry_desc"> {
    const control = this.#pipes.get(pipe)?.type === "control";
    return encoded(what, () => encodeEntry(entry, { control }));
  }

  #pipeText(pipe: number): string {
    const name = this.#pipes.get(pipe)?.name;
    return name === undefined ? `${pipe}` : `"${name}"`;
  }

  #open(what: string): bigint {
    if (this.#handle === undefined) {
      throw new DataPlaneError(`${what}: the data plane is closed`, "ECLOSED");
    }
    return this.#handle;
  }

  #do(what: string, call: (handle: bigint) => number): void {
    unwrap(call(this.#open(what)), what, () => this.#errorText());
  }

  /** Into one struct for all: thousands of entries are asked every second, one after the other. */
  #stats(
    what: string,
    call: (handle: bigint, out: Uint8Array<ArrayBuffer>) => number,
  ): PipeStats {
    this.#do(what, (dp) => call(dp, this.#statsOut.setSize().bytes));
    return decodeStats(this.#statsOut);
  }

  #errorText(): string {
    if (this.#handle === undefined) return "";
    const buf = new Uint8Array(512);
    const len = new Uint32Array(1);
    const status = this.#symbols.psp_dp_error_text(this.#handle, buf, buf.length, len);
    return status === 0 ? new TextDecoder().decode(buf.subarray(0, len[0])) : "";
  }
}

function encoded<T>(what: string, encode: () => T): T {
  try {
    return encode();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new DataPlaneError(`${what}: ${cause.message}`, "EINVAL", { cause });
  }
}

function pickStats({ packets, bytes, lastUsedNs }: Stats): Stats {
  return { packets, bytes, lastUsedNs };
}

function first(out: Uint32Array): number {
  return out[0] ?? 0;
}

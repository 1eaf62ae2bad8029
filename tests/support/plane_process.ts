// SPDX-License-Identifier: Apache-2.0

/**
 * A plane in a process of its own: DPDK's environment exists once in a process, so a test that has two DOCA
 * planes needs two. It answers as `DataPlane` does, each call having returned when the plane has done it.
 */
import { fileURLToPath } from "node:url";
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
} from "../../ffi/plane.ts";
import { command } from "./far_namespace.ts";
import { NO_STATS, outcomeOf } from "./fake_checks.ts";
import {
  type Answer,
  type Ask,
  type Bare,
  bare,
  keyed,
  messages,
  type Method,
  type PlaneProcessArgs,
  put,
  take,
} from "./plane_channel.ts";
import { planeEnv } from "./standin.ts";

const MAIN = fileURLToPath(new URL("./plane_process_main.ts", import.meta.url));

/** What a plane process is started with. */
export interface PlaneProcessOptions {
  readonly library: string;
  readonly options: PlaneOptions;
  /** Goes before the command line: how to get into another namespace. */
  readonly enter?: readonly string[];
}

type Asked<M extends Method> = Extract<Plane[M], (...args: never) => unknown>;

export class PlaneProcess implements Plane {
  readonly kind: string;
  readonly ports = { uplink: 1, host: 2 } as const;
  readonly #version: string;
  readonly #child: Deno.ChildProcess;
  readonly #asks: Deno.FsFile;
  readonly #answers: Deno.FsFile;
  readonly #events: AsyncGenerator<unknown>;
  readonly #files: readonly Deno.FsFile[];
  #closing: Promise<void> | undefined;

  private constructor(child: Deno.ChildProcess, ends: Ends) {
    this.#child = child;
    this.#asks = ends.asks;
    this.#answers = ends.answers;
    this.#events = ends.events;
    this.#files = ends.files;
    this.#version = this.#answer("Cannot open the data plane") as string;
    this.kind = this.#version.split(" ", 1)[0] ?? "";
  }

  /** Throws `DataPlaneError` as `DataPlane.open` does. */
  static async open(given: PlaneProcessOptions): Promise<PlaneProcess> {
    const dir = Deno.makeTempDirSync({ prefix: "psp-plane-" });
    try {
      const [child, ends] = await start(dir, given);
      try {
        return new PlaneProcess(child, ends);
      } catch (error) {
        for (const file of ends.files) file.close();
        await child.status;
        throw error;
      }
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  }

  version(): string {
    return this.#version;
  }

  granted(): Granted {
    return this.#do("granted");
  }

  port(port: PortName | number): PortInfo {
    return this.#do("port", port);
  }

  addPort(port: PortOptions): number {
    return this.#do("addPort", port);
  }

  removePort(port: number): void {
    this.#do("removePort", port);
  }

  nextHop(pip: string, options?: NextHopOptions): NextHop | undefined {
    return this.#do("nextHop", pip, options);
  }

  start(): void {
    this.#do("start");
  }

  createPipe(descriptor: PipeDescriptor): number {
    return this.#do("createPipe", descriptor);
  }

  destroyPipe(pipe: number): void {
    this.#do("destroyPipe", pipe);
  }

  queryPipe(pipe: number): PipeStats {
    return this.#do("queryPipe", pipe);
  }

  addEntry(pipe: number, entry: EntryDescriptor): number {
    return this.#do("addEntry", pipe, entry);
  }

  updateEntry(entry: number, descriptor: EntryDescriptor): void {
    this.#do("updateEntry", entry, descriptor);
  }

  removeEntry(entry: number): void {
    this.#do("removeEntry", entry);
  }

  queryEntry(entry: number): Stats {
    return this.#do("queryEntry", entry);
  }

  /** One by one: keys pass this way alone. */
  changeEntries(changes: readonly EntryChange[]): readonly Outcome[] {
    return changes.map((change) =>
      outcomeOf(() => {
        if (change.op === "add") {
          return { id: this.addEntry(change.pipe, change.entry), stats: NO_STATS };
        }
        const { id } = change;
        if (change.op === "update") this.updateEntry(id, change.entry);
        const stats = this.queryEntry(id);
        if (change.op === "remove") this.removeEntry(id);
        return { id, stats };
      })
    );
  }

  changeKeys(changes: readonly KeyChange[]): readonly Outcome[] {
    return changes.map((change) =>
      outcomeOf(() => {
        const { cryptoId: id } = change;
        const stats = change.op === "set" ? NO_STATS : this.queryCrypto(id);
        if (change.op === "set") this.setCrypto(id, change.key);
        if (change.op === "clear") this.clearCrypto(id);
        return { id, stats };
      })
    );
  }

  setCrypto(cryptoId: number, key: TxKey): void {
    this.#ask({ method: "setCrypto", cryptoId, key: bare(key) });
  }

  clearCrypto(cryptoId: number): void {
    this.#do("clearCrypto", cryptoId);
  }

  queryCrypto(cryptoId: number): Stats {
    return this.#do("queryCrypto", cryptoId);
  }

  generateSpis(version: PspVersionNumber, n: number): SpiKey[] {
    const keys = this.#ask({ method: "generateSpis", version, n }) as Bare<SpiKey>[];
    return keys.map(keyed);
  }

  rotateMasterKey(): void {
    this.#do("rotateMasterKey");
  }

  masterKey(): MasterKeyInfo {
    return this.#do("masterKey");
  }

  /** Until the plane closes; there is no other end. */
  async *events(): AsyncGenerator<readonly PlaneEvent[]> {
    for await (const batch of this.#events) yield batch as readonly PlaneEvent[];
  }

  releaseHeld(flow: number): number {
    return this.#do("releaseHeld", flow);
  }

  dropHeld(flow: number, reason: DropReason, holdOffMs: number): number {
    return this.#do("dropHeld", flow, reason, holdOffMs);
  }

  clearHoldOff(): void {
    this.#do("clearHoldOff");
  }

  limitHold(limits: HoldLimits): void {
    this.#do("limitHold", limits);
  }

  inject(port: PortName | number, frame: Uint8Array<ArrayBuffer>): void {
    this.#do("inject", port, frame);
  }

  counters(): Readonly<Record<string, bigint>> {
    return this.#do("counters");
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Without anybody who asks the process closes its plane and ends; whoever reads events sees their end. */
  async #close(): Promise<void> {
    this.#asks.close();
    const { code, signal } = await this.#child.status;
    for await (const _ of this.#events) { /* nobody read it */ }
    for (const file of this.#files) if (file !== this.#asks) file.close();
    if (code !== 0) throw new Error(`The plane's process ended with ${signal ?? `code ${code}`}`);
  }

  #do<M extends Method>(method: M, ...args: Parameters<Asked<M>>): ReturnType<Asked<M>> {
    return this.#ask({ method, args }) as ReturnType<Asked<M>>;
  }

  #ask(ask: Ask): unknown {
    if (this.#closing !== undefined) {
      throw new DataPlaneError(`Cannot ask for ${ask.method}: the plane is closed`, "ECLOSED");
    }
    put(this.#asks, ask);
    return this.#answer(`Cannot ask for ${ask.method}`);
  }

  #answer(what: string): unknown {
    const answer = take(this.#answers) as Answer | undefined;
    if (answer === undefined) throw new Error(`${what}: the plane's process has ended`);
    if ("refused" in answer) throw new DataPlaneError(answer.refused, answer.code);
    return answer.value;
  }
}

/** The test's ends of the named pipes. */
interface Ends {
  readonly asks: Deno.FsFile;
  readonly answers: Deno.FsFile;
  readonly events: AsyncGenerator<unknown>;
  /** All of them, to be closed. */
  readonly files: readonly Deno.FsFile[];
}

async function start(
  dir: string,
  { library, options, enter = [] }: PlaneProcessOptions,
): Promise<readonly [Deno.ChildProcess, Ends]> {
  const paths = { asks: `${dir}/asks`, answers: `${dir}/answers`, events: `${dir}/events` };
  await command(["mkfifo", ...Object.values(paths)]);
  // Until the process has opened its ends, so that nobody waits for it to, or takes it for gone.
  const held = Object.values(paths).map((path) => Deno.openSync(path, { read: true, write: true }));
  const asks = Deno.openSync(paths.asks, { write: true });
  const answers = Deno.openSync(paths.answers, { read: true });
  const reports = Deno.openSync(paths.events, { read: true });
  const args: PlaneProcessArgs = { library, options, ...paths };
  const deno = [Deno.execPath(), "run", "--quiet", "-A", "--no-check", "--cached-only"];
  const [program = "", ...rest] = [...enter, ...deno, MAIN, JSON.stringify(args)];
  const child = new Deno.Command(program, { args: rest, env: planeEnv(), stdin: "null" }).spawn();
  const events = messages(reports);
  // Its first message says that it has.
  await Promise.race([events.next(), child.status]);
  for (const file of held) file.close();
  return [child, { asks, answers, events, files: [asks, answers, reports] }];
}

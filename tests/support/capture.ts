// SPDX-License-Identifier: Apache-2.0

/** Captures the underlay with tcpdump and says what was on it. */
import { Buffer } from "node:buffer";
import { classify, type FrameKind, markFrame } from "./frames.ts";
import { kill, spawn } from "./netns.ts";
import type { PayloadSearch } from "./payload.ts";
import { readPcap } from "./pcap_read.ts";
import { type HostName, HOSTS, otherHost } from "./plan.ts";
import { eventually, within } from "./wait.ts";
import type { World } from "./world.ts";

/** What is captured, and what counts as control channel. */
export interface CaptureOptions {
  /** Octets kept of each frame; absent: all of it. */
  readonly snaplen?: number;
  /** TCP ports of the control channel; 7443 by default. */
  readonly controlPorts?: readonly number[];
}

/** What was on the underlay. */
export interface WireReport {
  readonly frames: number;
  readonly bytes: number;
  readonly psp: { readonly frames: number; readonly bytes: number };
  /** SPIs seen, by the host that received them. */
  readonly spis: Readonly<Record<HostName, ReadonlySet<number>>>;
  /** ARP, neighbour discovery and its multicast. */
  readonly neighbour: number;
  readonly control: number;
  readonly foreign: number;
  /** The same, by the host that received them. */
  readonly foreignAt: Readonly<Record<HostName, number>>;
  /** How many of each kind, such as "ICMP type 3". */
  readonly foreignKinds: Readonly<Record<string, number>>;
  /** The first foreign frames, with their first octets in hex. */
  readonly examples: readonly string[];
  /** Windows of the payload found in clear; undefined when none was looked for. */
  readonly payloadHits?: number;
  /** Frames that tcpdump could not keep: a proof needs 0. */
  readonly lost: number;
}

/** A frame that arrived at a host. */
export interface WireEvent {
  /** Nanoseconds since 1970. */
  readonly timeNs: bigint;
  readonly to: HostName;
  readonly kind: FrameKind["kind"];
}

/** A capture at both ends of the underlay, until `stop`. */
export class Capture implements AsyncDisposable {
  readonly #world: World;
  readonly #ends: readonly End[];
  readonly #ports: ReadonlySet<number>;

  private constructor(world: World, ends: readonly End[], ports: ReadonlySet<number>) {
    this.#world = world;
    this.#ends = ends;
    this.#ports = ports;
  }

  /** Resolves when both ends listen. */
  static async start(world: World, options: CaptureOptions): Promise<Capture> {
    const ends = HOSTS.map((host) => new End(world, host, options.snaplen ?? 0));
    const capture = new Capture(world, ends, new Set(options.controlPorts ?? [7443]));
    try {
      await Promise.all(ends.map((end) => end.listening()));
      return capture;
    } catch (error) {
      await capture[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Ends the capture after everything that is on the wire now, and reads it. With `search`, counts
   * pieces of that payload in the frames.
   */
  async stop(search?: PayloadSearch): Promise<WireReport> {
    const nonce = crypto.getRandomValues(new Uint8Array(16));
    await Promise.all(this.#ends.map(async (end) => {
      const far = this.#world.host(otherHost(end.host));
      const worker = await this.#world.worker(far.name);
      const mark = markFrame(far.uplinkMac, nonce);
      // tcpdump writes a block when it is full or a second old.
      await eventually(async () => {
        await worker.frames("uplink", [mark]);
        return end.endsWith(nonce);
      }, { what: `the mark at the end of the capture on ${end.host}`, everyMs: 100 });
    }));
    await Promise.all(this.#ends.map((end) => end.stop()));
    return this.#report(search);
  }

  /**
   * The first frames of a stopped capture, of both ends in order of time, up to a PSP frame each
   * way.
   */
  beginning(): WireEvent[] {
    const events = this.#ends.flatMap((end) => {
      const seen: WireEvent[] = [];
      for (const { data, timeNs } of readPcap(end.path)) {
        const { kind } = classify(data, this.#ports);
        seen.push({ timeNs, to: end.host, kind });
        if (kind === "psp" || seen.length >= 1000) break;
      }
      return seen;
    });
    return events.sort((a, b) => Number(a.timeNs - b.timeNs));
  }

  /** Frames of a stopped capture with the host that received them; `data` lives until the next one. */
  *frames(): Generator<{ readonly to: HostName; readonly data: Uint8Array }> {
    for (const { host, path } of this.#ends) {
      for (const { data } of readPcap(path)) yield { to: host, data };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#ends.map((end) => end.stop()));
  }

  #report(search: PayloadSearch | undefined): WireReport {
    const count = { frames: 0, bytes: 0, neighbour: 0, control: 0, foreign: 0, hits: 0 };
    const psp = { frames: 0, bytes: 0 };
    const spis = { h1: new Set<number>(), h2: new Set<number>() };
    const foreignAt = { h1: 0, h2: 0 };
    const foreignKinds: Record<string, number> = {};
    const examples: string[] = [];
    for (const end of this.#ends) {
      for (const { data, length } of readPcap(end.path)) {
        const found = classify(data, this.#ports);
        if (found.kind === "mark") continue;
        count.frames++;
        count.bytes += length;
        if (search !== undefined) count.hits += search.countIn(data);
        if (found.kind === "psp") {
          psp.frames++;
          psp.bytes += length;
          spis[end.host].add(found.spi);
        } else {
          count[found.kind]++;
          if (found.kind !== "foreign") continue;
          foreignAt[end.host]++;
          foreignKinds[found.what] = (foreignKinds[found.what] ?? 0) + 1;
          if (examples.length < 5) examples.push(`${found.what} (${data.subarray(0, 64).toHex()})`);
        }
      }
    }
    const { hits, ...counts } = count;
    const lost = this.#ends.reduce((sum, end) => sum + end.lost, 0);
    const result = { ...counts, psp, spis, foreignAt, foreignKinds, examples, lost };
    return search === undefined ? result : { ...result, payloadHits: hits };
  }
}

const TAIL = 1 << 20;

/** tcpdump on one host's uplink, incoming frames only: the other end has the rest. */
class End {
  readonly host: HostName;
  readonly path: string;
  readonly #child: Deno.ChildProcess;
  readonly #stderr: { text: string } = { text: "" };
  readonly #reading: Promise<void>;

  constructor(world: World, host: HostName, snaplen: number) {
    this.host = host;
    this.path = world.path(`${host}-${crypto.randomUUID().slice(0, 8)}.pcap`);
    this.#child = spawn(
      ["tcpdump", "-i", "uplink", "-Q", "in", "-n", "-U", "-Z", "root", "-B", "131072"]
        .concat(["-s", String(snaplen), "-w", this.path]),
      { ns: world.ns(host) },
    );
    this.#reading = this.#read();
  }

  /** "... packets dropped by kernel", once stopped. */
  get lost(): number {
    const found = /(\d+) packets? dropped by kernel/.exec(this.#stderr.text)?.[1];
    if (found === undefined) {
      throw new Error(`tcpdump gave no figures: ${this.#stderr.text.trim()}`);
    }
    return Number(found);
  }

  async listening(): Promise<void> {
    await eventually(() => /listening on/.test(this.#stderr.text), {
      what: `tcpdump on ${this.host}`,
      everyMs: 20,
      describe: () => this.#stderr.text,
    });
  }

  /** True when these octets are near the end of what was written so far. */
  endsWith(octets: Uint8Array): boolean {
    using file = Deno.openSync(this.path);
    const { size } = file.statSync();
    file.seekSync(Math.max(0, size - TAIL), Deno.SeekMode.Start);
    const buffer = new Uint8Array(TAIL);
    const n = file.readSync(buffer) ?? 0;
    return Buffer.from(buffer.subarray(0, n)).includes(Buffer.from(octets));
  }

  async stop(): Promise<void> {
    kill(this.#child.pid, "SIGINT");
    try {
      await within(this.#child.status, "the end of tcpdump");
    } catch {
      kill(this.#child.pid, "SIGKILL");
      await this.#child.status;
    }
    await this.#reading;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    const rest = [this.#child.stdin.close(), this.#child.stdout.cancel()];
    for await (const chunk of this.#child.stderr) this.#stderr.text += decoder.decode(chunk);
    await Promise.allSettled(rest);
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Traffic between workloads: pings, and TCP copies whose two ends are processes of this file, each
 * with a checksum of what it sent or received.
 */
import { createHash } from "node:crypto";
import { lines } from "./ns_worker.ts";
import { kill, spawnHelper } from "./netns.ts";
import { payload } from "./payload.ts";
import { hostPort } from "./plan.ts";
import { PATIENCE_MS, within } from "./wait.ts";
import type { World } from "./world.ts";

/** A run of pings or a copy that is not over by then has got stuck. */
const LONG_MS = 10 * PATIENCE_MS;
/** Replies that may be late at the end of a run; more than these are lost. */
const TAIL_MAX = 20;

/** Octets of PSP for a ping of the default size between IPv4 vips: header 16, packet 84, ICV 16. */
export const PSP_PING_OCTETS = 116;

/** Options of ping(8). */
export interface PingOptions {
  readonly count?: number;
  /** Seconds between pings; 0.2 by default. */
  readonly interval?: number;
  readonly flood?: boolean;
  /** Source address; the workload's first vip by default. */
  readonly from?: string;
  /** Seconds to wait for a reply; 5 by default. */
  readonly wait?: number;
  readonly size?: number;
  /** TTL, or hop limit. */
  readonly ttl?: number;
  /** Whether it may be cut on its way (IPv4) or before it is sent; as the kernel likes it by default. */
  readonly mayBeCut?: boolean;
  /** Octets to fill it with, in hex. */
  readonly pattern?: string;
}

/** What came of a run of pings. */
export interface PingResult {
  readonly sent: number;
  readonly received: number;
  /** Round trips in milliseconds, in order of sequence; empty for floods and quiet runs. */
  readonly rttMs: readonly number[];
  /** What ping(8) printed, errors that routers sent among it, and what it had to say against them. */
  readonly text: string;
}

/**
 * Pings from a workload ("v1") until all are sent and answered or waited for. Throws only when ping
 * cannot run.
 */
export async function ping(
  world: World,
  route: { readonly in: string; readonly to: string },
  options: PingOptions = {},
): Promise<PingResult> {
  const argv = ["ping", "-n", "-c", String(options.count ?? 1), "-W", String(options.wait ?? 5)];
  if (options.flood) argv.push("-f", "-q");
  else argv.push("-i", String(options.interval ?? 0.2));
  if (options.from !== undefined) argv.push("-I", options.from);
  if (options.size !== undefined) argv.push("-s", String(options.size));
  if (options.ttl !== undefined) argv.push("-t", String(options.ttl));
  if (options.mayBeCut !== undefined) argv.push("-M", options.mayBeCut ? "dont" : "do");
  if (options.pattern !== undefined) argv.push("-p", options.pattern);
  argv.push(route.to);
  const echoes = () => echoReplies(world, route);
  const before = await echoes();
  const { stdout, stderr } = await world.run(route.in, argv, { deadlineMs: LONG_MS });
  const counts = /(\d+) packets transmitted, (\d+) (?:packets )?received/.exec(stdout);
  if (counts === null) {
    throw new Error(`Cannot ping ${route.to}: ${stderr.trim() || stdout.trim()}`);
  }
  const rttMs = [...stdout.matchAll(/icmp_seq=\d+ .*time=([\d.]+) ms(?! \(DUP)/g)]
    .map((match) => Number(match[1]));
  const sent = Number(counts[1]);
  let received = Number(counts[2]);
  // After its last ping ping(8) waits twice the longest round trip, whatever -W says: on a busy machine
  // the last replies may come later. The kernel has counted them.
  const isTail = received > 0 && received < sent && sent - received <= TAIL_MAX;
  if (isTail) {
    const deadline = performance.now() + (options.wait ?? 5) * 1000;
    while (received < sent && performance.now() < deadline) {
      received = Math.max(received, Math.min(sent, (await echoes()) - before));
    }
  }
  return { sent, received, rttMs, text: stdout + stderr };
}

/** Echo replies that the kernel of a workload has received so far. */
async function echoReplies(
  world: World,
  route: { readonly in: string; readonly to: string },
): Promise<number> {
  const isIpv6 = route.to.includes(":");
  const { stdout } = await world.run(route.in, [
    "cat",
    isIpv6 ? "/proc/net/snmp6" : "/proc/net/snmp",
  ]);
  if (isIpv6) return Number(/^Icmp6InEchoReplies\s+(\d+)/m.exec(stdout)?.[1] ?? 0);
  const [names = "", values = ""] = stdout.split("\n").filter((line) => line.startsWith("Icmp:"));
  return Number(values.split(" ")[names.split(" ").indexOf("InEchoReps")] ?? 0);
}

/** One copy over TCP. */
export interface CopyOptions {
  readonly from: string;
  readonly to: string;
  /** Address of the receiver. */
  readonly address: string;
  readonly port?: number;
  readonly bytes: number;
  readonly seed?: string;
  /** Without checksums: only to measure the path. */
  readonly unchecked?: boolean;
  /** Called with what arrived so far, a few times a second. */
  readonly progress?: (bytes: number) => void;
}

/** What both ends of a copy say. */
export interface CopyResult {
  readonly bytes: number;
  /** Lower-case hex, "" when unchecked. */
  readonly sentSha256: string;
  readonly receivedSha256: string;
  /** Of the receiver, from its first octet to the end of the stream. */
  readonly seconds: number;
  readonly bitsPerSecond: number;
}

interface Report {
  readonly bytes: number;
  readonly sha256: string;
  readonly seconds: number;
}

/**
 * Copies `bytes` octets of `payload(seed)` over one TCP connection. Rejects when either end fails.
 */
export async function copy(world: World, options: CopyOptions): Promise<CopyResult> {
  const { address, seed = "psp", bytes } = options;
  const port = String(options.port ?? 5201);
  const hash = options.unchecked ? "unchecked" : "checked";
  await using receiver = new Role(world, options.to, ["receive", address, port, hash]);
  await receiver.said("listening");
  await using sender = new Role(
    world,
    options.from,
    ["send", address, port, hash, seed, String(bytes)],
  );
  receiver.progress = options.progress;
  const [sent, received] = await within(
    Promise.all([sender.report(), receiver.report()]),
    `the copy of ${bytes} octets to ${hostPort(address, Number(port))}`,
    LONG_MS,
  );
  return {
    bytes: received.bytes,
    sentSha256: sent.sha256,
    receivedSha256: received.sha256,
    seconds: received.seconds,
    bitsPerSecond: 8 * received.bytes / received.seconds,
  };
}

/** One end of a copy: this file, run inside the namespace. */
class Role implements AsyncDisposable {
  progress: ((bytes: number) => void) | undefined;
  readonly #child: Deno.ChildProcess;
  readonly #name: string;
  readonly #errors: Promise<string>;
  readonly #reading: Promise<void>;
  readonly #listening = Promise.withResolvers<void>();
  readonly #report = Promise.withResolvers<Report>();

  constructor(world: World, where: string, args: readonly string[]) {
    const self = new URL(import.meta.url).pathname;
    this.#name = `${args[0]} in ${where}`;
    this.#child = spawnHelper(self, { ns: world.ns(where), args });
    this.#listening.promise.catch(() => {});
    this.#report.promise.catch(() => {});
    this.#errors = new Response(this.#child.stderr).text();
    this.#reading = this.#read();
  }

  said(what: "listening"): Promise<void> {
    return within(this.#listening.promise, `"${what}" of ${this.#name}`);
  }

  report(): Promise<Report> {
    return this.#report.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    kill(this.#child.pid, "SIGKILL");
    await this.#child.stdin.close().catch(() => {});
    await this.#child.status;
    await this.#reading;
  }

  async #read(): Promise<void> {
    for await (const line of lines(this.#child.stdout)) {
      const message = JSON.parse(line) as { listening?: true; progress?: number; report?: Report };
      if (message.listening) this.#listening.resolve();
      if (message.progress !== undefined) this.progress?.(message.progress);
      if (message.report) this.#report.resolve(message.report);
    }
    const error = new Error(`Cannot ${this.#name}: ${(await this.#errors).trim() || "it ended"}`);
    this.#listening.reject(error);
    this.#report.reject(error);
  }
}

async function main([role, address = "", port = "", hash, seed = "", bytes = ""]: string[]) {
  const at = { hostname: address, port: Number(port) };
  if (role === "receive") {
    using listener = Deno.listen(at);
    say({ listening: true });
    using conn = await listener.accept();
    say({ report: await receive(conn, hash === "checked") });
  } else {
    using conn = await Deno.connect(at);
    const report = await send(conn, hash === "checked", payload(seed, Number(bytes)));
    await conn.closeWrite();
    // The connection must outlive what it has queued: the receiver closes when it has everything.
    await conn.read(new Uint8Array(1));
    say({ report });
  }
}

async function receive(conn: Deno.Conn, checked: boolean): Promise<Report> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(1 << 20);
  let bytes = 0;
  let start = 0;
  let told = 0;
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
    const now = performance.now();
    if (bytes === 0) start = told = now;
    bytes += n;
    if (checked) hash.update(buffer.subarray(0, n));
    if (now - told > 250) {
      told = now;
      say({ progress: bytes });
    }
  }
  const seconds = (performance.now() - start) / 1000;
  return { bytes, seconds, sha256: checked ? hash.digest("hex") : "" };
}

async function send(
  conn: Deno.Conn,
  checked: boolean,
  chunks: Iterable<Uint8Array>,
): Promise<Report> {
  const hash = createHash("sha256");
  const start = performance.now();
  let bytes = 0;
  for (const chunk of chunks) {
    if (checked) hash.update(chunk);
    for (let sent = 0; sent < chunk.length;) sent += await conn.write(chunk.subarray(sent));
    bytes += chunk.length;
  }
  const seconds = (performance.now() - start) / 1000;
  return { bytes, seconds, sha256: checked ? hash.digest("hex") : "" };
}

function say(message: unknown): void {
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(message) + "\n"));
}

if (import.meta.main) await main(Deno.args);

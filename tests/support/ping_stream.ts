// SPDX-License-Identifier: Apache-2.0

/** A steady stream of pings with sequence numbers, and what became of each. */
import { kill, spawn } from "./netns.ts";
import { lines } from "./ns_worker.ts";
import type { World } from "./world.ts";

export interface StreamOptions {
  readonly in: string;
  readonly to: string;
  readonly from?: string;
  readonly count: number;
  /** Ends by then, whatever was sent: a busy machine takes longer for `count`. */
  readonly seconds?: number;
  readonly intervalMs: number;
}

/** What became of a stream: how many pings it was, and the sequence numbers of those that nobody answered. */
export interface Fate {
  readonly sent: number;
  readonly lost: readonly number[];
}

/** A ping that has no answer after this long is lost. */
const LOST_MS = 3000;
/** One that was sent this long before the end of a stream's time may still be under way. */
const UNDER_WAY_MS = 1000;

export class PingStream implements AsyncDisposable {
  /** When each sequence number was answered, by `performance.now`. */
  readonly answers: Map<number, number> = new Map();
  readonly #options: StreamOptions;
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  readonly #judged = Promise.withResolvers<void>();
  #summary = "";

  constructor(world: World, options: StreamOptions) {
    this.#options = options;
    const { in: ns, to, from, count, seconds, intervalMs } = options;
    // After its last ping ping(8) waits no longer than it had to for others: those beyond the count give the answers time.
    const all = count + Math.ceil(LOST_MS / intervalMs);
    const argv = ["ping", "-n", "-c", `${all}`, "-i", `${intervalMs / 1000}`, "-W", "3"];
    if (seconds !== undefined) argv.push("-w", `${seconds}`);
    if (from !== undefined) argv.push("-I", from);
    this.#child = spawn([...argv, to], { ns: world.ns(ns) });
    this.#reading = this.#read();
  }

  /** When all are sent, or its time is over, and each was answered or is lost. */
  async ended(): Promise<Fate> {
    await Promise.race([this.#judged.promise, this.#reading]);
    return await this.stop();
  }

  /** Ends it now. Those at its end that may still be under way are neither sent nor lost. */
  async stop(): Promise<Fate> {
    kill(this.#child.pid, "SIGINT");
    await this.#child.status;
    await this.#reading;
    const all = Number(/(\d+) packets transmitted/.exec(this.#summary)?.[1] ?? NaN);
    const { count, intervalMs } = this.#options;
    let sent = Math.min(count, all);
    // Fewer than the count: its time is over.
    const old = all < count ? all - Math.ceil(UNDER_WAY_MS / intervalMs) : sent;
    while (sent > old && !this.answers.has(sent)) sent--;
    const lost = Array.from({ length: sent }, (_, i) => i + 1).filter((seq) =>
      !this.answers.has(seq)
    );
    return { sent, lost };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    kill(this.#child.pid, "SIGKILL");
    await this.#child.status;
    await this.#reading;
  }

  async #read(): Promise<void> {
    const rest = [this.#child.stdin.close(), this.#child.stderr.cancel()];
    for await (const line of lines(this.#child.stdout)) {
      const seq = Number(/icmp_seq=(\d+) .*time=/.exec(line)?.[1] ?? NaN);
      if (line.includes("transmitted")) this.#summary = line;
      if (Number.isNaN(seq)) continue;
      if (!this.answers.has(seq)) this.answers.set(seq, performance.now());
      if (this.answers.size >= this.#options.count) this.#judge();
    }
    await Promise.allSettled(rest);
  }

  /** Once every ping of the count is answered nothing more is to be waited for. */
  #judge(): void {
    for (let seq = this.#options.count; seq > 0; seq--) if (!this.answers.has(seq)) return;
    this.#judged.resolve();
  }
}

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
  /** Ends by then, whatever was sent: a busy machine takes longer for `count`. The last one may lack its answer. */
  readonly seconds?: number;
  readonly intervalMs: number;
}

export class PingStream implements AsyncDisposable {
  /** When each sequence number was answered, by `performance.now`. */
  readonly answers: Map<number, number> = new Map();
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  #summary = "";

  constructor(world: World, options: StreamOptions) {
    const { in: ns, to, from, count, seconds, intervalMs } = options;
    const limit = seconds === undefined ? [] : ["-w", `${seconds}`];
    const source = from === undefined ? [] : ["-I", from];
    this.#child = spawn(
      [
        "ping",
        "-n",
        "-c",
        `${count}`,
        "-i",
        `${intervalMs / 1000}`,
        "-W",
        "3",
        ...limit,
        ...source,
        to,
      ],
      { ns: world.ns(ns) },
    );
    this.#reading = this.#read();
  }

  /** When it has sent all and waited for what may still come. */
  async ended(): Promise<{ readonly sent: number; readonly lost: readonly number[] }> {
    await this.#child.status;
    await this.#reading;
    const sent = Number(/(\d+) packets transmitted/.exec(this.#summary)?.[1] ?? NaN);
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
      const seq = /icmp_seq=(\d+) .*time=/.exec(line)?.[1];
      if (seq !== undefined) this.answers.set(Number(seq), performance.now());
      else if (line.includes("transmitted")) this.#summary = line;
    }
    await Promise.allSettled(rest);
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * A peer that asks for all the tunnels that it can get, with a good certificate and nothing behind it: no plane, no
 * workload, no packet. This file is both ends: `EvilPeer` starts itself in a host's namespace.
 */
import { Key } from "../../ffi/key.ts";
import { ExchangeError, MAX_TUNNELS_PER_REQUEST } from "../../src/model/exchange.ts";
import { createRpcClient } from "../../src/rpc/client.ts";
import { peerAddresses } from "./peer_addresses.ts";
import { peerIds } from "../../src/rpc/identity.ts";
import { TlsStore } from "../../src/rpc/tls_store.ts";
import { DOMAIN, tlsOf } from "./agent_config.ts";
import { kill, spawn } from "./netns.ts";
import { type HostName, hostPort } from "./plan.ts";
import type { World } from "./world.ts";

/** What it is to do. */
export interface EvilOptions {
  /** Whose certificate it shows; `world` must have issued it. */
  readonly id: string;
  /** Where it stands, and whom it asks. */
  readonly in: HostName;
  readonly to: HostName;
  /** Its /16, such as "10.3", and addresses of the host that it asks for, one after the other. */
  readonly prefix: string;
  readonly vips: readonly string[];
  /** Its outer address. */
  readonly pip: string;
  /** Pairs, begun anew until the time is over; absent: it ends after them. */
  readonly pairs: number;
  readonly seconds?: number;
  /** In one request; absent: as many as may be. */
  readonly perRequest?: number;
  /** From the beginning of a request to that of the next; absent: as soon as it is answered. */
  readonly everyMs?: number;
}

/** What came of it. */
export interface EvilReport {
  readonly asked: number;
  readonly granted: number;
  /** By the code of the tunnel's refusal, or of the whole request's failure. */
  readonly refused: Readonly<Record<string, number>>;
  readonly ms: number;
  /** Of each request that was answered, until then. */
  readonly tookMs: readonly number[];
}

interface Task extends Omit<EvilOptions, "in" | "to"> {
  readonly target: { readonly id: string; readonly svcAddress: string };
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string };
}

/** One that is at it. */
export class EvilPeer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<[string, string]>;

  constructor(world: World, { in: where, to, ...options }: EvilOptions) {
    const task: Task = {
      ...options,
      target: { id: to, svcAddress: hostPort(world.host(to).pip, 7443) },
      tls: tlsOf(world, options.id),
    };
    const self = new URL(import.meta.url).pathname;
    this.#child = spawn(
      [Deno.execPath(), "run", "-A", "--quiet", "--cached-only", self, JSON.stringify(task)],
      { ns: world.ns(where) },
    );
    this.#output = Promise.all([
      new Response(this.#child.stdout).text(),
      new Response(this.#child.stderr).text(),
      this.#child.stdin.close(),
    ]).then(([out, err]) => [out, err]);
  }

  /** When it has done what it was to do. */
  async ended(): Promise<EvilReport> {
    const { code } = await this.#child.status;
    const [out, err] = await this.#output;
    if (code !== 0) throw new Error(`The evil peer failed: ${err}`);
    return JSON.parse(out) as EvilReport;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    kill(this.#child.pid, "SIGKILL");
    await this.#child.status;
    await this.#output;
  }
}

async function attack(task: Task): Promise<EvilReport> {
  using tls = new TlsStore(task.tls, { pollMs: 0 });
  using client = createRpcClient({
    id: task.id,
    peers: peerAddresses(task.target),
    trust: { domain: DOMAIN, peers: peerIds([task.target.id]), deny: [] },
    tls,
    maxMessageBytes: 65_536,
  });
  const bootEpoch = BigInt(Date.now());
  const refused: Record<string, number> = {};
  const count = (code: string, n = 1) => refused[code] = (refused[code] ?? 0) + n;
  const tookMs: number[] = [];
  let [asked, granted, serial] = [0, 0, 0n];
  const start = performance.now();
  const isOver = () =>
    task.seconds === undefined
      ? asked >= task.pairs
      : performance.now() - start >= task.seconds * 1000;
  while (!isOver()) {
    const n = Math.min(task.perRequest ?? MAX_TUNNELS_PER_REQUEST, task.pairs);
    const begun = performance.now();
    const tunnels = Array.from({ length: n }, (_, i) => pairOf(task, (asked + i) % task.pairs)).map(
      (pair, i) => ({
        ...pair,
        reverse: {
          spi: 256 + (asked + i) % 1_000_000,
          version: "aes-gcm-256" as const,
          key: new Key(crypto.getRandomValues(new Uint8Array(32))),
          pip: task.pip,
          mac: "02:00:00:00:77:66",
          cryptOffset: 5,
          mode: "tunnel" as const,
          serial: ++serial,
          lifeS: 3600,
        },
      }),
    );
    try {
      const { outcomes } = await client.newTunnel(task.target.id, {
        bootEpoch,
        requestId: crypto.getRandomValues(new Uint8Array(16)).toHex(),
        versionsAccepted: ["aes-gcm-256"],
        tunnels,
      }, { timeoutMs: 10_000 });
      asked += n;
      tookMs.push(performance.now() - begun);
      for (const outcome of outcomes) {
        if (outcome.ok) granted++;
        else count(outcome.code);
      }
    } catch (error) {
      const { code, reason } = ExchangeError.from(error);
      count(`${code}: ${reason}`);
      await sleep(20);
    }
    if (task.everyMs !== undefined) await sleep(begun + task.everyMs - performance.now());
  }
  return { asked, granted, refused, ms: Math.round(performance.now() - start), tookMs };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function pairOf({ prefix, vips }: Task, i: number) {
  const remoteVip = vips[(i >> 16) % vips.length] ?? "";
  return { localVip: `${prefix}.${(i >> 8) & 255}.${i & 255}`, remoteVip };
}

if (import.meta.main) {
  console.log(JSON.stringify(await attack(JSON.parse(Deno.args[0] ?? "") as Task)));
  Deno.exit(0);
}

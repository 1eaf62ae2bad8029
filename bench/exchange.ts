// SPDX-License-Identifier: Apache-2.0

/**
 * What an exchange costs: two complete cores over real planes and mutual TLS on loopback, in one process, beside
 * the bare RPC (the same transport and server, an empty message, an empty handler) in the same run.
 * Usage, as root: deno run -A bench/exchange.ts [--json] [--rounds=20]
 */
import type { TunnelHandler } from "../src/exchange/exchange.ts";
import { ExchangeLab } from "../tests/support/exchange_lab.ts";
import {
  type Figures,
  figures,
  inNamespace,
  row,
  threadCpuMs,
  timed,
} from "../tests/support/bench_lab.ts";

/** Single exchanges, and bare calls, of one round. */
const SINGLES = 100;
/** Requests of 256 tunnels in one round. */
const BATCHES = 4;
const BATCH = 256;
const FRESH = 10;
const WARM_UP = 300;

type Kind = "bare" | "single" | "batch" | "freshBare" | "fresh";
const KINDS: readonly Kind[] = ["bare", "single", "batch", "freshBare", "fresh"];

interface Series {
  readonly ms: number[];
  /** What the JavaScript thread ran: both hosts' work, without what other programs took. */
  cpuMs: number;
}

interface Result extends Figures {
  readonly cpuMs: number;
}

async function measure(rounds: number): Promise<Record<Kind, Result>> {
  await using lab = await ExchangeLab.open();
  const { h1 } = lab;
  let tunnel = 0;
  // h2 answers a notice that says nothing with its epoch: as bare as the service gets.
  const nothing = { bootEpoch: h1.core.bootEpoch, unknownSpis: [], closed: [], draining: false };
  await using bareServer = await lab.serveBare(EMPTY);
  using bareClient = lab.clientOf(bareServer);
  const bareCall = () => bareClient.notify("h2", nothing, { timeoutMs: 5000 });
  const single = () => lab.exchange({ from: tunnel++ });
  const batch = () => {
    tunnel += BATCH;
    return lab.exchange({ from: tunnel - BATCH, n: BATCH });
  };
  for (let i = 0; i < WARM_UP; i++) {
    await bareCall();
    await single();
  }
  for (let i = 0; i < 8; i++) await batch();
  const calls: Record<Kind, { readonly n: number; readonly call: () => Promise<unknown> }> = {
    bare: { n: SINGLES, call: bareCall },
    single: { n: SINGLES, call: single },
    batch: { n: BATCHES, call: batch },
    freshBare: { n: FRESH, call: () => (bareClient.close(), bareCall()) },
    fresh: { n: FRESH, call: () => (h1.client.close(), single()) },
  };
  const series = Object.fromEntries(
    KINDS.map((kind): [Kind, Series] => [kind, { ms: [], cpuMs: 0 }]),
  ) as Record<Kind, Series>;
  // In turn, so that what else the machine does falls upon all alike.
  for (let round = 0; round < rounds; round++) {
    for (const kind of KINDS) {
      const { n, call } = calls[kind];
      const cpu = threadCpuMs();
      for (let i = 0; i < n; i++) series[kind].ms.push(await timed(call));
      series[kind].cpuMs += threadCpuMs() - cpu;
    }
  }
  return Object.fromEntries(
    KINDS.map((kind) => {
      const { ms, cpuMs } = series[kind];
      return [kind, { ...figures(ms), cpuMs: cpuMs / ms.length }];
    }),
  ) as Record<Kind, Result>;
}

const EMPTY: TunnelHandler = {
  newTunnel: () => Promise.reject(new Error("not asked for")),
  notify: () => Promise.resolve({ bootEpoch: 1n }),
};

function print(r: Record<Kind, Result>): void {
  console.log("milliseconds, one call at a time; mutual TLS on loopback, both hosts in one thread");
  const line = (name: string, of: Result, base?: Result) => {
    const ratio = base === undefined ? "" : ` x ${(of.cpuMs / base.cpuMs).toFixed(2)}`;
    console.log(`${row(name, of, base)}   cpu ${of.cpuMs.toFixed(3)}${ratio}`);
  };
  line("bare RPC, warm", r.bare);
  line("exchange, warm", r.single, r.bare);
  line(`exchange of ${BATCH} tunnels, warm`, r.batch, r.bare);
  line("bare RPC, fresh connection", r.freshBare);
  line("exchange, fresh connection", r.fresh, r.freshBare);
  console.log(`exchanges/s, single: ${r.single.perS.toFixed(0)} (bare: ${r.bare.perS.toFixed(0)})`);
  const perCpu = 1000 * BATCH / r.batch.cpuMs;
  console.log(
    `tunnels/s, batched: ${(BATCH * r.batch.perS).toFixed(0)}; for each second of CPU, of both ` +
      `hosts together: ${perCpu.toFixed(0)}`,
  );
}

if (import.meta.main) {
  await inNamespace(import.meta.url, async () => {
    const rounds = Number(/--rounds=(\d+)/.exec(Deno.args.join(" "))?.[1] ?? 20);
    const result = await measure(rounds);
    if (Deno.args.includes("--json")) console.log(JSON.stringify(result));
    else print(result);
  });
}

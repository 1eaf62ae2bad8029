// SPDX-License-Identifier: Apache-2.0

/**
 * What an exchange costs: two complete cores over real planes and mutual TLS, beside the bare RPC (the same
 * transport and server, an empty message, an empty handler) in the same arrangement and the same run.
 * Usage, as root: deno run -A bench/exchange.ts [--json] [--rounds=20] [--apart]
 *
 * Both hosts live in one thread and talk over loopback: what is printed is the work of both, one after the other.
 * With --apart the one who answers is a process of its own in a namespace of its own, as another machine would
 * be: times are those that an operator sees, CPU is that of the host that asks.
 */
import type { TunnelHandler } from "../src/model/exchange.ts";
import type { RpcClient } from "../src/rpc/client.ts";
import { ExchangeLab } from "../tests/support/exchange_lab.ts";
import {
  type Figures,
  figures,
  inNamespace,
  row,
  threadCpuMs,
  timed,
} from "../tests/support/bench_lab.ts";
import { answerApart, type Apart, openApart } from "../tests/support/exchange_apart.ts";

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
  /** What the JavaScript thread ran, without what other programs took. */
  cpuMs: number;
}

interface Result extends Figures {
  readonly cpuMs: number;
}

type Results = Record<Kind, Result>;

async function measureTogether(rounds: number): Promise<Results> {
  await using lab = await ExchangeLab.open();
  await using server = await lab.serveBare(EMPTY);
  using bare = lab.clientOf(`127.0.0.1:${server.address.port}`);
  return await measure(lab, { bare, rounds });
}

async function measureApart(rounds: number): Promise<Results> {
  await using apart: Apart = await openApart(import.meta.url);
  await using lab = await ExchangeLab.open({ pki: apart.pki, h2: apart.h2 });
  using bare = lab.clientOf(apart.bare);
  return await measure(lab, { bare, rounds });
}

async function measure(
  lab: ExchangeLab,
  { bare, rounds }: { readonly bare: RpcClient; readonly rounds: number },
): Promise<Results> {
  const { h1 } = lab;
  let tunnel = 0;
  // h2 answers a notice that says nothing with its epoch: as bare as the service gets.
  const nothing = { bootEpoch: h1.core.bootEpoch, unknownSpis: [], closed: [], draining: false };
  const bareCall = () => bare.notify("h2", nothing, { timeoutMs: 5000 });
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
    freshBare: { n: FRESH, call: () => (bare.close(), bareCall()) },
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
  ) as Results;
}

const EMPTY: TunnelHandler = {
  newTunnel: () => Promise.reject(new Error("not asked for")),
  notify: () => Promise.resolve({ bootEpoch: 1n }),
};

function print(r: Results, apart: boolean): void {
  const where = apart
    ? "mutual TLS between two processes, each host in its own; CPU of the host that asks"
    : "mutual TLS on loopback, both hosts in one thread; CPU of both";
  console.log(`milliseconds, one call at a time; ${where}`);
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
    `tunnels/s, batched: ${(BATCH * r.batch.perS).toFixed(0)} (at the median: ${
      (1000 * BATCH / r.batch.p50).toFixed(0)
    }); for each second of CPU, ${apart ? "of the host that asks" : "of both hosts together"}: ${
      perCpu.toFixed(0)
    }`,
  );
}

if (import.meta.main) {
  await inNamespace(import.meta.url, async () => {
    if (await answerApart(EMPTY)) return;
    const rounds = Number(/--rounds=(\d+)/.exec(Deno.args.join(" "))?.[1] ?? 20);
    const apart = Deno.args.includes("--apart");
    const result = await (apart ? measureApart : measureTogether)(rounds);
    if (Deno.args.includes("--json")) console.log(JSON.stringify(result));
    else print(result, apart);
  });
}

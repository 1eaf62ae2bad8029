// SPDX-License-Identifier: Apache-2.0

/**
 * Tunnels set up and torn down between two complete cores over real planes: memory, ids, entries and rows after
 * each round. Usage, as root: deno run -A bench/churn.ts [--tunnels=100000] [--round=20000] [--json]
 */
import { inNamespace } from "../tests/support/bench_lab.ts";
import { churnRound, shortLived } from "../tests/support/churn.ts";
import { ExchangeLab } from "../tests/support/exchange_lab.ts";

function argument(name: string, fallback: number): number {
  const given = Deno.args.find((arg) => arg.startsWith(`--${name}=`));
  return given === undefined ? fallback : Number(given.slice(name.length + 3));
}

async function churn(): Promise<void> {
  const tunnels = argument("round", 20_000);
  const total = argument("tunnels", 100_000);
  const asJson = Deno.args.includes("--json");
  await using lab = await ExchangeLab.open({ change: shortLived });
  if (!asJson) console.log("set-ups    rss MiB  heap MiB  ids  entries  rows  tunnels  set-ups/s");
  for (let from = 0; from < total; from += tunnels) {
    const startMs = performance.now();
    const round = await churnRound(lab, { from, tunnels });
    const perS = 1000 * tunnels / (performance.now() - startMs);
    if (asJson) {
      console.log(JSON.stringify({ ...round, perS }));
      continue;
    }
    const { h1, h2 } = round;
    const both = (of: "cryptoIds" | "entries" | "rows" | "tunnels", width: number) =>
      String(h1[of] + h2[of]).padStart(width);
    console.log(
      `${String(round.setUps).padStart(8)}  ${round.rssMiB.toFixed(0).padStart(8)}  ` +
        `${round.heapMiB.toFixed(0).padStart(8)}  ${both("cryptoIds", 3)}  ${
          both("entries", 7)
        }  ` +
        `${both("rows", 4)}  ${both("tunnels", 7)}  ${perS.toFixed(0).padStart(9)}`,
    );
  }
}

if (import.meta.main) await inNamespace(import.meta.url, churn);

// SPDX-License-Identifier: Apache-2.0

/**
 * First-packet latency: 200 cold flows (each to a vip without a tunnel), then the same flows warm,
 * in one run. Usage, as root: deno run -A bench/first_packet.ts [--json]
 */
import { makePki } from "../tests/support/agent_config.ts";
import { startAgents } from "../tests/support/agent_process.ts";
import { ping } from "../tests/support/traffic.ts";
import { World } from "../tests/support/world.ts";

const FLOWS = 200;

interface Figures {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

async function measure(): Promise<{ cold: Figures; warm: Figures; lost: number }> {
  await using world = await World.create({ vips: FLOWS });
  await makePki(world);
  await startAgents(world, {
    h1: { change: ({ log }) => log.level = "info" },
    h2: { change: ({ log }) => log.level = "info" },
  });
  // The first flow also pays for the connection between the agents: it is counted like the others.
  const cold: number[] = [];
  const warm: number[] = [];
  for (const rtts of [cold, warm]) {
    for (let i = 0; i < FLOWS; i++) {
      const { rttMs } = await ping(world, { in: "v1", to: world.vip("h2", i) });
      rtts.push(...rttMs);
    }
  }
  return { cold: figures(cold), warm: figures(warm), lost: 2 * FLOWS - cold.length - warm.length };
}

function figures(ms: readonly number[]): Figures {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

if (import.meta.main) {
  const { cold, warm, lost } = await measure();
  const ratio = { p50: cold.p50 / warm.p50, p99: cold.p99 / warm.p99 };
  if (Deno.args.includes("--json")) {
    console.log(JSON.stringify({ flows: FLOWS, unit: "ms", cold, warm, ratio, lost }));
  } else {
    const row = (name: string, f: Figures) =>
      `${name}  p50 ${f.p50.toFixed(3)} ms   p99 ${f.p99.toFixed(3)} ms   max ${
        f.max.toFixed(3)
      } ms`;
    console.log(`round trip of a ping, ${FLOWS} flows, ${lost} lost`);
    console.log(row("cold", cold));
    console.log(row("warm", warm));
    console.log(`cold / warm: ${ratio.p50.toFixed(1)} at p50, ${ratio.p99.toFixed(1)} at p99`);
  }
}

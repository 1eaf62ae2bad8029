// SPDX-License-Identifier: Apache-2.0

/**
 * TCP throughput through a tunnel, beside the same path in clear: two worlds of equal build,
 * measured in turn, medians of 5. Usage, as root: deno run -A bench/throughput.ts [--json]
 * [--mtu=9000] [--seconds=3]
 */
import { makePki } from "../tests/support/agent_config.ts";
import { startAgents } from "../tests/support/agent_process.ts";
import { spawn } from "../tests/support/netns.ts";
import { ping } from "../tests/support/traffic.ts";
import { eventually } from "../tests/support/wait.ts";
import { World } from "../tests/support/world.ts";

const RUNS = 5;

interface Options {
  readonly mtu: number;
  readonly seconds: number;
}

/** Gbit/s of each run. */
async function measure({ mtu, seconds }: Options): Promise<{ clear: number[]; tunnel: number[] }> {
  await using plain = await World.create({ mtu });
  await plain.routeInClear();
  await using world = await World.create({ mtu });
  await makePki(world);
  await startAgents(world, {
    h1: { change: ({ log }) => log.level = "info" },
    h2: { change: ({ log }) => log.level = "info" },
  });
  await ping(world, { in: "v1", to: world.vip("h2") });
  const [clear, tunnel]: [number[], number[]] = [[], []];
  for (let run = 0; run < RUNS; run++) {
    clear.push(await iperf(plain, seconds));
    tunnel.push(await iperf(world, seconds));
  }
  return { clear, tunnel };
}

async function iperf(world: World, seconds: number): Promise<number> {
  const address = world.vip("h2");
  const server = spawn(["iperf3", "-s", "-1", "-B", address], { ns: world.ns("v2") });
  await server.stdin.close();
  const served = server.output();
  await eventually(
    async () => (await world.run("v2", ["ss", "-Hltn", "sport", "=", "5201"])).stdout !== "",
    { what: "iperf3 to listen", everyMs: 20 },
  );
  const text = await world.mustRun("v1", [
    ...["iperf3", "-J", "-c", address, "-t", String(seconds), "-O", "1"],
  ], { deadlineMs: (seconds + 20) * 1000 });
  await served;
  const report = JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } };
  return report.end.sum_received.bits_per_second / 1e9;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

function argument(name: string, fallback: number): number {
  const given = Deno.args.find((arg) => arg.startsWith(`--${name}=`));
  return given === undefined ? fallback : Number(given.slice(name.length + 3));
}

if (import.meta.main) {
  const options = { mtu: argument("mtu", 1500), seconds: argument("seconds", 3) };
  const { clear, tunnel } = await measure(options);
  const figures = { clear: median(clear), tunnel: median(tunnel) };
  const ratio = figures.tunnel / figures.clear;
  if (Deno.args.includes("--json")) {
    console.log(
      JSON.stringify({ ...options, unit: "Gbit/s", ...figures, ratio, runs: { clear, tunnel } }),
    );
  } else {
    console.log(`TCP, one stream, underlay MTU ${options.mtu}, median of ${RUNS}`);
    console.log(`in clear  ${figures.clear.toFixed(2)} Gbit/s`);
    console.log(
      `tunnel    ${figures.tunnel.toFixed(2)} Gbit/s  (${(100 * ratio).toFixed(1)} % of it)`,
    );
  }
}

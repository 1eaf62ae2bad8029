// SPDX-License-Identifier: Apache-2.0

/**
 * What a lookup costs with 1, 1,000 and 100,000 tunnels. Usage: deno run -A bench/lookup.ts [--json]
 */

const TUNNELS = [1, 1_000, 100_000] as const;
const SHIM = new URL("../c-shim", import.meta.url).pathname;
const PROGRAM = new URL("../build/shim/whole/bench_lookup", import.meta.url).pathname;

interface Figure {
  readonly tunnels: number;
  /** ns for parsing a packet and finding its entry, when all packets are of one flow. */
  readonly oneFlowNs: number;
  /** The same when each packet is of another flow, at random: with what the caches make of it. */
  readonly allFlowsNs: number;
}

async function run(program: string, args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`Cannot run "${program}": ${decoder.decode(stderr).trim()}`);
  return decoder.decode(stdout);
}

async function measure(): Promise<Figure[]> {
  await run("make", ["-s", "-C", SHIM, "bench"]);
  const text = await run(PROGRAM, TUNNELS.map(String));
  return text.trim().split("\n").map((line) => {
    const [tunnels = NaN, oneFlowNs = NaN, allFlowsNs = NaN] = line.split(" ").map(Number);
    return { tunnels, oneFlowNs, allFlowsNs };
  });
}

function report(figures: readonly Figure[]): string {
  const lines = figures.map(({ tunnels, oneFlowNs, allFlowsNs }) =>
    `${String(tunnels).padStart(7)} tunnels: ${oneFlowNs.toFixed(1)} ns a packet of one flow, ` +
    `${allFlowsNs.toFixed(1)} ns over all flows at random`
  );
  const [first, last] = [figures[0], figures.at(-1)];
  if (first === undefined || last === undefined) return lines.join("\n");
  const one = last.oneFlowNs / first.oneFlowNs;
  const all = last.allFlowsNs / first.allFlowsNs;
  const ratio = `${last.tunnels} to ${first.tunnels}: ${one.toFixed(2)} times for one flow, ` +
    `${all.toFixed(2)} times over all of them`;
  return [...lines, ratio].join("\n");
}

if (import.meta.main) {
  const figures = await measure();
  console.log(Deno.args.includes("--json") ? JSON.stringify(figures) : report(figures));
}

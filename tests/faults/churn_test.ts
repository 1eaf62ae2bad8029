// SPDX-License-Identifier: Apache-2.0

/** Set-ups and teardowns leave nothing behind. Short: 20,000, 25 s. Full: 1,000,000, about 20 minutes. */
import assert from "node:assert/strict";
import type { Round } from "../support/churn.ts";
import { scaled } from "../support/scale.ts";

const PER_ROUND = scaled(5000, 20_000);
const ROUNDS = scaled(4, 50);
/** Of the heap after a collection, from the second round on: answers are remembered for two minutes, and no longer. */
const GROWTH_MIB = scaled(12, 48);

Deno.test(`${PER_ROUND * ROUNDS} tunnels come and go`, async () => {
  const bench = new URL("../../bench/churn.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", "--cached-only", bench].concat([
      "--json",
      `--tunnels=${PER_ROUND * ROUNDS}`,
      `--round=${PER_ROUND}`,
    ]),
  }).output();
  const [said, errors] = [stdout, stderr].map((octets) => new TextDecoder().decode(octets));
  // Each round waited until ids, entries, rows and tunnels were 0 again, on both hosts.
  assert.equal(code, 0, errors);
  const rounds = (said ?? "").trim().split("\n").map((line) => JSON.parse(line) as Round);
  assert.equal(rounds.length, ROUNDS);
  const heaps = rounds.map(({ heapMiB }) => heapMiB);
  console.log(`    heap ${heaps.map((mib) => mib.toFixed(1)).join(", ")} MiB`);
  assert.ok((heaps.at(-1) ?? NaN) - (heaps[1] ?? NaN) < GROWTH_MIB, heaps.join(" "));
});

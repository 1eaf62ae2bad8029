// SPDX-License-Identifier: Apache-2.0

/** Set-ups and teardowns leave nothing behind. Short: 20,000, 20 s. Full: 1,000,000, about 15 minutes. */
import assert from "node:assert/strict";
import { churnRound, type Round, shortLived } from "../support/churn.ts";
import { ExchangeLab } from "../support/exchange_lab.ts";
import { inOwnNamespace } from "../support/own_namespace.ts";
import { scaled } from "../support/scale.ts";

const PER_ROUND = scaled(5000, 20_000);
const ROUNDS = scaled(4, 50);
/** Of the heap, from the middle of the run to its end: what a leak of 100 octets a tunnel would not pass. */
const GROWTH_MIB = scaled(32, 48);

await inOwnNamespace(import.meta.url, () => {
  Deno.test(`${PER_ROUND * ROUNDS} tunnels come and go`, async () => {
    await using lab = await ExchangeLab.open({ change: shortLived });
    const rounds: Round[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      // Each round waits until ids, entries and rows are 0 again.
      rounds.push(await churnRound(lab, { from: i * PER_ROUND, tunnels: PER_ROUND }));
    }
    const [middle, last] = [rounds[ROUNDS >> 1], rounds.at(-1)];
    assert.ok(middle && last);
    console.log(`    heap ${middle.heapMiB.toFixed(0)} MiB, then ${last.heapMiB.toFixed(0)} MiB`);
    assert.ok(last.heapMiB - middle.heapMiB < GROWTH_MIB);
    assert.equal(lab.h1.core.status().counters["tunnels-opened"], BigInt(PER_ROUND * ROUNDS));
  });
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { CLOCKS_DIFFER_MS, Epochs, STALE_FUTURE_MS, STALE_MS } from "./epochs.ts";

const WALL_MS = 1_800_000_000_000;

Deno.test("a later epoch is news, an earlier one is stale for a while", () => {
  const epochs = new Epochs();
  const observe = (peer: string, epoch: bigint, now: number) =>
    epochs.observe(peer, epoch, { now, wallMs: WALL_MS });
  assert.equal(observe("h2", 5n, 0), "first");
  assert.equal(observe("h2", 5n, 1), "same");
  assert.equal(observe("h2", 6n, 2), "new");
  assert.equal(observe("h2", 5n, 3), "stale");
  assert.equal(epochs.of("h2"), 6n);
  assert.equal(observe("h3", 1n, 3), "first");
  assert.equal(observe("h2", 5n, 2 + STALE_MS), "new");
  assert.equal(epochs.of("h2"), 5n);
  assert.equal(epochs.of("h9"), 0n);
});

Deno.test("after an epoch of the future an earlier one is believed soon", () => {
  const table: [bigint, number][] = [
    [BigInt(WALL_MS + CLOCKS_DIFFER_MS), STALE_MS],
    [BigInt(WALL_MS + CLOCKS_DIFFER_MS) + 1n, STALE_FUTURE_MS],
    [2n ** 64n - 1n, STALE_FUTURE_MS],
  ];
  for (const [first, staleMs] of table) {
    const epochs = new Epochs();
    const right = BigInt(WALL_MS);
    const observe = (epoch: bigint, now: number) =>
      epochs.observe("h2", epoch, { now, wallMs: WALL_MS });
    assert.equal(observe(first, 0), "first", "it is no reason to refuse a peer");
    assert.equal(observe(right, staleMs - 1), "stale");
    assert.equal(observe(right, staleMs), "new");
    assert.equal(observe(right, staleMs + 1), "same");
  }
});

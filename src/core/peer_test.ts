// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { configOf } from "../../tests/support/core_config.ts";
import { seededRandom } from "../../tests/support/seeded_random.ts";
import { CLOCKS_DIFFER_MS, STALE_FUTURE_MS, STALE_MS } from "./limits.ts";
import { Counters } from "../model/counters.ts";
import { Peers } from "./directory.ts";
import { BackOff, Epochs, Pace, PeerGate, PeerLines, TokenBucket } from "./peer.ts";

function backOff(): BackOff {
  return new BackOff({ firstMs: 1000, maxMs: 60_000, random: seededRandom(1) });
}

Deno.test("the wait doubles up to its maximum, with jitter below", () => {
  const peer = backOff();
  for (let i = 0; i < 12; i++) {
    const full = Math.min(1000 * 2 ** i, 60_000);
    const wait = peer.fail(0);
    assert.ok(wait >= full / 2 && wait <= full, `${i}: ${wait}`);
  }
  assert.equal(peer.failures, 12);
  assert.ok(peer.fail(0, 4000) <= 4000);
});

Deno.test("the circuit is closed, open, half-open, closed", () => {
  const peer = backOff();
  assert.equal(peer.circuit(0), "closed");
  peer.begin();
  assert.equal(peer.circuit(0), "closed");
  const wait = peer.fail(0);
  assert.deepEqual([peer.circuit(1), peer.nextAttemptAt(1)], ["open", wait]);
  assert.deepEqual([peer.circuit(wait), peer.nextAttemptAt(wait)], ["half-open", undefined]);
  peer.begin();
  peer.fail(wait);
  assert.equal(peer.circuit(wait + 1), "open");
  peer.begin();
  assert.equal(peer.circuit(wait + 1), "half-open");
  assert.equal(peer.succeed(), true);
  assert.equal(peer.succeed(), false);
  assert.equal(peer.circuit(wait + 1), "closed");
});

/** When `n` requests of so many tunnels go from `start` on, as fast as they may. */
function times(pace: Pace, { start, n, tunnels }: { start: number; n: number; tunnels: number }) {
  let now = start;
  return Array.from({ length: n }, () => {
    for (let wait = pace.take(now, tunnels); wait > 0; wait = pace.take(now, tunnels)) now += wait;
    return now;
  });
}

Deno.test("few tunnels go at once, many a second; many go as they come up to the burst", () => {
  const small = times(new Pace(), { start: 0, n: 2400, tunnels: 1 });
  assert.equal(small[1599], 0, "sixteen of them are a full request");
  assert.equal(small[2399], 1000);
  const full = times(new Pace(), { start: 0, n: 150, tunnels: 5000 });
  assert.deepEqual([full[99], full[149]], [0, 1000]);
});

Deno.test("after a refusal every request keeps the distance, until ten seconds went well", () => {
  const pace = new Pace();
  assert.equal(pace.take(0, 1), 0);
  assert.equal(pace.refused(1), 25);
  assert.deepEqual(times(pace, { start: 1, n: 3, tunnels: 1 }), [26, 51, 76]);
  assert.deepEqual(times(pace, { start: 10_001, n: 3, tunnels: 1 }), [10_001, 10_001, 10_001]);
});

Deno.test("each refusal soon after another doubles the distance; rest halves it", () => {
  const pace = new Pace();
  const seen = Array.from({ length: 8 }, (_, i) => pace.refused(i * 100));
  assert.deepEqual(seen, [25, 50, 100, 200, 400, 800, 1000, 1000]);
  assert.equal(pace.refused(20_000), 500);
  for (let i = 2; i < 9; i++) pace.refused(20_000 * i);
  assert.equal(pace.refused(200_000), 25, "and no shorter than the first");
});

Deno.test("a burst, then the rate", () => {
  const bucket = new TokenBucket(50, 200);
  let taken = 0;
  while (bucket.take(1000)) taken++;
  assert.equal(taken, 200);
  for (let ms = 1; ms <= 10_000; ms++) if (bucket.take(1000 + ms)) taken++;
  assert.ok(Math.abs(taken - 700) <= 1, `${taken}`);
});

Deno.test("rest fills it to the burst and no further", () => {
  const bucket = new TokenBucket(50, 5);
  while (bucket.take(0));
  let taken = 0;
  while (bucket.take(1e9)) taken++;
  assert.equal(taken, 5);
});

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

Deno.test("however many peers ask for all that they may, one that asks for little is served", () => {
  const ids = Array.from({ length: 200 }, (_, i) => `h${i}`);
  const config = configOf(1, { hosts: 1, changes: {} });
  const peers = new Peers({
    ...config,
    peers: ids.map((id) => ({ id, svcAddress: `${id}:1`, vips: [] })),
  });
  let now = 0;
  const gate = new PeerGate({
    config,
    peers,
    epochs: new Epochs(),
    watch: { hear: () => true },
    clock: { now: () => now },
    isCrowded: () => false,
    counters: new Counters(),
  });
  const asks = (id: string) => {
    try {
      gate.admit(id);
      return true;
    } catch {
      return false;
    }
  };
  const [good = "", ...evil] = ids;
  let [served, refused, asked] = [0, 0, 0];
  for (; now < 5000; now += 100) {
    for (const id of evil) for (let i = 0; i < 10; i++) asks(id) ? served++ : refused++;
    // Its part of what is kept: 40 times 50 a second for 200 peers.
    if (now % 1000 === 0) assert.ok(asks(good), `at ${now}, request ${++asked}`);
  }
  assert.ok(refused > served);
  assert.ok(served <= 2 * (40 * 50 * 5 + 40 * 200), `${served} served`);
});

Deno.test("while this host is late, whoever asks for most waits, and nobody else", () => {
  const config = configOf(1, { hosts: 3, changes: {} });
  let [now, late] = [0, true];
  const gate = new PeerGate({
    config,
    peers: new Peers(config),
    epochs: new Epochs(),
    watch: { hear: () => true },
    clock: { now: () => now },
    isCrowded: () => late,
    counters: new Counters(),
  });
  const served = { h2: 0, h3: 0 };
  const ask = (id: "h2" | "h3", weight: number) => {
    try {
      gate.admit(id, weight);
      served[id]++;
    } catch {
      // Later.
    }
  };
  for (; now < 10_000; now += 25) {
    ask("h2", 1);
    if (now % 500 === 0) ask("h3", 1);
  }
  assert.equal(served.h3, 20, "two a second");
  assert.ok(served.h2 >= 30 && served.h2 <= 60, `some five a second: ${served.h2}`);
  late = false;
  served.h2 = 0;
  for (; now < 12_000; now += 25) ask("h2", 1);
  assert.equal(served.h2, 80);
});

Deno.test("requests are smaller while this host is late, and whole again soon after", () => {
  const clock = { now: () => 0, wallMs: () => 0, sleep: () => Promise.resolve() };
  const config = configOf(1, { hosts: 1, changes: {} });
  const tasks = { signal: new AbortController().signal };
  const line = new PeerLines({ config, clock, random: seededRandom(1), tasks }).of("h2");
  const sizes = [150, 150, 150, 150, 150, 99, 99, 99, 99, 99].map((lateMs) => {
    line.lagged(lateMs);
    return line.most;
  });
  assert.deepEqual(sizes, [128, 64, 32, 16, 16, 32, 64, 128, 256, 256]);
});

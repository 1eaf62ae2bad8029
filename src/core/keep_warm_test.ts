// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { VirtualClock } from "../../tests/sim/virtual_clock.ts";
import { ExchangeError } from "../model/exchange.ts";
import { keepWarm } from "./keep_warm.ts";
import { Scheduler } from "./scheduler.ts";
import { Counters } from "../model/counters.ts";
import { seededRandom } from "../../tests/support/seeded_random.ts";
import { Tasks } from "../model/tasks.ts";

/** Warms `n` peers; `calls` has the times of the calls to each, `up` says who answers. */
function warming(n: number) {
  const clock = new VirtualClock();
  const silent = () => {};
  const tasks = new Tasks({ debug: silent, info: silent, warn: silent, error: silent });
  const calls = new Map<string, number[]>();
  const up: { all: boolean; error: Error } = { all: true, error: new Error("down") };
  const told: string[] = [];
  const peers = Array.from({ length: n }, (_, i) => ({ id: `h${i}` }));
  const gone = new Set<string>();
  const warm = keepWarm({
    calls: {
      notify(peer, notice) {
        calls.set(peer, [...calls.get(peer) ?? [], clock.now()]);
        assert.deepEqual(notice, { bootEpoch: 7n, unknownSpis: [], closed: [], draining: false });
        return up.all ? Promise.resolve({ bootEpoch: 8n }) : Promise.reject(up.error);
      },
    },
    scheduler: new Scheduler({ clock, counters: new Counters() }),
    peers,
    isPeer: (id) => !gone.has(id),
    bootEpoch: 7n,
    clock,
    random: seededRandom(1),
    tasks,
    events: {
      add: (kind, { peer, reason, message } = {}) =>
        void told.push(`${kind} ${peer} ${reason} ${message}`),
    },
  });
  return { clock, tasks, calls, up, gone, told, warm };
}

Deno.test("every peer is greeted at once, then now and then", async () => {
  const { clock, calls } = warming(3);
  await clock.advance(30);
  assert.deepEqual([...calls.keys()].sort(), ["h0", "h1", "h2"]);
  await clock.advance(600_000);
  for (const times of calls.values()) {
    assert.ok(times.length >= 10 && times.length <= 21, `${times.length} calls in 10 minutes`);
  }
});

Deno.test("a peer that is away is tried ever more seldom, and soon greeted when it is back", async () => {
  const { clock, calls, up } = warming(1);
  up.all = false;
  await clock.advance(3_600_000);
  const tried = calls.get("h0")?.length ?? 0;
  assert.ok(tried < 300, `${tried} calls in an hour`);
  up.all = true;
  await clock.advance(30_000);
  assert.ok((calls.get("h0")?.length ?? 0) > tried);
});

Deno.test("of very many peers only some are connected to beforehand", async () => {
  const { clock, calls } = warming(1000);
  await clock.advance(60_000);
  assert.equal(calls.size, 64);
});

Deno.test("a peer that has come is greeted, one that is gone is not any more", async () => {
  const { clock, calls, gone, warm } = warming(2);
  await clock.advance(1000);
  warm.add("h7");
  gone.add("h0");
  await clock.advance(100_000);
  assert.equal(calls.get("h0")?.length, 1);
  assert.ok((calls.get("h7")?.length ?? 0) >= 2);
  gone.delete("h0");
  warm.add("h0");
  warm.add("h0");
  await clock.advance(1000);
  assert.equal(calls.get("h0")?.length, 2);
});

Deno.test("it ends with the tasks", async () => {
  const { clock, tasks, calls } = warming(2);
  await clock.advance(1000);
  await tasks.stop();
  const before = [...calls.values()].flat().length;
  await clock.advance(600_000);
  assert.equal([...calls.values()].flat().length, before);
  assert.equal(clock.sleeping, 0);
});

Deno.test("a peer that lets this host in no more is told of once, and again when it has done so anew", async () => {
  const { clock, up, told } = warming(1);
  await clock.advance(1000);
  up.all = false;
  await clock.advance(600_000);
  assert.deepEqual(told, [], "silence is no refusal");
  up.error = new ExchangeError("permission_denied", '"h1" is denied');
  await clock.advance(600_000);
  const refused = 'peer-failing h0 permission-denied [permission_denied] "h1" is denied';
  assert.deepEqual(told, [refused]);
  up.all = true;
  await clock.advance(120_000);
  up.all = false;
  await clock.advance(120_000);
  assert.deepEqual(told, [refused, refused]);
});

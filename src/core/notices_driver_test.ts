// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { VirtualClock } from "../../tests/sim/virtual_clock.ts";
import { Counters } from "../model/counters.ts";
import type { Notice } from "../model/exchange.ts";
import { Tasks } from "../model/tasks.ts";
import { NOTICE_TRIES, NOTICES_AT_ONCE } from "./limits.ts";
import { NoticesDriver } from "./notices_driver.ts";
import { Scheduler } from "./scheduler.ts";
import type { TunnelTable } from "./tunnel_table.ts";

/** Notices of a host without tunnels; `up` says who takes them. */
function telling() {
  const clock = new VirtualClock();
  const silent = () => {};
  const log = { debug: silent, info: silent, warn: silent, error: silent };
  const counters = new Counters();
  const tasks = new Tasks(log);
  const told: { peer: string; notice: Notice; at: number }[] = [];
  const up = { all: true };
  const table = { byRxSpi: silent, get: silent, peersFrom: () => [] } as unknown as TunnelTable;
  const notices = new NoticesDriver({
    bootEpoch: 7n,
    calls: {
      notify(peer, notice) {
        told.push({ peer, notice, at: clock.now() });
        return up.all ? Promise.resolve({ bootEpoch: 8n }) : Promise.reject(new Error("down"));
      },
    },
    scheduler: new Scheduler({ clock, counters }),
    peers: { byPip: (pip) => [`h${pip}`], denied: () => false },
    table,
    flows: { txStats: () => undefined },
    watch: { hear: () => true },
    generation: () => 0n,
    clock,
    tasks,
    counters,
    log,
  });
  const unknown = (peer: number, spi: number) =>
    notices.syndrome({
      type: "syndrome",
      syndrome: "icv_failed",
      spi,
      srcPip: `${peer}`,
      dstPip: "",
    });
  /** Ticks as the core does. */
  const run = async (ms: number) => {
    for (let t = 0; t < ms; t += 250) {
      notices.flush();
      await clock.advance(250);
    }
  };
  return { clock, counters, told, up, notices, unknown, run };
}

Deno.test("SPIs of a notice that did not arrive are told again, with those that came meanwhile", async () => {
  const { told, up, unknown, run } = telling();
  up.all = false;
  unknown(2, 1001);
  await run(500);
  unknown(2, 1002);
  up.all = true;
  await run(10_000);
  assert.deepEqual(told.map(({ notice }) => notice.unknownSpis), [[1001], [1001, 1002]]);
});

Deno.test("a peer that takes no notice is told ever more seldom, and at last no more", async () => {
  const { told, up, unknown, run } = telling();
  up.all = false;
  unknown(2, 1001);
  await run(120_000);
  assert.equal(told.length, NOTICE_TRIES);
  const gaps = told.slice(1).map(({ at }, i) => at - (told[i]?.at ?? 0));
  for (const [i, gap] of gaps.entries()) assert.ok(gap >= 1000 * 2 ** i, `${gaps}`);
  up.all = true;
  unknown(2, 1002);
  await run(1000);
  assert.deepEqual(told.at(-1)?.notice.unknownSpis, [1002]);
});

Deno.test("thousands who are to be told are so a bounded number at a time, each once", async () => {
  const { told, notices, clock, unknown, run } = telling();
  for (let peer = 0; peer < 3 * NOTICES_AT_ONCE; peer++) unknown(peer, 1001);
  notices.flush();
  await clock.advance(240);
  assert.ok(told.length <= NOTICES_AT_ONCE, `${told.length} at once`);
  await run(3000);
  assert.equal(told.length, 3 * NOTICES_AT_ONCE);
  assert.equal(new Set(told.map(({ peer }) => peer)).size, told.length);
});

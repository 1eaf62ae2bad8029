// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { RECENT_MS, RecentDrops } from "./recent_drops.ts";

Deno.test("drops are recent for five minutes, and then no more", () => {
  let [now, look] = [0, () => {}];
  const counters: Record<string, bigint> = { "drop-no-peer": 0n, "rx-packets": 9n };
  using drops = new RecentDrops({
    counters: () => counters,
    now: () => now,
    every: (act) => {
      look = act;
      return () => look = () => assert.fail("it looks after its end");
    },
  });
  const pass = (ms: number) => {
    for (const end = now + ms; now < end;) {
      now += 15_000;
      look();
    }
  };
  assert.deepEqual(drops.view(), {});
  // What was dropped before the first look is recent too.
  counters["drop-no-peer"] = 3n;
  assert.deepEqual(drops.view(), { "no-peer": 3n });
  pass(60_000);
  counters["rx-auth-fail"] = 2n;
  assert.deepEqual(drops.view(), { "no-peer": 3n, "rx-auth-fail": 2n });
  pass(RECENT_MS - 30_000);
  assert.deepEqual(drops.view(), { "rx-auth-fail": 2n });
  counters["drop-no-peer"] = 4n;
  pass(45_000);
  assert.deepEqual(drops.view(), { "no-peer": 1n });
  pass(RECENT_MS + 15_000);
  assert.deepEqual(drops.view(), {});
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { seededRandom } from "../../tests/support/seeded_random.ts";
import { Ranked, type Ranks } from "./ranks.ts";

Deno.test("what comes, goes and gets another rank is in its order, as a sorted list would have it", () => {
  const random = seededRandom(5);
  const ranked = new Ranked<Ranks>();
  const all: Ranks[] = [];
  let rank = 0;
  for (let i = 0; i < 3000; i++) {
    const which = Math.floor(random.uniform() * all.length);
    const one = all[which];
    const what = random.uniform();
    if (one === undefined || what < 0.4) {
      const more = { rank: random.uniform() < 0.5 ? ++rank : -random.uniform(), place: 0 };
      all.push(more);
      ranked.put(more);
    } else if (what < 0.7) {
      all.splice(which, 1);
      ranked.delete(one);
      ranked.delete(one);
      assert.equal(one.place, 0);
    } else {
      one.rank = random.uniform() * 1000 + 0.5;
      ranked.put(one);
    }
    const sorted = all.toSorted((a, b) => a.rank - b.rank);
    assert.equal(ranked.first, sorted[0]);
    if (i % 50 === 0) assert.deepEqual([...ranked.inOrder()], sorted);
  }
});

Deno.test("whoever takes the first few of ten thousand has not looked at the others", () => {
  const ranked = new Ranked<Ranks>();
  const seen = new Set<number>();
  let isCounting = false;
  for (let i = 0; i < 10_000; i++) {
    ranked.put({
      get rank() {
        if (isCounting) seen.add(i);
        return i;
      },
      place: 0,
    });
  }
  isCounting = true;
  let taken = 0;
  for (const _ of ranked.inOrder()) if (++taken === 16) break;
  assert.equal(taken, 16);
  assert.ok(seen.size <= 33, `${seen.size} were looked at`);
});

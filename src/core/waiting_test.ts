// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { rx, tx } from "../../tests/support/sas.ts";
import { seededRandom } from "../../tests/support/seeded_random.ts";
import { networkOf } from "../model/network.ts";
import type { State } from "./tunnel.ts";
import type { Tunnel } from "./tunnel_table.ts";
import { Ranked, type Ranks, Waiting } from "./waiting.ts";
import { moreUrgent, type Work, workOf } from "./work.ts";

type Mutable = { -readonly [K in keyof Tunnel]: Tunnel[K] };

function opening(flows: readonly number[]): State {
  return { kind: "opening", since: 0, flows, offered: undefined, rx: [] };
}

function rekeying(softAt: number, unheard = false): State {
  const unconfirmed = unheard ? { serial: 1n, askAt: 0 } : undefined;
  const of = tx(1, { softAt, unconfirmed });
  return { kind: "rekeying", tx: of, rx: [rx(1)], openedAt: 0, usedAt: 0, offered: undefined };
}

function tunnelOf(n: number, localVip: string, state: State): Mutable {
  const pair = { localVip, remoteVip: `10.2.${n >> 8}.${n & 255}` };
  return { key: `${localVip} ${pair.remoteVip}`, row: n, pair, peer: "h2", state, lastError: "" };
}

/** One of each party after the other, each party's in their order: by a look at all of them. */
function inTurns<T>(all: readonly T[], partyOf: (one: T) => string): T[] {
  const queues = [...Map.groupBy(all, partyOf).values()];
  const turns = Math.max(0, ...queues.map(({ length }) => length));
  return Array.from({ length: turns }, (_, turn) => queues.flatMap((queue) => queue[turn] ?? []))
    .flat();
}

function fairly(all: readonly Tunnel[]): string[] {
  const byAddress = inTurns(all, ({ pair }) => pair.localVip);
  return inTurns(byAddress, ({ pair }) => networkOf(pair.localVip)).map(({ key }) => key);
}

Deno.test("those who want few have their turn among those of one who wants many, and networks too", () => {
  const waiting = new Waiting();
  const vips = ["1", "1", "1", "1", "2", "3", "3", "1", "1@b", "2@b", "1@b", "3@b"];
  const all = vips.map((vip, i) => tunnelOf(i, vip, opening([i])));
  for (const tunnel of all) waiting.add(tunnel, 0);
  const places = [...waiting.inOrder("packet")].map((key) => all.findIndex((t) => t.key === key));
  assert.deepEqual(places, [0, 8, 4, 9, 5, 11, 1, 10, 6, 2, 3, 7]);
  assert.deepEqual([...waiting.inOrder("rekey")], [...waiting.inOrder("packet")]);
  assert.deepEqual([...new Waiting().inOrder("packet")], []);
});

Deno.test("whatever befalls those that wait, they are in the order that a look at all of them gives", () => {
  const random = seededRandom(11);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random.uniform() * from.length)] as T;
  const vips = [
    "10.1.0.1",
    "10.1.0.2",
    "10.1.0.3",
    "10.1.0.1@blue",
    "10.1.0.9@blue",
    "10.1.0.1@red",
  ];
  const seen = new Set<Work>();
  let now = 0;
  const some = (): State => {
    switch (Math.floor(random.uniform() * 7)) {
      case 0:
        return opening([1]);
      case 1:
        return opening([]);
      case 2:
        return rekeying(now + random.uniform() * 60);
      case 3:
        return rekeying(now + 1e6);
      case 4:
        return rekeying(Infinity);
      case 5:
        return rekeying(now + 10, random.uniform() < 0.5);
      default:
        return { kind: "closed", rx: [rx(9)] };
    }
  };
  for (let story = 0; story < 20; story++) {
    const waiting = new Waiting();
    const all: Mutable[] = [];
    let n = 0;
    for (let i = 0; i < 300; i++) {
      const one = random.uniform() < 0.4 || all.length === 0 ? undefined : pick(all);
      const what = random.uniform();
      if (one === undefined) {
        const more = tunnelOf(++n, pick(vips), some());
        all.push(more);
        waiting.add(more, now);
      } else if (what < 0.5) {
        one.state = some();
        waiting.changed(one, now);
      } else if (what < 0.6) {
        one.state = { kind: "closed", rx: [] };
        waiting.changed(one, now);
        all.splice(all.indexOf(one), 1);
      } else if (what < 0.8) {
        waiting.delete(one.key);
        all.splice(all.indexOf(one), 1);
      } else {
        // It waits already.
        waiting.add(one, now);
        now += random.uniform() * 20;
      }
      waiting.advance(now);
      assert.equal(waiting.size, all.length);
      assert.deepEqual([...waiting], all.map(({ key }) => key));
      const urgency = all.reduce(
        (work: Work, { state }) => moreUrgent(work, workOf(state, now)),
        "warm",
      );
      seen.add(urgency);
      assert.equal(waiting.urgency, urgency);
      const isFirst = ({ state }: Tunnel) => workOf(state, now) === urgency;
      assert.deepEqual([...waiting.inOrder(urgency)], [
        ...fairly(all.filter(isFirst)),
        ...fairly(all.filter((tunnel) => !isFirst(tunnel))),
      ]);
    }
  }
  assert.deepEqual([...seen].sort(), ["packet", "rekey", "restore", "rotation", "unheard", "warm"]);
});

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

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { ConnectionShares, type ShareLimits } from "./connection_shares.ts";

const LIMITS: ShareLimits = { total: 8, reserve: 2, idlePerAddress: 3, perIdentity: 2 };

/** Named connections, each with the address of its first letter. */
function house(limits: Partial<ShareLimits> = {}) {
  const shares = new ConnectionShares<{ name: string }>({ ...LIMITS, ...limits });
  const guests = new Map<string, { name: string }>();
  return {
    shares,
    guest: (name: string) => guests.get(name) ?? { name },
    enter(name: string, options: { identity?: string; busy?: boolean } = {}) {
      const guest = { name };
      const room = shares.enter(guest, name.charAt(0), options.identity);
      guests.set(name, guest);
      if (options.busy) shares.begin(guest);
      return room === undefined || room === "full" ? room : `${room.evict.name} ${room.why}`;
    },
  };
}

Deno.test("connections without a request are few for one address, the oldest makes room", () => {
  const { enter, shares } = house();
  assert.deepEqual(["a1", "a2", "a3"].map((name) => enter(name)), [
    undefined,
    undefined,
    undefined,
  ]);
  assert.deepEqual(["a4", "a5"].map((name) => enter(name)), ["a1 share", "a2 share"]);
  assert.equal(enter("b1"), undefined);
  assert.equal(shares.size, 4);
});

Deno.test("who had a request last is evicted last", () => {
  const { enter, shares, guest } = house();
  ["a1", "a2", "a3"].forEach((name) => enter(name));
  shares.begin(guest("a1"));
  assert.equal(shares.end(guest("a1")), true);
  assert.equal(enter("a4"), "a2 share");
});

Deno.test("those that have proved nothing leave a reserve, and make room among themselves", () => {
  const { enter } = house();
  ["a1", "a2", "a3", "b1", "b2", "c1"].forEach((name) => enter(name));
  assert.equal(enter("d1"), "a1 crowd", "of the address with the most");
  assert.equal(enter("p1", { identity: "p" }), undefined);
  assert.equal(enter("q1", { identity: "q" }), undefined);
  assert.equal(enter("r1", { identity: "r" }), "a2 crowd", "before anybody who proved something");
});

Deno.test("the idle make room before those at work, and then the oldest of the crowd does", () => {
  const { enter } = house();
  ["a1", "a2", "a3", "a4", "b1"].forEach((name) => enter(name, { busy: true }));
  enter("a5");
  assert.equal(enter("c1"), "a5 crowd");
  assert.equal(enter("d1", { busy: true }), "a1 crowd");
});

Deno.test("128 at work of one address do not keep the same address out", () => {
  const { enter } = house({ total: 128, reserve: 0, idlePerAddress: 16 });
  for (let i = 0; i < 128; i++) assert.equal(enter(`a${i}`, { busy: true }), undefined);
  assert.equal(enter("a-new"), "a0 crowd");
});

Deno.test("one identity has its share, and takes it from nobody else", () => {
  const { enter } = house();
  enter("p1", { identity: "p", busy: true });
  enter("p2", { identity: "p" });
  assert.equal(enter("p3", { identity: "p" }), "p2 share", "the idle one first");
  assert.equal(enter("q1", { identity: "q" }), undefined);
});

Deno.test("in a house full of identities the one with the most makes room; equals stay", () => {
  const { enter } = house({ total: 4, perIdentity: 3 });
  ["p1", "p2", "q1", "r1"].forEach((name) => enter(name, { identity: name.charAt(0), busy: true }));
  assert.equal(enter("s1", { identity: "s", busy: true }), "p1 crowd");
  assert.equal(enter("t1", { identity: "t" }), "full");
  assert.equal(enter("u1"), "full", "and whoever has proved nothing has none to take");
});

Deno.test("what was proved later counts from then on", () => {
  const { enter, shares, guest } = house();
  ["a1", "a2", "a3"].forEach((name) => enter(name));
  shares.prove(guest("a1"), "token");
  assert.equal(shares.isProven(guest("a1")), true);
  assert.equal(enter("a4"), undefined);
  assert.equal(enter("a5"), "a2 share");
});

Deno.test("who has left is not counted, nor counts later", () => {
  const { enter, shares, guest } = house({ total: 1, reserve: 0 });
  enter("a1");
  shares.leave(guest("a1"));
  assert.equal(shares.end(guest("a1")), false);
  assert.equal(shares.size, 0);
  assert.equal(enter("b1"), undefined);
});

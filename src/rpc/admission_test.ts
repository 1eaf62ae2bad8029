// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { addressOf, Admission } from "./admission.ts";

const LIMITS = { pending: 4, pendingPerAddress: 2, ratePerS: 1, burst: 3 };

Deno.test("the oldest handshake of an address makes room for its newest", () => {
  const admission = new Admission<{ n: number }>(LIMITS, () => 0);
  const [a, b, c] = [{ n: 1 }, { n: 2 }, { n: 3 }];
  assert.equal(admission.enter(a, "192.0.2.1"), undefined);
  assert.equal(admission.enter(b, "192.0.2.1"), undefined);
  assert.equal(admission.enter(c, addressOf({ remoteAddress: "::ffff:192.0.2.1" })), a);
  assert.equal(admission.pending, 2);
});

Deno.test("the oldest handshake of all makes room when the house is full", () => {
  const admission = new Admission<{ n: number }>(LIMITS, () => 0);
  const guests = [1, 2, 3, 4, 5].map((n) => ({ n }));
  const last = guests.map((guest) => admission.enter(guest, `192.0.2.${guest.n}`)).at(-1);
  assert.equal(last, guests[0]);
  assert.equal(admission.pending, 4);
});

Deno.test("in a full house the address with the most makes room", () => {
  const admission = new Admission<{ n: number }>(LIMITS, () => 0);
  const guests = [1, 2, 3, 4].map((n) => ({ n }));
  const from = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.3"];
  guests.forEach((guest, i) => admission.enter(guest, from[i] ?? ""));
  assert.equal(admission.enter({ n: 5 }, "192.0.2.4"), guests[2], "not the peer that came first");
});

Deno.test("an address that never finishes a handshake runs out of tries, then gets new ones", () => {
  let now = 0;
  const admission = new Admission<object>(LIMITS, () => now);
  const attempt = (from: string) => {
    const guest = {};
    admission.enter(guest, addressOf({ remoteAddress: from }));
    const admitted = admission.start(guest);
    admission.leave(guest);
    return admitted;
  };
  assert.deepEqual([1, 2, 3, 4].map(() => attempt("2001:db8::1")), [true, true, true, false]);
  assert.equal(attempt("2001:db8::ffff"), false, "the same /64");
  assert.equal(attempt("2001:db8:0:1::1"), true, "another /64");
  now = 1000;
  assert.deepEqual([attempt("2001:db8::1"), attempt("2001:db8::1")], [true, false]);
});

Deno.test("connections that begin no handshake use up no tries", () => {
  const admission = new Admission<object>(LIMITS, () => 0);
  for (let i = 0; i < 100; i++) admission.enter({}, "192.0.2.1");
  const guest = {};
  admission.enter(guest, "192.0.2.1");
  assert.equal(admission.start(guest), true);
});

Deno.test("good handshakes cost nothing", () => {
  const admission = new Admission<object>(LIMITS, () => 0);
  for (let i = 0; i < 100; i++) {
    const guest = {};
    admission.enter(guest, "192.0.2.1");
    assert.equal(admission.start(guest), true);
    admission.leave(guest, true);
  }
});

Deno.test("after a flood the connections of an address begin one after the other, and nobody else's", () => {
  let now = 0;
  const admission = new Admission<object>(
    { ...LIMITS, pending: 99, pendingPerAddress: 99 },
    () => now,
  );
  const wait = (address: string) => {
    const guest = {};
    admission.enter(guest, address);
    return admission.waitMs(guest);
  };
  assert.equal(wait("192.0.2.1"), 0);
  admission.slow("192.0.2.1");
  assert.deepEqual([1, 2, 3].map(() => wait("192.0.2.1")), [0, 100, 200]);
  admission.slow("192.0.2.1");
  assert.equal(wait("192.0.2.1"), 300, "another flood does not begin the row anew");
  assert.equal(wait("192.0.2.2"), 0);
  now = 10_000;
  assert.deepEqual([1, 2].map(() => wait("192.0.2.1")), [0, 0]);
});

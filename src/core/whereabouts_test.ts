// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { VirtualClock } from "../../tests/sim/virtual_clock.ts";
import { Counters } from "../model/counters.ts";
import { ExchangeError } from "../model/exchange.ts";
import type { Log } from "../model/log.ts";
import { Tasks } from "../model/tasks.ts";
import { Peers } from "./directory.ts";
import { VERDICT_MS } from "./limits.ts";
import { Epochs } from "./peer.ts";
import { Scheduler } from "./scheduler.ts";
import { type Claim, Whereabouts } from "./whereabouts.ts";

/** h2 and h3 without a configured outer address, h4 with one. `there`: who answers where, with which start. */
function lab() {
  const clock = new VirtualClock();
  const counters = new Counters();
  const said: string[] = [];
  const note = (message: string) => void said.push(message);
  const log: Log = { debug() {}, info: note, warn: note, error: note };
  const peers = new Peers({
    domain: "test",
    vips: [],
    peers: [
      { id: "h2", svcAddress: "192.0.2.2:7443", vips: [] },
      { id: "h3", svcAddress: "h3.example:7443", vips: [] },
      { id: "h4", svcAddress: "192.0.2.4:7443", pip: "192.0.2.4", vips: [] },
    ],
    security: { deny: [] },
  });
  const epochs = new Epochs();
  const there = new Map<string, bigint>();
  const asked: string[] = [];
  const answer = async (place: string) => {
    asked.push(place);
    const bootEpoch = there.get(place);
    if (bootEpoch !== undefined) return { bootEpoch };
    await clock.sleep(2000);
    throw new ExchangeError("deadline_exceeded", "silence");
  };
  const whereabouts = new Whereabouts({
    bootEpoch: 1n,
    peers,
    epochs,
    calls: {
      notify: (peer) => answer(peer),
      notifyAt: (peer, address) => answer(`${peer} ${address}`),
    },
    scheduler: new Scheduler({ clock, counters }),
    clock,
    tasks: new Tasks(log),
    counters,
    events: { add() {} },
    log,
  });
  const claim = (peer: string, of: Partial<Claim>): Promise<string> | string => {
    const doubt = whereabouts.doubt(peer, { epoch: 5n, pip: undefined, from: undefined, ...of });
    if (doubt === undefined) return "believed";
    const outcome = doubt.then(() => "believed", (error) => `${error.message}`);
    return clock.run(outcome);
  };
  /** The peer was heard. */
  const hear = (peer: string, epoch: bigint, pip?: string) => {
    epochs.observe(peer, epoch, { now: clock.now(), wallMs: clock.wallMs() });
    if (pip !== undefined) peers.learnPip(peer, pip);
  };
  return { clock, counters, said, peers, there, asked, whereabouts, claim, hear };
}

const CLONE = /one identity from two addresses: h2 answers at 192\.0\.2\.2 too/;

Deno.test("whoever says what is known, or says it first, is not doubted", () => {
  const { claim, hear, asked } = lab();
  assert.equal(claim("h2", { pip: "192.0.2.2", from: "192.0.2.2" }), "believed");
  hear("h2", 5n, "192.0.2.2");
  const rows: Partial<Claim>[] = [
    { pip: "192.0.2.2" },
    // A new start at the same place, and another address of the same start.
    { epoch: 6n, pip: "192.0.2.2", from: "198.51.100.7" },
    { pip: "192.0.2.9" },
    // Notices: from the outer address, or from where it is configured; an earlier start is refused elsewhere.
    { epoch: 6n, from: "192.0.2.2" },
    { epoch: 6n, from: "::ffff:192.0.2.2" },
    { epoch: 4n, from: "203.0.113.1", pip: "203.0.113.1" },
  ];
  for (const row of rows) assert.equal(claim("h2", row), "believed", JSON.stringify(row.pip));
  assert.equal(claim("h9", { pip: "192.0.2.2" }), "believed", "the gate refuses strangers");
  assert.deepEqual(asked, []);
});

Deno.test("a new start elsewhere is a clone while the first one answers", async () => {
  const { claim, hear, there, asked, counters, said } = lab();
  hear("h2", 5n, "192.0.2.2");
  there.set("h2 192.0.2.2", 5n).set("h2", 5n);
  assert.match(await claim("h2", { epoch: 6n, pip: "192.0.2.3", from: "192.0.2.3" }), CLONE);
  assert.match(await claim("h2", { epoch: 6n, from: "192.0.2.3" }), CLONE);
  // Of one identity there is one question a second.
  assert.match(await claim("h2", { epoch: 7n, pip: "192.0.2.3" }), /looked for elsewhere/);
  assert.equal(counters.get("refused-clone"), 1n);
  assert.deepEqual(said, ["A peer is not believed to be where it says"]);
  assert.deepEqual(asked.sort(), ["h2", "h2 192.0.2.2"]);
});

Deno.test("what a clone says again is refused without another question, for a time", async () => {
  const { claim, hear, there, asked, clock } = lab();
  hear("h2", 5n, "192.0.2.2");
  there.set("h2 192.0.2.2", 5n).set("h2", 5n);
  const again = { epoch: 6n, pip: "192.0.2.3" };
  for (let i = 0; i < 5; i++) assert.match(await claim("h2", again), CLONE);
  assert.equal(asked.length, 2);
  // The first one is gone by then: it has moved.
  await clock.advance(VERDICT_MS);
  there.clear();
  assert.equal(await claim("h2", again), "believed");
});

Deno.test("a new start elsewhere has moved when nobody answers at its place before, within two seconds", async () => {
  const { claim, hear, clock, said } = lab();
  hear("h2", 5n, "192.0.2.2");
  const start = clock.now();
  assert.equal(await claim("h2", { epoch: 6n, pip: "192.0.2.3" }), "believed");
  assert.ok(clock.now() - start <= 2000);
  assert.deepEqual(said, ["A peer has moved: nobody answers at its address before"]);
});

Deno.test("one agent with several addresses is one: the same start answers", async () => {
  const { claim, hear, there, said, clock } = lab();
  hear("h2", 5n, "192.0.2.2");
  there.set("h2 192.0.2.2", 6n).set("h2", 6n);
  assert.equal(await claim("h2", { epoch: 6n, pip: "192.0.2.3" }), "believed");
  await clock.advance(1000);
  assert.equal(await claim("h2", { epoch: 6n, from: "198.51.100.3" }), "believed");
  assert.deepEqual(said, []);
});

Deno.test("after a start of this host, what its record says is asked before a clone is believed", async () => {
  const { claim, peers, there } = lab();
  peers.learnPip("h2", "192.0.2.2");
  there.set("h2 192.0.2.2", 5n);
  assert.match(await claim("h2", { epoch: 6n, from: "192.0.2.3" }), CLONE);
  assert.equal(await claim("h2", { epoch: 5n, from: "192.0.2.2" }), "believed");
});

Deno.test("a notice from a place where the peer was heard is not doubted", () => {
  const { claim, hear, whereabouts, asked } = lab();
  hear("h2", 5n, "192.0.2.2");
  whereabouts.settle("h2", "198.51.100.3");
  assert.equal(claim("h2", { epoch: 6n, from: "198.51.100.3" }), "believed");
  for (let i = 0; i < 20; i++) whereabouts.settle("h2", `198.51.100.${100 + i}`);
  assert.notEqual(claim("h2", { epoch: 6n, from: "198.51.100.3" }), "believed", "places are few");
  assert.ok(asked.length <= 2);
});

Deno.test("an outer address that another peer holds is not given to a second one", async () => {
  const { claim, hear, there, counters, asked } = lab();
  // By the configuration: nobody is asked.
  assert.match(await claim("h3", { pip: "192.0.2.4" }), /192\.0\.2\.4 is that of h4/);
  assert.deepEqual(asked, []);
  hear("h2", 5n, "192.0.2.2");
  there.set("h2 192.0.2.2", 5n);
  const other = lab();
  other.hear("h2", 5n, "192.0.2.2");
  assert.equal(await other.claim("h3", { pip: "192.0.2.2" }), "believed", "h2 is gone");
  const third = lab();
  third.hear("h2", 5n, "192.0.2.2");
  third.there.set("h2 192.0.2.2", 7n);
  assert.match(await third.claim("h3", { pip: "192.0.2.2" }), /192\.0\.2\.2 is that of h2/);
  assert.deepEqual([counters.get("refused-pip"), third.counters.get("refused-pip")], [1n, 1n]);
});

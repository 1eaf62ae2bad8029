// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { VirtualClock } from "../../tests/sim/virtual_clock.ts";
import { Counters } from "../model/counters.ts";
import {
  BURST,
  CALL_COUNTS_MS,
  HANDSHAKES_FIRST,
  HANDSHAKES_MIN,
  LAG_MS,
  LOOK_MS,
  SHAKING_FIRST,
  SHAKING_MIN,
  TUNNELS_IN_FLIGHT,
  WINDOW_FIRST,
  WINDOW_MAX,
  WINDOW_MIN,
} from "./limits.ts";
import { Scheduler, type Slot } from "./scheduler.ts";
import { moreUrgent, WORK, type Work } from "./work.ts";

/** A scheduler, and who was let in, in order. */
function begin(isConnected?: (peer: string) => boolean) {
  const clock = new VirtualClock();
  const counters = new Counters();
  const scheduler = new Scheduler({ clock, isConnected, counters });
  const end = new AbortController();
  const inside: string[] = [];
  const slots = new Map<string, Slot>();
  const raises = new Map<string, (work: Work) => void>();
  const ask = (peer: string, work: Work = "packet", tunnels = 1) => {
    scheduler.enter({ peer, work, tunnels }, end.signal, (raise) => raises.set(peer, raise))
      .then((slot) => {
        inside.push(peer);
        slots.set(peer, slot);
      }, () => {});
  };
  const leave = async (peer: string, inTime = true) => {
    slots.get(peer)?.leave(inTime);
    slots.delete(peer);
    await clock.advance(0);
  };
  /** Takes all places with work that nobody is told of. */
  const fill = async () => {
    for (let i = 0; i <= scheduler.window; i++) ask(`full${i}`);
    await clock.advance(0);
    inside.length = 0;
  };
  return { clock, counters, scheduler, end, inside, slots, raises, ask, leave, fill };
}

Deno.test("so many calls are under way and no more, and each that ends lets one in", async () => {
  const { clock, inside, scheduler, ask, leave } = begin();
  for (let i = 0; i < WINDOW_FIRST + 3; i++) ask(`h${i}`);
  await clock.advance(100);
  assert.equal(inside.length, WINDOW_FIRST);
  assert.equal(scheduler.waiting, 3);
  await leave("h0", false);
  assert.equal(inside.at(-1), `h${WINDOW_FIRST}`);
});

Deno.test("a place that is left twice is free once", async () => {
  const { clock, inside, slots, ask, fill, leave } = begin();
  await fill();
  ask("a");
  ask("b");
  const slot = slots.get("full0");
  await leave("full0", false);
  slot?.leave(false);
  await clock.advance(0);
  assert.deepEqual(inside, ["full32"]);
});

Deno.test("who is let in goes by the kind of work, and in turn within a kind", async () => {
  const { inside, ask, fill, leave } = begin();
  await fill();
  for (const work of [...WORK].reverse()) for (const n of [1, 2]) ask(`${work}${n}`, work);
  // Fewer than the share of the least urgent.
  for (let i = 0; i < 6; i++) await leave(`full${i}`, false);
  const served = inside.filter((peer) => !peer.startsWith("full"));
  const least = served.filter((peer) => peer.startsWith("warm"));
  const others = served.filter((peer) => !peer.startsWith("warm"));
  assert.deepEqual(
    others,
    ["packet1", "packet2", "unheard1", "unheard2", "notice1"].slice(0, others.length),
  );
  assert.ok(least.length <= 1);
});

Deno.test("a stream of urgent work does not keep the least urgent out for ever", async () => {
  const { inside, ask, fill, leave } = begin();
  await fill();
  ask("patient", "rotation");
  for (let i = 0; i < 40; i++) ask(`p${i}`);
  for (let i = 0; i < 20; i++) await leave(`full${i}`, false);
  assert.ok(inside.includes("patient"), inside.join(" "));
  assert.ok(inside.filter((peer) => peer.startsWith("p") && peer !== "patient").length >= 15);
});

Deno.test("work that becomes more urgent while it waits is moved, and never back", async () => {
  const { inside, raises, ask, fill, leave } = begin();
  await fill();
  for (const peer of ["a", "b", "c"]) ask(peer, "rotation");
  raises.get("c")?.("packet");
  raises.get("c")?.("warm");
  for (let i = 0; i < 3; i++) await leave(`full${i}`, false);
  assert.ok(inside.includes("c"), inside.join(" "));
  assert.equal(moreUrgent("rekey", "packet"), "packet");
  assert.equal(moreUrgent("rekey", "rotation"), "rekey");
});

Deno.test("tunnels under way are bounded, but one large request always goes", async () => {
  const { clock, inside, ask, leave } = begin();
  ask("huge", "packet", 2 * TUNNELS_IN_FLIGHT);
  ask("next", "packet", 1);
  await clock.advance(100);
  assert.deepEqual(inside, ["huge"]);
  await leave("huge");
  assert.deepEqual(inside, ["huge", "next"]);
});

Deno.test("handshakes begin at a bounded rate; whoever is connected does not wait behind them", async () => {
  const { clock, inside, ask, leave } = begin((peer) => peer.startsWith("warm"));
  for (let i = 0; i < 200; i++) ask(`cold${i}`);
  ask("warm");
  await clock.advance(0);
  const first = inside.filter((peer) => peer.startsWith("cold")).length;
  assert.ok(first <= HANDSHAKES_FIRST / 10 + 1, `${first} at once`);
  assert.ok(inside.includes("warm"));
  let served = 0;
  for (let ms = 0; ms < 500; ms += 10) {
    for (const peer of inside.slice(served)) await leave(peer, false);
    served = inside.length;
    await clock.advance(10);
  }
  const cold = inside.filter((peer) => peer.startsWith("cold")).length;
  assert.ok(cold >= 90 && cold <= 125, `${cold} in half a second`);
});

Deno.test("lag shrinks both bounds to their least, answers in time open the window to its most", async () => {
  const { clock, counters, scheduler, ask, leave, inside } = begin();
  for (let i = 0; i < 10; i++) scheduler.tick(LAG_MS);
  assert.equal(scheduler.window, WINDOW_MIN);
  assert.equal(counters.get("host-overloaded"), 10n);
  assert.equal(scheduler.lagMs, 10 * LAG_MS);
  scheduler.tick(0);
  for (let i = 0; i < 20_000; i++) ask(`h${i}`);
  await clock.advance(0);
  for (let done = 0; done < 19_000; done++) {
    const peer = inside[done];
    if (peer !== undefined) await leave(peer);
  }
  assert.equal(scheduler.window, WINDOW_MAX);
});

Deno.test("after lag handshakes begin at the least rate", async () => {
  const { clock, scheduler, ask, inside, leave } = begin(() => false);
  for (let i = 0; i < 10; i++) scheduler.tick(LAG_MS);
  for (let i = 0; i < 200; i++) ask(`h${i}`);
  await clock.advance(0);
  const first = inside.length;
  let served = 0;
  for (let ms = 0; ms < 1000; ms += 20) {
    for (const peer of inside.slice(served)) await leave(peer, false);
    served = inside.length;
    await clock.advance(20);
  }
  const begun = inside.length - first;
  assert.ok(begun >= HANDSHAKES_MIN - 2 && begun <= HANDSHAKES_MIN + 2, `${begun} in a second`);
});

Deno.test("the end of the core ends every wait", async () => {
  const { clock, end, scheduler, ask, fill, leave, inside } = begin();
  await fill();
  ask("late");
  end.abort(new Error("stopping"));
  await clock.advance(0);
  assert.equal(scheduler.waiting, 0);
  await leave("full0");
  assert.deepEqual(inside, []);
  await assert.rejects(scheduler.enter({ peer: "h", work: "packet" }, end.signal), /stopping/);
});

Deno.test("peers that do not answer hold up nobody for longer than a quarter of a second", async () => {
  const { clock, inside, ask } = begin();
  for (let i = 0; i < WINDOW_FIRST; i++) ask(`silent${i}`);
  ask("healthy");
  await clock.advance(CALL_COUNTS_MS);
  assert.ok(inside.includes("healthy"));
});

Deno.test("calls that could all begin do so a few at a time, and the rest of the loop has its turn between", async () => {
  const { clock, inside, ask } = begin();
  for (let i = 0; i < WINDOW_FIRST; i++) ask(`h${i}`);
  await Promise.resolve();
  assert.equal(inside.length, BURST);
  await clock.advance(0);
  assert.equal(inside.length, WINDOW_FIRST);
});

Deno.test("handshakes under way are bounded, and those to peers with a connection are none", async () => {
  const { clock, inside, scheduler, ask, leave } = begin((peer) => peer.startsWith("warm"));
  for (let i = 0; i < 100; i++) ask(`cold${i}`);
  for (let i = 0; i < 3; i++) ask(`warm${i}`);
  await clock.advance(200);
  const cold = () => inside.filter((peer) => peer.startsWith("cold")).length;
  assert.equal(cold(), SHAKING_FIRST);
  assert.equal(inside.length, SHAKING_FIRST + 3);
  await leave("cold0", false);
  await clock.advance(10);
  assert.equal(cold(), SHAKING_FIRST + 1);
  assert.equal(scheduler.shaking, SHAKING_FIRST);
});

Deno.test("a loop that is late while calls are under way has fewer of them, well before it counts as overload", async () => {
  const clock = new VirtualClock();
  let lateMs = 0;
  const late = {
    now: () => clock.now(),
    // What a timer is when the loop has other work to do.
    sleep: (ms: number) => clock.sleep(ms === LOOK_MS ? ms + lateMs : ms),
  };
  const scheduler = new Scheduler({
    clock: late,
    isConnected: () => false,
    counters: new Counters(),
  });
  const { signal } = new AbortController();
  for (let i = 0; i < 1000; i++) {
    scheduler.enter({ peer: `h${i}`, work: "restore" }, signal).then(() => {}, () => {});
  }
  await clock.advance(100);
  assert.equal(scheduler.shaking, SHAKING_FIRST);
  lateMs = 30;
  await clock.advance(2000);
  assert.equal(scheduler.shaking, SHAKING_MIN);
  assert.equal(scheduler.window, WINDOW_MIN);
});

Deno.test("the rate of handshakes grows only where it was used up and answered, and shrinks when they do not end", async () => {
  const { clock, inside, scheduler, ask, leave } = begin(() => false);
  const run = async (inTime: boolean) => {
    let served = inside.length;
    for (let ms = 0; ms < 250; ms += 5) {
      for (const peer of inside.slice(served)) await leave(peer, inTime);
      served = inside.length;
      await clock.advance(5);
    }
    scheduler.tick(0);
  };
  // Nobody waits: that all is well proves nothing.
  ask("alone");
  await clock.advance(0);
  await leave("alone");
  for (let i = 0; i < 20; i++) scheduler.tick(0);
  assert.equal(scheduler.handshakes, HANDSHAKES_FIRST);
  for (let i = 0; i < 2000; i++) ask(`h${i}`);
  await run(true);
  const grown = scheduler.handshakes;
  assert.ok(grown > HANDSHAKES_FIRST);
  for (let i = 0; i < 4; i++) await run(false);
  assert.ok(scheduler.handshakes < grown / 2, `${scheduler.handshakes}`);
});

Deno.test("ten thousand who wait are one listener of the signal that ends them", async () => {
  const { end, scheduler } = begin(() => false);
  let listeners = 0;
  const add = end.signal.addEventListener.bind(end.signal);
  end.signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  const waiting = Array.from(
    { length: 10_000 },
    (_, i) => scheduler.enter({ peer: `h${i}`, work: "restore" }, end.signal).catch(() => "ended"),
  );
  assert.ok(listeners <= BURST + 1, `${listeners} listeners`);
  end.abort();
  assert.equal(
    (await Promise.all(waiting)).filter((end) => end === "ended").length,
    10_000 - BURST,
  );
});

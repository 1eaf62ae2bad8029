// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { GONE_MS, RECHECK_MS, RECHECKED_AT_ONCE, SLICE_WAITING } from "./limits.ts";
import {
  firstRotation,
  type RotationContext,
  type RotationEvent,
  type RotationState,
  stepRotation,
} from "./rotation.ts";
import { DUE_AT, keeperHost as host } from "../../tests/support/keeper_host.ts";

const first = firstRotation({ rotations: 0n, spisLeft: 1000n }, DUE_AT);

function rotated(rotations: bigint, own = true): RotationEvent {
  return { type: "rotated", masterKey: { rotations, spisLeft: 1000n }, own, phase: 0.5 };
}

/** Keys of the tunnels that slices move until nothing goes on at once. */
function slices(state: RotationState, context: RotationContext, waiting = 0) {
  const moved: string[] = [];
  for (let goesOn = true; goesOn;) {
    const next = stepRotation(state, { type: "slice", waiting }, context);
    state = next.state;
    goesOn = next.effects.some((effect) => effect.do === "go_on");
    moved.push(...next.effects.flatMap((e) => e.do === "move" ? [e.tunnel.key] : []));
  }
  return { state, moved };
}

Deno.test("a step changes nothing that it was given", () => {
  const { context } = host(3, 2);
  const freeze = (state: RotationState) => {
    if (state.sweep !== undefined) Object.freeze(Object.freeze(state.sweep).rest);
    return Object.freeze(state);
  };
  let state = freeze(first);
  for (
    const event of [
      rotated(1n),
      { type: "slice", waiting: 0 },
      { type: "recheck" },
      { type: "tick", spisLeft: 0n },
      { type: "needed" },
      { type: "commanded" },
      rotated(2n, false),
    ] satisfies RotationEvent[]
  ) {
    const once = stepRotation(state, event, context(10));
    assert.deepEqual(stepRotation(state, event, context(10)), once);
    state = freeze(once.state);
  }
});

Deno.test("one is due by time, by need and by few SPIs, and not while a live peer is on the key before", () => {
  const { context, failing } = host(1);
  const does = (state: RotationState, spisLeft: bigint, now: number) =>
    stepRotation(state, { type: "tick", spisLeft }, context(now)).effects.map((e) => e.do);
  assert.deepEqual(does(first, 1000n, DUE_AT - 1), []);
  assert.deepEqual(does(first, 1000n, DUE_AT), ["rotate"]);
  assert.deepEqual(does(first, 100n, 0), ["rotate"]);
  const needed = stepRotation(first, { type: "needed" }, context(0)).state;
  assert.deepEqual(does(needed, 1000n, 0), ["rotate"]);

  const after = stepRotation(needed, rotated(1n), context(0)).state;
  assert.deepEqual(does(after, 1000n, DUE_AT), ["postpone"]);
  const { state } = stepRotation(after, { type: "tick", spisLeft: 0n }, context(DUE_AT));
  assert.deepEqual(does(state, 0n, DUE_AT + 250), [], "it is told once");
  assert.deepEqual(stepRotation(after, { type: "commanded" }, context(1)).effects, []);
  failing.set("p1", 0);
  assert.deepEqual(does(state, 0n, GONE_MS), ["rotate"], "who is gone holds nothing up");
});

Deno.test("a rotation comes to each tunnel once, peer by peer within its time, and not while many wait", () => {
  const { context } = host(1000, 2);
  const begun = stepRotation(first, rotated(1n), context(0)).state;
  assert.deepEqual(slices(begun, context(0), SLICE_WAITING).moved, []);
  let { state, moved } = slices(begun, context(0));
  assert.deepEqual(moved, ["p1 0", "p1 1"]);
  for (let now = 10; state.sweep !== undefined; now += 10) {
    const next = slices(state, context(now));
    state = next.state;
    moved = [...moved, ...next.moved];
    assert.ok(moved.length <= 2 * (2 * now + 1), `${moved.length} after ${now} ms`);
  }
  assert.equal(moved.length, 2000);
  assert.equal(new Set(moved).size, 2000);
});

Deno.test("who was left two keys behind is asked at once", () => {
  const { context } = host(1000);
  const begun = stepRotation(first, rotated(2n, false), context(0)).state;
  const { state, moved } = slices(begun, context(0));
  assert.deepEqual([state.sweep, moved.length], [undefined, 1000]);
});

Deno.test("who stays behind is looked at again, each once in a round, so many at a time", () => {
  const { context } = host(3000);
  let state = slices(
    { ...stepRotation(first, rotated(1n), context(0)).state },
    context(10_000),
  ).state;
  const looks = (now: number) => {
    const next = stepRotation(state, { type: "recheck" }, context(now));
    state = next.state;
    return next.effects.length;
  };
  assert.equal(looks(RECHECK_MS - 1), 0);
  // A peer and its tunnel are two looks.
  const round = Array.from({ length: 6 }, (_, i) => looks(RECHECK_MS + i));
  assert.deepEqual(round, [...Array(5).fill(RECHECKED_AT_ONCE / 2), 3000 - 5 * 512]);
  assert.equal(looks(RECHECK_MS + 10), 0, "the round is over");
  assert.equal(looks(2 * RECHECK_MS), 512);
});

// SPDX-License-Identifier: Apache-2.0

/** Whose IVs count is said in the exchange, by each side for itself; who says nothing is not held to it. */
import assert from "node:assert/strict";
import type { Feature } from "../../ffi/plane.ts";
import { type Host, world } from "../support/core_world.ts";

const COUNTS: ReadonlySet<Feature> = new Set(["iv-counts"]);
const SILENT: ReadonlySet<Feature> = new Set();

/** Of the receive SAs of a host: whether a window may be kept. */
function windows({ flows }: Host): readonly (boolean | undefined)[] {
  return [...flows.rx.values()].map(({ sa }) => sa.ivCounts);
}

async function between(first: ReadonlySet<Feature>, second: ReadonlySet<Feature>) {
  const w = world({ features: [first, second] });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(100);
  h2.send(h1);
  assert.deepEqual([h1.got(h2), h2.got(h1)], [1, 1]);
  return { w, h1, h2 };
}

for (
  const [first, second] of [[COUNTS, COUNTS], [COUNTS, SILENT], [SILENT, COUNTS], [
    SILENT,
    SILENT,
  ]] as const
) {
  const name = (set: ReadonlySet<Feature>) =>
    set.size > 0 ? "says that its IVs count" : "says nothing";
  Deno.test(`who asks ${name(first)}, who answers ${name(second)}`, async () => {
    const { w, h1, h2 } = await between(first, second);
    await using _ = w;
    // Each keeps a window for what the other sends.
    assert.deepEqual(windows(h1), [second === COUNTS]);
    assert.deepEqual(windows(h2), [first === COUNTS]);
    // A rekey is another exchange, and says it again.
    assert.equal(h1.core.rotate({ plan: false }).started, true);
    await w.clock.advance(1000);
    assert.equal(windows(h1).at(-1), second === COUNTS);
    assert.equal(windows(h2).at(-1), first === COUNTS);
  });
}

Deno.test("until the answer the peer is expected to count, so that nothing passes twice", async () => {
  const w = world({ features: [COUNTS, SILENT] });
  await using _ = w;
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await Promise.resolve();
  await w.clock.advance(100);
  const calls = h1.flows.calls.filter(({ call }) => call === "addRx" || call === "ignoreReplays");
  assert.deepEqual(calls.map(({ call }) => call), ["addRx", "ignoreReplays"]);
});

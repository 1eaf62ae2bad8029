// SPDX-License-Identifier: Apache-2.0

/** A world that was put back is the world that it was, and goes on as one that never went astray. */
import assert from "node:assert/strict";
import { Key } from "../../ffi/key.ts";
import { seededRandom } from "../support/seeded_random.ts";
import { SHORT } from "../explore/budgets.ts";
import { Stage } from "../explore/stage.ts";
import { Heap } from "./heap.ts";
import { loadCore } from "./load.ts";

const SEEDS = 2;
const ASTRAY = 4;

for (const { name, bounds } of SHORT) {
  Deno.test(`put back: ${name}`, async () => {
    const modules = await loadCore();
    for (let seed = 0; seed < SEEDS; seed++) {
      const random = seededRandom(seed);
      const { root: stage, heap } = Heap.of(() => new Stage(modules, bounds));
      const path: string[] = [];
      const next = () => {
        const choices = stage.choices();
        return choices[Math.floor(random.uniform() * choices.length)] ?? "time";
      };
      while (path.length < bounds.depth) {
        const saved = heap.save();
        const before = stage.hash();
        // What is written down stays so, however far and however often the stage goes elsewhere.
        for (let time = 0; time < 2; time++) {
          for (let i = 0; i < ASTRAY; i++) stage.take(next());
          heap.restore(saved);
          assert.equal(stage.hash(), before, `seed ${seed}: ${path.join("; ")}`);
        }
        path.push(next());
        stage.take(path.at(-1) ?? "");
        const { root: fresh } = Heap.of(() => new Stage(modules, bounds));
        for (const choice of path) fresh.take(choice);
        assert.equal(stage.hash(), fresh.hash(), `seed ${seed}: ${path.join("; ")}`);
        assert.deepEqual(stage.choices(), fresh.choices());
        assert.deepEqual(stage.world.violations, fresh.world.violations);
      }
    }
  });
}

Deno.test("what cannot be written down is refused", () => {
  const { heap, root } = Heap.of(() => ({ held: {} as object }));
  heap.save();
  root.held = [1].values();
  assert.throws(() => heap.save(), /class "Iterator"/);
  root.held = Promise.resolve();
  assert.throws(() => heap.save(), /Promise/);
  root.held = new WeakMap();
  assert.throws(() => heap.save(), /WeakMap/);
  class Secret {
    #n = 0;
    next(): number {
      return this.#n++;
    }
  }
  root.held = new Secret();
  assert.throws(() => heap.save(), /Secret/);
  root.held = new Float64Array(2);
  const rows = root.held as Float64Array;
  const saved = heap.save();
  rows[1] = 7;
  heap.restore(saved);
  assert.deepEqual([...rows], [0, 0]);
});

Deno.test("a key that was wiped meanwhile is put back whole", () => {
  for (const octets of [16, 32]) {
    const bytes = Uint8Array.from({ length: octets }, (_, i) => i + 1);
    const { root, heap } = Heap.of(() => ({ key: new Key(bytes.slice()) }));
    const saved = heap.save();
    root.key.wipe();
    heap.restore(saved);
    assert.deepEqual(root.key.reveal(), bytes);
  }
});

// SPDX-License-Identifier: Apache-2.0

/** Worlds with the same number behave alike: whatever follows from one of them follows from the other. */
import assert from "node:assert/strict";
import { SHORT } from "./budgets.ts";
import { broken } from "./checks.ts";
import { Ground, type Node, pathOf } from "./explore.ts";
import { loadCore } from "../sim/load.ts";

/** Pairs of ways to the same number that are compared, in each plan: some of the first that are met. */
const PAIRS = 100;
/** Of those that are met one in so many, so that late ones are among them. */
const EVERY = 2;

for (const { name, bounds } of SHORT) {
  Deno.test(`the same number, the same future: ${name}`, async () => {
    const ground = new Ground(await loadCore(), bounds);
    const { stage } = ground;
    /** What may come next, as a set. */
    const next = (node: Node): string[] => {
      ground.go(node);
      const found = new Set<string>();
      for (const choice of stage.choices()) {
        ground.goOn(node, choice);
        found.add(`${stage.hash()} ${broken(stage).length}`);
      }
      return [...found].sort();
    };
    const seen = new Map<number, Node>([[stage.hash(), ground.first]]);
    let [met, compared] = [0, 0];
    // What is found on the way is gone through as well.
    for (const node of seen.values()) {
      if (node.depth >= bounds.depth || compared >= PAIRS) break;
      ground.go(node);
      for (const choice of stage.choices()) {
        const there = ground.goOn(node, choice);
        const hash = stage.hash();
        const other = seen.get(hash);
        if (other === undefined) {
          ground.keep(there);
          seen.set(hash, there);
        } else if (met++ % EVERY === 0 && compared++ < PAIRS) {
          ground.keep(there);
          assert.deepEqual(
            next(there),
            next(other),
            `${pathOf(there).join("; ")} is not ${pathOf(other).join("; ")}`,
          );
        }
      }
    }
    assert.ok(compared > 0, "no number was met twice");
  });
}

// SPDX-License-Identifier: Apache-2.0

/** Everything that may happen to two hosts within small budgets; `make explore` goes further. */
import assert from "node:assert/strict";
import { SHORT } from "./budgets.ts";
import { explore, Ground } from "./explore.ts";
import { loadCore } from "../sim/load.ts";

for (const { name, bounds } of SHORT) {
  Deno.test(`explored: ${name}`, async () => {
    const modules = await loadCore();
    const { complete, states, violation } = explore(modules, bounds);
    assert.deepEqual(violation, undefined);
    assert.ok(complete && states > 50, `${states} states`);
  });
}

Deno.test("what goes wrong on the way to a state that was seen before is told", async () => {
  const { bounds } = SHORT[0] ?? assert.fail();
  const ground = new Ground(await loadCore(), bounds);
  const how = { isNew: () => false, isLast: true, everyone: false };
  const node = ground.goOn(ground.first, "time");
  assert.equal(ground.look(node, how), undefined);
  ground.go(node);
  ground.stage.world.wrong("a packet in clear");
  assert.deepEqual(ground.look(node, how)?.wrong, ["a packet in clear"]);
});

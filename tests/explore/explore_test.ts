// SPDX-License-Identifier: Apache-2.0

/** Everything that may happen to two hosts within small budgets; `make explore` goes further. */
import assert from "node:assert/strict";
import { SHORT } from "./budgets.ts";
import { explore } from "./explore.ts";
import { loadCore } from "../sim/load.ts";

for (const { name, bounds } of SHORT) {
  Deno.test(`explored: ${name}`, async () => {
    const modules = await loadCore();
    const { complete, states, violation } = explore(modules, bounds);
    assert.deepEqual(violation, undefined);
    assert.ok(complete && states > 50, `${states} states`);
  });
}

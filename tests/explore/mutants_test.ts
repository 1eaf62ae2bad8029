// SPDX-License-Identifier: Apache-2.0

/** The exploration can fail: each planted mistake is found, and with as few choices as it takes. */
import assert from "node:assert/strict";
import { explore } from "./explore.ts";
import { MUTANTS } from "./mutants.ts";
import { loadCore } from "../sim/load.ts";

/** More than any of them takes. */
const STATES = 5000;

for (const { name, patches, bounds, found } of MUTANTS) {
  Deno.test(`planted and found: ${name}`, async () => {
    const modules = await loadCore(patches);
    const { violation, states } = explore(modules, bounds, { states: STATES });
    assert.ok(violation, `not found in ${states} states`);
    assert.match(violation.wrong.join("; "), found);
  });
}

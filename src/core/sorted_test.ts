// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import * as fc from "fast-check";
import { firstWhere, SortedNames } from "./sorted.ts";

Deno.test("names stay in their order, each once, whatever comes and goes", () => {
  const name = fc.stringMatching(/^[a-c.0-9-]{1,3}$/);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), name)), name, (acts, from) => {
      const names = new SortedNames();
      const model = new Set<string>();
      for (const [comes, name] of acts) {
        if (comes) {
          names.add(name);
          model.add(name);
        } else {
          names.delete(name);
          model.delete(name);
        }
      }
      assert.equal(names.size, model.size);
      assert.deepEqual([...names.from("")], [...model].sort());
      assert.deepEqual([...names.from(from)], [...model].sort().filter((name) => name >= from));
    }),
  );
});

Deno.test("the first for which it holds, or the end", () => {
  assert.equal(firstWhere([1, 3, 5], (n) => n > 3), 2);
  assert.equal(firstWhere([1, 3, 5], (n) => n > 5), 3);
  assert.equal(firstWhere([], () => true), 0);
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import * as fc from "fast-check";
import { firstWhere, SortedLate, SortedNames } from "./sorted.ts";

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

Deno.test("items that come and go between looks are in their place at each look, and lists do not change", () => {
  const act = fc.tuple(fc.constantFrom("came", "went", "look"), fc.nat(200));
  fc.assert(
    fc.property(fc.array(act, { maxLength: 600 }), (acts) => {
      const all = new Set<{ readonly key: string }>();
      const items = Array.from({ length: 201 }, (_, n) => ({ key: `k${n}` }));
      const sorted = new SortedLate(all);
      const looks: { readonly list: readonly { key: string }[]; readonly copy: unknown }[] = [];
      const look = () => {
        const list = sorted.get();
        assert.deepEqual(list, [...all].sort((a, b) => a.key < b.key ? -1 : 1));
        looks.push({ list, copy: structuredClone(list) });
      };
      for (const [what, n] of acts) {
        const item = items[n];
        if (what === "look" || item === undefined) {
          look();
        } else if (what === "came" && !all.has(item)) {
          all.add(item);
          sorted.came(item);
        } else if (what === "went" && all.delete(item)) sorted.went(item);
      }
      look();
      for (const { list, copy } of looks) assert.deepEqual(list, copy);
    }),
  );
});

Deno.test("the first for which it holds, or the end", () => {
  assert.equal(firstWhere([1, 3, 5], (n) => n > 3), 2);
  assert.equal(firstWhere([1, 3, 5], (n) => n > 5), 3);
  assert.equal(firstWhere([], () => true), 0);
});

// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import fc from "fast-check";
import { CryptoIds } from "./crypto_ids.ts";

Deno.test("the lowest free id is given out, and never one that is in use", () => {
  fc.assert(fc.property(fc.array(fc.nat(30)), (steps) => {
    const ids = new CryptoIds(8);
    const used = new Set<number>();
    for (const step of steps) {
      if (used.has(step)) {
        ids.free(step);
        used.delete(step);
        continue;
      }
      const expected = [1, 2, 3, 4, 5, 6, 7, 8].find((id) => !used.has(id));
      const id = ids.take();
      assert.equal(id, expected);
      if (id !== undefined) used.add(id);
      assert.equal(ids.size, used.size);
    }
  }));
});

Deno.test("an id that is not in use cannot be freed", () => {
  assert.throws(() => new CryptoIds(8).free(3), RangeError);
});

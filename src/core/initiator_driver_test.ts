// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Cost } from "./initiator_driver.ts";

Deno.test("as many tunnels go together as take the time that there is, within what a request may have", () => {
  const cost = new Cost();
  assert.equal(cost.tunnelsWithin(5), 256);
  cost.took("offer", 1, 10);
  assert.equal(cost.tunnelsWithin(5), 50);
  cost.took("use", 10, 100);
  assert.equal(cost.tunnelsWithin(5), 25);
  assert.equal(cost.usesWithin(5), 50);
  assert.equal(cost.usesWithin(0.01), 1);
  cost.took("use", 0, 0);
  assert.equal(cost.tunnelsWithin(5), 25);
  for (let i = 0; i < 20; i++) cost.took("use", 100, 10);
  assert.equal(cost.tunnelsWithin(5), 16);
  for (let i = 0; i < 40; i++) {
    cost.took("offer", 0.01, 10);
    cost.took("use", 0.01, 10);
  }
  assert.equal(cost.tunnelsWithin(5), 256);
});

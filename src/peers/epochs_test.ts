// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Epochs, STALE_MS } from "./epochs.ts";

Deno.test("a later epoch is news, an earlier one is stale for a while", () => {
  const epochs = new Epochs();
  assert.equal(epochs.observe("h2", 5n, 0), "first");
  assert.equal(epochs.observe("h2", 5n, 1), "same");
  assert.equal(epochs.observe("h2", 6n, 2), "new");
  assert.equal(epochs.observe("h2", 5n, 3), "stale");
  assert.equal(epochs.of("h2"), 6n);
  assert.equal(epochs.observe("h3", 1n, 3), "first");
  assert.equal(epochs.observe("h2", 5n, 2 + STALE_MS), "new");
  assert.equal(epochs.of("h2"), 5n);
  assert.equal(epochs.of("h9"), 0n);
});

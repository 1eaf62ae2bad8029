// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { BackOff } from "./back_off.ts";
import { seededRandom } from "../model/random.ts";

function backOff(): BackOff {
  return new BackOff({ firstMs: 1000, maxMs: 60_000, random: seededRandom(1) });
}

Deno.test("the wait doubles up to its maximum, with jitter below", () => {
  const peer = backOff();
  for (let i = 0; i < 12; i++) {
    const full = Math.min(1000 * 2 ** i, 60_000);
    const wait = peer.fail(0);
    assert.ok(wait >= full / 2 && wait <= full, `${i}: ${wait}`);
  }
  assert.equal(peer.failures, 12);
  assert.ok(peer.fail(0, 4000) <= 4000);
});

Deno.test("the circuit is closed, open, half-open, closed", () => {
  const peer = backOff();
  assert.equal(peer.circuit(0), "closed");
  peer.begin();
  assert.equal(peer.circuit(0), "closed");
  const wait = peer.fail(0);
  assert.deepEqual([peer.circuit(1), peer.nextAttemptAt(1)], ["open", wait]);
  assert.deepEqual([peer.circuit(wait), peer.nextAttemptAt(wait)], ["half-open", undefined]);
  peer.begin();
  peer.fail(wait);
  assert.equal(peer.circuit(wait + 1), "open");
  peer.begin();
  assert.equal(peer.circuit(wait + 1), "half-open");
  assert.equal(peer.succeed(), true);
  assert.equal(peer.succeed(), false);
  assert.equal(peer.circuit(wait + 1), "closed");
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { dropReason, PLANE_COUNTERS } from "./plane_counters.ts";

const HEADER = new URL("../../c-shim/common/counters.h", import.meta.url);

Deno.test("every counter of the plane has its words here, and the same mark where its packets are lost", () => {
  const found = Deno.readTextFileSync(HEADER)
    .matchAll(/X\(\w+, "([^"]+)"\)\s*(?:\/\* (\((?:drop|hold)\))?.*?\*\/)?/g);
  const marked = [...found].map(([, name = "", mark = ""]) => [name, mark]);
  const here = Object.entries(PLANE_COUNTERS)
    .map(([name, means]) => [name, /^\((?:drop|hold)\)/.exec(means)?.[0] ?? ""]);
  assert.ok(marked.length > 40);
  assert.deepEqual(here, marked);
});

Deno.test("a lost packet has a reason, and two counters never the same one", () => {
  assert.equal(dropReason("drop-no-peer"), "no-peer");
  assert.equal(dropReason("rx-auth-fail"), "rx-auth-fail");
  assert.equal(dropReason("rx-packets"), undefined);
  assert.equal(dropReason("no-peer"), undefined);
  const reasons = Object.keys(PLANE_COUNTERS).flatMap((name) => dropReason(name) ?? []);
  assert.equal(new Set(reasons).size, reasons.length);
});

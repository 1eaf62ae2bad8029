// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { endTogether } from "./ending.ts";

const never = () => new Promise<void>(() => {});
/** Time that passes at once, or not at all. */
const sleep = (passes: boolean) => ({ sleep: () => passes ? Promise.resolve() : never() });

Deno.test("all end side by side, and a failure keeps none of them from ending", async () => {
  const said: string[] = [];
  const ends = [
    async () => {
      said.push("a begins");
      await Promise.resolve();
      said.push("a is over");
    },
    () => {
      said.push("b begins");
      return Promise.reject(new Error("b failed"));
    },
  ];
  await assert.rejects(endTogether(ends, sleep(false)), /b failed/);
  assert.deepEqual(said, ["a begins", "b begins", "a is over"]);
});

Deno.test("one that never ends is not waited for beyond the limit", async () => {
  await endTogether([never], sleep(true));
  await endTogether([], sleep(false));
});

// SPDX-License-Identifier: Apache-2.0

/** A demon on three hosts, as `make soak` has it for an hour. Short: a quarter of a minute. Full: ten minutes. */
import assert from "node:assert/strict";
import { soak } from "../soak/main.ts";
import { requireRoot } from "../support/netns.ts";
import { PLANE } from "../support/standin.ts";
import { scaled } from "../support/scale.ts";

// Its hosts have no hardware.
if (PLANE === "soft") {
  Deno.test("whatever a demon does to three hosts, all workloads talk again, never in clear text", async () => {
    requireRoot();
    const said: string[] = [];
    const faults = await soak({
      seconds: scaled(15, 600),
      seed: 7,
      say: (line) => said.push(line),
    });
    assert.deepEqual(faults, [], said.join("\n"));
  });
}

// SPDX-License-Identifier: Apache-2.0

/** Runs the fixtures, in their order, on a real plane. */
import { EXCEPTION_FIXTURES } from "../fixtures/exceptions.ts";
import {
  EGRESS_FIXTURES,
  INGRESS_FIXTURES,
  ROOT_FIXTURES,
  SAMPLING_FIXTURES,
} from "../fixtures/pipes.ts";
import { type Fixture, FixtureStage } from "../support/fixture.ts";
import { inOwnNamespace } from "../support/own_namespace.ts";
import { PLANE } from "../support/standin.ts";

function table(
  name: string,
  fixtures: readonly Fixture[],
  options: { readonly sampling: boolean } = { sampling: false },
): void {
  Deno.test(name, async (t) => {
    await using stage = await FixtureStage.make(options);
    for (const fixture of fixtures) await t.step(fixture.description, () => stage.run(fixture));
  });
}

// A syndrome is reported at most once a second for an SPI. The fixtures of a table are within that second when counters
// are seen at once, not when each waits for the device to refresh its own.
if (PLANE === "doca") Deno.env.set("DOCA_STANDIN_RELAX", "stale");

await inOwnNamespace(import.meta.url, () => {
  table("ROOT", ROOT_FIXTURES);
  table("EGR_ACL and the uplink", EGRESS_FIXTURES);
  table("PSP_DECRYPT, INGR_ACL and SYND_STATS", INGRESS_FIXTURES);
  table("EGR_SAMP, PSP_ENCRYPT and INGR_SAMP", SAMPLING_FIXTURES, { sampling: true });
  table("exceptions of the host port", EXCEPTION_FIXTURES);
});

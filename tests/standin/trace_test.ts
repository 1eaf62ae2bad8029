// SPDX-License-Identifier: Apache-2.0

/**
 * The calls that the DOCA plane makes, in order, for both topologies and one tunnel: for a reviewer
 * with a DPU. PSP_GOLDEN=write writes the files anew.
 */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { PLANE, STANDIN_RELEASE } from "../support/standin.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";

for (const sampling of [false, true]) {
  const name = sampling ? "doca_trace_sampling.txt" : "doca_trace.txt";
  story(`the calls to DOCA are those of tests/golden/${name}`, {}, async ({ world, start }) => {
    assert.equal(PLANE, "doca", "This needs PSP_PLANE=doca");
    assert.equal(STANDIN_RELEASE, "300", "The golden files are of DOCA 3.0");
    const record = world.path("trace");
    const options = { change: sampling ? sampleHalf : asShipped };
    const [h1] = await Promise.all([
      start("h1", { ...options, env: { PSP_DOCA_TRACE: record } }),
      start("h2", options),
    ]);
    const route = { in: "v1", to: world.vip("h2") };
    const { received, text } = await ping(world, route, { count: 3, interval: 0.05 });
    assert.equal(received, 3, text);
    assert.equal((await h1.end("SIGTERM")).code, 0);

    const calls = repeatable(await Deno.readTextFile(record));
    const golden = new URL(`../golden/${name}`, import.meta.url);
    if (Deno.env.get("PSP_GOLDEN") === "write") await Deno.writeTextFile(golden, calls);
    assert.equal(calls, await Deno.readTextFile(golden));
  });
}

/** Other tests have the CPU look at everything; a device starts with the defaults. */
function asShipped(config: PeersJson): void {
  delete config.plane.inspect;
}

function sampleHalf(config: PeersJson): void {
  asShipped(config);
  config.psp = { sample_rate_log2: 1 };
}

/** Without what differs from run to run. */
function repeatable(text: string): string {
  return text.replaceAll(/tun\.psp\.spi=0x[0-9a-f]+/g, "tun.psp.spi=*")
    .replaceAll(/representor=\[\d+\]/g, "representor=*");
}

// SPDX-License-Identifier: Apache-2.0

/**
 * An agent dies without a word; its successor knows no key of its; traffic comes back by itself.
 */
import assert from "node:assert/strict";
import type { HostName } from "../support/plan.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

for (const victim of ["h1", "h2"] satisfies HostName[]) {
  const role = victim === "h1" ? "initiator" : "responder";
  story(`kill -9 of the ${role}, restart, traffic is back by itself`, {}, async (stage) => {
    const { world, start, startBoth } = stage;
    const agents = await startBoth();
    const route = { in: "v1", to: world.vip("h2") };
    const before = await ping(world, route, { count: 3, interval: 0.05 });
    assert.equal(before.received, 3, before.text);
    const epoch = (await agents[victim].status()).bootEpoch;

    const capture = await world.capture();
    const ending = await agents[victim].end("SIGKILL");
    assert.equal(ending.signal, "SIGKILL");
    const silent = await ping(world, route, { count: 3, interval: 0.05, wait: 0.3 });
    assert.equal(silent.received, 0, "packets passed without an agent");

    const again = await start(victim);
    assert.ok(BigInt((await again.status()).bootEpoch) > BigInt(epoch), "the boot epoch must grow");
    const startMs = performance.now();
    await eventually(async () => (await ping(world, route, { wait: 0.3 })).received === 1, {
      what: "traffic to be back",
    });
    console.log(`    back ${Math.round(performance.now() - startMs)} ms after the agent was ready`);
    const after = await ping(world, route, { count: 50, interval: 0.02 });
    assert.equal(after.received, 50, after.text);
    const back = await ping(world, { in: "v2", to: world.vip("h1") }, {
      count: 50,
      interval: 0.02,
    });
    assert.equal(back.received, 50, back.text);
    const wire = await capture.stop();
    // While nobody sits on the uplink, the host's kernel itself answers PSP: port unreachable,
    // quoting ciphertext.
    assert.equal(wire.foreign, wire.foreignKinds["ICMP type 3"] ?? 0, wire.examples.join("; "));
    assert.equal(wire.lost, 0);
  });
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The main job: a first packet misses, is held, the agents make an exchange, and it arrives after
 * all.
 */
import assert from "node:assert/strict";
import { assertOnlyPsp, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

for (const underlay of ["ipv4", "ipv6"] as const) {
  story(
    `the first packet of a flow is held, then resubmitted (${underlay} underlay)`,
    { underlay, inner: ["ipv4", "ipv6"] },
    async ({ world, startBoth }) => {
      const { h1, h2 } = await startBoth();
      const capture = await world.capture();
      for (const family of ["ipv4", "ipv6"] as const) {
        const { received, text } = await ping(
          world,
          { in: "v1", to: world.vip("h2", 0, family) },
          { count: 5, interval: 0.05 },
        );
        assert.equal(received, 5, text);
      }
      const wire = await capture.stop();
      assertOnlyPsp(wire);

      const [here, there] = await Promise.all([h1.tunnels(), h2.tunnels()]);
      assert.equal(here.length, 2);
      assert.equal(there.length, 2);
      for (const tunnel of here) {
        const twin = there.find((t) => t.localVip === tunnel.remoteVip);
        assert.equal(tunnel.state, "up");
        assert.equal(twin?.state, "up");
        assert.equal(tunnel.txSpi, twin?.rxSpi);
        assert.equal(tunnel.rxSpi, twin?.txSpi);
        assert.ok(wire.spis.h2.has(tunnel.txSpi) && wire.spis.h1.has(tunnel.rxSpi));
      }
      const [asked, answered] = await Promise.all([h1.status(), h2.status()]);
      assert.equal(asked.counters["initiator-exchanges"], 2);
      assert.equal(answered.counters["initiator-exchanges"], 0);
      assert.equal(answered.counters["responder-exchanges"], 2);
      assert.ok((asked.counters["held-released"] ?? 0) >= 2);
      assert.equal(answered.counters["held-released"], 0);
      // Multicast of the workloads' own IPv6 misses, too, is nobody's, and may be held at this moment.
      await eventually(async () => {
        const { counters } = await h1.status();
        const [held = 0, ...others] = [
          "held-packets",
          "held-released",
          "drop-refused",
          "drop-no-peer",
        ]
          .map((name) => counters[name] ?? 0);
        return held === others.reduce((a, b) => a + b);
      }, { what: "every held packet to be released or refused" });
      assert.equal(asked.counters["tx-packets"], 10);
      assert.equal(asked.counters["rx-packets"], 10);
    },
  );
}

story("workloads behind one port have tunnels of their own", { workloads: 2 }, async (stage) => {
  const { world, startBoth } = stage;
  const { h1 } = await startBoth();
  for (const from of [0, 1]) {
    for (const to of [0, 1]) {
      const route = {
        in: world.workload("h1", from).name,
        to: world.workload("h2", to).vips.ipv4[0] ?? "",
      };
      const { received, text } = await ping(world, route, { count: 2, interval: 0.05 });
      assert.equal(received, 2, text);
    }
  }
  const tunnels = await h1.tunnels();
  assert.equal(tunnels.filter((tunnel) => tunnel.state === "up").length, 4);
});

story("a workload whose MAC nobody configured is found", {}, async ({ world, startBoth }) => {
  const { h2 } = await startBoth({
    change: ({ vips }) => vips.forEach((vip) => delete vip.mac),
  });
  const route = { in: "v1", to: world.vip("h2") };
  await eventually(async () => (await ping(world, route, { wait: 1 })).received === 1, {
    what: "the workload to be found",
  });
  const { received, text } = await ping(world, route, { count: 5, interval: 0.05 });
  assert.equal(received, 5, text);
  assert.equal((await h2.tunnels())[0]?.state, "up");
});

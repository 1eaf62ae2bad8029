// SPDX-License-Identifier: Apache-2.0

/** The agent is its workloads' gateway: it answers their ARP and neighbour solicitations. */
import assert from "node:assert/strict";
import { GATEWAY } from "../support/plan.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";

story(
  "workloads that know no MAC find their gateway",
  { staticNeighbours: false, inner: ["ipv4", "ipv6"] },
  async ({ world, startBoth }) => {
    await startBoth({
      change: ({ vips }) => {
        for (const vip of vips) vip.gateway = GATEWAY[vip.vip.includes(":") ? "ipv6" : "ipv4"];
      },
    });
    for (const family of ["ipv4", "ipv6"] as const) {
      const route = { in: "v1", to: world.vip("h2", 0, family) };
      const { received, text } = await ping(world, route, { count: 5, interval: 0.2 });
      assert.equal(received, 5, text);
    }
    // Whoever looks for a fault asks the gateway first.
    for (const to of ["169.254.1.1", "fe80::1%eth0", "fe80::50:53ff:fe50:1%eth0"]) {
      const { received, text } = await ping(world, { in: "v1", to }, { count: 3, interval: 0.2 });
      assert.equal(received, 3, text);
    }
    const neighbours = await world.mustRun("v1", ["ip", "neigh", "show"]);
    assert.match(neighbours, /169\.254\.1\.1 dev eth0 lladdr 02:50:53:50:00:01/);
    assert.match(neighbours, /fe80::1 dev eth0 lladdr 02:50:53:50:00:01/);
  },
);

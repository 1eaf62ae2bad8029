// SPDX-License-Identifier: Apache-2.0

/** The agent is its workloads' gateway: it answers their ARP, neighbour solicitations and pings. */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { GATEWAY } from "../support/plan.ts";
import { PLANE } from "../support/standin.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";

function nameGateways({ vips }: PeersJson): void {
  for (const vip of vips) vip.gateway = GATEWAY[vip.vip.includes(":") ? "ipv6" : "ipv4"];
}

story(
  "workloads that know no MAC find their gateway",
  { staticNeighbours: false, inner: ["ipv4", "ipv6"] },
  async ({ world, startBoth }) => {
    await startBoth({ change: nameGateways });
    for (const family of ["ipv4", "ipv6"] as const) {
      const route = { in: "v1", to: world.vip("h2", 0, family) };
      const { received, text } = await ping(world, route, { count: 5, interval: 0.2 });
      assert.equal(received, 5, text);
    }
    const neighbours = await world.mustRun("v1", ["ip", "neigh", "show"]);
    assert.match(neighbours, /169\.254\.1\.1 dev eth0 lladdr 02:50:53:50:00:01/);
    assert.match(neighbours, /fe80::1 dev eth0 lladdr 02:50:53:50:00:01/);
  },
);

// In hardware it takes several host ports: with one, nothing that no peer has comes to the agent again.
if (PLANE === "soft") {
  story(
    "whoever looks for a fault pings the gateway first, and is answered",
    { staticNeighbours: false, inner: ["ipv4", "ipv6"] },
    async ({ world, startBoth }) => {
      await startBoth({ change: nameGateways });
      for (const to of ["169.254.1.1", "fe80::1%eth0", "fe80::50:53ff:fe50:1%eth0"]) {
        const { received, text } = await ping(world, { in: "v1", to }, { count: 3, interval: 0.2 });
        assert.equal(received, 3, text);
      }
    },
  );
}

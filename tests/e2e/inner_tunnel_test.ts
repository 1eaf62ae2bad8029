// SPDX-License-Identifier: Apache-2.0

/** Workloads that run tunnels of their own, such as an overlay of virtual machines. */
import assert from "node:assert/strict";
import { PLANE } from "../support/standin.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { copy } from "../support/traffic.ts";
import type { World } from "../support/world.ts";

const ENDS = [["v1", "h1", "h2", 1], ["v2", "h2", "h1", 2]] as const;

/** An interface "vx" at each workload, with 172.16.0.1 and 172.16.0.2. */
async function vxlan(world: World, family: "ipv4" | "ipv6"): Promise<void> {
  for (const [at, own, peer, n] of ENDS) {
    const local = world.vip(own, 0, family);
    const remote = world.vip(peer, 0, family);
    const device = /dev (\S+)/.exec(await world.mustRun(at, ["ip", "route", "get", remote]))?.[1];
    assert.ok(device !== undefined);
    for (
      const line of [
        `link add vx type vxlan id 42 local ${local} remote ${remote} dstport 4789 dev ${device}`,
        "link set vx mtu 1300 up",
        `addr add 172.16.0.${n}/24 dev vx`,
      ]
    ) await world.mustRun(at, ["ip", ...line.split(" ")]);
  }
}

/** The kernel hands a workload's TCP over VXLAN to its veth whole, as a super-frame in a UDP header. */
// In hardware such a frame is cut before anybody sees it.
for (const family of PLANE === "doca" ? [] : ["ipv4", "ipv6"] as const) {
  story(`TCP in a workload's own VXLAN over ${family} arrives as it was sent`, {
    inner: ["ipv4", "ipv6"],
  }, async (stage) => {
    const { world, startBoth } = stage;
    const { h1, h2 } = await startBoth();
    await vxlan(world, family);
    const capture = await world.capture();
    for (
      const [from, to, address] of [["v1", "v2", "172.16.0.2"], ["v2", "v1", "172.16.0.1"]] as const
    ) {
      const { sentSha256, receivedSha256 } = await copy(world, {
        from,
        to,
        address,
        bytes: 4 << 20,
      });
      assert.equal(receivedSha256, sentSha256);
    }
    assertOnlyPsp(await capture.stop());
    for (const host of [h1, h2]) assert.equal(await host.counter("host-malformed"), 0);
  });
}

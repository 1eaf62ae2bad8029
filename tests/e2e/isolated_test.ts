// SPDX-License-Identifier: Apache-2.0

/** Isolated mode: the host's own traffic over the uplink goes on beside the tunnels. */
import assert from "node:assert/strict";
import { story } from "../support/story.ts";
import { copy, ping, PSP_PING_OCTETS } from "../support/traffic.ts";

for (const underlay of ["ipv4", "ipv6"] as const) {
  story(`TCP to the host itself works while tunnels run (${underlay})`, { underlay }, async (s) => {
    const { world, startBoth } = s;
    const { h1, h2 } = await startBoth();
    const capture = await world.capture({ controlPorts: [7443, 5201] });
    const flood = ping(world, { in: "v1", to: world.vip("h2") }, { count: 2000, flood: true });
    const own = { from: "h2", to: "h1", address: world.host("h1").pip, bytes: 8 << 20 };
    const result = await copy(world, own);
    assert.equal(result.receivedSha256, result.sentSha256);
    const { received, text } = await flood;
    assert.equal(received, 2000, text);
    // The answers of a kernel that had met PSP would be ICMP: port unreachable.
    const wire = await capture.stop();
    assert.deepEqual(wire.foreignKinds, {}, wire.examples.join("; "));
    // Octets, not frames: packets that waited together cross the wire as one frame.
    assert.ok(wire.psp.bytes >= 2 * 2000 * PSP_PING_OCTETS, `${wire.psp.bytes} octets of PSP`);
    for (const agent of [h1, h2]) {
      const { counters } = await agent.status();
      assert.ok((counters["uplink-kernel"] ?? 0) > 0);
      assert.equal(counters["rx-packets"], 2000);
    }
  });
}

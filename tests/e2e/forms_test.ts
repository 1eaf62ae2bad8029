// SPDX-License-Identifier: Apache-2.0

/**
 * Every form of the header carries TCP whole, also from workloads that know nothing of the
 * overhead.
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { payload, PayloadSearch } from "../support/payload.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import type { TunnelStatus } from "../support/status_client.ts";
import { copy } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const OCTETS = 16 << 20;

for (const underlay of ["ipv4", "ipv6"] as const) {
  for (const mode of ["tunnel", "transport"] as const) {
    story(
      `TCP over ${underlay} in ${mode} mode, workloads at the underlay's MTU`,
      {
        underlay,
        // Transport mode keeps the workload's IP header: the underlay carries its family.
        inner: mode === "tunnel" ? ["ipv4", "ipv6"] : [underlay],
        workloadMtu: 1500,
        mtu: 1500,
      },
      async ({ world, startBoth }) => {
        const { h1, h2 } = await startBoth({
          change: (config) => {
            config.psp = { mode, versions: [mode === "tunnel" ? "aes-gcm-128" : "aes-gcm-256"] };
            // With a cookie where there is room for one more form.
            if (mode === "transport") { for (const peer of config.peers) peer.vc = "0x7"; }
          },
        });
        const capture = await world.capture();
        for (const family of world.plan.inner) {
          const address = world.vip("h2", 0, family);
          const result = await copy(world, { from: "v1", to: "v2", address, bytes: OCTETS });
          assert.equal(result.bytes, OCTETS);
          assert.equal(result.receivedSha256, result.sentSha256);
        }
        const wire = await capture.stop(new PayloadSearch(payload("psp", OCTETS)));
        assertOnlyPsp(wire);
        assert.equal(wire.payloadHits, 0);
        await eventually(async () => {
          const carried = (all: readonly TunnelStatus[]) =>
            all.map(({ sentBytes, receivedBytes }) => [sentBytes, receivedBytes]).sort();
          const here = carried(await h1.tunnels());
          const there = carried(await h2.tunnels()).map(([sent, got]) => [got, sent]);
          return here.length === world.plan.inner.length &&
            here.every(([sent = 0, got = 0]) => sent > OCTETS && got > 0) &&
            isDeepStrictEqual(here.sort(), there.sort());
        }, { what: "both hosts to have counted the same octets of inner packets" });
      },
    );
  }
}

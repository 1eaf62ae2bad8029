// SPDX-License-Identifier: Apache-2.0

/** Both hosts ask for the same tunnels at the same moment. */
import assert from "node:assert/strict";
import { story } from "../support/story.ts";
import { eventually } from "../support/wait.ts";

const PAIRS = 40;

story("crossing requests settle on one tunnel for each pair", { vips: PAIRS }, async (stage) => {
  const { world, startBoth } = stage;
  const { h1, h2 } = await startBoth();
  const vips = (host: "h1" | "h2") => world.workload(host).vips.ipv4;
  const [lost1, lost2] = await Promise.all([
    world.mustRun("v1", ["sh", "-c", pingPairs(vips("h1"), vips("h2"))]),
    world.mustRun("v2", ["sh", "-c", pingPairs(vips("h2"), vips("h1"))]),
  ]);
  assert.equal(lost1 + lost2, "", "pings were lost");

  await eventually(async () => {
    const [here, there] = await Promise.all([h1.tunnels(), h2.tunnels()]);
    return here.length === PAIRS && there.length === PAIRS && here.every((tunnel) => {
      const twin = there.find((t) =>
        t.localVip === tunnel.remoteVip && t.remoteVip === tunnel.localVip
      );
      return tunnel.state === "up" && twin?.state === "up" && tunnel.txSpi === twin.rxSpi &&
        tunnel.rxSpi === twin.txSpi;
    });
  }, { what: "the two hosts to agree on every SPI" });
  const [first, second] = await Promise.all([h1.status(), h2.status()]);
  for (const { counters } of [first, second]) {
    assert.ok((counters["initiator-exchanges"] ?? 0) > 0, "one host asked for nothing");
    assert.ok((counters["responder-exchanges"] ?? 0) > 0, "one host was asked for nothing");
  }

  const again = await world.mustRun("v1", ["sh", "-c", pingPairs(vips("h1"), vips("h2"))]);
  assert.equal(again, "", "pings were lost after the crossing");
  // The losers of the crossing are retired after the grace time.
  await eventually(async () => {
    const pipes = await Promise.all([h1.pipes(), h2.pipes()]);
    return pipes.every((list) => list.find((pipe) => pipe.name === "INGR_ACL")?.entries === PAIRS);
  }, { what: "the superseded SAs to be retired" });
});

/** All pairs at once, two pings each; prints the address of each that lost one. */
function pingPairs(from: readonly string[], to: readonly string[]): string {
  const pairs = from.map((source, i) => {
    const dest = to[i] ?? "";
    // One by one: for the last of several ping(8) waits no longer than for those before.
    const ping = `ping -n -q -c 1 -W 20 -I ${source} ${dest} >/dev/null`;
    return `(${ping} && ${ping} || echo ${dest}) &`;
  });
  return [...pairs, "wait"].join("\n");
}

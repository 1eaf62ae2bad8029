// SPDX-License-Identifier: Apache-2.0

/** An established tunnel loses nothing. */
import assert from "node:assert/strict";
import { assertOnlyPsp, story } from "../support/story.ts";
import type { World } from "../support/world.ts";
import { copy, ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const GIB = 1 << 30;

story("10,000 pings are answered, the first of them included", {}, async (stage) => {
  const { world, startBoth } = stage;
  await startBoth();
  const { sent, received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, {
    count: 10_000,
    flood: true,
  });
  assert.equal(sent, 10_000, text);
  assert.equal(received, 10_000, text);
});

story("1 GiB over TCP arrives whole, and the wire carries only PSP", {}, async (stage) => {
  const { world, startBoth } = stage;
  const { h1, h2 } = await startBoth();
  const capture = await world.capture({ snaplen: 96 });
  const result = await copy(world, {
    from: "v1",
    to: "v2",
    address: world.vip("h2"),
    bytes: GIB,
  });
  const resent = await retransmissions(world);
  console.log(
    `    ${(result.bitsPerSecond / 1e9).toFixed(2)} Gbit/s, ${resent} segments sent again`,
  );
  assert.equal(result.bytes, GIB);
  assert.equal(result.receivedSha256, result.sentSha256);
  const wire = await capture.stop();
  assert.equal(wire.foreign, 0, `foreign frames: ${wire.examples.join("; ")}`);
  if (wire.lost === 0) assertOnlyPsp(wire);
  // The ends of the connection may still say good-bye: a packet is under way, or counted at one host and not yet at the other.
  const ends = await eventually(async () => {
    const [near, far] = await Promise.all([h1.status(), h2.status()]);
    const ways = [[near.counters, far.counters], [far.counters, near.counters]];
    return ways.every(([from, to]) => from?.["tx-packets"] === to?.["rx-packets"]) && [near, far];
  }, {
    what: "each host to have received what the other has sent",
    describe: async () => JSON.stringify([await h1.status(), await h2.status()]),
  });
  for (const { id, counters } of ends) {
    for (const name of ["rx-auth-fail", "rx-error", "rx-bad", "tx-error", "rx-no-sa"]) {
      assert.equal(counters[name], 0, `${id} ${name}`);
    }
  }
});

/** TCP segments that V1 sent more than once. */
async function retransmissions(world: World): Promise<number> {
  const text = await world.mustRun("v1", ["cat", "/proc/net/snmp"]);
  const [names, values] = text.split("\n").filter((line) => line.startsWith("Tcp:"))
    .map((line) => line.split(" "));
  return Number(values?.[names?.indexOf("RetransSegs") ?? -1]);
}

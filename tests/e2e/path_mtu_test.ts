// SPDX-License-Identifier: Apache-2.0

/** A router between the hosts carries less than their uplinks: workloads learn it, and nothing vanishes. */
import assert from "node:assert/strict";
import { buildFrame, checksum, IP_PROTO_ICMP, view } from "../../src/exceptions/frame.ts";
import type { PeersJson } from "../support/agent_config.ts";
import { separate } from "../support/router.ts";
import { story } from "../support/story.ts";
import { copy, ping, type PingResult } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

const FAR = 1400;

/** What a workload is told of a packet of 1,400 octets of IP that must not be cut. */
async function told(world: World): Promise<PingResult> {
  const options = { count: 3, wait: 2, mayBeCut: false, size: 1372 };
  return await ping(world, { in: "v1", to: world.vip("h2") }, options);
}

/** A copy whose segments are as long as H1's own uplink would carry. */
async function through(world: World): Promise<void> {
  const { bytes } = await copy(world, {
    from: "v1",
    to: "v2",
    address: world.vip("h2"),
    bytes: 2_000_000,
  });
  assert.equal(bytes, 2_000_000);
}

function octets(ip: string): string {
  return Uint8Array.from(ip.split("."), Number).toHex();
}

async function reached(world: World): Promise<void> {
  await eventually(
    async () => (await ping(world, { in: "v1", to: world.vip("h2") }, { wait: 1 })).received === 1,
    { what: "a ping through the router" },
  );
}

for (const [underlay, overhead] of [["ipv4", 60], ["ipv6", 80]] as const) {
  story(
    `a router that carries less than the uplink is believed (${underlay} underlay)`,
    { underlay, workloadMtu: 1500 },
    async ({ world, startBoth }) => {
      const router = await separate(world);
      await router.ip(`link set r1 mtu ${FAR}`);
      const { h1, h2 } = await startBoth();
      await reached(world);
      // What is too long is lost on the way, and reported.
      await through(world);
      const fits = FAR - overhead;
      assert.match((await told(world)).text, new RegExp(`mtu ?= ?${fits}`));
      const { fields } = await h1.heard(
        "A router on the way to the peer carries less than was sent: packets are kept to that",
      );
      assert.deepEqual([fields.pip, fields.mtu], [world.host("h2").pip, FAR]);
      assert.equal(await h1.counter("path-mtus-lowered"), 1);
      assert.equal(await h2.counter("path-mtus-lowered"), 0);
    },
  );
}

story(
  "a path that loses what is long, without a word, is found by what is lost",
  { workloadMtu: 1500 },
  async ({ world, startBoth }) => {
    const router = await separate(world);
    await router.ip(`link set r1 mtu ${FAR}`);
    // As where somebody filters ICMP.
    await router.run(["nft", "add table netdev silence"]);
    await router.run([
      "nft",
      "add chain netdev silence out { type filter hook egress device r0 priority 0; }",
    ]);
    await router.run(["nft", "add rule netdev silence out ip protocol icmp drop"]);
    const { h1 } = await startBoth();
    await reached(world);
    await copy(world, {
      from: "v1",
      to: "v2",
      address: world.vip("h2"),
      bytes: 2_000_000,
    });
    const { fields } = await h1.heard(
      "Long packets to the peer are lost on the way, and no router says so: packets are kept shorter",
    );
    assert.deepEqual([fields.pip, fields.mtu], [world.host("h2").pip, 1400]);
    assert.equal(await h1.counter("path-black-holes"), 1);
    assert.equal(await h1.counter("path-mtus-lowered"), 0);
    assert.match((await told(world)).text, /mtu ?= ?1340/);
  },
);

story(
  "with a configured path MTU no router has anything to say",
  { workloadMtu: 1500 },
  async ({ world, startBoth }) => {
    const router = await separate(world);
    await router.ip(`link set r1 mtu ${FAR}`);
    const change = (config: PeersJson) => {
      config.psp = { ...config.psp, path_mtu: FAR };
    };
    const { h1 } = await startBoth({ change });
    await reached(world);
    assert.match((await told(world)).text, /mtu ?= ?1340/);
    await through(world);
    assert.deepEqual((await h1.status()).mtu, { uplink: 1500, overhead: 60, inner: 1340 });
    assert.equal(await h1.counter("path-mtus-lowered"), 0);
  },
);

story(
  "a report that quotes no packet of ours is not believed",
  { workloadMtu: 1500 },
  async ({ world, startBoth }) => {
    await separate(world);
    const { h1 } = await startBoth();
    await reached(world);
    const { pip } = world.host("h1");
    const quote = Uint8Array.fromHex(
      `4500058c00004000401100${"00"}${octets(pip)}${octets(world.host("h2").pip)}` +
        "c35003e805780000" + "04010001777777770000000000000001",
    );
    const icmp = new Uint8Array(8 + quote.length);
    icmp.set([3, 4, 0, 0, 0, 0, 600 >> 8, 600 & 0xff]);
    icmp.set(quote, 8);
    view(icmp).setUint16(2, checksum(icmp));
    const envelope = {
      ethSrc: world.host("h2").uplinkMac,
      ethDst: "02:00:00:00:99:01",
      dst: pip,
      ttl: 64,
    };
    const frame = buildFrame(
      { ...envelope, src: world.host("h2").pip, protocol: IP_PROTO_ICMP },
      icmp,
    );
    const seen = await h1.counter("uplink-kernel");
    const worker = await world.worker("h2");
    await worker.frames("uplink", Array.from({ length: 50 }, () => frame));
    await eventually(async () => await h1.counter("uplink-kernel") >= seen + 50, {
      what: "the forged reports to come",
    });
    const { received, text } = await told(world);
    assert.equal(received, 3, text);
    assert.equal(await h1.counter("path-mtus-lowered"), 0);
  },
);

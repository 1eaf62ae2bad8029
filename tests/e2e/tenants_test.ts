// SPDX-License-Identifier: Apache-2.0

/** Two tenants with equal addresses on two hosts: each has its own, and nothing of one reaches the other. */
import assert from "node:assert/strict";
import { COOKIES } from "../support/agent_config.ts";
import { ip } from "../support/netns.ts";
import type { HostName, Workload } from "../support/plan.ts";
import { readPsp } from "../support/psp_wire.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import type { World } from "../support/world.ts";

const TENANTS = { tenants: true, workloads: 4, inner: ["ipv4", "ipv6"] } as const;
const BOTH = ["ipv4", "ipv6"] as const;
const HOSTS = ["h1", "h2"] as const;

/** A workload with its host. */
interface Guest extends Workload {
  readonly host: HostName;
}

function guests(world: World): Guest[] {
  return HOSTS.flatMap((host) => world.host(host).workloads.map((w) => ({ ...w, host })));
}

/** ICMP echoes that a workload's kernel was asked for, by family. */
async function asked(world: World, { name }: Workload): Promise<number> {
  const text = await world.mustRun(name, ["cat", "/proc/net/snmp", "/proc/net/snmp6"]);
  const [names, values] = text.split("\n").filter((line) => line.startsWith("Icmp:"))
    .map((line) => line.split(" "));
  const v4 = Number(values?.[names?.indexOf("InEchos") ?? -1] ?? 0);
  return v4 + Number(/^Icmp6InEchos\s+(\d+)/m.exec(text)?.[1] ?? 0);
}

for (const sampling of [false, true]) {
  story(
    `all pairs of two networks with equal addresses, ${sampling ? "with" : "without"} sampling`,
    TENANTS,
    async ({ world, startBoth }) => {
      const { h1, h2 } = await startBoth({
        change: (config) => {
          config.vips.forEach((vip) => delete vip.mac);
          if (sampling) config.psp = { sample_rate_log2: 1 };
        },
      });
      const all = guests(world);
      const capture = await world.capture();
      for (const from of all) {
        for (const to of all.filter((w) => w.network === from.network && w.name !== from.name)) {
          // Whoever has the same address in the other network must hear nothing of it.
          const twin = all.find((w) =>
            w.network !== to.network && w.vips.ipv4[0] === to.vips.ipv4[0]
          );
          assert.ok(twin !== undefined);
          for (const family of BOTH) {
            const before: number[] = [await asked(world, to), await asked(world, twin)];
            const route = { in: from.name, to: to.vips[family][0] ?? "" };
            const { received, text } = await ping(world, route, { count: 2, interval: 0.02 });
            assert.equal(received, 2, `${from.name} to ${to.name}: ${text}`);
            const after: number[] = [await asked(world, to), await asked(world, twin)];
            assert.deepEqual(after.map((n, i) => n - (before[i] ?? 0)), [2, 0], "went elsewhere");
          }
        }
      }
      assertOnlyPsp(await capture.stop());
      const cookies = new Map<number, Set<bigint | undefined>>();
      for (const { data } of capture.frames()) {
        const packet = readPsp(Uint8Array.from(data));
        if (packet === undefined) continue;
        cookies.set(packet.spi, (cookies.get(packet.spi) ?? new Set()).add(packet.vc));
      }
      const tunnels = [...await h1.tunnels(), ...await h2.tunnels()];
      assert.ok(tunnels.length >= 32, `${tunnels.length} ends of tunnels`);
      for (const { localVip, remoteVip, rxSpi } of tunnels) {
        const [network, other] = [localVip, remoteVip].map((vip) => vip.split("@")[1] ?? "");
        assert.equal(network, other);
        const seen = cookies.get(rxSpi);
        if (seen === undefined) continue;
        assert.deepEqual([...seen], [BigInt(COOKIES[network ?? ""] ?? 0)], localVip);
      }
      for (const agent of [h1, h2]) {
        const { counters } = await agent.status();
        assert.ok((counters["local-packets"] ?? 0) > 0);
        for (const name of ["source-guard", "refused-network", "rx-no-sa", "vip-conflicts"]) {
          assert.equal(counters[name], 0, name);
        }
      }
    },
  );
}

story("what is of one network is refused in another", TENANTS, async ({ world, startBoth }) => {
  // h1 has red alone with h2; to blue it has no peer, and to a part of red it may not go.
  const { h1, h2 } = await startBoth({
    change: (config) => {
      if (config.id !== "h1") return;
      config.peers.forEach((peer) => peer.vips = peer.vips.filter((vip) => vip.endsWith("@red")));
      const red = config.networks?.find(({ name }) => name === "red");
      if (red !== undefined) red.policy = { deny: [world.workload("h2", 2).prefixes.ipv4] };
    },
  });
  const [red, blue] = [world.workload("h1", 0), world.workload("h1", 1)];
  const far = world.workload("h2", 0).vips.ipv4[0] ?? "";
  const { received, text } = await ping(world, { in: red.name, to: far }, { count: 2 });
  assert.equal(received, 2, text);
  const none = await ping(world, { in: blue.name, to: far }, { count: 2, wait: 1 });
  assert.equal(none.received, 0);
  // From there it is asked for: h1 knows no such peer in blue.
  const back = { in: world.workload("h2", 1).name, to: blue.vips.ipv4[0] ?? "" };
  assert.equal((await ping(world, back, { count: 2, wait: 1 })).received, 0);
  const denied = { in: red.name, to: world.workload("h2", 2).vips.ipv4[0] ?? "" };
  assert.equal((await ping(world, denied, { count: 2, wait: 1 })).received, 0);
  const from = { in: world.workload("h2", 2).name, to: red.vips.ipv4[0] ?? "" };
  assert.equal((await ping(world, from, { count: 2, wait: 1 })).received, 0);
  const counters = (await h1.status()).counters;
  assert.ok((counters["refused-network"] ?? 0) >= 1, "blue is not the peer's");
  assert.ok((counters["refused-policy"] ?? 0) >= 1);
  assert.ok((counters["refused-vip"] ?? 0) >= 1, "who is denied may not ask");
  assert.equal((await h2.tunnels()).filter(({ state }) => state === "up").length, 1);
});

story("a network whose cookie differs on the other host has no tunnels", TENANTS, async (stage) => {
  const { world, startBoth } = stage;
  const { h1, h2 } = await startBoth({
    change: (config) => {
      if (config.id === "h2") config.networks?.forEach((network) => network.vc += 1);
    },
  });
  const route = { in: world.workload("h1", 0).name, to: world.vip("h2", 0, "ipv4") };
  assert.equal((await ping(world, route, { count: 2, wait: 1 })).received, 0);
  assert.ok(((await h2.status()).counters["refused-network"] ?? 0) >= 1);
  assert.equal((await h1.tunnels()).filter(({ state }) => state === "up").length, 0);
});

story("a guest that says it is of another network is not believed", TENANTS, async (stage) => {
  const { world, startBoth } = stage;
  const { h1 } = await startBoth({
    change: (config) => config.vips.forEach((vip) => delete vip.mac),
  });
  const [red, blue] = [world.workload("h1", 0), world.workload("h1", 1)];
  const vip = red.vips.ipv4[0] ?? "";
  const to = world.vip("h2", 0, "ipv4");
  assert.equal((await ping(world, { in: red.name, to }, { count: 1 })).received, 1);
  // It has the same address; a second one of red's prefix is nobody's in blue but its own.
  await ip(["addr add 10.1.16.1/32 dev eth0"], blue.ns);
  const route = { in: blue.name, to: world.workload("h2", 1).vips.ipv4[0] ?? "" };
  assert.equal((await ping(world, route, { count: 2, from: vip })).received, 2);
  const tunnels = (await h1.tunnels()).map(({ localVip, remoteVip }) => `${localVip} ${remoteVip}`);
  assert.deepEqual(tunnels.sort(), [`${vip}@blue ${to}@blue`, `${vip}@red ${to}@red`]);
});

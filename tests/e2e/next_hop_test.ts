// SPDX-License-Identifier: Apache-2.0

/** Where packets leave for: a router of the kernel's, the peer itself, or whom the configuration names. */
import assert from "node:assert/strict";
import { HOSTS } from "../support/plan.ts";
import { separate } from "../support/router.ts";
import { sniff } from "../support/sniff.ts";
import { story } from "../support/story.ts";
import { copy, ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

/** Packets leave h1 for this MAC: those before it may have had another, and have been answered all the same. */
async function toMac(world: World, mac: string): Promise<void> {
  const filter = "udp dst port 1000 and src 192.168.77.1";
  let last: string | undefined;
  await eventually(async () => {
    const seen = await sniff(world, { in: "h1", device: "uplink", filter, count: 1 });
    await ping(world, { in: "v1", to: world.vip("h2") }, { wait: 1 });
    const [frame] = await seen();
    last = frame?.subarray(0, 6).toHex();
    return last === mac.replaceAll(":", "");
  }, { what: `a packet to ${mac}`, describe: () => `the last went to ${last}` });
}

story("a router between the hosts is the next hop, by the kernel's routes", {}, async (stage) => {
  const { world, startBoth } = stage;
  const router = await separate(world);
  const { h1 } = await startBoth();
  const route = { in: "v1", to: world.vip("h2") };
  // While the kernel resolves its router the peer's own MAC may serve: a packet or two may go astray.
  await eventually(async () => (await ping(world, route, { wait: 1 })).received === 1, {
    what: "a ping through the router",
  });
  await toMac(world, "02:00:00:00:99:00");

  // Another router takes its place and says so: the kernel learns it, and the agent from the kernel.
  await router.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/r0/arp_notify"]);
  await router.ip("link set r0 address 02:00:00:00:99:77");
  await h1.heard("The router's MAC is the next hop now");
  await eventually(async () => (await ping(world, route, { wait: 1 })).received === 1, {
    what: "a ping through the router's new MAC",
  });
  await toMac(world, "02:00:00:00:99:77");
});

story("a router that takes another MAC without a word is found again", {}, async (stage) => {
  const { world, startBoth } = stage;
  const router = await separate(world);
  // The kernel would go on with what it knows.
  await world.mustRun("h1", [
    "sh",
    "-c",
    "echo 3600 > /proc/sys/net/ipv4/neigh/uplink/base_reachable_time",
  ]);
  const { h1 } = await startBoth();
  const route = { in: "v1", to: world.vip("h2") };
  await eventually(async () => (await ping(world, route, { wait: 1 })).received === 1, {
    what: "a ping through the router",
  });
  // It knows where h1 is, and has no reason to ask, from which h1 would learn.
  const { pip, uplinkMac } = world.host("h1");
  await router.run([
    "sh",
    "-c",
    `ip link set r0 address 02:00:00:00:99:78 && ip neigh replace ${pip} lladdr ${uplinkMac} dev r0 nud permanent`,
  ]);
  await eventually(async () => (await ping(world, route, { wait: 1 })).received === 1, {
    what: "a ping through the router's new MAC",
  });
  await h1.heard("The router's MAC is the next hop now");
  await toMac(world, "02:00:00:00:99:78");
});

story("of two routers the one that is still there is taken", {}, async (stage) => {
  const { world, startBoth } = stage;
  await separate(world);
  const sets = { "ipv4/fib_multipath_use_neigh": 1, "ipv4/neigh/uplink/base_reachable_time": 3600 };
  for (const [key, value] of Object.entries(sets)) {
    await world.mustRun("h1", ["sh", "-c", `echo ${value} > /proc/sys/net/${key}`]);
  }
  const { h1 } = await startBoth();
  const route = { in: "v1", to: world.vip("h2") };
  const arrives = async () => (await ping(world, route, { wait: 1 })).received === 1;
  await eventually(arrives, { what: "a ping through the router" });

  // Another one, which the kernel prefers and takes to be there for an hour.
  const [gone, there] = ["192.168.77.253", "192.168.77.254"];
  const h1Ip = (line: string) => world.mustRun("h1", ["ip", ...line.split(" ")]);
  await h1Ip(`neigh replace ${gone} lladdr 02:00:00:00:99:79 dev uplink nud reachable`);
  const ways = [
    `nexthop via ${gone} dev uplink onlink weight 200`,
    `nexthop via ${there} dev uplink`,
  ];
  const leads = async () => await h1Ip(`route get ${world.host("h2").pip}`);
  // Which one is drawn from the addresses; the other way round the other one.
  for (const order of [ways, ways.toReversed()]) {
    await h1Ip(`route replace default ${order.join(" ")}`);
    if ((await leads()).includes(gone)) break;
  }
  assert.match(await leads(), /192\.168\.77\.253/);
  await eventually(async () => !await arrives(), { what: "a ping to the router that is gone" });
  await eventually(arrives, { what: "a ping through the router that is there" });
  assert.match(await leads(), /192\.168\.77\.254/);
  await h1.heard("The router's MAC is the next hop now");
});

story(
  "a peer whose uplink has another MAC is followed, and one whose uplink is made anew",
  {},
  async (stage) => {
    const { world, startBoth } = stage;
    const { h1, h2 } = await startBoth();
    const routes = [{ in: "v1", to: world.vip("h2") }, { in: "v2", to: world.vip("h1") }];
    const both = (what: string) =>
      eventually(async () => {
        const pings = await Promise.all(routes.map((route) => ping(world, route, { wait: 0.5 })));
        return pings.every(({ received }) => received === 1);
      }, { what });
    await both("pings before");
    const mac = "02:00:00:00:99:42";
    await world.mustRun("h2", ["ip", "link", "set", "uplink", "address", mac]);
    await h2.heard("The uplink's MAC has changed: neighbours are told");
    await h1.heard("The peer's own MAC is the next hop now");
    await both("pings to the peer's new MAC");
    await toMac(world, mac);
    assert.ok(await h1.counter("next-hops-followed") > 0);
  },
);

story("a router that answers ARP for the peer is found to be the next hop", {}, async (stage) => {
  const { world, startBoth } = stage;
  const router = await separate(world);
  await router.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/proxy_arp"]);
  for (const name of HOSTS) {
    await world.mustRun(name, ["ip", "route", "replace", "default", "dev", "uplink"]);
  }
  const { h1, h2 } = await startBoth();
  const route = { in: "v1", to: world.vip("h2") };
  await eventually(async () => (await ping(world, route, { wait: 1 })).received === 1, {
    what: "a ping through the router",
  });
  await toMac(world, "02:00:00:00:99:00");
  for (const agent of [h1, h2]) {
    const what =
      "Nothing arrives at the peer's MAC of the exchange: its neighbour's is the next hop now";
    const { fields } = await agent.heard(what);
    assert.match(String(fields.mac), /^02:00:00:00:99:0/);
  }
  await h1.heard("Packets to the peer arrive again");
});

story("in transport mode a router carries the vips themselves", {}, async (stage) => {
  const { world, startBoth } = stage;
  const router = await separate(world);
  // Packets keep the workloads' addresses: the underlay needs routes to them.
  for (const [i, name] of HOSTS.entries()) {
    const via = world.host(name).pip;
    await router.ip(`route add ${world.vip(name)} via ${via} dev r${i} onlink`);
  }
  await startBoth({ change: (config) => config.psp = { mode: "transport" } });
  const filter = `udp dst port 1000 and src ${world.vip("h1")} and dst ${world.vip("h2")}`;
  const seen = await sniff(world, { in: "h1", device: "uplink", filter, count: 1 });
  const route = { from: "v1", to: "v2", address: world.vip("h2") } as const;
  const { bytes, receivedSha256, sentSha256 } = await copy(world, { ...route, bytes: 4 << 20 });
  assert.equal(bytes, 4 << 20);
  assert.equal(receivedSha256, sentSha256);
  const [frame] = await seen();
  assert.equal(frame?.subarray(0, 6).toHex(), "020000009900", "it is not the router's MAC");
});

story("on one link the peer's MAC of the exchange is the next hop", {}, async (stage) => {
  const { world, startBoth } = stage;
  await startBoth();
  await toMac(world, world.host("h2").uplinkMac);
});

story("next_hop_mac says it all, for a peer before all peers", {}, async ({ world, startBoth }) => {
  await startBoth({
    change: (config) => {
      config.plane.next_hop_mac = "02:00:00:00:00:f1";
      for (const peer of config.peers) peer.next_hop_mac = "02:00:00:00:00:f2";
    },
  });
  await toMac(world, "02:00:00:00:00:f2");
});

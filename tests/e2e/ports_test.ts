// SPDX-License-Identifier: Apache-2.0

/** Several host ports: each workload behind its own, and what becomes of it when ports come, go and change places. */
import assert from "node:assert/strict";
import type { AgentProcess } from "../support/agent_process.ts";
import { ip } from "../support/netns.ts";
import { PingStream } from "../support/ping_stream.ts";
import { limitMs } from "../support/scale.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { copy, ping, type PingOptions } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

const THREE = {
  workloads: 3,
  ownPorts: true,
  inner: ["ipv4", "ipv6"],
  staticNeighbours: true,
} as const;

/** Until a ping from one workload to another is answered. */
async function reaches(world: World, from: string, to: string): Promise<void> {
  await eventually(
    async () => (await ping(world, { in: from, to }, { wait: 1 })).received === 1,
    { what: `a ping from ${from} to ${to}` },
  );
}

/** Makes a workload's port anew, with another interface behind it. */
async function plugIn(world: World, j: number, mac = world.workload("h1", j).mac): Promise<void> {
  const { ns } = world.host("h1");
  const w = world.workload("h1", j);
  await ip(
    [
      `link add eth0 address ${mac} netns ${w.ns} type veth peer name ${w.port} netns ${ns}`,
      `-n ${ns} link set ${w.port} up`,
    ].map((line) => line.startsWith("-n") ? "" : line).filter((line) => line !== ""),
  );
  await ip([`link set ${w.port} mtu ${world.plan.mtu} up`], ns);
  await ip([
    `link set eth0 mtu ${world.plan.workloadMtu} up`,
    `addr add ${w.vips.ipv4[0]}/32 dev eth0`,
    `neigh add 169.254.1.1 lladdr 02:50:53:50:00:01 dev eth0 nud permanent`,
    `route add default via 169.254.1.1 dev eth0 onlink`,
  ], w.ns);
}

const withoutMacs = {
  change: ({ vips }: { vips: { mac?: string }[] }) => vips.forEach((vip) => delete vip.mac),
};

story("workloads behind ports of their own reach those of another host", THREE, async (stage) => {
  const { world, startBoth } = stage;
  const { h1 } = await startBoth(withoutMacs);
  const capture = await world.capture();
  for (const family of ["ipv4", "ipv6"] as const) {
    for (const from of [0, 1, 2]) {
      for (const to of [0, 1, 2]) {
        const route = {
          in: world.workload("h1", from).name,
          to: world.workload("h2", to).vips[family][0] ?? "",
        };
        const { received, text } = await ping(world, route, { count: 2, interval: 0.05 });
        assert.equal(received, 2, text);
      }
    }
  }
  assertOnlyPsp(await capture.stop());
  const { ports, counters } = await h1.status();
  assert.deepEqual(ports.map((port) => port.interface), ["uplink", "vm0", "vm1", "vm2"]);
  assert.equal(counters["vip-conflicts"], 0);
  assert.equal(counters["source-guard"], 0);
});

story("workloads of one host reach one another, and nobody sees it", THREE, async (stage) => {
  const { world, startBoth } = stage;
  const { h1 } = await startBoth(withoutMacs);
  const capture = await world.capture();
  for (const family of ["ipv4", "ipv6"] as const) {
    for (const from of [0, 1, 2]) {
      for (const to of [0, 1, 2].filter((to) => to !== from)) {
        const route = {
          in: world.workload("h1", from).name,
          to: world.workload("h1", to).vips[family][0] ?? "",
        };
        const { received, text } = await ping(world, route, { count: 3, interval: 0.05 });
        assert.equal(received, 3, text);
      }
    }
  }
  const { psp, foreign, examples } = await capture.stop();
  assert.deepEqual([psp.frames, foreign], [0, 0], examples.join("; "));
  const { counters } = await h1.status();
  assert.ok((counters["local-packets"] ?? 0) >= 72, `${counters["local-packets"]} local packets`);
  assert.equal(counters["tx-packets"], 0);
});

story("what a router says, the gateway says", THREE, async ({ world, startBoth }) => {
  const { h1 } = await startBoth(withoutMacs);
  const to = world.workload("h1", 1);
  await reaches(world, "v1", to.vips.ipv4[0] ?? "");
  const said = async (to: string, options: PingOptions) =>
    (await ping(world, { in: "v1", to }, options)).text;
  for (const family of ["ipv4", "ipv6"] as const) {
    const vip = to.vips[family][0] ?? "";
    await reaches(world, "v1", vip);
    assert.match(await said(vip, { ttl: 1 }), /Time to live exceeded|Hop limit/);
    const nobody = family === "ipv4" ? "192.0.2.77" : "2001:db8:77::1";
    const text = await said(nobody, { count: 3 });
    assert.match(text, /Packet filtered|No route|unreachable/i);
  }
  // Whoever connects there is told that it cannot be reached, and does not wait until nobody has answered.
  const connect = 'await Deno.connect({ hostname: "192.0.2.78", port: 9 })';
  const { code, stderr } = await world.run("v1", [Deno.execPath(), "eval", connect]);
  assert.notEqual(code, 0);
  assert.match(stderr, /No route to host|unreachable/i);
  assert.ok(await counter(h1, "unreachable-sent") >= 3);
  assert.ok(await counter(h1, "time-exceeded-sent") >= 2);
});

story(
  "a port that is pulled out and plugged in again heals, and no other notices",
  THREE,
  async (stage) => {
    const { world, startBoth } = stage;
    const { h1 } = await startBoth(withoutMacs);
    const to = world.vip("h2", 0, "ipv4");
    await reaches(world, "v1", to);
    await reaches(world, "v1b", to);
    await using other = new PingStream(world, { in: "v1", to, count: 800, intervalMs: 10 });
    await using own = new PingStream(world, { in: "v1b", to, count: 3000, intervalMs: 10 });
    // A connection in the middle of its work outlives its port.
    const begun = Promise.withResolvers<void>();
    const copied = copy(world, {
      from: "v1b",
      to: "v2",
      address: to,
      bytes: 200 << 20,
      progress: () => begun.resolve(),
    });
    await Promise.race([begun.promise, copied]);
    await ip(["link del vm1"], world.host("h1").ns);
    await h1.heard("An interface is gone: nothing passes until there is one of its name");
    await plugIn(world, 1);
    const from = performance.now();
    const answered = () => [...own.answers.values()].find((at) => at > from);
    const at = await eventually(answered, { what: "an answer through the new port" });
    console.log(`    traffic again after ${Math.round(at - from)} ms`);
    const { sentSha256, receivedSha256, bytes } = await copied;
    assert.equal(bytes, 200 << 20);
    assert.equal(receivedSha256, sentSha256);
    const { lost } = await other.ended();
    assert.deepEqual(lost, []);
  },
);

story(
  "a port that comes while the agent runs is taken, and goes after its interface",
  THREE,
  async (stage) => {
    const { world, startBoth } = stage;
    const { ns } = world.host("h1");
    await ip(["link del vm2"], ns);
    const { h1 } = await startBoth(withoutMacs);
    assert.equal((await h1.status()).ports.length, 3);
    await plugIn(world, 2);
    await reaches(world, "v1c", world.vip("h2", 0, "ipv4"));
    assert.equal((await h1.status()).ports.length, 4);
    await ip(["link del vm2"], ns);
    await eventually(async () => await counter(h1, "ports-removed") === 1, {
      what: "the port to go",
    });
    await reaches(world, "v1", world.vip("h2", 0, "ipv4"));
  },
);

story(
  "fifty ports of a pattern that matched nothing come at once, and go at once: another loses nothing",
  THREE,
  async (stage) => {
    const { world, startBoth } = stage;
    const { ns } = world.host("h1");
    const { h1 } = await startBoth({
      change: (config) => {
        if (config.id === "h1") config.plane.host = ["vm0", "many*"];
      },
    });
    const to = world.vip("h2", 0, "ipv4");
    const ports = async () =>
      (await h1.status()).ports.filter((port) => port.interface.startsWith("many")).length;
    await reaches(world, "v1", to);
    assert.equal(await ports(), 0);
    await using stream = new PingStream(world, { in: "v1", to, count: 60_000, intervalMs: 10 });

    const all = Array.from({ length: 50 }, (_, i) => i);
    const from = performance.now();
    await ip(all.map((i) => `link add many${i} type veth peer name far${i}`), ns);
    await ip(all.flatMap((i) => [`link set many${i} up`, `link set far${i} up`]), ns);
    // One that a workload is behind takes such a name.
    await ip(["link set vm2 down", "link set vm2 name many50", "link set many50 up"], ns);
    const made = performance.now();
    await eventually(async () => await ports() === 51, { what: "51 ports" });
    console.log(
      `    51 ports ${Math.round(performance.now() - made)} ms after they were made, which took ` +
        `${Math.round(made - from)} ms`,
    );
    await reaches(world, "v1c", to);
    await ip(all.map((i) => `link del many${i}`), ns);
    await eventually(async () => await ports() === 1, { what: "50 ports to go" });
    await reaches(world, "v1c", to);
    const { sent, lost } = await stream.stop();
    assert.deepEqual(lost, [], `of ${sent}`);
  },
);

story(
  "a port that is made anew at once, with another MAC behind it, heals while its traffic goes on",
  THREE,
  async ({ world, startBoth }) => {
    const { h1 } = await startBoth(withoutMacs);
    const to = world.vip("h2", 0, "ipv4");
    await reaches(world, "v1b", to);
    await using own = new PingStream(world, { in: "v1b", to, count: 3000, intervalMs: 10 });
    await eventually(() => own.answers.size > 10, { what: "answers before it" });
    await ip(["link del vm1"], world.host("h1").ns);
    await plugIn(world, 1, "02:00:00:00:0b:01");
    const from = performance.now();
    const at = await eventually(() => [...own.answers.values()].find((at) => at > from), {
      what: "an answer through the new port",
    });
    console.log(`    traffic again after ${Math.round(at - from)} ms`);
    assert.ok(await counter(h1, "workload-moves") >= 1);
  },
);

story("a workload that moves to another port is followed", THREE, async (stage) => {
  const { world, startBoth } = stage;
  const { h1 } = await startBoth(withoutMacs);
  const w = world.workload("h1", 0);
  const other = world.workload("h1", 1);
  const vip = w.vips.ipv4[0] ?? "";
  const far = world.workload("h2", 0).name;
  await reaches(world, far, vip);
  await using stream = new PingStream(world, { in: far, to: vip, count: 300, intervalMs: 10 });
  await ip([`addr del ${vip}/32 dev eth0`], w.ns);
  await ip([`addr add ${vip}/32 dev eth0`], other.ns);
  // It says so, as a machine that was migrated does.
  await ping(world, { in: other.name, to: world.vip("h2", 0, "ipv4") }, { from: vip, wait: 1 });
  const { lost, sent } = await stream.ended();
  assert.ok(lost.length * 10 <= limitMs(100), `${lost.length} of ${sent} pings lost`);
  const counters = (await h1.status()).counters;
  assert.ok((counters["workload-moves"] ?? 0) >= 1);
});

story("a port that carries less than another is respected", THREE, async (stage) => {
  const { world, startBoth } = stage;
  const { ns } = world.host("h1");
  // vm1 carries less, and its workload too.
  await ip(["link set vm1 mtu 1300"], ns);
  await ip(["link set eth0 mtu 1300"], world.workload("h1", 1).ns);
  const { h1 } = await startBoth(withoutMacs);
  for (const family of ["ipv4", "ipv6"] as const) {
    const to = world.workload("h1", 1).vips[family][0] ?? "";
    await reaches(world, "v1", to);
    const long = (mayBeCut: boolean) =>
      ping(world, { in: "v1", to }, { count: 3, size: 1332, mayBeCut });
    // What may be cut is cut: by the gateway for IPv4, by the sender once it knows for IPv6.
    if (family === "ipv4") assert.equal((await long(true)).received, 3);
    assert.match((await long(false)).text, /mtu ?= ?1300/);
  }
  assert.ok(await counter(h1, "fragments") >= 3);
  assert.ok(await counter(h1, "too-big") >= 2);
  assert.equal(await counter(h1, "host-tx-error"), 0);
});

story(
  "a workload cannot send with an address that belongs to another port",
  THREE,
  async (stage) => {
    const { world, startBoth } = stage;
    const victim = world.workload("h1", 0);
    const thief = world.workload("h1", 1);
    const vip = victim.vips.ipv4[0] ?? "";
    const { h1 } = await startBoth({
      change: (config) => {
        if (config.id === "h1") {
          config.plane.ports = [{ name: "vm0", vips: [vip], mac: victim.mac }];
        }
        config.vips.forEach((v) => delete v.mac);
      },
    });
    const to = world.vip("h2", 0, "ipv4");
    await reaches(world, victim.name, to);
    await ip([`addr add ${vip}/32 dev eth0`], thief.ns);
    const route = { in: thief.name, to };
    const { received } = await ping(world, route, { count: 3, interval: 0.1, from: vip, wait: 1 });
    assert.equal(received, 0);
    assert.ok(await counter(h1, "source-guard") >= 1);
    const { received: own, text } = await ping(world, { in: victim.name, to }, {
      count: 5,
      interval: 0.1,
    });
    assert.equal(own, 5, text);
  },
);

async function counter(agent: AgentProcess, name: string): Promise<number> {
  return (await agent.status()).counters[name] ?? 0;
}

story(
  "a guest that only listens and has another MAC now is found",
  {},
  async ({ world, startBoth }) => {
    const { h2 } = await startBoth(withoutMacs);
    const [from, w] = [world.workload("h1").name, world.workload("h2")];
    const to = world.vip("h2");
    assert.equal((await ping(world, { in: from, to }, { count: 3, interval: 0.2 })).received, 3);
    // It says nothing of it, and knows its gateway still.
    const setMac = ["sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_notify"];
    await world.mustRun(w.name, setMac);
    await ip(["link set eth0 address 02:00:00:00:0a:01"], w.ns);
    const began = performance.now();
    await using stream = new PingStream(world, { in: from, to, count: 100_000, intervalMs: 200 });
    await eventually(() => stream.answers.size > 0, { what: "the guest to be found" });
    const ms = performance.now() - began;
    console.log(`    found after ${Math.round(ms)} ms`);
    assert.ok(ms < limitMs(6000), `${ms} ms`);
    assert.ok(await counter(h2, "workload-moves") >= 1);
  },
);

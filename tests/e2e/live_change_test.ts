// SPDX-License-Identifier: Apache-2.0

/** Ports and networks that come, go and change while the agents run; whoever they are not of notices nothing. */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import type { AgentProcess } from "../support/agent_process.ts";
import { PingStream } from "../support/ping_stream.ts";
import { readPsp } from "../support/psp_wire.ts";
import { rewrite, taken } from "../support/rewrite.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

/** What becomes of the configuration of each host. */
async function rewriteAll(
  agents: readonly AgentProcess[],
  change: (config: PeersJson) => void,
): Promise<void> {
  await Promise.all(agents.map((agent) => taken(agent, () => rewrite(agent, change))));
}

/** Whether a ping is answered, now. */
async function answers(world: World, from: string, to: string): Promise<boolean> {
  return (await ping(world, { in: from, to }, { wait: 0.5 })).received === 1;
}

/** Until a ping is answered. */
async function reaches(world: World, from: string, to: string): Promise<void> {
  await eventually(() => answers(world, from, to), {
    what: `a ping from ${from} to ${to}`,
    everyMs: 20,
  });
}

const THREE = { workloads: 3, ownPorts: true } as const;

story(
  "a port comes, another goes, a third has other limits: a fourth loses nothing",
  THREE,
  async (stage) => {
    const { world, startBoth } = stage;
    const all = (config: PeersJson, host: string[]) => config.plane.host = host;
    const { h1 } = await startBoth({
      change: (config) => {
        if (config.id === "h1") all(config, ["vm0", "vm1"]);
      },
    });
    const [a, b, c] = [0, 1, 2].map((j) => world.workload("h1", j));
    const to = world.vip("h2");
    assert.ok(a && b && c);
    await reaches(world, a.name, to);
    await reaches(world, b.name, to);
    assert.equal(await answers(world, c.name, to), false, "there is no such port");
    const capture = await world.capture();
    await using stream = new PingStream(world, { in: a.name, to, count: 30_000, intervalMs: 10 });
    const ports = async () => (await h1.status()).ports.map((port) => port.interface);

    await rewriteAll([h1], (config) => all(config, ["vm0", "vm?", "absent"]));
    await reaches(world, c.name, to);
    await rewriteAll([h1], (config) => all(config, ["vm0", "vm2"]));
    assert.deepEqual(await ports(), ["uplink", "vm0", "vm2"]);
    assert.equal(await answers(world, b.name, to), false, "its port has gone");
    // Another's address is given to a port by name, and taken back.
    const rule = (vips: string[]) => ({ name: "vm2", vips, mac: c.mac, misses_per_s: 100 });
    await rewriteAll([h1], (config) => config.plane.ports = [rule([`${c.vips.ipv4[0]}/32`])]);
    await reaches(world, c.name, to);
    await rewriteAll([h1], (config) => {
      all(config, ["vm0", "vm1", "vm2"]);
      config.plane.ports = [rule([`${b.vips.ipv4[0]}/32`])];
    });
    await reaches(world, c.name, to);
    assert.equal(await answers(world, b.name, to), false, "its address is another port's");
    await rewriteAll([h1], (config) => delete config.plane.ports);
    for (const w of [b, c]) await reaches(world, w.name, to);
    await reaches(world, "v2", b.vips.ipv4[0] ?? "");

    const { sent, lost } = await stream.stop();
    assert.deepEqual(lost, [], `of ${sent}`);
    assertOnlyPsp(await capture.stop());
  },
);

story(
  "a network comes, changes and goes: another loses nothing",
  { tenants: true, workloads: 2 },
  async (stage) => {
    const { world, startBoth } = stage;
    const whole = new Map<string, PeersJson>();
    const isBlue = (vip: string) => vip.endsWith("@blue");
    /** As if there were no blue. */
    const without = (config: PeersJson) => {
      config.vips = config.vips.filter(({ vip }) => !isBlue(vip));
      config.networks = config.networks?.filter(({ name }) => name !== "blue") ?? [];
      for (const peer of config.peers) peer.vips = peer.vips.filter((vip) => !isBlue(vip));
      config.plane.host = ["vm0"];
    };
    const restore = (config: PeersJson) => {
      const { vips, networks, peers, plane } = structuredClone(whole.get(config.id)) ?? config;
      Object.assign(config, { vips, networks, peers, plane });
    };
    const { h1, h2 } = await startBoth({
      change: (config) => {
        whole.set(config.id, structuredClone(config));
        without(config);
      },
    });
    const both = [h1, h2];
    const [red, blue] = [world.workload("h1", 0), world.workload("h1", 1)];
    const to = world.vip("h2", 0);
    await reaches(world, red.name, to);
    const capture = await world.capture();
    await using stream = new PingStream(world, { in: red.name, to, count: 60_000, intervalMs: 10 });
    const pairs = async (agent: AgentProcess) =>
      (await agent.tunnels()).filter(({ state }) => state === "up")
        .map(({ localVip }) => localVip.replace(/.*@/, "")).sort();

    await rewriteAll(both, restore);
    await reaches(world, blue.name, to);
    assert.deepEqual(await pairs(h1), ["blue", "red"]);

    // One host after the other: in between there is no tunnel, and then there is one with the new cookie.
    const other = (config: PeersJson) =>
      config.networks?.forEach((network) => {
        if (network.name === "blue") network.vc = 77;
      });
    await rewriteAll([h2], other);
    await eventually(async () => !(await pairs(h2)).includes("blue"), { what: "the end of blue" });
    await rewriteAll([h1], other);
    await reaches(world, blue.name, to);

    const deny = (prefixes: string[]) => (config: PeersJson) =>
      config.networks?.forEach((network) => {
        if (network.name === "blue") network.policy = { deny: prefixes };
      });
    await rewriteAll([h1], deny([`${to}/32`]));
    assert.deepEqual(await pairs(h1), ["red"]);
    assert.equal(await answers(world, blue.name, to), false, "what is denied passes");
    await rewriteAll([h1], deny([]));
    await reaches(world, blue.name, to);

    await rewriteAll(both, without);
    assert.deepEqual([await pairs(h1), await pairs(h2)], [["red"], ["red"]]);
    assert.equal(await answers(world, blue.name, to), false, "packets pass in no network");
    await rewriteAll(both, restore);
    await reaches(world, blue.name, to);

    const { sent, lost } = await stream.stop();
    assert.deepEqual(lost, [], `of ${sent}`);
    assertOnlyPsp(await capture.stop());
    const cookies = new Set<bigint>();
    for (const { data } of capture.frames()) {
      const vc = readPsp(Uint8Array.from(data))?.vc;
      if (vc !== undefined) cookies.add(vc);
    }
    assert.deepEqual([...cookies].sort((x, y) => Number(x - y)), [77n, 0x0edn, 0xb10en]);
  },
);

story("two ports change places between networks: a third loses nothing", THREE, async (stage) => {
  const { world, startBoth } = stage;
  const hosts = { h1: "h2", h2: "h1" } as const;
  const plain = new Map<string, PeersJson>();
  /** The networks of vm1 and vm2, with what is behind them. */
  const networks = (names: readonly string[]) => (config: PeersJson) => {
    const own = config.id === "h1" ? "h1" : "h2";
    Object.assign(config, structuredClone(plain.get(config.id)));
    const behind = (host: "h1" | "h2") => [1, 2].map((j) => world.workload(host, j));
    config.vips = config.vips.filter(({ vip }) =>
      !behind(own).some(({ vips }) => vip === vips.ipv4[0])
    );
    config.networks = names.map((name, i) => ({
      name,
      vc: name === "green" ? 9 : 11,
      ports: [`vm${i + 1}`],
      vips: [{ vip: `${behind(own)[i]?.vips.ipv4[0]}/32` }],
    }));
    for (const peer of config.peers) {
      peer.vips = behind(hosts[own]).reduce<string[]>(
        (all, { vips, prefixes }, i) => [
          ...all.filter((vip) => vip !== prefixes.ipv4),
          `${vips.ipv4[0]}/32@${names[i]}`,
        ],
        peer.vips,
      );
      peer.vips.push(`${world.workload(hosts[own], 0).vips.ipv4[0]}/32`);
    }
  };
  const { h1, h2 } = await startBoth({
    change: (config) => {
      plain.set(config.id, structuredClone(config));
      networks(["green", "blue"])(config);
    },
  });
  const [a, b, c] = [0, 1, 2].map((j) => world.workload("h1", j));
  const [toA, toB, toC] = [0, 1, 2].map((j) => world.workload("h2", j).vips.ipv4[0] ?? "");
  assert.ok(a && b && c && toA && toB && toC);
  const up = async () =>
    (await h1.tunnels()).filter(({ state }) => state === "up").map(({ localVip }) => localVip);
  await reaches(world, a.name, toA);
  await reaches(world, b.name, toB);
  await reaches(world, c.name, toC);
  await using stream = new PingStream(world, {
    in: a.name,
    to: toA,
    count: 60_000,
    intervalMs: 10,
  });
  const capture = await world.capture();
  await rewriteAll([h1, h2], networks(["blue", "green"]));
  await reaches(world, b.name, toB);
  await reaches(world, c.name, toC);
  assert.equal(await answers(world, b.name, toC), false, "it is in another network");
  const own = (vip: string) => `${vip}@`;
  const there = await up();
  assert.ok(there.includes(`${own(b.vips.ipv4[0] ?? "")}blue`), `${there}`);
  assert.ok(there.includes(`${own(c.vips.ipv4[0] ?? "")}green`), `${there}`);
  assert.ok(!there.includes(`${own(b.vips.ipv4[0] ?? "")}green`), `${there}`);
  const { sent, lost } = await stream.stop();
  assert.deepEqual(lost, [], `of ${sent}`);
  assertOnlyPsp(await capture.stop());
});

story("the first network comes to agents that began without one, and the last one goes", {
  ownPorts: true,
  workloads: 2,
}, async (stage) => {
  const { world, startBoth } = stage;
  const { h1, h2 } = await startBoth();
  const [a, b] = [world.workload("h1", 0), world.workload("h1", 1)];
  const to = world.vip("h2");
  await reaches(world, a.name, to);
  await using stream = new PingStream(world, { in: a.name, to, count: 60_000, intervalMs: 10 });
  const plain = new Map<string, PeersJson>();
  await rewriteAll([h1, h2], (config) => {
    plain.set(config.id, structuredClone(config));
    // What is behind vm1 is a tenant's from now on.
    const { vips, prefixes } = world.workload(config.id === "h1" ? "h1" : "h2", 1);
    const far = world.workload(config.id === "h1" ? "h2" : "h1", 1);
    config.vips = config.vips.filter(({ vip }) => vip !== vips.ipv4[0]);
    config.networks = [{ name: "green", vc: 9, ports: ["vm1"], vips: [{ vip: prefixes.ipv4 }] }];
    for (const peer of config.peers) {
      peer.vips = peer.vips.map((vip) => vip === far.prefixes.ipv4 ? `${vip}@green` : vip);
    }
  });
  const far = world.workload("h2", 1).vips.ipv4[0] ?? "";
  await reaches(world, b.name, far);
  assert.equal(await answers(world, a.name, far), false, "it is another network's");
  const green = (await h1.tunnels()).filter(({ localVip }) => localVip.endsWith("@green"));
  assert.deepEqual(green.map(({ state }) => state), ["up"]);
  await rewriteAll([h1, h2], (config) => {
    delete config.networks;
    Object.assign(config, plain.get(config.id));
  });
  await reaches(world, b.name, far);
  await reaches(world, a.name, far);
  const { sent, lost } = await stream.stop();
  assert.deepEqual(lost, [], `of ${sent}`);
});

story(
  "drop-in files come to a running agent, move and go: what was known goes on",
  {},
  async (stage) => {
    const { world, start } = stage;
    const record = JSON.stringify({
      id: "h2",
      svc_address: `${world.host("h2").pip}:7443`,
      vips: [world.vip("h2")],
    });
    const dirs = ["one.d", "two.d"].map((name) => world.path(name));
    const [one = "", two = ""] = dirs;
    await Promise.all(dirs.map((dir) => Deno.mkdir(dir)));
    await Deno.writeTextFile(`${one}/h2.json`, record);
    await start("h2");
    const h1 = await start("h1", { change: (config) => config.peers = [] });
    const to = world.vip("h2");
    assert.equal(await answers(world, "v1", to), false);
    const capture = await world.capture();
    await rewriteAll([h1], (config) => config.directory = { dir: one });
    await reaches(world, "v1", to);
    await using stream = new PingStream(world, { in: "v1", to, count: 60_000, intervalMs: 10 });
    // A directory that cannot be read yet, and then can.
    await Deno.remove(two);
    await rewriteAll([h1], (config) => config.directory = { dir: two });
    await h1.heard(
      "The directory of drop-in files cannot be read: what it said last stands",
    );
    await reaches(world, "v1", to);
    await Deno.mkdir(`${two}.new`);
    await Deno.writeTextFile(`${two}.new/h2.json`, record);
    await Deno.rename(`${two}.new`, two);
    await h1.heard("The directory of drop-in files can be read again");
    const { sent, lost } = await stream.stop();
    assert.deepEqual(lost, [], `of ${sent}`);
    await rewriteAll([h1], (config) => config.directory = {});
    assert.deepEqual(await h1.tunnels(), []);
    assert.equal(await answers(world, "v1", to), false);
    assertOnlyPsp(await capture.stop());
  },
);

/** Peers whom a reload changes, all of them; PEERS=10000 for a figure. */
const CROWD = Number(Deno.env.get("PEERS") ?? 1000);

story("all of thousands of peers change, and a tunnel loses nothing", {}, async (stage) => {
  const { world, start } = stage;
  // Nobody is there, and that is known at once.
  const crowd = (name: string, port: number) =>
    Array.from({ length: CROWD }, (_, i) => ({
      id: `p${i}`,
      svc_address: `${name}:${port + i}`,
      vips: [`11.0.${i >> 8}.${i & 255}/32`],
    }));
  await start("h2");
  const h1 = await start("h1", {
    change: (config) => config.peers.push(...crowd("127.0.0.1", 20_000)),
  });
  const to = world.vip("h2");
  await reaches(world, "v1", to);
  await using stream = new PingStream(world, { in: "v1", to, count: 60_000, intervalMs: 10 });
  /** By how late the event loop came, how often. */
  const lag = async () => {
    // Without its peers: to list them all would be the longest piece of work.
    const asked = encodeURIComponent(JSON.stringify({ maxPeers: 0 }));
    const path = `/psp.v1.StatusService/GetStatus?connect=v1&encoding=json&message=${asked}`;
    const { buckets } = JSON.parse((await h1.get(path)).body).eventLoop as {
      buckets: { leMs: number | string; looks: string | number }[];
    };
    return buckets.map(({ leMs, looks }) => [leMs, Number(looks)] as const);
  };
  const before = await lag();
  await rewriteAll([h1], (config) => {
    const [h2] = config.peers;
    assert.ok(h2);
    config.peers = [h2, ...crowd("localhost", 30_000)];
  });
  const total = before.at(-1)?.[1] ?? 0;
  const within = (await lag()).map(([leMs, looks], i) => [leMs, looks - (before[i]?.[1] ?? 0)]);
  const all = within.at(-1)?.[1];
  const longest = within.find(([, looks]) => looks === all)?.[0];
  console.log(
    `    the event loop was late by ${longest} ms at most, of ${all} looks (${total} before)`,
  );
  const { sent, lost } = await stream.stop();
  assert.deepEqual(lost, [], `of ${sent}`);
  const last = h1.said("Configuration reloaded").at(-1);
  assert.equal(last?.fields.changed, CROWD);
});

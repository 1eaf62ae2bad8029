// SPDX-License-Identifier: Apache-2.0

/** Changes of the configuration of running agents, under traffic: what changes, what does not, and never in clear. */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { agentCommand } from "../support/agent_process.ts";
import { PingStream } from "../support/ping_stream.ts";
import { rewrite, taken } from "../support/rewrite.ts";
import { limitMs } from "../support/scale.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

story("a peer comes and goes while the agents run", {}, async ({ world, start }) => {
  const far = await start("h2");
  const h1 = await start("h1", { change: (config) => config.peers = [] });
  const capture = await world.capture();
  const route = { in: "v1", to: world.vip("h2") };
  const arrives = async () => (await ping(world, route, { wait: 0.3 })).received === 1;
  assert.equal(await arrives(), false, "packets pass to nobody");

  const { peers: [h2] } = JSON.parse(await Deno.readTextFile(far.configPath)) as PeersJson;
  assert.ok(h2);
  const peer = {
    id: "h2",
    svc_address: `${world.host("h2").pip}:7443`,
    vips: [`${world.vip("h2")}/32`],
  };
  await taken(h1, () => rewrite(h1, (config) => config.peers = [peer]));
  const began = performance.now();
  await eventually(arrives, { what: "traffic to the new peer", everyMs: 10 });
  const ms = performance.now() - began;
  console.log(`    traffic ${Math.round(ms)} ms after the peer was added`);
  assert.ok(ms < limitMs(1500), `${ms} ms`);
  assert.deepEqual((await h1.status()).peers.map(({ id }) => id), ["h2"]);

  await taken(h1, () => rewrite(h1, (config) => config.peers = []));
  assert.deepEqual(await h1.tunnels(), []);
  assert.equal((await h1.pipes()).find(({ name }) => name === "EGR_ACL")?.entries, 0);
  assert.equal(await arrives(), false, "packets pass to a peer that is gone");
  const back = await ping(world, { in: "v2", to: world.vip("h1") }, { wait: 0.5 });
  assert.equal(back.received, 0, "packets pass from a peer that is gone");

  await taken(h1, () => rewrite(h1, (config) => config.peers = [peer]));
  await eventually(arrives, { what: "traffic to the peer that is back" });
  assertOnlyPsp(await capture.stop());
});

story(
  "a peer moves to another address, and no packet is lost",
  {},
  async ({ world, startBoth }) => {
    const moved = "192.168.77.22";
    const { h1, h2 } = await startBoth({
      change: (config) => {
        if (config.id === "h2") config.rpc.listen = "0.0.0.0:7443";
        else for (const peer of config.peers) peer.pip = world.host("h2").pip;
      },
    });
    const route = { in: "v1", to: world.vip("h2") };
    assert.equal((await ping(world, route, { count: 2, interval: 0.1 })).received, 2);
    const capture = await world.capture();
    await using stream = new PingStream(world, { ...route, count: 150, intervalMs: 20 });
    await world.mustRun("h2", ["ip", "addr", "add", `${moved}/24`, "dev", "uplink"]);
    const exchanges = await h1.counter("initiator-exchanges");
    await taken(h1, () =>
      rewrite(h1, ({ peers: [peer] }) => {
        assert.ok(peer);
        peer.pip = moved;
        peer.svc_address = `${moved}:7443`;
      }));
    await eventually(async () => await h1.counter("rekeys") > 0, {
      what: "the exchange at the new address",
    });
    assert.ok(await h1.counter("initiator-exchanges") > exchanges);
    const sockets = await world.mustRun("h1", [
      "ss",
      "-Htn",
      "state",
      "established",
      "dport",
      "= :7443",
    ]);
    assert.match(sockets, new RegExp(`${moved}:7443`));
    const { sent, lost } = await stream.ended();
    assert.deepEqual(lost, [], `of ${sent}`);
    assertOnlyPsp(await capture.stop());
    assert.equal((await h2.status()).tunnels.up, 1);
  },
);

story("peers come from drop-in files, and an address moves between them", {}, async (stage) => {
  const { world, start } = stage;
  const dir = world.path("peers.d");
  await Deno.mkdir(dir);
  const write = async (id: string, record: object | undefined) => {
    if (record === undefined) return await Deno.remove(`${dir}/${id}.json`);
    await Deno.writeTextFile(`${dir}/.${id}`, JSON.stringify({ id, ...record }));
    await Deno.rename(`${dir}/.${id}`, `${dir}/${id}.json`);
  };
  const vip = world.vip("h2");
  const svc_address = `${world.host("h2").pip}:7443`;
  // Somebody who never answers has the address first.
  await write("h9", { svc_address: "192.168.77.9:7443", vips: [vip] });
  await start("h2");
  const h1 = await start("h1", {
    change: (config) => {
      config.peers = [];
      config.directory = { dir };
    },
  });
  const capture = await world.capture();
  await using stream = new PingStream(world, { in: "v1", to: vip, count: 250, intervalMs: 20 });
  await eventually(async () => await h1.counter("initiator-exchanges") > 0, {
    what: "a call to h9",
  });
  const began = performance.now();
  await Promise.all([write("h2", { svc_address, vips: [vip] }), write("h9", undefined)]);
  await eventually(() => stream.answers.size > 0, {
    what: "traffic with the new owner",
    everyMs: 5,
  });
  const ms = performance.now() - began;
  console.log(`    traffic with the new owner after ${Math.round(ms)} ms`);
  assert.ok(ms < limitMs(1500), `${ms} ms`);
  await stream.stop();
  assertOnlyPsp(await capture.stop());
  const { directory, peers } = JSON.parse(
    (await agentCommand(world, "h1", ["status", "--json"])).stdout,
  );
  assert.deepEqual(peers.map(({ id }: { id: string }) => id), ["h2"]);
  assert.deepEqual(
    directory.map((
      { name, records, current }: Record<string, unknown>,
    ) => [name, records, current]),
    [["file", 0, true], ["peers.d", 1, true]],
  );
});

story(
  "a reload is ordered, says what it did, and refuses by name what needs a restart",
  {},
  async (stage) => {
    const { world, startBoth } = stage;
    const { h1 } = await startBoth({ change: (config) => config.status.admin = true });
    const route = { in: "v1", to: world.vip("h2") };
    assert.equal((await ping(world, route, { count: 2, interval: 0.1 })).received, 2);
    const before = await h1.tunnels();
    const command = (...args: string[]) =>
      agentCommand(world, "h1", ["-c", h1.configPath].toSpliced(0, 0, ...args));
    // The watch of the file would take it first: the command is asked what it would do.
    const good = await Deno.readTextFile(h1.configPath);
    const next = world.path("next.json");
    const config = JSON.parse(good) as PeersJson;
    await Deno.writeTextFile(
      next,
      JSON.stringify({
        ...config,
        plane: { ...config.plane, uplink: "other" },
        log: { ...config.log, level: "info" },
      }),
    );
    const diff = await command("config", "diff", next);
    assert.equal(diff.code, 1, diff.stderr);
    assert.match(diff.stdout, /^restart {2}plane\.uplink: "uplink" -> "other"$/m);
    assert.match(diff.stdout, /^live {5}log\.level: "debug" -> "info"$/m);
    assert.match(diff.stdout, /A reload would be refused: plane\.uplink/);

    await Deno.copyFile(next, h1.configPath);
    await h1.heard("Configuration not reloaded");
    const refused = await command("reload");
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stdout, /^Cannot change plane\.uplink while the agent runs: restart it/);
    assert.deepEqual(
      (await h1.tunnels()).map(({ txSpi }) => txSpi),
      before.map(({ txSpi }) => txSpi),
      "nothing has changed",
    );

    await Deno.writeTextFile(
      h1.configPath,
      JSON.stringify({ ...config, tunnel: { ...config.tunnel, life: "2s" } }),
    );
    assert.equal((await h1.heard("Configuration reloaded")).fields.reason, "tunnel.life");
    await eventually(async () => await h1.counter("rekeys") > 1, {
      what: "keys to live two seconds",
    });
    const done = await command("reload");
    assert.deepEqual([done.code, done.stdout], [0, "Reloaded: Nothing has changed\n"]);
    const json = await command("reload", "--plan", "--json");
    assert.equal(JSON.parse(json.stdout).done, true);
  },
);

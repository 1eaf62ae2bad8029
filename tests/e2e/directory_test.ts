// SPDX-License-Identifier: Apache-2.0

/** Agents that know each other from etcd alone: they meet, an address moves, and etcd goes away. */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { agentCommand } from "../support/agent_process.ts";
import { EtcdServer } from "../support/etcd.ts";
import { PingStream } from "../support/ping_stream.ts";
import { limitMs } from "../support/scale.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const PREFIX = "/psp-agent/peers/";

story("agents find each other in etcd, follow it, and go on without it", {}, async (stage) => {
  const { world, start } = stage;
  const place = {
    address: world.host("h1").pip,
    enter: ["ip", "netns", "exec", world.ns("h1")],
  };
  const etcd = world.own(await EtcdServer.at(place, ["h1", "h2"]));
  const change = (config: PeersJson) => {
    config.peers = [];
    config.directory = {
      etcd: { endpoints: [etcd.endpoint], tls: etcd.files(config.id), lease: "30s" },
    };
  };
  const capture = await world.capture({ controlPorts: [7443, etcd.port] });
  const [h1, h2] = await Promise.all([start("h1", { change }), start("h2", { change })]);
  const route = { in: "v1", to: world.vip("h2") };
  await eventually(async () => (await ping(world, route, { wait: 0.3 })).received === 1, {
    what: "traffic between hosts that know each other from etcd alone",
  });
  const known = async () => {
    const { stdout } = await agentCommand(world, "h1", ["status", "--json"]);
    return JSON.parse(stdout).directory[1];
  };
  const { name, records, current } = await known();
  assert.deepEqual([name, records, current], ["etcd", 1, true]);

  // Somebody who came first takes h2's address: the tunnel goes, and comes back with it.
  const record = JSON.parse(await etcd.ctl("get", "--print-value-only", `${PREFIX}h2`));
  const vip = `${world.vip("h2")}/32`;
  const others = record.vips.filter((other: string) => other !== vip);
  const put = (id: string, value: object) =>
    etcd.ctl("put", `${PREFIX}${id}`, JSON.stringify(value));
  await put("h9", { svc_address: "192.168.77.9:7443", vips: [vip] });
  await put("h2", { ...record, vips: others.length > 0 ? others : ["10.99.0.1"] });
  await eventually(async () => (await ping(world, route, { wait: 0.3 })).received === 0, {
    what: "the address to be h9's",
  });
  await using stream = new PingStream(world, { ...route, count: 400, intervalMs: 20 });
  await etcd.ctl("del", `${PREFIX}h9`);
  const began = performance.now();
  await put("h2", record);
  await eventually(() => stream.answers.size > 0, { what: "traffic with the owner", everyMs: 5 });
  const ms = performance.now() - began;
  console.log(`    traffic with the owner ${Math.round(ms)} ms after the record was written`);
  assert.ok(ms < limitMs(1500), `${ms} ms`);

  await etcd.stop();
  await eventually(async () => !(await known()).current, {
    what: "h1 to know that etcd is away",
  });
  assert.equal((await ping(world, route, { count: 3, interval: 0.1 })).received, 3);
  await h1.end("SIGTERM");
  const again = await start("h1", { change });
  await eventually(async () => (await ping(world, route, { wait: 0.3 })).received === 1, {
    what: "traffic after a start without etcd",
  });
  const { body } = await again.get("/metrics");
  assert.match(body, /psp_agent_directory_current\{source="etcd"\} 0/);
  assert.match(body, /psp_agent_directory_age_seconds\{source="etcd"\} [\d.]+/);
  await etcd.begin();
  await eventually(async () => (await known()).current, {
    what: "etcd again",
  });
  assert.equal((await h2.status()).peers.length, 1);
  assertOnlyPsp(await capture.stop());
});

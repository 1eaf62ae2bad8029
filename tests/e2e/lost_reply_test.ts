// SPDX-License-Identifier: Apache-2.0

/**
 * The reply to NewTunnel is lost on the way: once, and the same SPI and key come back, and nothing is
 * made twice; until the initiator gives up, and neither side sends into nothing.
 */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { PingStream } from "../support/ping_stream.ts";
import { HOSTS, otherHost } from "../support/plan.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

const PROXY = { hostname: "127.0.0.1", port: 7444 };

const throughProxy = (config: PeersJson) => {
  for (const peer of config.peers) peer.svc_address = `${PROXY.hostname}:${PROXY.port}`;
};

story("a lost reply is asked for again and is the same", { vips: 2 }, async (stage) => {
  const { world, start } = stage;
  const proxy = await world.worker("h1");
  await proxy.proxy({ listen: PROXY, target: { hostname: world.host("h2").pip, port: 7443 } });
  const change = (config: PeersJson) => {
    throughProxy(config);
    // It asks again before the responder, which has not heard it, asks by itself.
    config.rpc.timeout = "500ms";
  };
  const [h1, h2] = await Promise.all([start("h1", { change }), start("h2")]);
  const first = await ping(world, { in: "v1", to: world.vip("h2") });
  assert.equal(first.received, 1, first.text);
  // None, but for a machine that takes longer than half a second for an exchange.
  const before = await h2.counter("responder-repeats");

  await proxy.proxyFault({ kind: "lose-reply" });
  const second = await ping(
    world,
    { in: "v1", to: world.vip("h2", 1) },
    { count: 3, from: world.vip("h1", 1) },
  );
  assert.equal(second.received, 3, second.text);

  assert.equal((await proxy.proxyStats()).faults, 1, "the proxy lost no reply");
  assert.equal(await h1.counter("initiator-exchanges"), 2);
  assert.equal(await h2.counter("responder-exchanges"), 2);
  assert.ok(await h2.counter("responder-repeats") > before, "it was not asked for again");
  const [here, there] = await Promise.all([h1.tunnels(), h2.tunnels()]);
  for (const tunnel of here) {
    const twin = there.find((t) => t.localVip === tunnel.remoteVip);
    assert.equal(tunnel.txSpi, twin?.rxSpi);
    assert.equal(tunnel.rxSpi, twin?.txSpi);
  }
  const entries = (await h2.pipes()).find((pipe) => pipe.name === "INGR_ACL")?.entries;
  assert.equal(entries, 2, "the repeat left an SA behind");
});

/** Echo requests that reached the kernel of a workload. */
async function echoRequests(world: World, workload: string): Promise<number> {
  const { stdout } = await world.run(workload, ["cat", "/proc/net/snmp"]);
  const [names = "", values = ""] = stdout.split("\n").filter((line) => line.startsWith("Icmp:"));
  return Number(values.split(" ")[names.split(" ").indexOf("InEchos")]);
}

story("replies that are lost until the initiator gives up are no black hole", {}, async (stage) => {
  const { world, startBoth } = stage;
  const [toH2, toH1] = await Promise.all(HOSTS.map(async (host) => {
    const worker = await world.worker(host);
    const target = { hostname: world.host(otherHost(host)).pip, port: 7443 };
    await worker.proxy({ listen: PROXY, target });
    return worker;
  }));
  assert.ok(toH1 && toH2);
  const { h1, h2 } = await startBoth({ change: throughProxy });

  // A connection stands, over which h1 has said hello and was answered: of tunnels nothing was said yet.
  let [returned, still] = [0, 0];
  await eventually(async () => {
    const before = returned;
    ({ returned } = await toH2.proxyStats());
    const isOver = returned > 0 && (await h2.counter("notices-received")) > 0;
    still = isOver && returned === before ? still + 1 : 0;
    return still === 5;
  }, { what: "the greeting to be over", everyMs: 200 });

  // What h1 asks arrives, no answer does; and h2 cannot ask h1 at all.
  await Promise.all([
    toH2.proxyFault({ kind: "lose-replies" }),
    toH1.proxyFault({ kind: "black-hole" }),
  ]);
  const first = await ping(world, { in: "v1", to: world.vip("h2") }, { wait: 0.2 });
  assert.equal(first.received, 0, "an answer came through");
  await eventually(async () => (await h1.counter("exchanges-failed")) > 0, {
    what: "the initiator to give up",
  });
  assert.equal(await h2.counter("responder-exchanges"), 1, "the request did not arrive");
  const [there] = await h2.tunnels();
  assert.equal(there?.state, "unconfirmed");
  const { tunnels: { up, unconfirmed } } = await h2.status();
  assert.deepEqual([up, unconfirmed], [0, 1]);
  assert.equal(await h1.counter("maybe-sas-kept"), 1);

  const route = { in: "v2", to: world.vip("h1") };
  const before = await echoRequests(world, "v1");
  await using stream = new PingStream(world, { ...route, count: 1_000_000, intervalMs: 50 });
  await eventually(async () => (await echoRequests(world, "v1")) >= before + 20, {
    what: "the responder's packets to reach the initiator's workload",
  });
  assert.equal(await h1.counter("rx-no-sa"), 0, "the initiator took its SA back");
  assert.equal((await h2.tunnels())[0]?.state, "unconfirmed");

  const healedMs = performance.now();
  await Promise.all([toH1, toH2].map((proxy) => proxy.proxyFault({ kind: "none" })));
  const backMs = await eventually(
    () => [...stream.answers.values()].find((atMs) => atMs > healedMs),
    { what: "an answer to the responder's pings" },
  );
  console.log(`    both directions ${Math.round(backMs - healedMs)} ms after the channel healed`);
  const after = await ping(world, route, { count: 40, interval: 0.02 });
  assert.equal(after.received, 40, after.text);
  const back = await ping(world, { in: "v1", to: world.vip("h2") }, { count: 40, interval: 0.02 });
  assert.equal(back.received, 40, back.text);
  for (const agent of [h1, h2]) {
    await eventually(async () => (await agent.status()).tunnels.up === 1, {
      what: `${agent.host} to call the tunnel up`,
    });
    assert.equal(await agent.counter("rx-no-sa"), 0);
    assert.equal(await agent.counter("rx-auth-fail"), 0);
  }
});

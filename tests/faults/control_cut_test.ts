// SPDX-License-Identifier: Apache-2.0

/**
 * The control channel is cut in both directions: nothing is lost until the keys' life is over, then nothing
 * passes, in clear least of all, and it is counted; when the channel is back, so is traffic.
 * Short: a life of 10 s, 25 s. Full: 12 minutes, cut for 11 of them, 13 minutes.
 */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { PingStream } from "../support/ping_stream.ts";
import { type HostName, HOSTS, otherHost } from "../support/plan.ts";
import { limitMs, scaled } from "../support/scale.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const LIFE_S = scaled(10, 720);
const PROXY = { hostname: "127.0.0.1", port: 7444 };
const PING_MS = 50;
/** The tunnel is up before the stream begins, and must not expire while it runs. */
const MARGIN_S = 3;

function change(config: PeersJson): void {
  for (const peer of config.peers) peer.svc_address = `${PROXY.hostname}:${PROXY.port}`;
  config.tunnel.life = `${LIFE_S}s`;
  config.tunnel.idle = "1h";
  config.rpc.timeout = "500ms";
  config.rpc.attempts = 2;
}

story(`the control channel is cut beyond the keys' life of ${LIFE_S} s`, {}, async (stage) => {
  const { world, startBoth } = stage;
  const proxies = await Promise.all(HOSTS.map(async (host: HostName) => {
    const worker = await world.worker(host);
    await worker.proxy({
      listen: PROXY,
      target: { hostname: world.host(otherHost(host)).pip, port: 7443 },
    });
    return worker;
  }));
  const { h1, h2 } = await startBoth({ change });
  const route = { in: "v1", to: world.vip("h2") };
  const capture = await world.capture({ snaplen: 96 });
  const first = await ping(world, route);
  assert.equal(first.received, 1, first.text);
  const upMs = performance.now();

  await Promise.all(proxies.map((proxy) => proxy.proxyFault({ kind: "black-hole" })));
  await using stream = new PingStream(world, {
    ...route,
    count: 1_000_000,
    seconds: LIFE_S - MARGIN_S,
    intervalMs: PING_MS,
  });
  const { sent, lost } = await stream.ended();
  assert.ok(performance.now() - upMs < LIFE_S * 1000, "too slow to say anything");
  assert.ok(sent > LIFE_S, `${sent} pings say nothing`);
  assert.deepEqual(lost, [], "lost although the keys were alive");

  const endMs = await eventually(async () => {
    const sentMs = performance.now();
    return (await ping(world, route, { wait: 1 })).received === 0 && sentMs;
  }, { what: "the end of the keys" });
  const lateMs = endMs - upMs - LIFE_S * 1000;
  assert.ok(
    lateMs > -1000 && lateMs < limitMs(1500),
    `the keys ended ${Math.round(lateMs)} ms late`,
  );
  const closed = await ping(world, route, { count: 5, interval: 0.05, wait: 0.2 });
  assert.equal(closed.received, 0, "a key outlived its life");
  assert.ok(await h1.counter("tx-key-expired") >= 5);
  assert.ok(await h1.counter("tx-sas-expired") >= 1);

  await Promise.all(proxies.map((proxy) => proxy.proxyFault({ kind: "none" })));
  const healMs = performance.now();
  await eventually(async () => (await ping(world, route, { wait: 0.2 })).received === 1, {
    what: "traffic to be back",
  });
  console.log(
    `    keys ended ${Math.round(lateMs)} ms late, healed in ${
      Math.round(performance.now() - healMs)
    } ms`,
  );
  assertOnlyPsp(await capture.stop());
  for (const agent of [h1, h2]) assert.equal(await agent.counter("rx-auth-fail"), 0);
});

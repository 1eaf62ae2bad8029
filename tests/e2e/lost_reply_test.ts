// SPDX-License-Identifier: Apache-2.0

/**
 * The reply to NewTunnel is lost on the way: the same SPI and key come back, and nothing is made
 * twice.
 */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";

const PROXY = { hostname: "127.0.0.1", port: 7444 };

story("a lost reply is asked for again and is the same", { vips: 2 }, async (stage) => {
  const { world, start } = stage;
  const proxy = await world.worker("h1");
  await proxy.proxy({ listen: PROXY, target: { hostname: world.host("h2").pip, port: 7443 } });
  const throughProxy = ({ peers: [peer] }: PeersJson) => {
    if (peer !== undefined) peer.svc_address = `${PROXY.hostname}:${PROXY.port}`;
  };
  const [h1, h2] = await Promise.all([start("h1", { change: throughProxy }), start("h2")]);
  const first = await ping(world, { in: "v1", to: world.vip("h2") });
  assert.equal(first.received, 1, first.text);
  assert.equal(await h2.counter("responder-repeats"), 0);

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
  assert.equal(await h2.counter("responder-repeats"), 1);
  const [here, there] = await Promise.all([h1.tunnels(), h2.tunnels()]);
  for (const tunnel of here) {
    const twin = there.find((t) => t.localVip === tunnel.remoteVip);
    assert.equal(tunnel.txSpi, twin?.rxSpi);
    assert.equal(tunnel.rxSpi, twin?.txSpi);
  }
  const entries = (await h2.pipes()).find((pipe) => pipe.name === "INGR_ACL")?.entries;
  assert.equal(entries, 2, "the repeat left an SA behind");
});

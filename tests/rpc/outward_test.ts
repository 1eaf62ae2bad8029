// SPDX-License-Identifier: Apache-2.0

/** Connections to peers over real TLS: a bound, a place that goes to whoever needs it, and none that nobody needs. */
import assert from "node:assert/strict";
import { CALL, clientOf, ears, Lab, recorder, request, start, TRUST } from "./lab.ts";
import { peerAddresses } from "../support/peer_addresses.ts";
import { eventually } from "../support/wait.ts";
import type { RpcClientOptions } from "../../src/rpc/client.ts";
import { peerIds } from "../../src/rpc/identity.ts";
import { Descriptors } from "../../src/rpc/descriptors.ts";

const PEERS = ["h2", "h3", "h4", "h5"];

/** h1 and four peers, each with a listener of its own. */
async function fleet(change: Partial<RpcClientOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const lab = stack.use(await Lab.make(["h1", ...PEERS]));
  const trust = { ...TRUST, peers: peerIds(["h1", ...PEERS]) };
  const servers = await Promise.all(
    PEERS.map((id) => start({ tls: lab.store(id), handler: recorder(), trust })),
  );
  for (const server of servers) stack.use(server);
  const [first] = servers;
  assert.ok(first !== undefined);
  const events = ears();
  const client = stack.use(clientOf(first, {
    tls: lab.store("h1"),
    trust,
    events,
    peers: peerAddresses(...servers.map((server, i) => ({
      id: PEERS[i] ?? "",
      svcAddress: `127.0.0.1:${server.address.port}`,
    }))),
    ...change,
  }));
  const connected = () => PEERS.filter((peer) => client.isConnected?.(peer));
  return { client, events, servers, connected, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

Deno.test("no more connections than may be are open, and every peer is reached all the same", async () => {
  await using f = await fleet({ maxConnections: 2 });
  for (let round = 0; round < 2; round++) {
    for (const peer of PEERS) {
      await f.client.newTunnel(peer, request(), CALL);
      assert.ok(f.connected().length <= 2, f.connected().join(" "));
    }
  }
  assert.deepEqual(f.connected(), ["h4", "h5"]);
  assert.equal(f.events.counts.get("outward-evicted"), 6);
  await eventually(() => f.servers.reduce((sum, server) => sum + server.connections(), 0) === 2, {
    what: "the listeners to see two connections",
  });
});

Deno.test("where every place has a call under way the next one is put off, and is no failure of its peer", async () => {
  await using f = await fleet({ maxConnections: 1 });
  const first = f.client.newTunnel("h2", request(), CALL);
  await assert.rejects(
    f.client.newTunnel("h3", request(), CALL),
    { name: "ExchangeError", code: "unavailable", local: true },
  );
  await first;
  await f.client.newTunnel("h3", request(), CALL);
  assert.deepEqual(f.connected(), ["h3"]);
});

Deno.test("descriptors that are short make room as the bound does", async () => {
  const descriptors = new Descriptors(4, PEERS.length);
  await using f = await fleet({ descriptors });
  for (const peer of PEERS) await f.client.newTunnel(peer, request(), CALL);
  assert.deepEqual(f.connected(), ["h4", "h5"]);
  assert.equal(descriptors.left, 2);
  f.client.close();
  assert.equal(descriptors.takeOutward() && descriptors.takeOutward(), true);
});

Deno.test("a connection that nobody needs is closed, and one whose packets pass is kept", async () => {
  const busy = new Set(["h3"]);
  await using f = await fleet({ keepMs: 200, pingIntervalMs: 50, inUse: (peer) => busy.has(peer) });
  for (const peer of PEERS) await f.client.newTunnel(peer, request(), CALL);
  await eventually(() => f.connected().join() === "h3", { what: "all but h3 to be closed" });
  busy.clear();
  await eventually(() => f.connected().length === 0, { what: "h3 to be closed" });
  await f.client.newTunnel("h2", request(), CALL);
  assert.equal(f.events.counts.get("outward-idle"), 4);
});

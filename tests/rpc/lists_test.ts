// SPDX-License-Identifier: Apache-2.0

/** The lists of StatusService: by page, by filter, by plain GET. */
import assert from "node:assert/strict";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { StatusService } from "../../src/rpc/gen/psp/v1/status_pb.ts";
import { openStatusClient } from "../../src/rpc/status_client.ts";
import { curl, DROPS, NETWORKS, PEERS, SAS, STATUS, world } from "./status_lab.ts";

async function all<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const found: T[] = [];
  for await (const page of pages) found.push(...page);
  return found;
}

function service(url: string) {
  return createClient(StatusService, createConnectTransport({ baseUrl: url, httpVersion: "1.1" }));
}

Deno.test("every list arrives at the client as it was", async () => {
  await using w = await world();
  await using client = openStatusClient({ address: w.address });
  assert.deepEqual(await all(client.peers()), PEERS);
  assert.deepEqual(await all(client.peers({ states: ["failing"] })), [PEERS[1]]);
  assert.deepEqual(await all(client.sas()), SAS);
  assert.deepEqual((await all(client.sas({ direction: "rx" }))).length, 3);
  const { packets, drops } = await client.drops({});
  assert.deepEqual(drops, DROPS);
  assert.equal(packets["rx-auth-fail"], 2n ** 60n);
  assert.deepEqual(await client.ports(), STATUS.plane.ports);
  assert.deepEqual(await client.networks(), NETWORKS);
});

Deno.test("peers and SAs come in pages, each beginning where the one before ended", async () => {
  await using w = await world();
  const client = service(w.url);
  const first = await client.listPeers({ pageSize: 2 });
  assert.deepEqual([first.peers.map(({ id }) => id), first.total], [["h2", "h3"], 3]);
  const second = await client.listPeers({ pageSize: 2, pageToken: first.nextPageToken });
  assert.deepEqual([second.peers.map(({ id }) => id), second.nextPageToken], [["h4"], ""]);
  assert.equal((await client.listPeers({ contains: "h4" })).peers.length, 1);
  const sas = await client.listSas({ pageSize: 4 });
  assert.equal(sas.sas.length, 4);
  const rest = await client.listSas({ pageSize: 4, pageToken: sas.nextPageToken });
  assert.deepEqual([rest.sas.length, rest.nextPageToken], [2, ""]);
});

Deno.test("lists that seldom are long come in pages too, when that is wanted", async () => {
  await using w = await world();
  const client = service(w.url);
  type Page = { readonly items: readonly string[]; readonly next: string };
  type Ask = (page: { pageSize: number; pageToken: string }) => Promise<Page>;
  const lists: Readonly<Record<string, Ask>> = {
    drops: async (page) => {
      const { drops, packets, nextPageToken: next } = await client.listDrops(page);
      assert.ok("rx-auth-fail" in packets, "every page has the sums");
      return { items: drops.map(({ reason }) => reason), next };
    },
    ports: async (page) => {
      const { ports, nextPageToken: next } = await client.listPorts(page);
      return { items: ports.map((port) => port.interface), next };
    },
    networks: async (page) => {
      const { networks, nextPageToken: next } = await client.listNetworks(page);
      return { items: networks.map(({ name }) => name), next };
    },
    events: async (page) => {
      const { events, nextPageToken: next } = await client.listEvents(page);
      return { items: events.map(({ cursor }) => String(cursor)), next };
    },
  };
  for (const [name, ask] of Object.entries(lists)) {
    const all = await ask({ pageSize: 0, pageToken: "" });
    assert.equal(all.next, "", name);
    assert.ok(all.items.length > 1, name);
    const found: string[] = [];
    for (let pageToken = "";;) {
      const { items, next } = await ask({ pageSize: 1, pageToken });
      assert.equal(items.length, 1, name);
      found.push(...items);
      if (next === "") break;
      pageToken = next;
    }
    assert.deepEqual(found, all.items, name);
  }
  const { events } = await client.listEvents({ filter: { after: 7n }, pageToken: "3" });
  assert.deepEqual(events.map(({ cursor }) => cursor), [8n], "the later of both");
});

Deno.test("drops are listed by reason, ports by network", async () => {
  await using w = await world();
  const client = service(w.url);
  const { packets, drops } = await client.listDrops({ reason: "too-big" });
  assert.deepEqual([Object.keys(packets), drops.length], [[], 1]);
  assert.equal((await client.listPorts({})).ports.length, 3);
  assert.equal((await client.listPorts({ network: "blue" })).ports.length, 1);
  assert.equal((await client.listPipes({ name: "EGR_ACL" })).pipes.length, 1);
  assert.equal((await client.listPipes({ name: "ROOT" })).pipes.length, 0);
});

Deno.test("a ping opens tunnels: it is for those who are known, and not by GET", async () => {
  await using w = await world();
  await using reader = openStatusClient({ address: w.address });
  const query = { dst: "10.2.0.1", timeoutMs: 100 };
  await assert.rejects(
    reader.ping(query),
    (error: ConnectError) => error.code === Code.Unauthenticated,
  );
  await using known = openStatusClient({ address: w.socket });
  const { peer, src, legs } = await known.ping(query);
  assert.deepEqual([peer, src, legs[0]?.ms, legs[1]?.ms], ["h2", "10.1.0.1", 1.5, undefined]);
  assert.notEqual((await curl(`${w.url}/psp.v1.StatusService/Ping`)).status, 200);
});

Deno.test("what cannot be asked for is refused with the field's name", async () => {
  await using w = await world();
  const client = service(w.url);
  const refused = (field: string) => (error: ConnectError) =>
    error.code === Code.InvalidArgument && error.message.includes(`"${field}"`);
  await assert.rejects(client.listPeers({ states: ["asleep"] }), refused("states"));
  await assert.rejects(client.listSas({ direction: "up" }), refused("direction"));
  await assert.rejects(client.listDrops({ vip: "x" }), refused("vip"));
  await assert.rejects(client.listSas({ pageToken: "x".repeat(600) }), refused("page_token"));
  for (const pageToken of ["x", "-1", "1e3"]) {
    await assert.rejects(client.listDrops({ pageToken }), refused("page_token"));
    await assert.rejects(client.listEvents({ pageToken }), refused("page_token"));
  }
});

Deno.test("every call that only reads is answered to a bare GET", async () => {
  await using w = await world();
  for (
    const { name, kind, proto } of StatusService.methods.map((m) => ({ ...m, kind: m.methodKind }))
  ) {
    if (kind !== "unary" || name === "Ping") continue;
    // Explain wants two addresses, the log somebody who may also order.
    const expected = { Explain: 400, ListLogLines: 401 }[name] ?? 200;
    assert.ok(proto.options?.idempotencyLevel === 1, `${name} says that it only reads`);
    const { status, body } = await curl(`${w.url}/psp.v1.StatusService/${name}`);
    assert.equal(status, expected, `${name}: ${body}`);
    JSON.parse(body);
  }
});

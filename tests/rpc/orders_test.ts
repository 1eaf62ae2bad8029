// SPDX-License-Identifier: Apache-2.0

/** Orders to a running agent: who may give them, what they are refused for, what arrives. */
import assert from "node:assert/strict";
import { Code, type ConnectError } from "@connectrpc/connect";
import type { TunnelSelector } from "../../src/model/orders.ts";
import { openStatusClient, type StatusClient } from "../../src/rpc/status_client.ts";
import { curl, LEVELS, source, STATUS, world } from "./status_lab.ts";

/** Each order, as the command line gives it. */
const ORDERS: Readonly<Record<string, (client: StatusClient) => Promise<unknown>>> = {
  Rotate: (client) => client.rotate({ plan: false }),
  Reload: (client) => client.reload({ plan: false }),
  Rekey: (client) => client.rekey({ peer: "h2", vips: [] }),
  CloseTunnel: (client) => client.closeTunnels({ vips: ["10.1.0.1"] }),
  SetLogLevel: (client) => client.setLogLevel("core", "debug"),
};

function refusedWith(code: Code) {
  return (error: ConnectError) => error.code === code;
}

Deno.test("an order is there only with status.admin, and only for whoever is known", async () => {
  await using plain = await world();
  await using admin = await world({ admin: true });
  for (const [name, give] of Object.entries(ORDERS)) {
    const client = (address: string) => openStatusClient({ address });
    await assert.rejects(give(client(plain.socket)), refusedWith(Code.Unimplemented), name);
    await assert.rejects(give(client(admin.address)), refusedWith(Code.Unauthenticated), name);
    await give(client(admin.socket));
    const { status } = await curl(`${admin.url}/psp.v1.AdminService/${name}`);
    assert.equal(status, 401, name);
  }
});

Deno.test("an agent that is ending begins nothing, and still tells what it would", async () => {
  const status = () => ({ ...STATUS, draining: true });
  await using w = await world({ admin: true }, source({ status }));
  await using client = openStatusClient({ address: w.socket });
  for (const [name, give] of Object.entries(ORDERS)) {
    if (name === "SetLogLevel") await give(client);
    else await assert.rejects(give(client), refusedWith(Code.Unavailable), name);
  }
  await client.rotate({ plan: true });
  await client.reload({ plan: true });
  assert.equal((await client.status({})).draining, true);
});

Deno.test("tunnels are named by peer, addresses and SPI, and addresses are spelled as here", async () => {
  const asked: TunnelSelector[] = [];
  const note = (which: TunnelSelector) => {
    asked.push(which);
    return { tunnels: 2, message: "done" };
  };
  await using w = await world({ admin: true }, source({ rekey: note, closeTunnels: note }));
  await using client = openStatusClient({ address: w.socket });
  const which = { peer: "h2", vips: ["2001:DB8:0::1", "10.1.0.1@blue"], spi: 0xffff_fffe };
  assert.deepEqual({ ...await client.rekey(which) }.tunnels, 2);
  await client.closeTunnels({ vips: [], spi: 7 });
  assert.deepEqual(asked, [
    { peer: "h2", vips: ["2001:db8::1", "10.1.0.1@blue"], spi: 0xffff_fffe },
    { peer: undefined, vips: [], spi: 7 },
  ]);
});

Deno.test("an order about everything, or about what cannot be, is refused", async () => {
  await using w = await world({ admin: true });
  await using client = openStatusClient({ address: w.socket });
  const invalid = refusedWith(Code.InvalidArgument);
  await assert.rejects(client.rekey({ vips: [] }), invalid);
  await assert.rejects(client.closeTunnels({ vips: [] }), invalid);
  await assert.rejects(client.rekey({ vips: ["nonsense"] }), invalid);
  await assert.rejects(client.rekey({ vips: ["10.0.0.1", "10.0.0.2", "10.0.0.3"] }), invalid);
  await assert.rejects(client.setLogLevel("nothing", "debug"), invalid);
  await assert.rejects(client.setLogLevel(undefined, "loud"), invalid);
});

Deno.test("every reader may see from which level on the log is written", async () => {
  const set: unknown[] = [];
  const setLogLevel = (...args: unknown[]) => void set.push(args);
  await using w = await world({ admin: true }, source({ setLogLevel }));
  assert.deepEqual(await openStatusClient({ address: w.address }).logLevels(), LEVELS);
  await using client = openStatusClient({ address: w.socket });
  assert.deepEqual(await client.setLogLevel(undefined, "error"), LEVELS);
  await client.setLogLevel("rpc", "debug");
  assert.deepEqual(set, [[undefined, "error"], ["rpc", "debug"]]);
});

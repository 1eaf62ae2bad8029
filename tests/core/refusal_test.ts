// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { ExchangeError } from "../../src/model/exchange.ts";
import { Key } from "../../ffi/key.ts";
import type { NewTunnelRequest, TunnelOffer } from "../../src/model/exchange.ts";
import type { PspParams, PspVersion } from "../../src/model/sa.ts";
import { world } from "../support/core_world.ts";

let spi = 100;

function offer(localVip: string, remoteVip: string, change: Partial<PspParams> = {}): TunnelOffer {
  return {
    localVip,
    remoteVip,
    reverse: {
      spi: ++spi,
      version: "aes-gcm-256",
      key: new Key(new Uint8Array(32).fill(spi)),
      pip: "192.0.2.2",
      mac: "02:00:00:00:00:02",
      cryptOffset: 5,
      mode: "tunnel",
      serial: BigInt(spi),
      lifeS: 3600,
      ...change,
    },
  };
}

function request(
  tunnels: readonly TunnelOffer[],
  change: Partial<NewTunnelRequest> = {},
): NewTunnelRequest {
  return {
    bootEpoch: 5n,
    requestId: (++spi).toString(16).padStart(32, "0"),
    versionsAccepted: ["aes-gcm-256"],
    tunnels,
    ...change,
  };
}

async function code(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    if (!(error instanceof ExchangeError)) throw error;
    return error.code;
  }
}

Deno.test("a vip of somebody else is refused, and nothing is allocated", async () => {
  await using w = world({ hosts: 3 });
  const h1 = w.host(1);
  const matrix: [string, string, string, RegExp][] = [
    ["somebody else's source", "10.3.0.1", "10.1.0.1", /h2 does not own 10\.3\.0\.1/],
    ["nobody's source", "10.9.0.1", "10.1.0.1", /h2 does not own/],
    ["this host's own source", "10.1.0.2", "10.1.0.1", /h2 does not own/],
    ["v4-mapped source", "::ffff:10.3.0.1", "10.1.0.1", /h2 does not own 10\.3\.0\.1/],
    ["somebody else's destination", "10.2.0.1", "10.3.0.1", /h1 does not own 10\.3\.0\.1/],
    ["the caller's destination", "10.2.0.1", "10.2.0.2", /h1 does not own/],
  ];
  for (const [name, from, to, why] of matrix) {
    const reply = await h1.core.handler.newTunnel("h2", request([offer(from, to)]));
    const [outcome] = reply.outcomes;
    assert.ok(outcome?.ok === false, name);
    assert.equal(outcome.code, "permission_denied", name);
    assert.match(outcome.message, why, name);
  }
  assert.equal(h1.counter("refused-vip"), BigInt(matrix.length));
  assert.deepEqual([h1.flows.calls.length, h1.core.status().tunnels.up], [0, 0]);
});

Deno.test("a prefix is not an address, and families do not mix", async () => {
  await using w = world();
  const h1 = w.host(1);
  for (const [from, to] of [["10.2.0.0/16", "10.1.0.1"], ["::1", "10.1.0.1"], ["", ""]] as const) {
    const { outcomes } = await h1.core.handler.newTunnel("h2", request([offer(from, to)]));
    assert.equal(outcomes[0]?.ok === false && outcomes[0].code, "invalid_argument");
  }
  assert.equal(h1.flows.calls.length, 0);
});

Deno.test("nobody may send this host's packets back to itself", async () => {
  await using w = world({ hosts: 2 });
  for (const pip of [w.host(1).config.pip, "127.0.0.1", "::1", "::ffff:127.0.0.1"]) {
    const asked = request([offer("10.2.0.1", "10.1.0.1", { pip })]);
    const { outcomes: [outcome] } = await w.host(1).core.handler.newTunnel("h2", asked);
    assert.ok(outcome && !outcome.ok && outcome.code === "invalid_argument", pip);
    assert.match(outcome.message, /is this host's own/);
  }
});

Deno.test("a key that was used before is the caller's mistake, and no other tunnel's", async () => {
  await using w = world();
  const h1 = w.host(1);
  const bytes = (fill: number) => ({ key: new Key(new Uint8Array(32).fill(fill)) });
  const first = request([
    offer("10.2.0.1", "10.1.0.1", bytes(7)),
    offer("10.2.0.2", "10.1.0.1", bytes(7)),
  ]);
  const again = request([
    offer("10.2.0.3", "10.1.0.1", bytes(7)),
    offer("10.2.0.4", "10.1.0.1", bytes(8)),
  ]);
  const outcomes = [];
  for (const asked of [first, again]) {
    outcomes.push(...(await h1.core.handler.newTunnel("h2", asked)).outcomes);
  }
  const said = outcomes.map((o) => o.ok ? "ok" : `${o.code}: ${o.message}`);
  const refused = "invalid_argument: the key is or was in use already";
  assert.deepEqual(said, ["ok", refused, refused, "ok"]);
  assert.deepEqual([h1.flows.rx.size, h1.flows.tx.size], [2, 2]);
  assert.deepEqual([h1.counter("refused-request"), h1.counter("no-resource")], [2n, 0n]);
});

Deno.test("an outer address of the other family is the caller's mistake", async () => {
  await using w = world();
  const h1 = w.host(1);
  const asked = request([
    offer("10.2.0.1", "10.1.0.1", { pip: "2001:db8::2" }),
    offer("10.2.0.2", "10.1.0.1"),
  ]);
  const { outcomes: [refused, good] } = await h1.core.handler.newTunnel("h2", asked);
  assert.ok(refused?.ok === false && refused.code === "invalid_argument");
  assert.match(refused.message, /2001:db8::2 is not of this host's family/);
  assert.ok(good?.ok);
  assert.deepEqual([h1.flows.rx.size, h1.flows.tx.size], [1, 1]);
});

Deno.test("a batch is refused in part, in the order of the request", async () => {
  await using w = world();
  const h1 = w.host(1);
  const reply = await h1.core.handler.newTunnel(
    "h2",
    request([
      offer("10.2.0.1", "10.1.0.1"),
      offer("10.9.0.1", "10.1.0.1"),
      offer("10.2.0.1", "10.1.0.1"),
      offer("10.2.0.2", "10.1.0.1", { key: new Key(new Uint8Array(16).fill(1)) }),
      offer("10.2.0.3", "10.1.0.1", { spi: 0x80000000 }),
      offer("10.2.0.4", "10.1.0.1", { mode: "transport" }),
      offer("10.2.0.5", "10.1.0.1"),
    ]),
  );
  assert.deepEqual(reply.outcomes.map((o) => o.ok ? "ok" : o.code), [
    "ok",
    "permission_denied",
    "invalid_argument",
    "invalid_argument",
    "invalid_argument",
    "invalid_argument",
    "ok",
  ]);
  assert.deepEqual([h1.flows.rx.size, h1.flows.tx.size], [2, 2]);
});

Deno.test("requests that make no sense are refused as a whole", async () => {
  await using w = world();
  const { handler } = w.host(1).core;
  const good = () => offer("10.2.0.1", "10.1.0.1");
  const cases: [string, string, NewTunnelRequest][] = [
    ["no tunnels", "invalid_argument", request([])],
    ["too many", "invalid_argument", request(Array.from({ length: 257 }, good))],
    ["short id", "invalid_argument", request([good()], { requestId: "00" })],
    ["no version", "invalid_argument", request([good()], { versionsAccepted: [] })],
    [
      "no version in common",
      "failed_precondition",
      request([good()], { versionsAccepted: ["aes-gmac-256"] }),
    ],
  ];
  for (const [name, wanted, asked] of cases) {
    assert.equal(await code(handler.newTunnel("h2", asked)), wanted, name);
    assert.ok(asked.tunnels.every(({ reverse }) => reverse.key.reveal().every((b) => b === 0)));
  }
  await assert.rejects(
    handler.newTunnel("h2", request([good()], { versionsAccepted: ["aes-gmac-128"] })),
    /aes-gmac-128.*aes-gcm-256, aes-gcm-128/,
  );
});

Deno.test("another version than the offered one allocates nothing and names the right one", async () => {
  await using w = world();
  const h1 = w.host(1);
  const versionsAccepted: PspVersion[] = ["aes-gmac-256", "aes-gcm-128", "aes-gcm-256"];
  const reply = await h1.core.handler.newTunnel(
    "h2",
    request([offer("10.2.0.1", "10.1.0.1")], { versionsAccepted }),
  );
  assert.equal(reply.version, "aes-gcm-128");
  assert.deepEqual([reply.outcomes.length, h1.flows.calls.length], [0, 0]);
});

Deno.test("an id that is used for another request is refused", async () => {
  await using w = world();
  const { handler } = w.host(1).core;
  const first = request([offer("10.2.0.1", "10.1.0.1")]);
  assert.equal(await code(handler.newTunnel("h2", first)), "ok");
  const other = { ...request([offer("10.2.0.2", "10.1.0.1")]), requestId: first.requestId };
  assert.equal(await code(handler.newTunnel("h2", other)), "invalid_argument");
});

Deno.test("a message of an earlier start is refused, a new start voids the SAs at once", async () => {
  await using w = world();
  const h1 = w.host(1);
  const { handler } = h1.core;
  const good = () => [offer("10.2.0.1", "10.1.0.1")];
  await handler.newTunnel("h2", request([offer("10.2.0.7", "10.1.0.1")], { bootEpoch: 5n }));
  assert.equal(h1.flows.tx.size, 1);
  await handler.newTunnel("h2", request(good(), { bootEpoch: 6n }));
  assert.deepEqual([...h1.flows.tx.keys()], ["10.1.0.1 10.2.0.1"]);
  assert.equal(h1.flows.rx.size, 1);
  assert.equal(
    await code(handler.newTunnel("h2", request(good(), { bootEpoch: 5n }))),
    "failed_precondition",
  );
  assert.equal(h1.counter("refused-epoch"), 1n);
  // A peer that lost its record and its clock is let in again after a while.
  w.network.attach("h2", undefined);
  await w.clock.advance(11 * 60_000);
  assert.equal(await code(handler.newTunnel("h2", request(good(), { bootEpoch: 5n }))), "ok");
});

Deno.test("more requests than the rate allows are refused, and no other peer suffers", async () => {
  await using w = world({ hosts: 3 });
  const { handler } = w.host(1).core;
  const full = () =>
    request(Array.from({ length: 256 }, (_, i) => offer(`10.2.0.${i}`, "10.1.0.1")));
  const small = () => request([offer("10.2.0.1", "10.1.0.1")]);
  // 100 full ones, and as much again in requests of one tunnel, of which each counts as sixteen.
  for (const [n, asked] of [[100, full], [1600, small]] as const) {
    for (let i = 0; i < n; i++) assert.equal(await code(handler.newTunnel("h2", asked())), "ok");
  }
  for (const asked of [small, full]) {
    assert.equal(await code(handler.newTunnel("h2", asked())), "resource_exhausted");
  }
  assert.equal(w.host(1).counter("refused-rate"), 2n);
  const other = request([offer("10.3.0.1", "10.1.0.1", { pip: "192.0.2.3" })]);
  assert.equal(await code(handler.newTunnel("h3", other)), "ok");
  await w.clock.advance(1000);
  const later = request([offer("10.2.0.1", "10.1.0.1")]);
  assert.equal(await code(handler.newTunnel("h2", later)), "ok");
});

Deno.test("a denied peer loses its tunnels and is refused", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(100);
  assert.deepEqual(h1.core.deny(["spiffe://test/psp/h2"]), ["h2"]);
  assert.deepEqual([h1.flows.rx.size, h1.flows.tx.size], [0, 0]);
  const asked = request([offer("10.2.0.1", "10.1.0.1")]);
  assert.equal(await code(h1.core.handler.newTunnel("h2", asked)), "permission_denied");
  assert.equal(h1.counter("refused-identity"), 1n);
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h1.flows.drops.refused, 1);
});

Deno.test("a peer that is not denied any more gets packets at once", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.core.deny(["h2"]);
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h1.flows.drops.refused, 1);
  assert.deepEqual(h1.core.deny([]), []);
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h2.got(h1), 1);
});

Deno.test("an unknown caller is refused", async () => {
  await using w = world();
  const asked = request([offer("10.2.0.1", "10.1.0.1")]);
  assert.equal(await code(w.host(1).core.handler.newTunnel("h9", asked)), "permission_denied");
});

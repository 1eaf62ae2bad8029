// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Key } from "../../ffi/key.ts";
import type { NewTunnelReply, NewTunnelRequest } from "../model/exchange.ts";
import { KeyShares } from "./params.ts";
import { MEMORY_MS, MEMORY_TUNNELS, MEMORY_TUNNELS_PER_PEER } from "./limits.ts";
import { RequestMemory } from "./responder_driver.ts";
import type { PspParams } from "../model/sa.ts";

function params(spi: number): PspParams {
  return {
    spi,
    version: "aes-gcm-128",
    key: new Key(new Uint8Array(16).fill(1)),
    pip: "192.0.2.1",
    mac: "02:00:00:00:00:01",
    cryptOffset: 5,
    mode: "tunnel",
    serial: 1n,
    lifeS: 60,
  };
}

function request(id: number, spi = 1): NewTunnelRequest {
  return {
    bootEpoch: 1n,
    requestId: String(id),
    versionsAccepted: ["aes-gcm-128"],
    tunnels: [{ localVip: "10.2.0.1", remoteVip: "10.1.0.1", reverse: params(spi) }],
  };
}

function reply(n = 1): NewTunnelReply {
  const outcomes = Array.from({ length: n }, (_, i) => ({ ok: true, params: params(i) } as const));
  return { bootEpoch: 2n, version: "aes-gcm-128", outcomes };
}

function wiped({ outcomes }: NewTunnelReply): boolean {
  return outcomes.every((o) => o.ok && o.params.key.reveal().every((b) => b === 0));
}

Deno.test("a repeated request gets the very answer, another one under its id is told apart", () => {
  const memory = new RequestMemory(new KeyShares());
  const first = reply();
  memory.remember("h2", request(1), { reply: first, now: 0 });
  assert.equal(memory.recall("h2", request(1)), first);
  assert.equal(memory.recall("h2", request(1, 9)), "different");
  assert.equal(memory.recall("h2", request(2)), undefined);
  assert.equal(memory.recall("h3", request(1)), undefined);
  assert.equal(memory.recall("h2", { ...request(1), bootEpoch: 2n }), undefined);
});

Deno.test("an answer is forgotten in time, and its keys are wiped", () => {
  const shares = new KeyShares();
  const memory = new RequestMemory(shares);
  const [first, second] = [reply(), reply()];
  memory.remember("h2", request(1), { reply: first, now: 0 });
  memory.remember("h2", request(2), { reply: second, now: 1000 });
  memory.expire(MEMORY_MS - 1);
  assert.equal(memory.size, 2);
  memory.expire(MEMORY_MS);
  assert.deepEqual([memory.size, wiped(first), wiped(second)], [1, true, false]);
  memory.forget("h2");
  assert.deepEqual([memory.size, wiped(second), shares.size], [0, true, 0]);
});

Deno.test("a key that somebody else still holds is not wiped", () => {
  const shares = new KeyShares();
  const memory = new RequestMemory(shares);
  const first = reply();
  const [outcome] = first.outcomes;
  assert.ok(outcome?.ok);
  shares.hold(outcome.params.key);
  memory.remember("h2", request(1), { reply: first, now: 0 });
  memory.forget("h2");
  assert.equal(wiped(first), false);
  shares.release(outcome.params.key);
  assert.equal(wiped(first), true);
});

Deno.test("one peer's answers are bounded; the oldest go first, other peers' stay", () => {
  const memory = new RequestMemory(new KeyShares());
  memory.remember("h3", request(0), { reply: reply(), now: 0 });
  const n = MEMORY_TUNNELS_PER_PEER / 256;
  for (let i = 0; i < n + 3; i++) {
    memory.remember("h2", request(i), { reply: reply(256), now: 0 });
  }
  assert.equal(memory.size, n + 1);
  assert.equal(memory.recall("h2", request(2)), undefined);
  assert.ok(memory.recall("h2", request(3)));
  assert.ok(memory.recall("h3", request(0)));
});

Deno.test("the answers to all peers are bounded; those of the peer with most go first", () => {
  const memory = new RequestMemory(new KeyShares());
  memory.remember("good", request(0), { reply: reply(8), now: 0 });
  const each = MEMORY_TUNNELS_PER_PEER / 256;
  for (const peer of ["e1", "e2", "e3"]) {
    for (let i = 0; i < each; i++) memory.remember(peer, request(i), { reply: reply(256), now: 0 });
  }
  assert.ok(memory.size <= MEMORY_TUNNELS / 256 + 1);
  assert.ok(memory.recall("good", request(0)));
  for (const peer of ["e1", "e2", "e3"]) {
    assert.equal(memory.recall(peer, request(0)), undefined, "its first answers are gone");
    assert.ok(memory.recall(peer, request(each - 1)), `its last answer is kept: ${peer}`);
  }
});

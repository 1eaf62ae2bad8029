// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import type { Key } from "../../ffi/key.ts";
import { type World, world } from "../support/core_world.ts";

function texts(w: World): string[] {
  const print = (value: unknown) =>
    JSON.stringify(value, (_, v) => typeof v === "bigint" ? String(v) : v);
  return w.hosts.flatMap(({ core, lines }) => [
    print(lines),
    print(core.status()),
    print(core.tunnels({ limit: 1000 })),
    Deno.inspect(core.status(), { depth: 10 }),
  ]);
}

Deno.test("no key of a busy run is found in logs, status or database", async () => {
  await using w = world({
    changes: {
      tunnel: { lifeMs: 60_000, graceMs: 1000 },
      rotation: { intervalMs: 20_000 },
      rpc: { timeoutMs: 200, attempts: 2 },
    },
  });
  const [h1, h2] = [w.host(1), w.host(2)];
  Object.assign(w.network.weather, { requestLoss: 0.2, replyLoss: 0.2, delayMs: [1, 100] });
  for (let i = 0; i < 200; i++) {
    h1.send(h2, { from: 1 + i % 20 });
    h2.send(h1, { from: 1 + i % 7 });
    if (i === 100) {
      h1.kill();
      h1.restart();
    }
    if (i === 50) h2.flows.failNext("setTx");
    await w.clock.advance(500);
  }
  const keys = new Set([...h1.flows.keysUsed, ...h2.flows.keysUsed]);
  assert.ok(keys.size > 100);
  const haystacks = texts(w);
  for (const { name } of Deno.readDirSync(w.dir ?? "")) {
    const bytes = Deno.readFileSync(`${w.dir}/${name}`);
    haystacks.push(bytes.toHex(), new TextDecoder("latin1").decode(bytes));
  }
  for (const key of keys) {
    const raw = Uint8Array.fromHex(key);
    for (const needle of [key, raw.toBase64(), String(raw)]) {
      assert.ok(!haystacks.some((text) => text.includes(needle)));
    }
  }
});

Deno.test("every key is zeros when the core has stopped", async () => {
  const made: Key[] = [];
  await using w = world();
  for (const { flows } of w.hosts) {
    const generate = flows.generateSpis.bind(flows);
    flows.generateSpis = (version, n) => {
      const keys = generate(version, n);
      made.push(...keys.map(({ key }) => key));
      return keys;
    };
  }
  const [h1, h2] = [w.host(1), w.host(2)];
  Object.assign(w.network.weather, { requestLoss: 0.3, replyLoss: 0.3 });
  for (let i = 1; i <= 50; i++) {
    h1.send(h2, { from: i });
    h2.send(h1, { from: 100 + i });
    await w.clock.advance(200);
  }
  await h1.stop();
  await h2.stop();
  assert.ok(made.length >= 100);
  const left = made.filter((key) => key.reveal().some((octet) => octet !== 0));
  assert.equal(left.length, 0);
});

Deno.test("a key on offer is wiped once it is answered, a given one once its memory ends", async () => {
  const made: Key[] = [];
  await using w = world({ changes: { tunnel: { idleMs: 0 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  for (const { flows } of [h1, h2]) {
    const generate = flows.generateSpis.bind(flows);
    flows.generateSpis = (version, n) => {
      const keys = generate(version, n);
      made.push(...keys.map(({ key }) => key));
      return keys;
    };
  }
  h1.send(h2);
  await w.clock.advance(100);
  const zero = () => made.map((key) => key.reveal().every((octet) => octet === 0));
  assert.deepEqual(zero(), [true, false]);
  await w.clock.advance(121_000);
  assert.deepEqual(zero(), [true, true]);
});

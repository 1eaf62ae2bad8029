// SPDX-License-Identifier: Apache-2.0

/** How much of its packets a peer may have in clear text: each side says what it takes, and no more is given. */
import assert from "node:assert/strict";
import type { Config } from "../../src/config/config.ts";
import { maxCryptOffset } from "../../src/core/params.ts";
import { type Host, world } from "../support/core_world.ts";

type Psp = Partial<Config["psp"]>;

/** Both send; what reached the other, and the drops of the one that asks too little or too much. */
async function between(own: Psp, peers: Psp) {
  const w = world({ changes: [{ psp: own }, { psp: peers }] });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(100);
  return { w, h1, h2 };
}

function warnings({ lines }: Host): string[] {
  return lines.filter(({ level }) => level === "warn")
    .map(({ message, fields }) => `${message}: ${fields["reason"]}`);
}

const both = (n: number) => ({ ipv4: n, ipv6: n });
const SENTENCE = "crypt offset 63 is more than 5: raise psp.max_crypt_offset.ipv4 of the host " +
  "that refuses, or lower psp.crypt_offset.ipv4 of its peer";

Deno.test("a peer that asks for 63 is refused by name, and nothing is sent to it", async () => {
  const { w, h1, h2 } = await between({ cryptOffset: both(63) }, {});
  await using _ = w;
  assert.deepEqual([h2.counter("refused-crypt-offset"), h2.counter("responder-exchanges")], [
    1n,
    0n,
  ]);
  assert.deepEqual([h2.flows.tx.size, h2.flows.rx.size, h1.flows.tx.size], [0, 0, 0]);
  assert.deepEqual(h1.flows.drops, { refused: 1 });
  assert.equal(h1.counter("tunnels-refused"), 1n);
  assert.deepEqual(warnings(h2), [`A tunnel that a peer asked for was refused: ${SENTENCE}`]);
  assert.deepEqual(warnings(h1), [`A peer refused a tunnel: ${SENTENCE}`]);
});

Deno.test("a peer that answers with 63 is refused by name, and nothing is sent to it", async () => {
  const { w, h1, h2 } = await between({}, { cryptOffset: both(63) });
  await using _ = w;
  assert.equal(h1.counter("refused-crypt-offset"), 1n);
  // The peer has granted the tunnel and may send: what it was given is received with until its time is over.
  assert.deepEqual([h1.flows.tx.size, h1.flows.rx.size], [0, 1]);
  assert.deepEqual(h1.flows.drops, { refused: 1 });
  assert.deepEqual(warnings(h1), [
    `The crypt offset that a peer asks for was refused: ${SENTENCE}`,
  ]);
  assert.equal(h2.got(h1), 0);
  assert.equal(h1.core.status().tunnels.up, 0);
});

Deno.test("what is configured is allowed, and no more", async () => {
  for (const [most, asked, got] of [[63, 63, 1], [20, 20, 1], [20, 21, 0], [0, 0, 1], [0, 1, 0]]) {
    assert.ok(most !== undefined && asked !== undefined);
    const { w, h1, h2 } = await between({ cryptOffset: both(asked) }, {
      maxCryptOffset: both(most),
      cryptOffset: both(0),
    });
    await using _ = w;
    assert.equal(h2.got(h1), got, `${asked} where ${most} is allowed`);
  }
});

Deno.test("hosts that ask for the same, with no bound written down, understand each other", async () => {
  const { w, h1, h2 } = await between({ cryptOffset: both(20) }, { cryptOffset: both(20) });
  await using _ = w;
  h2.send(h1);
  await w.clock.advance(100);
  assert.deepEqual([h2.got(h1), h1.got(h2)], [1, 1]);
});

Deno.test("the bound by itself leaves the inner IP header readable", () => {
  const table: [Psp, "ipv4" | "ipv6", boolean, number][] = [
    [{}, "ipv4", false, 5],
    [{}, "ipv6", false, 10],
    [{}, "ipv4", true, 7],
    [{}, "ipv6", true, 12],
    [{ mode: "transport" }, "ipv4", false, 0],
    [{ mode: "transport" }, "ipv6", true, 2],
    [{ cryptOffset: both(3) }, "ipv4", false, 5],
    [{ cryptOffset: both(8) }, "ipv4", false, 8],
    [{ cryptOffset: both(8), maxCryptOffset: both(6) }, "ipv4", true, 6],
    [{ maxCryptOffset: both(0) }, "ipv6", true, 0],
  ];
  for (const [psp, family, vc, most] of table) {
    assert.equal(maxCryptOffset({ mode: "tunnel", ...psp }, { family, vc }), most);
  }
});

Deno.test("a packet with another crypt offset than was asked for is dropped, before and after a rekey", async () => {
  const { w, h1, h2 } = await between({}, {});
  await using _ = w;
  const forge = (cryptOffset: number) => {
    const [tx] = h1.flows.tx.values();
    assert.ok(tx);
    w.carry(h1, { sa: { ...tx.sa, cryptOffset }, key: tx.key });
  };
  forge(63);
  assert.deepEqual([h2.got(h1), h2.flows.drops["rx-crypt-offset"]], [1, 1]);
  // h2 starts again and asks for another offset: what counts is what was asked for on that very SPI.
  const [old] = h1.flows.tx.values();
  assert.ok(old);
  Object.assign(h2.config.psp, { cryptOffset: both(2) });
  assert.equal(h2.core.rotate({ plan: false }).started, true);
  await w.clock.advance(1000);
  const [fresh] = h1.flows.tx.values();
  assert.ok(fresh);
  assert.deepEqual([old.sa.cryptOffset, fresh.sa.cryptOffset], [5, 2]);
  for (const { sa, key } of [old, fresh]) w.carry(h1, { sa, key });
  assert.deepEqual([h2.got(h1), h2.flows.drops["rx-crypt-offset"]], [3, 1]);
  for (const { sa, key } of [old, fresh]) {
    w.carry(h1, { sa: { ...sa, cryptOffset: sa.cryptOffset === 5 ? 2 : 5 }, key });
  }
  assert.deepEqual([h2.got(h1), h2.flows.drops["rx-crypt-offset"]], [3, 3]);
});

// SPDX-License-Identifier: Apache-2.0

/** What is explained is what then happens: each row is a set-up; the packet is explained, sent, and looked for. */
import assert from "node:assert/strict";
import { type Host, type World, world, type WorldOptions } from "../support/core_world.ts";

interface Row {
  readonly name: string;
  readonly options?: WorldOptions;
  /** Makes the set-up what it is. */
  readonly before?: (w: World, h1: Host, h2: Host) => Promise<void> | void;
  readonly src?: string;
  readonly dst?: string;
  /** "passes", "held", or the reason among the drops. */
  readonly expected: string;
  readonly words: RegExp;
  /** What the plane says of the packet when it does not hold it. */
  readonly sent?: string;
}

async function connect(w: World, h1: Host, h2: Host): Promise<void> {
  h1.send(h2);
  await w.clock.advance(200);
}

const ROWS: readonly Row[] = [
  {
    name: "the first packet",
    expected: "held",
    words: /would be held, and h2 \(192\.0\.2\.2:7481\)/,
  },
  {
    name: "a tunnel that is up",
    before: connect,
    expected: "passes",
    words: /Sealed with 0x[0-9a-f]{8} \(aes-gcm-256\)/,
    sent: "sent",
  },
  {
    name: "a tunnel under way",
    before(w, h1, h2) {
      h2.kill();
      h1.send(h2);
      return w.clock.advance(300);
    },
    expected: "held",
    words: /h2 .* was asked for a tunnel 0\.3 s ago/,
  },
  { name: "nobody's address", dst: "172.16.0.1", expected: "no-peer", words: /No peer owns 172/ },
  {
    name: "a source that is not here",
    src: "10.9.0.1",
    expected: "refused",
    words: /10\.9\.0\.1 is none of this host's vips/,
  },
  {
    name: "multicast",
    dst: "224.0.0.251",
    expected: "no-peer",
    words: /stay on the workload's own/,
  },
  {
    name: "a denied peer",
    options: { changes: [{ security: { deny: ["h2"] } }, {}] },
    expected: "refused",
    words: /h2 is on the deny list/,
  },
  {
    name: "a peer that is down",
    async before(w, h1, h2) {
      h2.kill();
      h1.send(h2, { from: 9 });
      const packet = { src: h1.vip(), dst: h2.vip() };
      for (let i = 0; i < 200 && h1.core.explain(packet).counter !== "back-off"; i++) {
        await w.clock.advance(100);
      }
    },
    expected: "back-off",
    words: /h2 does not answer \(.+\); the next attempt may be made in \d/,
  },
  {
    name: "a peer that refused",
    options: { changes: [{}, { security: { deny: ["h1"] } }] },
    before: connect,
    expected: "back-off",
    words: /last attempt failed \(refused\): .*is not a peer of this host/,
  },
  {
    name: "a transmit SA beyond its life",
    options: { changes: { tunnel: { lifeMs: 60_000, idleMs: 0 } } },
    async before(w, h1, h2) {
      await connect(w, h1, h2);
      h2.kill();
      await w.clock.advance(120_000);
    },
    expected: "tx-key-expired",
    words: /reached its hard limit, and h2 gave no new SA/,
    sent: "dropped",
  },
];

for (const { name, options, before, src, dst, expected, words, sent } of ROWS) {
  Deno.test(`explained, and so it goes: ${name}`, async () => {
    await using w = world(options);
    const [h1, h2] = [w.host(1), w.host(2)];
    await before?.(w, h1, h2);
    const pair = { localVip: src ?? h1.vip(), remoteVip: dst ?? h2.vip() };
    const view = h1.core.explain({ src: pair.localVip, dst: pair.remoteVip });
    assert.equal(view.counter ?? view.verdict, expected);
    const told = view.steps.map(({ text }) => text).join("\n");
    assert.match(told, words);

    const drops = { ...h1.flows.drops };
    const went = h1.flows.packet(pair);
    await w.clock.advance(1);
    if (view.verdict === "passes" || sent !== undefined) return assert.equal(went, sent);
    if (view.verdict === "held") return assert.deepEqual({ ...h1.flows.drops }, drops);
    const reason = expected.replaceAll("-", "_");
    const grown = Object.entries(h1.flows.drops).filter(([name, n]) =>
      n !== drops[name as keyof typeof drops]
    );
    // A hold-off of the plane drops what an earlier packet was dropped for, without asking.
    if (went !== "dropped") assert.deepEqual(grown.map(([name]) => name), [reason]);
  });
}

Deno.test("the other end says whether it lets the packet in, and with which SPI", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  const packet = { src: h1.vip(), dst: h2.vip() };
  assert.deepEqual(h2.core.explain(packet).counter, "rx-no-sa");
  await connect(w, h1, h2);
  const view = h2.core.explain(packet);
  assert.equal(view.verdict, "passes");
  const spi = /Sealed with (0x\w+)/.exec(
    h1.core.explain(packet).steps.map(({ text }) => text).join(),
  );
  assert.ok(view.steps.some(({ text }) => text.includes(spi?.[1] ?? "?")));
  assert.equal(h2.core.explain({ src: "172.16.0.1", dst: h2.vip() }).counter, "rx-no-sa");
});

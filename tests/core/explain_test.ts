// SPDX-License-Identifier: Apache-2.0

/** What is explained is what then happens: each row is a set-up; the packet is explained, sent, and looked for. */
import assert from "node:assert/strict";
import type { ExplainView } from "../../src/model/status.ts";
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
  /** When it is over: it is held until then. */
  readonly lateMs?: number;
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
    expected: "peer-unreachable",
    words: /h2 .* was asked for a tunnel 0\.3 s ago.*\nh2 gives no tunnel: h2 is down/,
    lateMs: 10_000,
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
      const told = async () => (await w.clock.run(h1.core.explain(packet))).counter;
      for (let i = 0; i < 200 && await told() !== "back-off"; i++) await w.clock.advance(100);
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
    name: "a first packet to a peer that will refuse",
    options: { changes: [{}, { security: { deny: ["h1"] } }] },
    expected: "refused",
    words: /h2 gives no tunnel: h1 is not a peer of this host/,
    lateMs: 500,
  },
  {
    name: "a first packet to a peer that is down",
    before: (_w, _h1, h2) => h2.kill(),
    expected: "peer-unreachable",
    words: /h2 gives no tunnel: h2 is down/,
    lateMs: 10_000,
  },
  {
    name: "a first packet to a peer that is about to end",
    before(w, _h1, h2) {
      void h2.core.stop();
      return w.clock.advance(10);
    },
    expected: "peer-unreachable",
    words: /h2 gives no tunnel: this agent is stopping/,
    lateMs: 10_000,
  },
  {
    name: "versions of which none is common",
    options: {
      changes: [{ psp: { versions: ["aes-gcm-128"] } }, { psp: { versions: ["aes-gcm-256"] } }],
    },
    expected: "refused",
    words: /refused-version\): no version in common: accepted aes-gcm-128; here aes-gcm-256/,
    lateMs: 500,
  },
  {
    name: "more in clear text than the peer allows",
    options: { changes: [{ psp: { cryptOffset: { ipv4: 20, ipv6: 20 } } }, {}] },
    expected: "refused",
    words: /refused-crypt-offset\): crypt offset 20 is more than 5/,
    lateMs: 500,
  },
  {
    name: "an address that the peer does not have",
    before: (_w, _h1, h2) =>
      void h2.core.change({ changed: [], removed: [], vips: ["10.2.7.0/24"] }),
    expected: "refused",
    words: /refused-vip\): h2 does not own 10\.2\.0\.1/,
    lateMs: 500,
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

for (const { name, options, before, src, dst, expected, words, sent, lateMs = 1 } of ROWS) {
  Deno.test(`explained, and so it goes: ${name}`, async () => {
    await using w = world(options);
    const [h1, h2] = [w.host(1), w.host(2)];
    await before?.(w, h1, h2);
    const pair = { localVip: src ?? h1.vip(), remoteVip: dst ?? h2.vip() };
    const view = await w.clock.run(
      h1.core.explain({ src: pair.localVip, dst: pair.remoteVip }),
    );
    assert.equal(view.counter ?? view.verdict, expected);
    assert.match(textOf(view), words);

    const drops = { ...h1.flows.drops };
    const went = h1.flows.packet(pair);
    await w.clock.advance(lateMs);
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

Deno.test("a packet that comes is explained from its start at the peer to the workload here", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  const packet = { src: h1.vip(), dst: h2.vip() };
  const first = await w.clock.run(h2.core.explain(packet));
  assert.deepEqual([first.verdict, first.counterAt], ["held", undefined]);
  await connect(w, h1, h2);
  const view = await w.clock.run(h2.core.explain(packet));
  assert.equal(view.verdict, "passes");
  const spi = /Sealed with (0x\w+)/.exec(textOf(view));
  const steps = view.steps.map(({ at, host = "h2" }) => `${host} ${at}`);
  assert.deepEqual(steps, [
    "h1 ROOT",
    "h1 EGR_ACL",
    "h1 PSP_ENCRYPT",
    "h2 ROOT",
    "h2 PSP_DECRYPT",
    "h2 INGR_ACL",
    "h2 host",
  ]);
  assert.match(textOf(view), new RegExp(`Let in from h1 with .*${spi?.[1] ?? "?"}`));
  const nobody = await w.clock.run(h2.core.explain({ src: "172.16.0.1", dst: h2.vip() }));
  assert.equal(nobody.counter, "rx-no-sa");
});

Deno.test("an SA of the peer's last start, and one that it has no entry for, are found out", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  const packet = { src: h1.vip(), dst: h2.vip() };
  await connect(w, h1, h2);
  // Nobody hears of it.
  w.network.fate = ({ kind, from }) => kind === "request" && from === "h2" ? "lose" : undefined;
  h2.core.change({ changed: [], removed: [], vips: ["10.2.7.0/24"] });
  const gone = await w.clock.run(h1.core.explain(packet));
  assert.deepEqual([gone.verdict, gone.counter, gone.counterAt], ["dropped", "rx-no-sa", "h2"]);
  h2.kill();
  h2.restart();
  const old = await w.clock.run(h1.core.explain(packet));
  assert.deepEqual([old.verdict, old.counter, old.counterAt], ["dropped", "rx-auth-fail", "h2"]);
});

Deno.test("a peer learns of nobody else's packets", async () => {
  await using w = world({ hosts: 3 });
  const [h1, h2, h3] = [w.host(1), w.host(2), w.host(3)];
  await connect(w, h1, h2);
  const wish = { versions: ["aes-gcm-256"], mode: "tunnel", cryptOffset: 5 } as const;
  for (const arrives of [true, false]) {
    const question = { localVip: h1.vip(), remoteVip: h2.vip(), arrives, wish };
    const answer = h2.core.handler.explain?.("h3", question);
    assert.equal(answer?.verdict, "dropped");
    assert.match(textOf(answer), /h3 does not own 10\.1\.0\.1/);
    assert.equal(answer.steps.length, 1);
  }
  const own = { localVip: h3.vip(), remoteVip: h1.vip(), arrives: false, wish } as const;
  assert.match(textOf(h2.core.handler.explain?.("h3", own)), /10\.1\.0\.1 is none of this/);
});

Deno.test("a peer that cannot be asked, and one that is asked too often, change no verdict", async () => {
  await using w = world({ changes: [{}, { rpc: { peerRate: 0.001, peerBurst: 1 } }] });
  const [h1, h2] = [w.host(1), w.host(2)];
  const packet = { src: h1.vip(), dst: h2.vip() };
  const { explain: _, ...before } = h2.core.handler;
  w.network.attach("h2", before);
  const view = await w.clock.run(h1.core.explain(packet));
  assert.equal(view.verdict, "held");
  assert.match(textOf(view), /its agent is of a release that cannot be asked/);
  w.network.attach("h2", h2.core.handler);
  let last = view;
  for (let i = 0; i < 20; i++) last = await w.clock.run(h1.core.explain(packet));
  assert.equal(last.verdict, "held");
  assert.match(textOf(last), /h2 was asked too often.*slowed-by-peer/);
});

Deno.test("no more than eight questions wait for peers at a time, two seconds at most", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  w.network.fate = () => "lose";
  const packet = { src: h1.vip(), dst: h2.vip() };
  const since = w.clock.now();
  const all = Array.from({ length: 9 }, () => h1.core.explain(packet));
  const views = await w.clock.run(Promise.all(all));
  assert.ok(w.clock.now() - since <= 2020);
  const counters = views.map(({ counter }) => counter).sort();
  assert.deepEqual(counters, [...Array(8).fill("peer-unreachable"), undefined]);
  assert.match(textOf(views[8]), /too much to do to ask it/);
});

function textOf(view: ExplainView | undefined): string {
  return view?.steps.map(({ text }) => text).join("\n") ?? "";
}

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Peers } from "./directory.ts";

function directory(deny: readonly string[] = []): Peers {
  return new Peers({
    domain: "test",
    vips: [{ vip: "10.1.0.0/16", dns: [] }, { vip: "fd01::/64", dns: [] }],
    peers: [
      { id: "h2", svcAddress: "h2:1", pip: "192.0.2.2", vips: ["10.2.0.0/16", "10.1.0.7/32"] },
      { id: "h3", svcAddress: "h3:1", vips: ["0.0.0.0/0", "10.2.3.0/24", "fd00::/8"] },
    ],
    security: { deny },
  });
}

Deno.test("the longest prefix says who owns an address, this host included", () => {
  const peers = directory();
  const cases: [string, string | undefined, boolean][] = [
    ["10.2.0.1", "h2", false],
    ["10.2.3.1", "h3", false],
    ["10.1.0.1", undefined, true],
    ["10.1.0.7", "h2", false],
    ["192.0.2.1", "h3", false],
    ["fd01::1", undefined, true],
    ["fd02::1", "h3", false],
    ["2001:db8::1", undefined, false],
    ["::ffff:10.2.0.1", "h2", false],
    ["::ffff:10.1.0.1", undefined, true],
  ];
  for (const [vip, owner, local] of cases) {
    assert.equal(peers.byVip(vip)?.id, owner, vip);
    assert.equal(peers.isLocal(vip), local, vip);
    for (const id of ["h2", "h3"]) assert.equal(peers.owns(id, vip), id === owner, `${id} ${vip}`);
  }
  assert.equal(peers.owns("nobody", "10.2.0.1"), false);
});

Deno.test("the deny list names peers by id or SPIFFE id, and can change", () => {
  const peers = directory(["h2"]);
  assert.deepEqual(["h2", "h3", "h9"].map((id) => peers.denied(id)), [true, false, true]);
  assert.deepEqual(peers.allDenied(), ["h2"]);
  peers.setDeny(["spiffe://test/psp/h3", "h3", "sha256:00"]);
  assert.deepEqual(peers.allDenied(), ["h3"]);
  assert.deepEqual(["h2", "h3"].map((id) => peers.denied(id)), [false, true]);
});

Deno.test("an outer address is learned, a configured one stays", () => {
  const peers = directory();
  assert.deepEqual(peers.byPip("192.0.2.2"), ["h2"]);
  assert.equal(peers.learnPip("h2", "192.0.2.99"), false);
  assert.deepEqual(peers.byPip("192.0.2.99"), []);
  assert.equal(peers.learnPip("h3", "2001:DB8::3"), true);
  assert.deepEqual(peers.byPip("2001:db8:0::3"), ["h3"]);
  assert.equal(peers.learnPip("h3", "192.0.2.3"), true);
  assert.deepEqual(peers.byPip("2001:db8::3"), []);
});

Deno.test("nobody takes an outer address from another by naming it", () => {
  const peers = directory();
  assert.equal(peers.learnPip("h3", "192.0.2.2"), true);
  assert.deepEqual(peers.byPip("192.0.2.2"), ["h2"], "the configuration says whose it is");
  const learned = new Peers({
    domain: "test",
    vips: [],
    peers: ["h2", "h3"].map((id) => ({ id, svcAddress: `${id}:1`, vips: [] })),
    security: { deny: [] },
  });
  learned.learnPip("h2", "192.0.2.2");
  learned.learnPip("h3", "192.0.2.2");
  assert.deepEqual(learned.byPip("192.0.2.2"), ["h2", "h3"]);
  learned.learnPip("h3", "192.0.2.3");
  assert.deepEqual(learned.byPip("192.0.2.2"), ["h2"]);
});

Deno.test("a peer whose outer address nobody said is traced by its control channel", () => {
  const peers = new Peers({
    domain: "test",
    vips: [],
    peers: [
      { id: "h2", svcAddress: "192.0.2.2:7443", vips: [] },
      { id: "h3", svcAddress: "[2001:db8::3]:7443", vips: [] },
      { id: "h4", svcAddress: "h4.example:7443", vips: [] },
      { id: "h5", svcAddress: "192.0.2.5:7443", pip: "192.0.2.55", vips: [] },
    ],
    security: { deny: [] },
  });
  assert.deepEqual(peers.byPip("192.0.2.2"), ["h2"]);
  assert.deepEqual(peers.byPip("2001:db8:0::3"), ["h3"]);
  assert.deepEqual(peers.byPip("192.0.2.4"), []);
  peers.learnControl("h4", "::ffff:192.0.2.4");
  peers.learnControl("h9", "192.0.2.9");
  peers.learnControl("h4", "");
  assert.deepEqual(peers.byPip("192.0.2.4"), ["h4"]);
  assert.deepEqual(peers.byPip("192.0.2.9"), []);
  // Another that names the address takes nothing away; the configuration alone decides for itself.
  peers.learnPip("h2", "192.0.2.4");
  assert.deepEqual([...peers.byPip("192.0.2.4")].sort(), ["h2", "h4"]);
  peers.learnControl("h2", "192.0.2.55");
  assert.deepEqual(peers.byPip("192.0.2.55"), ["h5"]);
  // Bounded, the latest stay.
  for (let i = 0; i < 100; i++) peers.learnControl("h4", `198.51.100.${i}`);
  const known = Array.from({ length: 100 }, (_, i) => peers.byPip(`198.51.100.${i}`).length);
  assert.deepEqual([known.filter((n) => n > 0).length, known[99]], [8, 1]);
});

Deno.test("a change says whose tunnels it concerns, and names nobody else", () => {
  const of = (id: string, ...vips: string[]) => ({ id, svcAddress: `${id}:1`, vips });
  const [h2, h3] = [of("h2", "10.2.0.0/16", "10.1.0.7/32"), of("h3", "0.0.0.0/0", "10.2.3.0/24")];
  const make = () =>
    new Peers({
      domain: "test",
      vips: [{ vip: "10.1.0.0/16", dns: [] }],
      peers: [h2, h3, of("h4", "10.4.0.0/16")],
      security: { deny: [] },
    });
  const cases: {
    what: string;
    change: Parameters<Peers["apply"]>[0];
    suspects: string[];
    gained?: boolean;
    localLost?: boolean;
  }[] = [
    { what: "nothing", change: { changed: [], removed: [] }, suspects: [] },
    {
      what: "one more, out of the prefix of /0",
      change: { changed: [of("h5", "10.5.0.0/16")], removed: [] },
      suspects: ["h3"],
      gained: true,
    },
    {
      what: "one more, of a family that nobody has",
      change: { changed: [of("h5", "fd05::/64")], removed: [] },
      suspects: [],
      gained: true,
    },
    { what: "one goes", change: { changed: [], removed: ["h4"] }, suspects: ["h4"] },
    { what: "one that is not there goes", change: { changed: [], removed: ["h9"] }, suspects: [] },
    {
      what: "an address goes from one to another",
      change: {
        changed: [of("h2", "10.2.0.0/16"), { ...h3, vips: [...h3.vips, "10.1.0.7/32"] }],
        removed: [],
      },
      suspects: ["h2"],
      gained: true,
      localLost: true,
    },
    {
      what: "a name alone changes",
      change: { changed: [{ ...h2, svcAddress: "elsewhere:1" }], removed: [] },
      suspects: [],
    },
    {
      what: "this host has other addresses",
      change: { changed: [], removed: [], vips: ["10.1.1.0/24", "10.4.0.1/32"] },
      suspects: ["h3", "h4"],
      gained: true,
      localLost: true,
    },
  ];
  for (const { what, change, suspects, gained = false, localLost = false } of cases) {
    const done = make().apply(change, 1000);
    assert.deepEqual(
      [[...done.suspects].sort(), done.gained, done.localLost],
      [suspects, gained, localLost],
      what,
    );
  }
});

Deno.test("what is gone is gone everywhere, and who has an address since when is known", () => {
  const peers = directory();
  peers.learnControl("h3", "192.0.2.33");
  peers.learnPip("h3", "192.0.2.34");
  const { removed } = peers.apply({ changed: [], removed: ["h3"] }, 1000);
  assert.deepEqual(removed.map(({ id }) => id), ["h3"]);
  assert.deepEqual([peers.byPip("192.0.2.33"), peers.byPip("192.0.2.34")], [[], []]);
  assert.deepEqual([peers.byVip("10.2.3.1")?.id, peers.byVip("8.8.8.8")], ["h2", undefined]);
  assert.deepEqual([peers.has("h3"), peers.named("H3"), peers.denied("h3")], [false, [], true]);
  assert.deepEqual([peers.named("H2"), peers.count, peers.pipOf("h2")], [["h2"], 1, "192.0.2.2"]);
  assert.equal(peers.ownedSince("10.2.3.1"), -Infinity);
  peers.apply(
    { changed: [{ id: "h4", svcAddress: "h4:1", vips: ["10.2.3.0/24"] }], removed: [] },
    2000,
  );
  assert.equal(peers.ownedSince("10.2.3.1"), 2000);
});

Deno.test("one change among very many peers is a matter of microseconds", () => {
  const of = (i: number, ...vips: string[]) => ({
    id: `h${i}`,
    svcAddress: `192.0.2.1:${1 + i}`,
    vips: [`10.${i >> 8}.${i & 255}.0/24`, ...vips],
  });
  const peers = new Peers({
    domain: "test",
    vips: [],
    peers: Array.from({ length: 10_000 }, (_, i) => of(i)),
    security: { deny: [] },
  });
  const began = performance.now();
  const rounds = 1000;
  for (let i = 0; i < rounds; i++) {
    const done = peers.apply({ changed: [of(i, `11.0.0.${i % 7}/32`), of(i + 1)], removed: [] }, i);
    assert.ok(done.suspects.size <= 1);
  }
  console.log(`    ${((performance.now() - began) * 1000 / rounds).toFixed(0)} us a change`);
});

Deno.test("a policy that changes concerns the peers of its network, and no others", () => {
  const network = (name: string, ...deny: string[]) => ({ name, policy: { deny } });
  const peers = new Peers({
    domain: "test",
    vips: [],
    security: { deny: [] },
    peers: [
      { id: "h2", svcAddress: "h2:1", vips: ["10.2.0.0/24@blue"] },
      { id: "h3", svcAddress: "h3:1", vips: ["10.2.0.0/24@red"] },
    ],
  });
  const apply = (...networks: ReturnType<typeof network>[]) => {
    const { suspects, gained, localLost } = peers.apply({ changed: [], removed: [], networks }, 0);
    assert.equal(localLost, false);
    return [
      [...suspects],
      gained,
      peers.byVip("10.2.0.1@blue")?.id,
      peers.byVip("10.2.0.1@red")?.id,
    ];
  };
  assert.deepEqual(apply(network("blue"), network("red")), [[], false, "h2", "h3"]);
  const denied = network("blue", "10.2.0.0/25");
  assert.deepEqual(apply(denied, network("red")), [["h2"], true, undefined, "h3"]);
  assert.deepEqual(apply(network("red"), denied), [[], false, undefined, "h3"]);
  assert.deepEqual(apply(network("red")), [["h2"], true, "h2", "h3"]);
});

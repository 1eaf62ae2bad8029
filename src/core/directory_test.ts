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
  assert.deepEqual(peers.setDeny(["spiffe://test/psp/h3", "sha256:00"]), ["h3"]);
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

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import fc from "fast-check";
import type { PeerConfig } from "../config/config.ts";
import { Combined, type Entry } from "./combined.ts";

const KINDS = [
  { name: "file", strict: false },
  { name: "peers.d", strict: false },
  { name: "etcd", strict: true },
];

function entry(id: string, vips: readonly string[], change: Partial<Entry> = {}): Entry {
  const peer: PeerConfig = { id, svcAddress: `${id}:7443`, vips };
  return { where: id, peer, order: 0n, ...change };
}

function owners(of: Combined): Record<string, string> {
  return Object.fromEntries(
    of.peers().flatMap(({ id, vips }) => vips.map((vip) => [vip, id] as const)).sort(),
  );
}

Deno.test("the first source that knows a peer says all of it; the next one takes over when it does not any more", () => {
  const all = new Combined(KINDS, ["10.1.0.0/24"]);
  all.update("etcd", {
    put: [entry("h2", ["10.2.0.0/24"]), entry("h3", ["10.3.0.0/24"])],
    removed: [],
  });
  const changes = all.update("file", {
    put: [{ ...entry("h2", ["10.9.0.0/24"]), where: "peers.json" }],
    removed: [],
  });
  assert.deepEqual(changes.changed.map(({ id, vips }) => [id, vips]), [["h2", ["10.9.0.0/24"]]]);
  assert.deepEqual(all.conflicts(), [
    { source: "etcd", where: "h2", peer: "h2", owner: "peers.json" },
  ]);
  assert.deepEqual(owners(all), { "10.9.0.0/24": "h2", "10.3.0.0/24": "h3" });
  assert.deepEqual(
    all.update("file", { put: [], removed: ["peers.json"] }).changed.map(({ vips }) => vips),
    [["10.2.0.0/24"]],
  );
  assert.deepEqual(all.update("etcd", { put: [], removed: ["h2"] }), {
    changed: [],
    removed: ["h2"],
  });
  assert.deepEqual([all.size, all.conflicts()], [1, []]);
});

Deno.test("a prefix has one owner: this host, the first source, then who was there first", () => {
  const all = new Combined(KINDS, ["10.1.0.0/24"]);
  all.update("etcd", {
    put: [
      entry("h5", ["10.0.0.1/32", "10.1.0.0/24"], { order: 50n }),
      entry("h4", ["10.0.0.1/32", "10.0.0.2/32"], { order: 40n }),
    ],
    removed: [],
  });
  assert.deepEqual(owners(all), { "10.0.0.1/32": "h4", "10.0.0.2/32": "h4" });
  assert.deepEqual(all.conflicts(), [
    { source: "etcd", where: "h5", peer: "h5", vip: "10.0.0.1/32", owner: "h4" },
    { source: "etcd", where: "h5", peer: "h5", vip: "10.1.0.0/24", owner: "" },
  ]);
  all.update("peers.d", { put: [entry("h6", ["10.0.0.1/32"])], removed: [] });
  assert.deepEqual(owners(all), { "10.0.0.1/32": "h6", "10.0.0.2/32": "h4" });
  assert.deepEqual([all.conflictsOf("etcd"), all.conflictsOf("peers.d")], [3, 0]);
  all.update("peers.d", { put: [], removed: ["h6"] });
  all.update("etcd", { put: [entry("h4", ["10.0.0.2/32"], { order: 40n })], removed: [] });
  assert.deepEqual(owners(all), { "10.0.0.1/32": "h5", "10.0.0.2/32": "h4" });
  assert.deepEqual(all.setLocal([]).changed.map(({ vips }) => vips), [[
    "10.0.0.1/32",
    "10.1.0.0/24",
  ]]);
});

Deno.test("whoever writes for itself takes nothing out of a prefix that another had before; an operator may", () => {
  const all = new Combined(KINDS, []);
  const h2 = entry("h2", ["10.2.0.0/16"], { order: 5n });
  const h3 = entry("h3", ["10.2.0.9/32", "10.3.0.0/16"], { order: 9n });
  all.update("etcd", { put: [h3], removed: [] });
  assert.equal(owners(all)["10.2.0.9/32"], "h3");
  all.update("etcd", { put: [h2], removed: [] });
  assert.deepEqual(owners(all), { "10.2.0.0/16": "h2", "10.3.0.0/16": "h3" });
  assert.deepEqual(all.conflicts(), [
    { source: "etcd", where: "h3", peer: "h3", vip: "10.2.0.9/32", owner: "h2" },
  ]);
  all.update("peers.d", { put: [entry("h4", ["10.2.0.7/32"])], removed: [] });
  assert.equal(owners(all)["10.2.0.7/32"], "h4");
  all.update("etcd", { put: [], removed: ["h2"] });
  assert.equal(owners(all)["10.2.0.9/32"], "h3");
});

Deno.test("there is room for so many peers, whatever source they are of; who waits comes when one goes", () => {
  const all = new Combined(KINDS, [], 2);
  all.update("file", { put: [entry("h2", ["10.2.0.0/24"])], removed: [] });
  const done = all.update("etcd", {
    put: [entry("h3", ["10.3.0.0/24"]), entry("h4", ["10.4.0.0/24"])],
    removed: [],
  });
  assert.deepEqual([done.changed.map(({ id }) => id), all.size], [["h3"], 2]);
  assert.deepEqual(all.conflicts(), [
    { source: "etcd", where: "h4", peer: "h4", owner: "the limit of 2 peers" },
  ]);
  all.update("etcd", { put: [entry("h4", ["10.4.1.0/24"])], removed: [] });
  assert.equal(all.size, 2);
  const freed = all.update("file", { put: [], removed: ["h2"] });
  assert.deepEqual([freed.changed.map(({ vips }) => vips.join()), freed.removed], [
    ["10.4.1.0/24"],
    ["h2"],
  ]);
  assert.deepEqual([all.size, all.conflicts()], [2, []]);
});

Deno.test("whatever comes in whatever order, the directory follows from the records alone", () => {
  const vip = fc.constantFrom(
    "10.0.0.0/8",
    "10.2.0.0/16",
    "10.2.0.1/32",
    "10.2.0.2/32",
    "10.3.0.0/16",
    "fd00::/16",
    "fd00::1/128",
  );
  const step = fc.record({
    source: fc.constantFrom("file", "peers.d", "etcd"),
    where: fc.constantFrom("a", "b", "c", "d"),
    id: fc.constantFrom("h2", "h3", "h4"),
    vips: fc.uniqueArray(vip, { minLength: 1, maxLength: 4 }),
    order: fc.bigInt(1n, 3n),
    gone: fc.boolean(),
    local: fc.option(fc.uniqueArray(vip, { maxLength: 2 })),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const all = new Combined(KINDS, []);
      const seen = new Map<string, PeerConfig>();
      const records = new Map<string, { source: string; entry: Entry }>();
      let local: string[] = [];
      const follow = ({ changed, removed }: ReturnType<Combined["update"]>) => {
        for (const peer of changed) seen.set(peer.id, peer);
        for (const id of removed) assert.ok(seen.delete(id));
      };
      for (const { source, where, id, vips, order, gone, ...more } of steps) {
        const made = entry(id, vips, { where, order });
        if (gone) records.delete(`${source} ${where}`);
        else records.set(`${source} ${where}`, { source, entry: made });
        follow(
          all.update(source, gone ? { put: [], removed: [where] } : { put: [made], removed: [] }),
        );
        if (more.local) follow(all.setLocal(local = more.local));
      }
      const fresh = new Combined(KINDS, local);
      for (const { source, entry } of records.values()) {
        fresh.update(source, { put: [entry], removed: [] });
      }
      assert.deepEqual(owners(all), owners(fresh));
      const plain = (conflicts: ReturnType<Combined["conflicts"]>) =>
        conflicts.map((c) => JSON.stringify(c)).sort();
      assert.deepEqual(plain(all.conflicts()), plain(fresh.conflicts()));
      assert.deepEqual(new Set(seen.keys()), new Set(all.peers().map(({ id }) => id)));
      for (const peer of all.peers()) assert.deepEqual(seen.get(peer.id), peer);
      const taken = all.peers().flatMap(({ vips }) => vips);
      assert.equal(new Set(taken).size, taken.length, "one owner");
      assert.ok(taken.every((vip) => !local.includes(vip)));
    }),
    { numRuns: 300 },
  );
});

Deno.test("one change among very many records is a matter of microseconds", () => {
  const all = new Combined(KINDS, []);
  const of = (i: number, ...more: string[]) =>
    entry(`h${i}`, [`10.${i >> 8}.${i & 255}.0/24`, ...more], { order: BigInt(i) });
  all.update("etcd", { put: Array.from({ length: 10_000 }, (_, i) => of(i)), removed: [] });
  const began = performance.now();
  for (let i = 0; i < 1000; i++) {
    const { changed } = all.update("etcd", {
      put: [of(i, `11.0.${i >> 8}.${i & 255}/32`)],
      removed: [],
    });
    assert.equal(changed.length, 1);
  }
  console.log(`    ${(performance.now() - began).toFixed(0)} us a change`);
});

// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { fixedPorts } from "../../tests/support/fixed_ports.ts";
import { NO_LOG } from "../../tests/support/no_log.ts";
import { type Place, WorkloadTable, type WorkloadTableOptions } from "./workload_table.ts";

const A = "02:00:00:00:00:0a";
const B = "02:00:00:00:00:0b";

function lab(options: Partial<WorkloadTableOptions> = {}) {
  const made = { now: 0, moved: [] as [string, Place | undefined][], said: [] as string[] };
  const table = new WorkloadTable({
    vips: [{ vip: "10.1.0.0/24", dns: [] }],
    rules: [],
    ports: fixedPorts(2, 3, 4),
    clock: { now: () => made.now },
    log: {
      ...NO_LOG,
      info: (message) => made.said.push(message),
      warn: (message) => made.said.push(message),
    },
    perPort: 100,
    moved: (vip, place) => made.moved.push([vip, place && { mac: place.mac, port: place.port }]),
    ...options,
  });
  return Object.assign(made, { table });
}

const place = (mac: string, port: number): Place => ({ mac, port });

Deno.test("the newest claim counts, and is contested when the one before is fresh", () => {
  const l = lab();
  assert.ok(l.table.claim("10.1.0.7", place(A, 2)));
  l.now = 20_000;
  assert.ok(l.table.claim("10.1.0.7", place(A, 3)));
  l.now = 21_000;
  assert.ok(l.table.claim("10.1.0.7", place(B, 4)));
  assert.ok(l.table.claim("10.1.0.7", place(B, 4)));
  assert.deepEqual(l.moved, [
    ["10.1.0.7", place(A, 2)],
    ["10.1.0.7", place(A, 3)],
    ["10.1.0.7", place(B, 4)],
  ]);
  assert.deepEqual(l.said, [
    "A workload has moved",
    "Two ports claim an address: the newest claim counts",
  ]);
  const { "workload-moves": moves, "vip-conflicts": conflicts } = l.table.counters();
  assert.deepEqual([moves, conflicts], [2n, 1n]);
  assert.deepEqual([2, 3, 4].map((port) => l.table.countOf(port)), [0, 0, 1]);
});

Deno.test("other rules and vips: what no longer fits is forgotten, and what is configured is told of", () => {
  const l = lab({ rules: [{ name: "host3", vips: ["10.1.0.9/32"], mac: A }] });
  const vips = [{ vip: "10.1.0.0/24", dns: [] }];
  const isLocal = (vip: string) => vip !== "10.1.0.5";
  for (const [vip, port] of [["10.1.0.5", 2], ["10.1.0.6", 2], ["10.1.0.7", 4]] as const) {
    l.table.claim(vip, place(B, port));
  }
  l.moved.length = 0;
  const rules = [
    { name: "host3", vips: ["10.1.0.8/32"], mac: A },
    { name: "host4", vips: ["10.1.0.6/32", "10.1.0.7/32"], mac: A },
  ];
  l.table.follow({ vips, rules, isLocal });
  assert.deepEqual(Object.fromEntries(l.moved), {
    "10.1.0.5": undefined,
    "10.1.0.6": place(A, 4),
    "10.1.0.7": place(A, 4),
    "10.1.0.8": place(A, 3),
    "10.1.0.9": undefined,
  });
  assert.equal(l.table.claim("10.1.0.6", place(B, 2)), false);
  assert.ok(l.table.claim("10.1.0.9", place(B, 2)), "it is anybody's");
  l.moved.length = 0;
  l.table.follow({ vips, rules, isLocal });
  assert.deepEqual(l.moved, [], "the same again is no change");
});

Deno.test("an address that the configuration gives to a port can be taken by nobody else", () => {
  const l = lab({ rules: [{ name: "host3", vips: ["10.1.0.8/29"], mac: A }] });
  assert.deepEqual(l.table.find("10.1.0.9"), place(A, 3), "found before it says a word");
  assert.equal(l.table.claim("10.1.0.9", place(B, 2)), false);
  assert.equal(l.table.counters()["source-guard"], 1n);
  assert.ok(l.table.claim("10.1.0.9", place(B, 3)));
  assert.equal(l.table.find("10.1.0.9")?.mac, A, "its MAC is the configured one");
  assert.ok(l.table.claim("10.1.0.7", place(B, 3)), "others may be there too");
  assert.deepEqual(l.table.candidates("10.1.0.9").map(({ handle }) => handle), [3]);
  assert.deepEqual(l.table.candidates("10.1.0.7").map(({ handle }) => handle), [2, 3, 4]);
});

Deno.test("a MAC of the configuration stays, wherever its workload is", () => {
  const l = lab({ vips: [{ vip: "10.1.0.7/32", mac: A, dns: [] }], ports: fixedPorts(2) });
  assert.deepEqual(l.table.find("10.1.0.7"), place(A, 2));
  assert.ok(l.table.claim("10.1.0.7", place(B, 2)));
  assert.deepEqual(l.table.find("10.1.0.7")?.mac, A);
});

Deno.test("what is learned is bounded by port: the longest unheard goes, and updates are always taken", () => {
  const l = lab({ perPort: 2 });
  l.table.claim("10.1.0.100", place(A, 3));
  for (const n of [1, 2]) l.table.claim(`10.1.0.${n}`, place(A, 2));
  l.table.claim("10.1.0.1", place(B, 2));
  assert.equal(l.table.find("10.1.0.1")?.mac, B);
  l.table.claim("10.1.0.3", place(A, 2));
  assert.equal(l.table.find("10.1.0.2"), undefined);
  assert.equal(l.table.find("10.1.0.1")?.mac, B);
  assert.equal(l.table.find("10.1.0.100")?.port, 3, "another port's stay");
  assert.deepEqual(l.moved.at(-1), ["10.1.0.2", undefined]);
  assert.equal(l.table.countOf(2), 2);
});

Deno.test("with its port everything behind it goes", () => {
  const l = lab();
  l.table.claim("10.1.0.1", place(A, 2));
  l.table.claim("10.1.0.2", place(A, 3));
  l.table.dropPort(2);
  assert.deepEqual([l.table.find("10.1.0.1"), l.table.find("10.1.0.2")?.port], [undefined, 3]);
  assert.equal(l.table.claim("10.1.0.1", place(A, 9)), false, "there is no such port");
});

Deno.test("the longest unheard come first", () => {
  const l = lab();
  for (const n of [1, 2, 3]) {
    l.now = n;
    l.table.claim(`10.1.0.${n}`, place(A, 2));
  }
  l.now = 4;
  l.table.claim("10.1.0.1", place(A, 2));
  assert.deepEqual([...l.table.heardBefore(4)].map(([vip]) => vip), ["10.1.0.2", "10.1.0.3"]);
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { parseRecords } from "./records.ts";

const RULES = {
  id: "h1",
  pip: "192.0.2.1",
  psp: { mode: "tunnel" as const },
  rpc: { listen: "192.0.2.1:7443" },
  hasVc: true,
};
const H2 = { id: "h2", svc_address: "h2.example:7443", vips: ["10.2.0.0/24"] };

Deno.test("a record is one peer, a list is many, and the own one is none", () => {
  const read = (value: unknown) => parseRecords(JSON.stringify(value), RULES);
  assert.deepEqual(read(H2), {
    peers: [{ id: "h2", svcAddress: "h2.example:7443", vips: ["10.2.0.0/24"] }],
    problems: [],
    skipped: 0,
  });
  assert.equal(read([H2, { ...H2, id: "h3" }]).peers.length, 2);
  assert.deepEqual(read({ ...H2, id: "h1" }), { peers: [], problems: [], skipped: 0 });
  assert.deepEqual(read([]), { peers: [], problems: [], skipped: 0 });
});

Deno.test("a record that cannot be used is left out with its place; those beside it are taken", () => {
  const cases: [text: string, wrong: RegExp][] = [
    [
      '{"id":"h2","id":"h3","svc_address":"x:1","vips":["10.2.0.1"]}',
      /1:12: id: stands there twice/,
    ],
    [
      '{"id":"h2","\\u0069d":"h3","svc_address":"x:1","vips":["10.2.0.1"]}',
      /id: stands there twice/,
    ],
    [
      '{"id":"h2","svc_address":"x:1","vips":["10.2.0.1"],"vc":99999999999999999999}',
      /vc: .*whole number/,
    ],
    [
      '{"id":"h2","svc_address":"x:1","vips":["10.2.0.1"],"__proto__":{}}',
      /__proto__: is not a known key/,
    ],
    ['{"id":"h2","svc_address":"x:1","vips":["10.2.0.1"],"more":1}', /more: is not a known key/],
    [
      '{"id":"h2","svc_address":"192.0.2.1:7443","vips":["10.2.0.1"]}',
      /where this host itself listens/,
    ],
    [
      '{"id":"h2","svc_address":"x:1","pip":"2001:db8::2","vips":["10.2.0.1"]}',
      /different address families/,
    ],
    [
      '{"id":"h2","svc_address":"x:1","vips":["10.2.0.1","10.2.0.1/32"]}',
      /vips\[1\]: 10.2.0.1\/32 is there twice/,
    ],
    [
      '{"id":"h2","svc_address":"x:1","vips":["10.2.0.1@red"]}',
      /vips\[0\]: network "red" is not known here/,
    ],
    ['"h2"', /is not an object/],
    ["7", /is not an object/],
    ["", /is empty/],
    ["{", /is not JSON/],
  ];
  for (const [text, wrong] of cases) {
    const { peers, problems, skipped } = parseRecords(text, RULES);
    assert.deepEqual([peers.length, skipped], [0, 1], text);
    assert.match(problems.join("\n"), wrong);
  }
  const mixed = parseRecords(`[${JSON.stringify(H2)}, {"id": "h3"}, 7]`, RULES);
  assert.deepEqual([mixed.peers.map(({ id }) => id), mixed.skipped], [["h2"], 2]);
});

Deno.test("a vip may be one of a network that is known", () => {
  const { peers } = parseRecords(
    JSON.stringify({ ...H2, vips: ["10.2.0.1@blue"] }),
    { ...RULES, networks: [{ name: "blue" }] },
  );
  assert.deepEqual(peers[0]?.vips, ["10.2.0.1/32@blue"]);
});

Deno.test("of a peer that is in more networks than this host the others are taken, and it is said", () => {
  const { peers, problems, skipped } = parseRecords(
    JSON.stringify({ ...H2, vips: ["10.2.0.1@blue", "10.2.0.1@red", "10.2.0.1"] }),
    { ...RULES, networks: [{ name: "blue" }] },
  );
  assert.deepEqual([peers[0]?.vips, skipped], [["10.2.0.1/32@blue", "10.2.0.1/32"], 0]);
  assert.match(problems.join(), /^1:\d+: vips\[1\]: network "red" is not known here$/);
});

Deno.test("comments and numbers of 64 bits are read as in the file", () => {
  const { peers } = parseRecords(
    '{ "id": "h2", // the second\n "svc_address": "x:1", "vips": ["10.2.0.1"], "vc": 9007199254740993 }',
    RULES,
  );
  assert.equal(peers[0]?.vc, 9007199254740993n);
});

Deno.test("no text makes reading throw, and quick and careful reading agree", () => {
  for (
    const text of [
      "null",
      "true",
      "[[]]",
      '[{"id":"h2"}',
      '{"id": ',
      "\u0000",
      '[null, {"vips":[]}]',
    ]
  ) {
    const { peers, problems } = parseRecords(text, RULES);
    assert.equal(peers.length, 0);
    assert.ok(problems.length > 0, text);
  }
  const text = JSON.stringify([H2, { ...H2, id: "h3", vc: 7, next_hop_mac: "02-00-00-00-00-01" }]);
  assert.deepEqual(parseRecords(text, RULES), parseRecords(`${text} // with care`, RULES));
});

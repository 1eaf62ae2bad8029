// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { openLibrary } from "../../ffi/library.ts";
import { type Backend, backends, offline } from "../../ffi/offline.ts";
import { libraryPath } from "../../tests/support/library.ts";
import { runVectors, type SelftestResult } from "./selftest.ts";

function read(name: string): string {
  return Deno.readTextFileSync(new URL(`../../tests/vectors/${name}`, import.meta.url));
}

function run(text: string, backend: Backend = "auto"): readonly SelftestResult[] {
  using library = openLibrary(libraryPath());
  return runVectors(text, { crypto: offline(library, backend) });
}

function names(): Backend[] {
  using library = openLibrary(libraryPath());
  return backends(library) as Backend[];
}

for (const file of ["psp_packets.json", "psp_malformed.json", "kbkdf_cmac_aes256.json"]) {
  Deno.test(`every backend gives the answers of ${file}`, () => {
    for (const backend of names()) {
      const results = run(read(file), backend);
      assert.ok(results.length > 20);
      assert.deepEqual(results.filter(({ pass }) => !pass), [], backend);
    }
  });
}

Deno.test("a vector that is wrong fails with a reason", () => {
  const vectors = JSON.parse(read("psp_malformed.json"));
  const [result] = run(JSON.stringify([{ ...vectors[0], expect: "short" }]));
  assert.deepEqual(result, {
    name: vectors[0].name,
    pass: false,
    reason: 'the verdict is "ok", not "short"',
  });
});

Deno.test("master keys of the file are used, also around malformed packets", () => {
  const list = JSON.parse(read("psp_malformed.json")).slice(0, 1);
  const mk0 = "00".repeat(32);
  assert.equal(run(JSON.stringify({ mk0, mk1: mk0, cases: list }))[0]?.pass, false);
});

Deno.test("the frame around a vector makes its verdict", () => {
  const { psp } = JSON.parse(read("psp_malformed.json"))[0];
  const outers: readonly (readonly [string, object])[] = [
    ["ok", { pad: 7 }],
    ["ok", { pad: "abcdef" }],
    ["ok", { opts: true }],
    ["ok", { opts: "010101" }],
    ["ok", { v: 6 }],
    ["ok", { v: 6, cs: 0 }],
    ["ok", { v: 6, cs: "good" }],
    ["ok", { cs: true, vlan: 5, opts: 8, pad: true }],
    ["udp-layer", { v: 6, cs: 1 }],
    ["not psp", { dport: 1001 }],
  ];
  const results = run(
    JSON.stringify(
      outers.map(([expect, outer]) => ({ name: JSON.stringify(outer), psp, expect, outer })),
    ),
  );
  assert.deepEqual(results.filter(({ pass }) => !pass), []);
});

Deno.test("a file that holds no vectors is refused", () => {
  for (
    const text of ["{}", "[]", "7", "nonsense", '{"mk0":"00","mk1":"00","list":[{"expect":"ok"}]}']
  ) {
    assert.throws(() => run(text), { name: "ConfigError" });
  }
});

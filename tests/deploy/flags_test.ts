// SPDX-License-Identifier: Apache-2.0

/** The binary may do what the sources may do, and no more. */
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Variables by which the binary finds where to unpack. */
const PLACES = ["STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_CACHE_HOME"];

function permissions(file: string): Map<string, string> {
  const text = Deno.readTextFileSync(ROOT + file).split("\n").filter((l) => !l.startsWith("#"));
  const found = text.join("\n").matchAll(/--((?:allow|deny)-\w+)(?:=['"]?([^\s'\\]*))?/g);
  return new Map([...found].map(([, name = "", value = ""]) => [name, value]));
}

Deno.test("the binary's memory is bounded as that of bin/psp-agent", () => {
  const [sources, binary] = ["bin/psp-agent", "tools/binary/flags"].map((file) =>
    /^\s*--v8-flags=(\S+)/m.exec(Deno.readTextFileSync(ROOT + file))?.[1]
  );
  assert.match(sources ?? "", /heap-growing-percent/);
  assert.equal(binary, sources);
});

Deno.test("the binary's permissions are those of bin/psp-agent", () => {
  const [sources, binary] = [permissions("bin/psp-agent"), permissions("tools/binary/flags")];
  assert.deepEqual([...binary.keys()].sort(), [...sources.keys()].sort());
  for (const name of ["allow-net", "allow-read", "allow-write", "allow-sys"]) {
    assert.equal(binary.get(name), sources.get(name), name);
  }
  const variables = (of: Map<string, string>) => (of.get("allow-env") ?? "").split(",").sort();
  assert.deepEqual(variables(binary), [...new Set([...variables(sources), ...PLACES])].sort());
  const system = (of: Map<string, string>) =>
    (of.get("deny-write") ?? "").split(",").filter((path) => !path.includes("$"));
  assert.deepEqual(system(binary), system(sources));
});

// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { exampleModule } from "../../tools/example.ts";
import { EXAMPLE } from "./example.ts";
import { fromFile, toFile } from "./config.ts";
import { parseConfig } from "./load.ts";
import { fileSchema } from "./schema.ts";

/** Every key of the schema, by walking it: wrappers, lists, alternatives. */
function keysOf(schema: unknown, into = new Set<string>()): Set<string> {
  if (typeof schema !== "object" || schema === null) return into;
  const { pipe, entries, item, wrapped, getter } = schema as Record<string, unknown>;
  if (typeof entries === "object" && entries !== null) {
    for (const [key, value] of Object.entries(entries)) keysOf(value, into.add(key));
  }
  if (Array.isArray(pipe)) { for (const step of pipe) if (step !== schema) keysOf(step, into); }
  keysOf(item, into);
  keysOf(wrapped, into);
  if (typeof getter === "function") {
    for (const input of [{}, { kind: "doca" }]) keysOf(getter(input), into);
  }
  return into;
}

Deno.test("every key is documented in examples/peers.json, which is valid", async () => {
  const text = await Deno.readTextFile(new URL("../../examples/peers.json", import.meta.url));
  const keys = [...keysOf(fileSchema)];
  assert.ok(keys.length > 60, `the walk found ${keys.length} keys`);
  assert.deepEqual(keys.filter((key) => !text.includes(`"${key}":`)), []);
  assert.deepEqual(parseConfig(text, "/etc/psp/peers.json").warnings, []);
});

Deno.test("psp-agent config example prints examples/peers.json", async () => {
  const text = await Deno.readTextFile(new URL("../../examples/peers.json", import.meta.url));
  const module = await Deno.readTextFile(new URL("./example.ts", import.meta.url));
  assert.equal(module, exampleModule(text), "run: deno run -RW tools/example.ts");
  assert.equal(EXAMPLE, text);
});

Deno.test("every key has its own name in the agent, and finds back to the file's", () => {
  const keys = [...keysOf(fileSchema)];
  const ours = fromFile(Object.fromEntries(keys.map((key) => [key, "x"])), "/");
  assert.deepEqual(Object.keys(toFile(ours)), keys);
  // "Ms" at the end of a name says that it is a span of time.
  assert.deepEqual(keys.filter((key) => key.endsWith("_ms")), []);
});

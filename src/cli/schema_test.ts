// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { judge } from "../../tests/support/json_schema.ts";
import { outputSchema } from "../rpc/output_schema.ts";
import { COMMANDS } from "./commands.ts";
import { json } from "./io.ts";

const DEFS = outputSchema()["$defs"] as Readonly<Record<string, Record<string, unknown>>>;

Deno.test("docs/psp-agent.schema.json is what the program prints", async () => {
  const url = new URL("../../docs/psp-agent.schema.json", import.meta.url);
  const how = "run: bin/psp-agent schema > docs/psp-agent.schema.json";
  assert.equal(await Deno.readTextFile(url), json(outputSchema()), how);
});

Deno.test("every command that prints the API's JSON is in the schema", () => {
  const names = COMMANDS.flatMap((entry) =>
    "parser" in entry && JSON.stringify(entry.parser.usage).includes('"--output"')
      ? [entry.name]
      : []
  );
  assert.ok(names.length > 12);
  for (const name of names) assert.ok(DEFS[`command ${name}`] !== undefined, name);
  const others = Object.keys(DEFS).flatMap((name) => /^command (.*)/.exec(name)?.[1] ?? []);
  assert.deepEqual(others.sort(), names.sort());
});

Deno.test("the schema finds what is of another type, out of range, or unknown", () => {
  const wrong = (value: unknown) => judge(value, DEFS["psp.v1.Sa"] ?? {}, { defs: DEFS });
  const sa = {
    spi: 0x9a345678,
    version: "PSP_VERSION_AES_GCM_256",
    createdAt: "2026-11-26T17:05:28.266Z",
    packets: "18446744073709551615",
    bytes: "0",
  };
  assert.deepEqual(wrong(sa), []);
  assert.equal(wrong({ ...sa, packets: 3 }).length, 1);
  assert.equal(wrong({ ...sa, spi: -1 }).length, 1);
  assert.equal(wrong({ ...sa, version: "aes" }).length, 1);
  assert.equal(wrong({ ...sa, createdAt: "yesterday" }).length, 1);
  assert.equal(wrong({ ...sa, key: "" }).length, 1);
});

// SPDX-License-Identifier: Apache-2.0

/** The worked example of docs/tenants.md is a configuration. */
import assert from "node:assert/strict";
import { parseConfig } from "../../src/config/load.ts";

Deno.test("the example of docs/tenants.md is a configuration without a remark", async () => {
  const text = await Deno.readTextFile(new URL("../../docs/tenants.md", import.meta.url));
  const example = /```jsonc\n([^]*?)```/.exec(text)?.[1];
  assert.ok(example !== undefined);
  const { config, warnings } = parseConfig(example, "peers.json");
  assert.deepEqual(warnings, []);
  assert.deepEqual(config.vips.map(({ vip }) => vip), ["10.1.0.0/24@blue", "10.1.0.0/24@red"]);
});

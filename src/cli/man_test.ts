// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { COMMANDS } from "./commands.ts";
import { manual } from "./man.ts";

Deno.test("the manual page knows every command with its options and examples", () => {
  const page = manual().replaceAll("\\-", "-");
  for (const entry of COMMANDS) {
    for (const command of "commands" in entry ? entry.commands : [entry]) {
      for (const example of command.examples) assert.ok(page.includes(`  ${example}\n`), example);
    }
  }
  assert.match(page, /^\.TH PSP-AGENT 1 /);
  assert.match(page, /\n\.TP\n-c\/--config FILE\nThe configuration, see examples\/peers\.json\.\n/);
  assert.doesNotMatch(page, /undefined|\p{Cc}(?<!\n)/u);
});

Deno.test("docs/psp-agent.1 is what the program prints", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/psp-agent.1", import.meta.url));
  assert.equal(page, manual(), "run: bin/psp-agent man > docs/psp-agent.1");
});

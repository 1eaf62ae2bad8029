// SPDX-License-Identifier: Apache-2.0

/**
 * The stories of two hosts, told by the binary: PSP_AGENT_BIN is tests/binary/alone, which runs the file in
 * a root without anything else.
 */
import assert from "node:assert/strict";
import { AGENT_BIN } from "../support/agent_process.ts";
import { story } from "../support/story.ts";
import "../e2e/first_packet_test.ts";
import "../e2e/kill_restart_test.ts";
import "../e2e/sigterm_test.ts";

story("the page is in the binary", {}, async ({ start }) => {
  const h1 = await start("h1");
  const { status, body } = await h1.get("/");
  assert.equal(status, 200, body);
  assert.match(body, /^<!DOCTYPE html>[^]*<script type="module">.{10000}/);
});

Deno.test("these stories are the binary's", () => {
  assert.match(AGENT_BIN, /tests\/binary\/alone$/);
});

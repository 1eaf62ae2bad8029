// SPDX-License-Identifier: Apache-2.0

/** docs/protocol.md draws what the core does, and its timers are those of the core. */
import assert from "node:assert/strict";
import type { AskingState } from "../../src/core/initiator.ts";
import type { ResponderState } from "../../src/core/responder.ts";
import * as limits from "../../src/core/limits.ts";
import { transitions } from "./machine.ts";
import { drawings, withDrawings } from "./protocol_doc.ts";

const TEXT = Deno.readTextFileSync(new URL("../../docs/protocol.md", import.meta.url));

Deno.test("docs/protocol.md has the drawings of tests/explore/protocol_doc.ts", async () => {
  assert.equal(withDrawings(TEXT, await drawings()), TEXT, "run it: it draws them anew");
});

Deno.test("docs/protocol.md names timers with their values", () => {
  const rows = [...TEXT.matchAll(/^\| `([A-Z_]+)` +\| (\d+) /gm)];
  assert.ok(rows.length > 15);
  const all: Readonly<Record<string, unknown>> = limits;
  for (const [, name = "", value] of rows) assert.equal(String(all[name]), value, name);
});

Deno.test("docs/protocol.md tells of every event of a tunnel", () => {
  const events = new Set(transitions().map(({ event }) => event));
  for (const event of events) assert.ok(TEXT.includes(`\`${event}\``), event);
});

/** Every state of asking a peer, and of a peer's request: the compiler says when one is missing. */
const ASKING: Readonly<Record<AskingState["kind"], true>> = {
  idle: true,
  gathering: true,
  pacing: true,
  pausing: true,
  queueing: true,
  offering: true,
  calling: true,
  resting: true,
  queueing_again: true,
  doubting: true,
  hearing: true,
  using: true,
  failing: true,
  ending: true,
};
const ANSWERING: Readonly<Record<ResponderState["kind"], true>> = {
  new: true,
  asked: true,
  judging: true,
  deriving: true,
  granting: true,
  over: true,
};

Deno.test("docs/protocol.md tells of every state of asking and answering", () => {
  for (const kind of [...Object.keys(ASKING), ...Object.keys(ANSWERING)]) {
    assert.ok(TEXT.includes(`\`${kind}\``), `${kind} is not told of`);
  }
});

// SPDX-License-Identifier: Apache-2.0

/** docs/protocol.md draws what the core does, and its timers are those of the core. */
import assert from "node:assert/strict";
import * as limits from "../../src/core/limits.ts";
import { ANSWERING } from "./machines/answering.ts";
import { ASKING } from "./machines/asking.ts";
import { transitionsOf } from "./machines/machine.ts";
import { TUNNEL } from "./machines/tunnel.ts";
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
  const events = new Set(transitionsOf(TUNNEL).map(({ event }) => event));
  for (const event of events) assert.ok(TEXT.includes(`\`${event}\``), event);
});

Deno.test("docs/protocol.md tells of every state of asking and answering", () => {
  const all = [...transitionsOf(ASKING), ...transitionsOf(ANSWERING)];
  for (const kind of new Set(all.map(({ to }) => to))) {
    assert.ok(TEXT.includes(`\`${kind}\``), `${kind} is not told of`);
  }
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { EventKind } from "../model/events.ts";
import type { Log } from "../model/log.ts";
import { EventLog, KEPT_EVENTS, KEPT_MS } from "./event_log.ts";

/** A log with a clock of its own. */
function world(path?: string) {
  let now = 1000;
  const lines: string[] = [];
  const at = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
  const log: Log = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  const options = { log, now: () => now, wallMs: () => 1_700_000_000_000 + now };
  const events = new EventLog(path === undefined ? options : { ...options, path });
  const pass = (ms: number) => {
    now += ms;
    events.tick();
  };
  return { events, lines, pass };
}

const ALL = { limit: 100_000 };

Deno.test("events have growing cursors, and are found by cursor, age, peer and kind", () => {
  const { events, pass } = world();
  events.add("agent-ready");
  pass(60_000);
  events.add("tunnel-opened", { peer: "h2", rxSpi: 7 });
  events.add("tunnel-closed", { peer: "h3", reason: "idle" });
  assert.deepEqual(events.list(ALL).map(({ cursor }) => cursor), [1, 2, 3]);
  const kinds = (query: Parameters<typeof events.watch>[0]) =>
    events.list({ ...query, ...ALL }).map(({ kind }) => kind);
  assert.deepEqual(kinds({ after: 2 }), ["tunnel-closed"]);
  assert.deepEqual(kinds({ sinceMs: 1_700_000_060_000 }), ["tunnel-opened", "tunnel-closed"]);
  assert.deepEqual(kinds({ peer: "h2" }), ["tunnel-opened"]);
  assert.deepEqual(kinds({ kinds: ["tunnel-closed", "agent-ready"] }), [
    "agent-ready",
    "tunnel-closed",
  ]);
  assert.equal(events.list({ limit: 2 }).length, 2);
});

Deno.test("an hour is kept, and never more than a number", () => {
  const { events, pass } = world();
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 1000; i++) events.add("tunnel-opened", { peer: `h${i}` });
    pass(1000);
    assert.ok(events.list(ALL).length <= 1.1 * KEPT_EVENTS);
  }
  pass(KEPT_MS + 1);
  assert.deepEqual(events.list(ALL), []);
  events.add("agent-ready");
  assert.equal(events.list(ALL)[0]?.cursor, 20_001);
});

Deno.test("who causes many for one reason has a few a second, the others are a number, and nobody else waits", () => {
  const { events, lines, pass } = world();
  for (let i = 0; i < 1000; i++) events.add("tunnel-opened", { peer: "loud" });
  events.add("tunnel-opened", { peer: "quiet" });
  events.add("tunnel-closed", { peer: "loud" });
  assert.equal(events.list({ ...ALL, peer: "quiet" }).length, 1);
  assert.equal(events.list({ ...ALL, kinds: ["tunnel-closed"] }).length, 1);
  assert.equal(events.list({ ...ALL, peer: "loud" }).length, 21);
  assert.equal(lines.length, 22);
  for (let s = 0; s < 20; s++) pass(1000);
  const loud = events.list({ ...ALL, peer: "loud", kinds: ["tunnel-opened"] });
  assert.equal(loud.reduce((sum, { count }) => sum + count, 0), 1000);
  assert.ok(loud.length < 30);
});

Deno.test("who names ever new reasons takes a bounded place", () => {
  const { events, pass } = world();
  for (let i = 0; i < 50_000; i++) events.add("request-refused", { peer: "h2", reason: `r${i}` });
  assert.ok(events.list(ALL).length < 5000);
  for (let s = 0; s < 60; s++) pass(1000);
  events.add("request-refused", { peer: "h3", reason: "x" });
  assert.equal(events.list({ ...ALL, peer: "h3" }).length, 1);
});

Deno.test("whoever watches gets what is kept, then what comes, in order and once", async () => {
  const { events } = world();
  events.add("agent-ready");
  events.add("tunnel-opened", { peer: "h2" });
  const stop = new AbortController();
  const seen: number[] = [];
  for await (const { cursor } of events.watch({ after: 1 }, stop.signal)) {
    seen.push(cursor);
    if (cursor === 2) setTimeout(() => events.add("tunnel-opened", { peer: "h3" }));
    if (cursor === 3) {
      events.add("rotated");
      events.add("agent-stopping");
    }
    if (cursor === 5) stop.abort();
  }
  assert.deepEqual(seen, [2, 3, 4, 5]);
});

Deno.test("the next start knows the events of the last one, and goes on counting", () => {
  const dir = Deno.makeTempDirSync();
  try {
    const path = `${dir}/events.db`;
    const first = world(path);
    first.events.add("tunnel-opened", { peer: "h2", txSpi: 0x8000_0001, message: 'a "word"' });
    const before = first.events.list(ALL);
    first.events[Symbol.dispose]();
    assert.equal((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
    const second = world(path);
    second.events.add("agent-ready");
    const after = second.events.list(ALL);
    assert.deepEqual(
      after.slice(0, 1).map(({ cursor, peer, txSpi, message }) => [cursor, peer, txSpi, message]),
      before.map(({ cursor, peer, txSpi, message }) => [cursor, peer, txSpi, message]),
    );
    assert.equal(after[1]?.cursor, 2);
    second.pass(KEPT_MS + 1);
    second.events[Symbol.dispose]();
    const third = world(path);
    assert.deepEqual(third.events.list(ALL), []);
    third.events.add("agent-ready");
    assert.equal(third.events.list(ALL)[0]?.cursor, 3);
    third.events[Symbol.dispose]();
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("a file that is no database costs the old events, and nothing else", () => {
  const dir = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(`${dir}/events.db`, "this is no database".repeat(100));
    const { events, lines } = world(`${dir}/events.db`);
    events.add("agent-ready");
    events[Symbol.dispose]();
    assert.deepEqual(lines, []);
    const gone = world(`${dir}/absent/events.db`);
    gone.events.add("agent-ready");
    assert.equal(gone.events.list(ALL).length, 1);
    assert.equal(gone.lines.length, 1);
    gone.events[Symbol.dispose]();
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("who refused whom is known of each peer, and why", () => {
  const table: readonly (readonly [EventKind, string, string, string | undefined])[] = [
    ["request-refused", "denied-identity", '"h2" is denied', "this host"],
    ["peer-failing", "permission-denied", '[permission_denied] "h1" is denied', "the peer"],
    ["peer-failing", "unauthenticated", "[unauthenticated] Cannot trust it", "this host"],
    ["peer-failing", "unavailable", "[unavailable] Cannot reach it", undefined],
    ["tunnel-failed", "refused", "permission_denied: not yours", "the peer"],
    ["tunnel-failed", "refused", "[unauthenticated] Cannot trust it", "this host"],
    ["tunnel-failed", "refused", "bad answer: no key", "this host"],
    ["tunnel-failed", "peer-unreachable", "[unavailable] Cannot reach it", undefined],
    ["tunnel-opened", "", "", undefined],
  ];
  for (const [kind, reason, message, by] of table) {
    const { events, pass } = world();
    events.add(kind, { peer: "h2", reason, message });
    const { atMs: _, ...found } = events.refusal("h2") ?? { atMs: 0 };
    assert.deepEqual(found, by === undefined ? {} : { by, reason, message }, `${kind} ${reason}`);
    assert.equal(events.refusal("h3"), undefined);
    pass(KEPT_MS + 1);
    assert.equal(events.refusal("h2"), undefined, "as long as events are kept");
  }
});

Deno.test("of very many causes a tick tells a few, each in its turn", () => {
  const { events, pass } = world();
  for (let i = 0; i < 500; i++) {
    for (let n = 0; n < 25; n++) events.add("tunnel-opened", { peer: `h${i}` });
  }
  const told = () => events.list(ALL).length;
  const least = () =>
    Math.min(
      ...Array.from({ length: 500 }, (_, i) =>
        events.list({ ...ALL, peer: `h${i}` }).reduce((sum, { count }) => sum + count, 0)),
    );
  const before = told();
  pass(1000);
  assert.equal(told() - before, 200);
  assert.equal(least(), 20);
  pass(1000);
  pass(1000);
  assert.equal(least(), 25);
});

Deno.test("very many events are written tick by tick, and all of them at the end", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const path = `${dir}/events.db`;
    const { events, pass } = world(path);
    const rows = () => {
      using db = new DatabaseSync(path);
      return Number(db.prepare("SELECT count(*) AS n FROM event").get()?.n);
    };
    for (let i = 0; i < 5000; i++) events.add("tunnel-opened", { peer: `h${i % 4000}` });
    pass(1000);
    assert.equal(rows(), 1000);
    pass(1000);
    assert.equal(rows(), 2000);
    for (let s = 0; s < 4; s++) pass(1000);
    assert.equal(rows(), 5000);
    pass(KEPT_MS);
    pass(1000);
    assert.equal(rows(), 4000);
    for (let i = 0; i < 3000; i++) events.add("tunnel-closed", { peer: `h${i}`, reason: "idle" });
    events[Symbol.dispose]();
    assert.equal(rows(), 3000);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

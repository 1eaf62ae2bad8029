// SPDX-License-Identifier: Apache-2.0

/** What hosts tell of a tunnel's life. */
import assert from "node:assert/strict";
import { type Host, world } from "../../tests/support/core_world.ts";
import { happened } from "./tunnel_table.ts";
import { CLOSED } from "./tunnel.ts";

function told({ events }: Host): string[] {
  return events.splice(0).map(({ kind, reason, role }) =>
    [kind, reason, role].filter((word) => word !== undefined).join(" ")
  );
}

Deno.test("a step that changes nothing is no event", () => {
  const step = { before: CLOSED, after: CLOSED, event: { type: "tick" as const } };
  assert.equal(happened({ ...step, lastError: "", now: 0 }), undefined);
});

Deno.test("opening, rekeying and closing are told on both ends, with pair, peer and SPIs", async () => {
  await using w = world({ changes: { tunnel: { lifeMs: 60_000, idleMs: 100_000 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(100);
  const [opened] = h1.events;
  assert.equal(opened?.peer, "h2");
  assert.equal(opened?.remoteVip, h2.vip());
  assert.equal(opened?.txSpi, h2.events[0]?.rxSpi);
  assert.equal(opened?.rxSpi, h2.events[0]?.txSpi);
  assert.ok((opened?.durationMs ?? -1) >= 0);
  assert.deepEqual(told(h1), ["tunnel-opened initiator"]);
  assert.deepEqual(told(h2), ["tunnel-opened responder"]);
  await w.clock.advance(60_000);
  const either = [...told(h1), ...told(h2)];
  assert.ok(either.includes("tunnel-rekeyed initiator"), either.join());
  assert.ok(either.includes("tunnel-rekeyed responder"), either.join());
  await w.clock.advance(200_000);
  for (const host of [h1, h2]) {
    const closed = told(host).filter((event) => event.startsWith("tunnel-closed"));
    assert.equal(closed.length, 1);
    assert.match(closed[0] ?? "", / (idle|closed-by-peer)$/);
  }
});

Deno.test("who refuses and who is refused tell the same", async () => {
  await using w = world({ changes: [{}, { security: { deny: ["h1"] } }] });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(5000);
  const failed = h1.events.find(({ kind }) => kind === "tunnel-failed");
  const refused = h2.events.find(({ kind }) => kind === "request-refused");
  assert.equal(failed?.reason, "refused");
  assert.equal(refused?.reason, "permission-denied");
  assert.equal(refused?.peer, "h1");
  assert.equal(failed?.message, refused?.message);
});

Deno.test("a peer that fails is told once, and that it is back once", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h2.kill();
  for (let i = 0; i < 20; i++) {
    h1.send(h2, { from: i + 1 });
    await w.clock.advance(2000);
  }
  h2.restart();
  for (let i = 0; i < 40; i++) {
    h1.send(h2);
    await w.clock.advance(2000);
  }
  const peer = told(h1).filter((event) => event.startsWith("peer-"));
  assert.equal(peer.filter((event) => event.startsWith("peer-failing")).length, 1, peer.join());
  assert.equal(peer.filter((event) => event === "peer-back").length, 1, peer.join());
});

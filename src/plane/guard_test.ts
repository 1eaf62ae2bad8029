// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import type { PortGuard } from "../../ffi/plane.ts";
import type { NamedPort } from "./links.ts";
import { GuardWatch } from "./guard.ts";

const PORTS: readonly NamedPort[] = [
  { role: "uplink", handle: 1, interface: "p0" },
  { role: "host", handle: 2, interface: "vf0" },
];
const STANDS: PortGuard = { state: "stands", restored: 0 };

/** A watch over what the test says of the host port; the uplink's guard stands. */
function watch(look: () => PortGuard) {
  const lines: string[] = [];
  const say = (level: string) => (message: string, fields: Record<string, unknown> = {}) =>
    lines.push(`${level} ${message} ${fields["interface"]} ${fields["reason"] ?? ""}`.trim());
  const guard = new GuardWatch({
    query: (handle) => ({ guard: handle === 2 ? look() : STANDS, present: true }),
    ports: () => PORTS,
    log: { error: say("error"), warn: say("warn") },
  });
  return { guard, lines };
}

Deno.test("a guard that stands is nothing to talk of", () => {
  const { guard, lines } = watch(() => STANDS);
  for (let i = 0; i < 3; i++) guard.tick();
  assert.deepEqual(lines, []);
  assert.deepEqual(guard.counters(), { "guard-restored": 0n, "guard-absent": 0n });
});

Deno.test("that there is none from the start is said once, with the reason, and counted", () => {
  const { guard, lines } = watch(() => ({ state: "absent", reason: "no-right", restored: 0 }));
  for (let i = 0; i < 3; i++) guard.tick();
  assert.deepEqual(lines, [
    "warn No ingress guard: this host's kernel works on what comes in vf0 CAP_NET_ADMIN is missing",
  ]);
  assert.deepEqual(guard.counters(), { "guard-restored": 0n, "guard-absent": 3n });
});

Deno.test("what is true of both interfaces is one line", () => {
  const absent: PortGuard = { state: "absent", reason: "no-kernel", restored: 0 };
  const lines: unknown[] = [];
  const guard = new GuardWatch({
    query: () => ({ guard: absent, present: true }),
    ports: () => PORTS,
    log: { error: () => assert.fail(), warn: (_, fields) => lines.push(fields) },
  });
  guard.tick();
  const reason = "the kernel has no nftables with netdev chains and owners of tables (Linux 5.12)";
  assert.deepEqual(lines, [{ interface: "p0, vf0", reason }]);
});

Deno.test("a guard that is put back is said each time; one that stays away once, as an error", () => {
  let now: PortGuard = STANDS;
  const { guard, lines } = watch(() => now);
  guard.tick();
  now = { state: "stands", restored: 1 };
  guard.tick();
  guard.tick();
  now = { state: "absent", reason: "refused", restored: 1 };
  guard.tick();
  guard.tick();
  now = { state: "stands", restored: 2 };
  guard.tick();
  assert.deepEqual(lines, [
    "warn The ingress guard was gone and has been put back vf0",
    "error The ingress guard is gone and cannot be put back vf0 the kernel refused it",
    "warn The ingress guard was gone and has been put back vf0",
  ]);
  assert.deepEqual(guard.counters(), { "guard-restored": 2n, "guard-absent": 2n });
});

Deno.test("a guard that is switched off, or has nothing to do, is no news", () => {
  for (const state of ["off", "not-applicable"] as const) {
    const { guard, lines } = watch(() => ({ state, restored: 0 }));
    guard.tick();
    assert.deepEqual(lines, []);
    assert.equal(guard.counters()["guard-absent"], 0n);
    assert.equal(guard.guardOf(2).state, state);
  }
});

Deno.test("an interface that is gone keeps the state of its last look", () => {
  let gone = false;
  const { guard, lines } = watch(() => {
    if (gone) throw new Error("gone");
    return STANDS;
  });
  guard.tick();
  gone = true;
  guard.tick();
  assert.deepEqual(lines, []);
  assert.deepEqual([1, 2].map((handle) => guard.guardOf(handle)), [STANDS, STANDS]);
});

Deno.test("a port that has gone keeps its share of what was counted", () => {
  let ports = PORTS;
  const guard = new GuardWatch({
    query: (handle) => ({ guard: { state: "stands", restored: handle }, present: true }),
    ports: () => ports,
    log: { error: () => {}, warn: () => {} },
  });
  guard.tick();
  assert.equal(guard.counters()["guard-restored"], 3n);
  ports = PORTS.slice(0, 1);
  guard.tick();
  guard.tick();
  assert.equal(guard.counters()["guard-restored"], 3n);
});

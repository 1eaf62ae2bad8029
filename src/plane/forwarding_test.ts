// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import type { PortInfo } from "../../ffi/plane.ts";
import { ForwardingGuard } from "./forwarding.ts";

Deno.test("forwarding that is switched on later is said at once and every minute, and counted", () => {
  let forwards: PortInfo["forwards"] = [];
  let now = 0;
  const lines: string[] = [];
  const guard = new ForwardingGuard({
    query: () => ({ forwards }),
    ports: () => [{ role: "host", handle: 2, interface: "pf0vf0" }],
    log: {
      error: (message, { reason } = {}) => lines.push(`${message}: ${reason}`),
      info: (message) => lines.push(message),
    },
    now: () => now,
  });
  const look = (seconds: number) => {
    for (; seconds > 0; seconds--, now += 1000) guard.tick();
  };
  look(3);
  assert.deepEqual(lines, []);
  forwards = ["ipv4", "ipv6"];
  look(61);
  const said = "The kernel forwards packets of workloads in clear text: set what reason says: " +
    "sysctl -w net.ipv4.conf.pf0vf0.forwarding=0 net.ipv6.conf.pf0vf0.disable_ipv6=1";
  assert.deepEqual(lines, [said, said]);
  assert.deepEqual(guard.counters(), { "kernel-forwards": 61n });
  forwards = [];
  look(2);
  assert.deepEqual(lines.slice(2), ["The kernel does not forward packets of workloads any more"]);
});

Deno.test("an interface that cannot be asked forwards nothing", () => {
  const guard = new ForwardingGuard({
    query: () => {
      throw new Error("gone");
    },
    ports: () => [{ role: "host", handle: 2, interface: "pf0vf0" }],
    log: { error: () => assert.fail(), info: () => assert.fail() },
    now: () => 0,
  });
  guard.tick();
  assert.deepEqual(guard.counters(), { "kernel-forwards": 0n });
});

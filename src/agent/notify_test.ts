// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type NotifyOptions, openNotify, statusLine } from "./notify.ts";

function scene(change: Partial<NotifyOptions> = {}) {
  const said: string[] = [];
  const warned: string[] = [];
  const timers: { ms: number; tick: () => void; running: boolean }[] = [];
  const notify = openNotify({
    socket: "/run/notify",
    watchdogUsec: undefined,
    watchdogPid: undefined,
    pid: 7,
    send: (_, text) => said.push(text),
    every: (ms, tick) => {
      const timer = { ms, tick, running: true };
      timers.push(timer);
      return () => timer.running = false;
    },
    log: { warn: (message) => warned.push(message) },
    ...change,
  });
  return { notify, said, warned, timers };
}

Deno.test("ready, reload and stop are told in the manager's words", () => {
  const { notify, said } = scene();
  notify.ready("serves 2 peers");
  notify.reloading();
  notify.ready();
  notify.stopping();
  assert.deepEqual(said, [
    "READY=1\nSTATUS=serves 2 peers",
    "RELOADING=1",
    "READY=1",
    "STOPPING=1\nSTATUS=stopping",
  ]);
});

Deno.test("a status is told once, in one line", () => {
  const { notify, said } = scene();
  for (const line of ["a", "a", "b\nREADY=1", "b\nREADY=1"]) notify.status(line);
  assert.deepEqual(said, ["STATUS=a", "STATUS=b READY=1"]);
});

Deno.test("the pulse is half of the timeout, starts when ready and ends when disposed of", () => {
  const { notify, said, timers } = scene({ watchdogUsec: "30000000", watchdogPid: "7" });
  assert.equal(timers.length, 0);
  notify.ready();
  notify.ready();
  assert.deepEqual(timers.map(({ ms }) => ms), [15_000]);
  timers[0]?.tick();
  assert.equal(said.at(-1), "WATCHDOG=1");
  notify[Symbol.dispose]();
  assert.equal(timers[0]?.running, false);
});

Deno.test("a watchdog that is another process's, or none, has no pulse", () => {
  for (
    const change of [
      { watchdogUsec: "30000000", watchdogPid: "8" },
      { watchdogUsec: "0" },
      { watchdogUsec: "soon" },
      { watchdogUsec: "30000000", socket: undefined },
    ]
  ) assert.equal(scene(change).notify.pulseMs, undefined, JSON.stringify(change));
});

Deno.test("without a socket nothing is said", () => {
  const { notify, said } = scene({ socket: undefined });
  notify.ready("x");
  notify.stopping();
  assert.deepEqual(said, []);
});

Deno.test("a manager that cannot be reached is a warning once, and nothing else", () => {
  const { notify, warned } = scene({
    send: () => {
      throw new Error("nobody there");
    },
  });
  notify.ready();
  notify.status("x");
  assert.deepEqual(warned, ["The service manager cannot be told"]);
});

Deno.test("the status line counts peers and tunnels, trouble only when there is some", () => {
  const tunnels = { up: 3, rekeying: 1, opening: 0, failed: 0, unconfirmed: 0 };
  assert.equal(statusLine({ peersTotal: 0, tunnels }), "0 peers, 4 tunnels up");
  assert.equal(
    statusLine({ peersTotal: 0, tunnels: { ...tunnels, opening: 2, failed: 1, unconfirmed: 3 } }),
    "0 peers, 4 tunnels up, 3 unconfirmed, 2 opening, 1 failed",
  );
});

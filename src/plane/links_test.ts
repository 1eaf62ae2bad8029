// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { LinkWatch } from "./links.ts";

Deno.test("each change of an interface is said once", () => {
  const state = { uplink: "up", host: "up" };
  const said: string[] = [];
  const say = (level: string) => (message: string, fields: object = {}) =>
    said.push(`${level} ${message} ${JSON.stringify(fields)}`);
  const watch = new LinkWatch({
    query: (handle) => {
      const port = handle === 1 ? "uplink" : "host";
      if (state[port] === "unknown") throw new Error("EIO");
      return { linkUp: state[port] === "up", present: state[port] !== "gone" };
    },
    ports: () => [
      { role: "uplink", handle: 1, interface: "p0" },
      { role: "host", handle: 2, interface: "vf0" },
    ],
    log: { warn: say("warn"), info: say("info") },
  });
  const steps: [typeof state, string[]][] = [
    [{ uplink: "up", host: "up" }, []],
    [{ uplink: "up", host: "down" }, [
      'warn An interface is down: nothing passes {"interface":"vf0","port":"host"}',
    ]],
    [{ uplink: "up", host: "down" }, []],
    [{ uplink: "gone", host: "up" }, [
      "warn An interface is gone: nothing passes until there is one of its name " +
      '{"interface":"p0","port":"uplink"}',
      'info An interface is up again {"interface":"vf0","port":"host"}',
    ]],
    [{ uplink: "unknown", host: "up" }, []],
    [{ uplink: "up", host: "up" }, [
      'info An interface is up again {"interface":"p0","port":"uplink"}',
    ]],
  ];
  for (const [next, expected] of steps) {
    Object.assign(state, next);
    said.length = 0;
    watch.tick();
    watch.tick();
    assert.deepEqual(said, expected);
  }
});

Deno.test("each port has its own state, and one that has gone is no fault", () => {
  const down = new Set<number>();
  let handles = [2, 3, 4];
  const watch = new LinkWatch({
    query: (handle) => ({ linkUp: !down.has(handle), present: true }),
    ports: () => handles.map((handle) => ({ role: "host", handle, interface: `tap${handle}` })),
    log: { warn: () => {}, info: () => {} },
  });
  down.add(3);
  watch.tick();
  assert.deepEqual(watch.faults().map(({ text }) => text), ["interface tap3 is down"]);
  assert.deepEqual([2, 3, 4].map((handle) => watch.stateOf(handle)), ["up", "down", "up"]);
  handles = [2, 4];
  watch.tick();
  assert.deepEqual(watch.faults(), []);
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { STATUS } from "../../tests/rpc/status_lab.ts";
import { warningsOf } from "./health.ts";
import type { StatusView } from "./status.ts";

const NOW = 1_700_000_000_000;
const [PEER] = STATUS.peers;
const [UPLINK] = STATUS.plane.ports;
if (PEER === undefined || UPLINK === undefined) throw new Error("the view has a peer and a port");

const LATE: StatusView["eventLoop"] = {
  ...STATUS.eventLoop,
  p99Ms: 150,
  buckets: [{ leMs: Infinity, looks: 9000 }],
};

/** All is well. */
const WELL: StatusView = {
  ...STATUS,
  peers: [{ ...PEER, state: "up" }],
  plane: { ...STATUS.plane, ports: [UPLINK] },
};

Deno.test("a host that is well has nothing to say", () => {
  assert.deepEqual(warningsOf(WELL, NOW), []);
});

Deno.test("each thing that is wrong has a name, its words and what to do, the worst first", () => {
  const rows: readonly [string, Partial<StatusView>, RegExp][] = [
    ["plane-fault", { faults: ["interface p0 is gone"] }, /interface p0 is gone/],
    ["draining", { draining: true }, /ending/],
    ["kernel-forwards", { counters: { "kernel-forwards": 1n } }, /clear text/],
    ["peer-failing", { peers: STATUS.peers }, /h2 fail: a "quoted" text/],
    ["guard-absent", { plane: STATUS.plane }, /host0/],
    ["certificate-ends", { certificateExpiresAtMs: NOW + 3 * 86_400_000 }, /in 3 days/],
    ["certificate-ends", { certificateExpiresAtMs: NOW - 1 }, /has ended/],
    ["event-loop-late", { eventLoop: LATE }, /150 ms late/],
  ];
  for (const [name, change, text] of rows) {
    const [warning, ...others] = warningsOf({ ...WELL, ...change }, NOW);
    assert.equal(warning?.name, name);
    assert.match(warning?.text ?? "", text);
    assert.ok((warning?.action.length ?? 0) > 10, name);
    assert.deepEqual(others, []);
  }
  const all = Object.assign({}, WELL, ...rows.map(([, change]) => change));
  const severities = warningsOf(all, NOW).map(({ severity }) => severity);
  assert.deepEqual(severities, [...severities].sort());
});

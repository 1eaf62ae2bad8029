// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import type { TunnelRecord } from "../model/sa_record.ts";
import type { Up } from "./tunnel.ts";
import { Recorder } from "./ticker.ts";
import { rx, tx } from "../../tests/support/sas.ts";
import type { Tunnel } from "./tunnel_table.ts";

const TX = tx(1);
const UP: Up = { kind: "up", tx: TX, rx: [rx(1, { confirmed: true })], openedAt: 0, usedAt: 0 };

/** A recorder, what it wrote, and its clock. */
function begin() {
  const put: TunnelRecord[] = [];
  const store = { put: (record: TunnelRecord) => void put.push(record), remove: () => {} };
  const clock = {
    ms: 0,
    now: () => clock.ms,
    wallMs: () => clock.ms,
    sleep: () => Promise.reject(),
  };
  const recorder = new Recorder(store, clock, 1n);
  const { localVip, remoteVip } = TX.sa;
  const seen = (state: Up) => {
    const pair = { localVip, remoteVip };
    recorder.changed({ key: "", row: 0, pair, peer: "h2", state, lastError: "" } satisfies Tunnel);
  };
  return { put, clock, seen };
}

Deno.test("a tunnel at rest is written once, however often it is looked at", () => {
  const { put, clock, seen } = begin();
  for (; clock.ms < 600_000; clock.ms += 5000) seen({ ...UP });
  assert.equal(put.length, 1);
});

Deno.test("counters are written once a minute, and their last word too", () => {
  const { put, clock, seen } = begin();
  let state = UP;
  for (; clock.ms < 300_000; clock.ms += 5000) {
    if (clock.ms <= 100_000) state = { ...UP, tx: { ...TX, packets: state.tx.packets + 1n } };
    seen(state);
  }
  assert.deepEqual(put.map(({ tx }) => tx.packets), [1n, 13n, 21n]);
});

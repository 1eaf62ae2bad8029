// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import type { Log } from "../log.ts";
import type { TxSa } from "../sa/sa.ts";
import { NextHops } from "./next_hops.ts";

const LOG = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Log;

Deno.test("an outer address that no SA uses any more is forgotten", () => {
  const asked: string[] = [];
  const hops = new NextHops({
    config: { peers: [], plane: {} } as never,
    query: (pip) => void asked.push(pip),
    log: LOG,
    changed: () => {},
  });
  for (const pip of ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) {
    hops.macFor({ peer: "h2", pip, mac: "02:00:00:00:00:02" } as TxSa);
  }
  asked.length = 0;
  hops.refresh(new Set(["192.0.2.3"]));
  assert.deepEqual(asked, ["192.0.2.3"]);
  asked.length = 0;
  hops.refresh(new Set(["192.0.2.1", "192.0.2.3"]));
  assert.deepEqual(asked, ["192.0.2.3"]);
});

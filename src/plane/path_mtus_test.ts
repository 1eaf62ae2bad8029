// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { PathMtus } from "./path_mtus.ts";

const [PIP, SPI] = ["192.0.2.9", 0x1234] as const;
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** Paths of an agent whose one transmit SA sends to `pip`. */
function begin({ pip = PIP as string, fixed = undefined as number | undefined } = {}) {
  const seen = { now: 0, uplink: 1500, changed: [] as string[] };
  const paths = new PathMtus({
    fixed,
    uplink: () => seen.uplink,
    pipOf: (spi, dst) => spi === SPI && dst === pip ? pip : undefined,
    changed: (address) => seen.changed.push(address),
    clock: { now: () => seen.now } as never,
    log: SILENT as never,
  });
  const report = (mtu: number, { spi = SPI as number, dst = pip } = {}) =>
    paths.report({ type: "path_mtu", spi, src: "192.0.2.1", dst, mtu });
  return { seen, paths, report };
}

Deno.test("a router's report lowers the MTU to that peer, and once", () => {
  const { seen, paths, report } = begin();
  assert.equal(paths.of(PIP), undefined);
  report(1400);
  report(1400);
  report(1450);
  assert.equal(paths.of(PIP), 1400);
  report(1300);
  assert.equal(paths.of(PIP), 1300);
  assert.equal(paths.of("192.0.2.8"), undefined);
  assert.deepEqual(seen.changed, [PIP, PIP]);
  assert.equal(paths.counters()["path-mtus-lowered"], 2n);
});

Deno.test("a report that quotes no packet of ours changes nothing", () => {
  const { seen, paths, report } = begin();
  report(1400, { spi: SPI + 1 });
  report(1400, { dst: "192.0.2.8" });
  report(1500);
  report(9000);
  assert.equal(paths.of(PIP), undefined);
  assert.deepEqual(seen.changed, []);
});

Deno.test("nobody makes packets smaller than every path must carry", () => {
  const v4 = begin();
  v4.report(68);
  assert.equal(v4.paths.of(PIP), 576);
  const old = begin();
  old.report(0);
  assert.equal(old.paths.of(PIP), 576, "a router that does not say");
  const v6 = begin({ pip: "2001:db8::9" });
  v6.report(600);
  assert.equal(v6.paths.of("2001:db8::9"), 1280);
});

Deno.test("what was lowered is raised again after ten minutes, and forgotten with the peer", () => {
  const { seen, paths, report } = begin();
  report(1400);
  seen.now = 10 * 60_000 - 1;
  paths.look(new Set([PIP]));
  assert.equal(paths.of(PIP), 1400);
  seen.now++;
  paths.look(new Set([PIP]));
  assert.equal(paths.of(PIP), undefined);
  assert.deepEqual(seen.changed, [PIP, PIP]);
  report(1400);
  paths.look(new Set());
  assert.equal(paths.of(PIP), undefined);
  assert.deepEqual(seen.changed, [PIP, PIP, PIP], "nobody is left to be told");
});

Deno.test("a configured path MTU holds, and only less is believed", () => {
  const { paths, report } = begin({ fixed: 1450 });
  assert.equal(paths.of(PIP), 1450);
  report(1480);
  assert.equal(paths.of(PIP), 1450);
  report(1400);
  assert.equal(paths.of(PIP), 1400);
  assert.equal(paths.of("192.0.2.8"), 1450);
});

Deno.test("what is lost in silence is lowered step by step, and for longer each time", () => {
  const { seen, paths } = begin();
  paths.lose(PIP);
  assert.equal(paths.of(PIP), 1400);
  paths.lose(PIP);
  assert.equal(paths.of(PIP), 1280);
  seen.now += 599_000;
  paths.look(new Set([PIP]));
  assert.equal(paths.of(PIP), 1280);
  seen.now += 1_000;
  paths.look(new Set([PIP]));
  assert.equal(paths.of(PIP), undefined, "it is tried again");
  paths.lose(PIP);
  seen.now += 1_199_000;
  paths.look(new Set([PIP]));
  assert.equal(paths.of(PIP), 1400, "and longer this time");
  seen.now += 1_000;
  paths.look(new Set([PIP]));
  assert.equal(paths.of(PIP), undefined);
  assert.equal(paths.counters()["path-black-holes"], 3n);
  const v6 = begin({ pip: "2001:db8::9" });
  for (let i = 0; i < 5; i++) v6.paths.lose("2001:db8::9");
  assert.equal(v6.paths.of("2001:db8::9"), 1280);
});

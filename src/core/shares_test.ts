// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import fc from "fast-check";
import { rx, tx } from "../../tests/support/sas.ts";
import { EVICT_IDLE_MS, EVICT_SILENT_MS, MAX_TUNNELS, SILENT_PACKETS } from "./limits.ts";
import { isSpare, patienceMs, Shares, tunnelsWithin } from "./shares.ts";
import type { State, Up } from "./tunnel.ts";

function shares(tunnels: number, peers: number, configured = {}): Shares {
  return new Shares({ tunnels, peers: () => peers, config: { tunnel: configured } });
}

Deno.test("a plane has room for tunnels with their rekeys, and never for more than the most", () => {
  const of = (maxEntries: number, maxCryptoIds = maxEntries) =>
    tunnelsWithin({ maxEntries, maxCryptoIds });
  assert.equal(of(524_288, 262_144), 131_072);
  assert.equal(of(1 << 24), MAX_TUNNELS);
  assert.deepEqual([of(4096), of(4096, 512), of(1)], [1024, 256, 1]);
});

Deno.test("a share is an eighth, or an equal part where there are fewer peers; a source has half of it at most", () => {
  const rows = [0, 1, 2, 5, 8, 100].map((peers) => {
    const of = shares(8000, peers);
    return [peers, of.peerShare, of.sourceShare];
  });
  assert.deepEqual(rows, [
    [0, 8000, 1000],
    [1, 8000, 1000],
    [2, 4000, 1000],
    [5, 1600, 800],
    [8, 1000, 500],
    [100, 1000, 500],
  ]);
  const set = shares(8000, 5, { peerShare: 7, sourceShare: 3 });
  assert.deepEqual([set.peerShare, set.sourceShare], [7, 3]);
});

Deno.test("whoever takes all that it can get leaves every other peer its part", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 400 }),
    fc.integer({ min: 1, max: 60 }),
    fc.integer({ min: 0, max: 59 }),
    (tunnels, peers, greedy) => {
      const of = shares(tunnels, peers);
      let taken = 0;
      for (let i = 0; i < Math.min(greedy, peers - 1); i++) {
        const next = () => ({ peer: `evil${i}`, source: `${taken}` });
        while (of.lacks(next()) === undefined) {
          of.enter(next());
          taken++;
          assert.ok(of.tunnelsOf(`evil${i}`) <= of.peerShare);
        }
      }
      assert.ok(taken <= tunnels);
      // Where there are more peers than kept places each of them cannot have one.
      if (tunnels < 8 * peers) return;
      assert.equal(of.lacks({ peer: "good", source: "10.1.0.1" }), undefined);
    },
  ));
});

Deno.test("what was left may be taken again, by whomever", () => {
  const of = shares(80, 10);
  const party = { peer: "h2", source: "10.1.0.1" };
  for (let i = 0; i < of.sourceShare; i++) of.enter(party);
  assert.equal(of.lacks(party), "source-share");
  assert.equal(of.lacks({ ...party, source: "10.1.0.2" }), undefined);
  assert.equal(
    of.lacks({ ...party, source: "x" }, { peer: of.peerShare, network: 0, source: 0 }),
    "peer-share",
  );
  of.leave(party);
  assert.equal(of.lacks(party), undefined);
  for (let i = 1; i < of.sourceShare; i++) of.leave(party);
  assert.equal(of.tunnelsOf("h2"), 0);
});

Deno.test("SAs are bounded by what a peer's tunnels need", () => {
  const of = shares(80, 1);
  of.enter({ peer: "h2", source: "10.1.0.9" });
  of.sas("h2", 257);
  assert.equal(of.lacksSa("h2"), undefined);
  assert.equal(of.lacksSa("h2", 1), "peer-sas");
  of.enter({ peer: "h2", source: "10.1.0.9" });
  assert.equal(of.lacksSa("h2", 1), undefined);
  of.sas("h2", -257);
  assert.equal(of.lacksSa("h3", 255), undefined);
});

Deno.test("the heaviest peer is one above its part", () => {
  const of = shares(8, 4);
  const enter = (peer: string, n: number) => {
    for (let i = 0; i < n; i++) of.enter({ peer, source: "10.1.0.9" });
  };
  enter("h2", 2);
  assert.equal(of.heaviest(), undefined);
  enter("h3", 3);
  enter("h4", 4);
  assert.equal(of.heaviest(), "h4");
});

Deno.test("spare is what failed, what is idle, and what nobody answered on", () => {
  const up = (change: Partial<Up>): Up => ({
    kind: "up",
    tx: tx(1),
    rx: [rx(1)],
    openedAt: 0,
    usedAt: 0,
    ...change,
  });
  const heard = { rx: [rx(1, { packets: 1n })] };
  const unheard = tx(1, { unconfirmed: { serial: 9n, askAt: 1 } });
  const rows: readonly [string, State, number, boolean][] = [
    ["closed, in its grace time", { kind: "closed", rx: [rx(1)] }, 1e9, false],
    ["opening", { kind: "opening", since: 0, flows: [], offered: undefined, rx: [] }, 1e9, false],
    ["failed", { kind: "failed", until: 9, reason: "refused", rx: [] }, 0, true],
    [
      "failed, maybe sent to",
      { kind: "failed", until: 9, reason: "refused", rx: [rx(1)] },
      0,
      false,
    ],
    ["up just now", up({}), EVICT_SILENT_MS - 1, false],
    ["up, nobody answers", up({}), EVICT_SILENT_MS, true],
    ["up, one way", up({ tx: tx(1, { packets: SILENT_PACKETS }) }), EVICT_SILENT_MS, false],
    ["up, answered", up({ ...heard, tx: tx(1, { packets: 1n }) }), EVICT_IDLE_MS - 1, false],
    ["up, idle", up(heard), EVICT_IDLE_MS, true],
    ["up, one packet came and no answer went", up(heard), EVICT_SILENT_MS, true],
    ["up, used", up({ rx: [rx(1, { packets: 9n })], usedAt: 5 }), EVICT_IDLE_MS, false],
    ["rekeying", { ...up({}), kind: "rekeying", offered: undefined }, 1e9, false],
    [
      "asked for by a peer that is silent",
      { ...up({ tx: unheard }), kind: "rekeying", offered: undefined },
      EVICT_SILENT_MS,
      true,
    ],
    ["the same, on offer", { ...up({ tx: unheard }), kind: "rekeying", offered: 1 }, 1e9, false],
  ];
  for (const [what, state, now, expected] of rows) {
    assert.equal(isSpare(state, { now, patienceMs: EVICT_SILENT_MS }), expected, what);
  }
  const patience = [patienceMs(0, 7), patienceMs(0, 8), patienceMs(3, 8), patienceMs(4, 8)];
  assert.deepEqual(patience, [EVICT_SILENT_MS, 0, 0, EVICT_SILENT_MS]);
});

Deno.test("where there are several networks, one has half of what a peer may have, and the other half is left", () => {
  const blue = (i: number) => ({ peer: "h2", source: `10.1.0.${i}@blue` });
  const red = { peer: "h2", source: "10.1.0.1@red" };
  const fill = (of: Shares) => {
    let i = 0;
    while (of.lacks(blue(i)) === undefined) of.enter(blue(i++));
    return [i, of.lacks(blue(i)), of.lacks(red)];
  };
  const networks = [{ name: "blue", vc: 1n }, { name: "red", vc: 2n }];
  assert.deepEqual(fill(shares(800, 8)), [100, "peer-share", "peer-share"]);
  const of = new Shares({ tunnels: 800, peers: () => 8, config: { tunnel: {}, networks } });
  assert.deepEqual(fill(of), [50, "network-share", undefined]);
  assert.equal(of.lacks(red, { peer: 0, network: 50, source: 0 }), "network-share");
  assert.equal(of.lacks({ ...blue(1), peer: "h3" }), undefined, "with each peer");
  of.leave(blue(0));
  assert.equal(of.lacks(blue(0)), undefined);
});

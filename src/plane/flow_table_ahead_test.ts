// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import type { FakePlane } from "../../tests/support/fake_plane.ts";
import { key, setUp } from "../../tests/support/flow_lab.ts";
import { PAIR, rxSa, txSa } from "../../tests/support/sas.ts";

const N = 40;
const vip = (i: number) => `10.2.1.${i}`;
const pair = (i: number) => ({ localVip: PAIR.localVip, remoteVip: vip(i) });
const rxs = (first = 0x9000) =>
  Array.from({ length: N }, (_, i) => rxSa({ spi: first + i, remoteVip: vip(i) }));
const txs = (first = 1) =>
  Array.from({ length: N }, (_, i) => ({
    sa: txSa({ spi: first + i, remoteVip: vip(i) }),
    key: key(first + i),
  }));

/** Calls that changed entries or keys: how many items each had. */
function calls(plane: FakePlane): string[] {
  const seen: string[] = [];
  let inList = false;
  const single = (name: "addEntry" | "updateEntry" | "setCrypto") => {
    const call = plane[name].bind(plane) as (...args: unknown[]) => unknown;
    (plane as unknown as Record<string, unknown>)[name] = (...args: unknown[]) => {
      if (!inList) seen.push(name);
      return call(...args);
    };
  };
  const list = (name: "changeEntries" | "changeKeys") => {
    const call = plane[name].bind(plane) as (changes: readonly unknown[]) => unknown;
    (plane as unknown as Record<string, unknown>)[name] = (changes: readonly unknown[]) => {
      seen.push(`${name} ${changes.length}`);
      inList = true;
      try {
        return call(changes);
      } finally {
        inList = false;
      }
    };
  };
  (["addEntry", "updateEntry", "setCrypto"] as const).forEach(single);
  (["changeEntries", "changeKeys"] as const).forEach(list);
  return seen;
}

Deno.test("SAs that are known ahead go in by lists, receive first, keys before what uses them", () => {
  for (const sampling of [false, true]) {
    const { plane, flows } = setUp({ sampling });
    const seen = calls(plane);
    const install = (rx: ReturnType<typeof rxs>, tx: ReturnType<typeof txs>) =>
      flows.together(() => {
        for (const sa of rx) flows.addRx(sa);
        for (const { sa, key } of tx) flows.setTx(sa, key);
      }, { rx, tx });
    install(rxs(), txs());
    const encrypt = sampling ? [`changeEntries ${N}`] : [];
    const [entries, keys] = [`changeEntries ${N}`, `changeKeys ${N}`];
    assert.deepEqual(seen, [entries, keys, ...encrypt, entries]);
    assert.equal(plane.miss(PAIR.localVip, vip(7)), 0);
    // A rekey of them all.
    seen.length = 0;
    install(rxs(0xa000), txs(101));
    assert.deepEqual(seen, [entries, keys, ...encrypt, entries]);
    assert.equal(flows.totals().tx, N);
    assert.equal(flows.totals().rx, 2 * N);
    assert.equal(plane.entriesOf("EGR_ACL").length, N);
    assert.equal(plane.miss(PAIR.localVip, vip(7)), 0);
    assert.equal(flows.txStats(pair(7))?.packets, 1n);
  }
});

Deno.test("what the plane refuses of a list is thrown where its SA is added, and costs the others nothing", () => {
  const steps = [["setCrypto"], ["addEntry", "EGR_ACL"], ["addEntry", "PSP_ENCRYPT"]] as const;
  for (const [method, pipe] of steps) {
    const { plane, flows } = setUp({ sampling: true });
    plane.failNext(method, { code: "ENOSPC", ...(pipe ? { pipe } : {}) });
    const tx = txs();
    let failed = 0;
    flows.together(() => {
      for (const { sa, key } of tx) {
        try {
          flows.setTx(sa, key);
        } catch (error) {
          assert.equal((error as { code?: string }).code, "ENOSPC");
          failed++;
        }
      }
    }, { rx: [], tx });
    assert.equal(failed, 1, `${method} ${pipe}`);
    const { tx: there, cryptoIds } = flows.totals();
    assert.deepEqual([there, cryptoIds, plane.crypto.size], [N - 1, N - 1, N - 1]);
  }
  const { plane, flows } = setUp();
  plane.failNext("addEntry", { code: "ENOSPC" });
  const rx = rxs();
  flows.together(() => {
    assert.throws(() => flows.addRx(rx[0] ?? rxSa()), { code: "ENOSPC" });
    for (const sa of rx.slice(1)) flows.addRx(sa);
  }, { rx, tx: [] });
  assert.equal(flows.totals().rx, N - 1);
});

Deno.test("what was made ahead of SAs that do not come is undone, and their pairs send as before", async () => {
  for (const sampling of [false, true]) {
    const { plane, clock, flows } = setUp({ sampling });
    const old = txs().slice(0, N / 2);
    for (const { sa, key } of old) flows.setTx(sa, key);
    const [rx, tx] = [rxs(), txs(101)];
    flows.together(() => {
      for (const sa of rx.slice(0, 5)) flows.addRx(sa);
      for (const { sa, key } of tx.slice(0, 5)) flows.setTx(sa, key);
    }, { rx, tx });
    await clock.pass(1000);
    const { tx: sending, rx: receiving, cryptoIds } = flows.totals();
    assert.deepEqual([sending, receiving, cryptoIds], [N / 2, 5, N / 2]);
    assert.equal(plane.crypto.size, N / 2);
    assert.equal(plane.entriesOf("EGR_ACL").length, N / 2);
    assert.equal(plane.entriesOf("INGR_ACL").length, 5);
    for (let i = 0; i < N / 2; i++) {
      assert.equal(plane.miss(PAIR.localVip, vip(i)), 0);
      assert.equal(flows.txStats(pair(i))?.packets, 1n, vip(i));
    }
  }
});

Deno.test("what was to replace an SA that goes before is made anew", () => {
  const { plane, flows } = setUp();
  for (const { sa, key } of txs()) flows.setTx(sa, key);
  const tx = txs(101);
  flows.together(() => {
    flows.removeTx(pair(0));
    for (const { sa, key } of tx) flows.setTx(sa, key);
  }, { rx: [], tx });
  assert.equal(plane.entriesOf("EGR_ACL").length, N);
  for (let i = 0; i < N; i++) {
    assert.equal(plane.miss(PAIR.localVip, vip(i)), 0);
    assert.equal(flows.txStats(pair(i))?.packets, 1n, vip(i));
  }
});

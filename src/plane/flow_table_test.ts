// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { Key } from "../../ffi/key.ts";
import { decapMac, key, methods, NOTHING, setUp } from "../../tests/support/flow_lab.ts";
import type { Place } from "./workload_table.ts";
import { PAIR, rxSa, txSa } from "../../tests/support/sas.ts";

Deno.test("a transmit SA is installed downstream first", () => {
  for (const sampling of [false, true]) {
    const { plane, flows } = setUp({ sampling });
    flows.setTx(txSa(), key(1));
    assert.deepEqual(methods(plane), [
      "setCrypto",
      ...sampling ? ["addEntry PSP_ENCRYPT"] : [],
      "addEntry EGR_ACL",
    ]);
    assert.equal(plane.miss(PAIR.localVip, PAIR.remoteVip), 0);
    assert.equal(flows.txStats(PAIR)?.packets, 1n);
  }
});

Deno.test("a transmit SA is replaced in place, and the old key goes only later", async () => {
  for (const sampling of [false, true]) {
    const { plane, clock, flows } = setUp({ sampling });
    flows.setTx(txSa(), key(1));
    plane.miss(PAIR.localVip, PAIR.remoteVip);
    plane.calls.length = 0;
    flows.setTx(txSa({ spi: 8 }), key(2));
    assert.deepEqual(methods(plane), [
      "setCrypto",
      ...sampling ? ["addEntry PSP_ENCRYPT"] : [],
      "updateEntry EGR_ACL",
    ]);
    assert.deepEqual([...plane.crypto.keys()], [1, 2]);
    assert.equal(flows.txStats(PAIR)?.packets, 0n);
    assert.equal(flows.totals().retiring, 1);
    await clock.pass(999);
    assert.equal(plane.crypto.size, 2);
    await clock.pass(1);
    assert.deepEqual([...plane.crypto.keys()], [2]);
    assert.deepEqual(flows.totals(), {
      tx: 1,
      rx: 0,
      cryptoIds: 1,
      retiring: 0,
      pspEncrypt: sampling ? 2 : 0,
    });
  }
});

Deno.test("many rekeys take no more than a few crypto ids", async () => {
  const { plane, clock, flows } = setUp({ sampling: true, maxCryptoIds: 3 });
  for (let i = 1; i <= 100; i++) {
    flows.setTx(txSa({ spi: i }), key(i));
    await clock.pass(1000);
  }
  assert.equal(plane.entriesOf("PSP_ENCRYPT").length, 2);
  assert.equal(flows.totals().cryptoIds, 1);
});

Deno.test("without a time of retirement, every key that is replaced goes at once", async () => {
  const { plane, flows } = setUp({ retireMs: 0 });
  for (let i = 1; i <= 4; i++) {
    flows.setTx(txSa({ spi: i }), key(i));
    await Promise.resolve();
    assert.equal(plane.crypto.size, 1);
    assert.equal(flows.totals().retiring, 0);
  }
});

Deno.test("very many keys that retire in one moment go in parts, and all of them with the table", async () => {
  for (const ends of [false, true]) {
    const { plane, clock, flows } = setUp({ maxCryptoIds: 4000 });
    const pair = (i: number) => ({ remoteVip: `10.2.${i >> 8}.${i & 255}` });
    for (let i = 0; i < 2400; i++) {
      const octets = new Uint8Array(16).fill(i & 255);
      octets.set([1 + (i >> 8), 1]);
      flows.setTx(txSa({ spi: 1 + i, ...pair(i % 1200) }), { ...key(1), key: new Key(octets) });
    }
    const size = () => plane.crypto.size;
    if (ends) await flows[Symbol.asyncDispose]();
    else {
      await clock.pass(1000);
      assert.equal(size(), 2400 - 512);
      await clock.pass(0);
      assert.equal(size(), 2400 - 1024);
      await clock.pass(0);
    }
    assert.equal(size(), 1200);
    assert.equal(flows.totals().retiring, 0);
  }
});

Deno.test("a failure at any step of a new transmit SA leaves nothing", () => {
  for (const sampling of [false, true]) {
    const steps = [["setCrypto"], ["addEntry", "EGR_ACL"], ["addEntry", "PSP_ENCRYPT"]] as const;
    for (const [method, pipe] of steps) {
      if (pipe === "PSP_ENCRYPT" && !sampling) continue;
      const { plane, flows } = setUp({ sampling });
      plane.failNext(method, { code: "ENOSPC", ...(pipe ? { pipe } : {}) });
      assert.throws(() => flows.setTx(txSa(), key(1)), { code: "ENOSPC" });
      assert.equal(plane.crypto.size, 0);
      assert.equal(plane.entriesOf("EGR_ACL").length, 0);
      const { pspEncrypt: _, ...totals } = flows.totals();
      assert.deepEqual(totals, { tx: 0, rx: 0, cryptoIds: 0, retiring: 0 });
      flows.setTx(txSa(), key(2));
      assert.equal(plane.miss(PAIR.localVip, PAIR.remoteVip), 0);
    }
  }
});

Deno.test("a failed replacement leaves the old SA at work", async () => {
  const { plane, clock, flows } = setUp();
  flows.setTx(txSa(), key(1));
  plane.failNext("updateEntry");
  assert.throws(() => flows.setTx(txSa({ spi: 8 }), key(2)), { code: "EIO" });
  await clock.pass(5000);
  assert.deepEqual([...plane.crypto.keys()], [1]);
  assert.equal(plane.miss(PAIR.localVip, PAIR.remoteVip), 0);
  assert.equal(plane.counters()["tx-packets"], 1n);
});

Deno.test("when no crypto id is free, the refusal says so", () => {
  const { flows } = setUp({ maxCryptoIds: 1 });
  flows.setTx(txSa(), key(1));
  assert.throws(() => flows.setTx(txSa({ remoteVip: "10.2.0.8" }), key(2)), {
    name: "DataPlaneError",
    code: "ENOSPC",
    message: 'Cannot add entry to pipe "EGR_ACL": no free crypto id',
  });
});

Deno.test("an expired pair fails closed until it has a new SA", async () => {
  const { plane, clock, flows } = setUp();
  flows.setTx(txSa(), key(1));
  flows.expireTx(PAIR);
  flows.expireTx(PAIR);
  assert.equal(plane.miss(PAIR.localVip, PAIR.remoteVip), 0);
  assert.equal(plane.counters()["tx-key-expired"], 1n);
  assert.equal(flows.txStats(PAIR), undefined);
  flows.setTx(txSa({ spi: 8 }), key(2));
  plane.miss(PAIR.localVip, PAIR.remoteVip);
  assert.equal(flows.txStats(PAIR)?.packets, 1n);
  await clock.pass(1000);
  assert.equal(flows.totals().cryptoIds, 1);
});

Deno.test("a removed pair misses again, and its id comes back", async () => {
  const { plane, clock, flows } = setUp();
  flows.setTx(txSa(), key(1));
  flows.removeTx(PAIR);
  flows.removeTx(PAIR);
  assert.notEqual(plane.miss(PAIR.localVip, PAIR.remoteVip), 0);
  await clock.pass(1000);
  assert.deepEqual(flows.totals(), NOTHING);
  assert.equal(plane.crypto.size, 0);
});

Deno.test("a receive SA lets in its own packets alone", () => {
  const { plane, flows } = setUp({ vc: true });
  flows.addRx(rxSa({ vc: 5n }));
  flows.addRx(rxSa({ vc: 5n }));
  const packet = { spi: 7, srcVip: PAIR.remoteVip, dstVip: PAIR.localVip, vc: 5n };
  assert.equal(plane.receive(packet), true);
  assert.equal(plane.receive({ ...packet, vc: 6n }), false);
  assert.equal(plane.receive({ ...packet, spi: 8 }), false);
  assert.equal(plane.receive({ ...packet, srcVip: "10.2.0.99" }), false);
  assert.equal(flows.rxStats(7)?.packets, 1n);
  flows.removeRx(7);
  flows.removeRx(7);
  assert.equal(plane.receive(packet), false);
  assert.equal(flows.rxStats(7), undefined);
});

Deno.test("an SPI belongs to one tunnel", () => {
  const { flows } = setUp();
  flows.addRx(rxSa());
  assert.throws(() => flows.addRx(rxSa({ remoteVip: "10.2.0.8" })), { code: "EEXIST" });
});

Deno.test("what a topology cannot check is refused as a DataPlaneError", () => {
  const { flows } = setUp();
  assert.throws(() => flows.addRx(rxSa({ vc: 5n })), {
    name: "DataPlaneError",
    code: "EINVAL",
    message: /^Cannot add entry to pipe "INGR_ACL": /,
  });
  assert.throws(() => flows.setTx(txSa({ pip: "2001:db8::2" }), key(1)), {
    name: "DataPlaneError",
    code: "EINVAL",
  });
  assert.deepEqual(flows.totals(), NOTHING);
});

Deno.test("packets go to the agent until the workload is found, and none is broadcast", () => {
  const { plane, flows } = setUp();
  const forward = () => plane.entriesOf("INGR_ACL")[0]?.fwd;
  flows.addRx(rxSa());
  assert.deepEqual(forward(), { type: "rss", rss: "exception" });
  assert.notEqual(decapMac(plane), "ff:ff:ff:ff:ff:ff");
  flows.movePlace("10.1.0.99", { mac: "02:00:00:00:00:99", port: 2 });
  assert.deepEqual(forward(), { type: "rss", rss: "exception" });
  const place = { mac: "02:00:00:00:00:0a", port: 2 };
  flows.movePlace(PAIR.localVip, place);
  assert.deepEqual([decapMac(plane), forward()], ["02:00:00:00:00:0a", undefined]);
  plane.calls.length = 0;
  flows.movePlace(PAIR.localVip, { ...place });
  assert.equal(plane.calls.length, 0);
  flows.movePlace(PAIR.localVip, undefined);
  assert.deepEqual(forward(), { type: "rss", rss: "exception" });
});

Deno.test("where pipes fix their forward, packets for nobody go to a MAC that no workload has", () => {
  const { plane, flows } = setUp({ unknown: "nowhere" });
  flows.addRx(rxSa());
  assert.deepEqual([decapMac(plane), plane.entriesOf("INGR_ACL")[0]?.fwd], [
    "02:00:00:00:00:0b",
    undefined,
  ]);
});

Deno.test("of many ports, a workload sends and gets at its own alone, and is followed", () => {
  let place: Place | undefined;
  const { plane, flows } = setUp({ ports: true, placeOf: () => place });
  const ports = () => plane.entriesOf("EGR_ACL").map(({ match }) => match.parser_meta?.port_id);
  const forward = () => plane.entriesOf("INGR_ACL")[0]?.fwd;
  flows.addRx(rxSa());
  flows.setTx(txSa(), key(1));
  assert.deepEqual(ports(), [], "nobody knows where it may send from");
  assert.equal(flows.txStats(PAIR)?.packets, 0n);
  place = { mac: "02:00:00:00:00:0a", port: 3 };
  flows.movePlace(PAIR.localVip, place);
  assert.deepEqual([ports(), forward()], [[3], { type: "port", port: 3 }]);
  plane.calls.length = 0;
  place = { ...place, port: 4 };
  flows.movePlace(PAIR.localVip, place);
  assert.deepEqual(methods(plane), [
    "updateEntry INGR_ACL",
    "addEntry EGR_ACL",
    "removeEntry EGR_ACL",
  ]);
  assert.deepEqual([ports(), forward()], [[4], { type: "port", port: 4 }]);
  flows.setTx(txSa({ spi: 8 }), key(2));
  assert.deepEqual(ports(), [4]);
  flows.movePlace(PAIR.localVip, undefined);
  assert.deepEqual([ports(), forward()], [[], { type: "rss", rss: "exception" }]);
  flows.removeTx(PAIR);
  assert.equal(flows.totals().tx, 0);
});

Deno.test("a workload that moves is followed as far as the plane has room", () => {
  const { plane, flows } = setUp({
    ports: true,
    placeOf: () => ({ mac: "02:00:00:00:00:0a", port: 3 }),
  });
  flows.setTx(txSa(), key(1));
  plane.failNext("addEntry");
  const moved = { mac: "02:00:00:00:00:0a", port: 4 };
  assert.throws(() => flows.movePlace(PAIR.localVip, moved), { name: "DataPlaneError" });
  const ports = () => plane.entriesOf("EGR_ACL").map(({ match }) => match.parser_meta?.port_id);
  assert.deepEqual(ports(), [3]);
  flows.movePlace(PAIR.localVip, moved);
  assert.deepEqual(ports(), [4]);
});

Deno.test("a next hop that moved is followed, the key stays", () => {
  let mac = "02:00:00:00:00:f1";
  const { plane, flows } = setUp({ nextHopMac: () => mac });
  flows.setTx(txSa(), key(1));
  assert.deepEqual([...flows.outerAddresses().keys()], ["192.0.2.2"]);
  mac = "02:00:00:00:00:f2";
  plane.calls.length = 0;
  flows.refreshNextHop("192.0.2.9");
  assert.equal(plane.calls.length, 0);
  flows.refreshNextHop("192.0.2.2");
  flows.refreshNextHop("192.0.2.2");
  assert.deepEqual(methods(plane), ["updateEntry EGR_ACL"]);
  const encap = plane.entriesOf("EGR_ACL")[0]?.actions?.crypto_encap;
  assert.ok(encap?.action === "encap");
  assert.equal(encap.encap_data.subarray(0, 6).toHex(), "0200000000f2");
});

Deno.test("closing frees what is still retiring at once", async () => {
  const { plane, flows } = setUp();
  flows.setTx(txSa(), key(1));
  flows.removeTx(PAIR);
  await flows[Symbol.asyncDispose]();
  assert.equal(plane.crypto.size, 0);
  assert.deepEqual(flows.totals(), NOTHING);
});

/** A source of runs of IVs, and those that it gave. */
function runs(first = 5n) {
  const given: bigint[] = [];
  const nextIvRun = () => {
    given.push(first + BigInt(given.length));
    return given.at(-1) ?? 0n;
  };
  return { given, nextIvRun };
}

Deno.test("keys begin at the IVs of their run, and a key that comes again is refused within it", () => {
  const { given, nextIvRun } = runs();
  const { plane, flows } = setUp({ nextIvRun });
  // Taken before the first key: it is durable when packets pass.
  assert.deepEqual(given, [5n]);
  flows.setTx(txSa(), key(1));
  assert.equal(plane.crypto.get(1)?.ivStart, 5n << 40n);
  assert.throws(() => flows.setTx(txSa({ spi: 8 }), key(1)), { code: "EKEY" });
  assert.deepEqual(given, [5n]);
  // The next start has another run: there the same key is another (key, IV) range.
  const later = setUp({ nextIvRun });
  later.flows.setTx(txSa(), key(1));
  assert.equal(later.plane.crypto.get(1)?.ivStart, 6n << 40n);
});

Deno.test("a plane that knows as many keys as it may gets the next run, and forgets", async () => {
  const { given, nextIvRun } = runs();
  const { plane, clock, flows } = setUp({ nextIvRun, fake: { rememberedKeys: 3 } });
  for (let i = 1; i <= 10; i++) {
    flows.setTx(txSa({ spi: i }), key(i));
    await clock.pass(1000);
  }
  assert.deepEqual(given, [5n, 6n, 7n, 8n]);
  assert.deepEqual([...plane.crypto.values()].map(({ ivStart }) => ivStart), [8n << 40n]);
  // What was forgotten may come again, with IVs of this run.
  flows.setTx(txSa({ spi: 11 }), key(1));
  assert.throws(() => flows.setTx(txSa({ spi: 12 }), key(1)), { code: "EKEY" });
});

Deno.test("where no run is left keys are refused, and those that are there go on", () => {
  const nextIvRun = () => {
    if (given++ > 0) throw new Error("all were used");
    return 1n;
  };
  let given = 0;
  const { plane, flows } = setUp({ nextIvRun, fake: { rememberedKeys: 1 } });
  flows.setTx(txSa(), key(1));
  assert.throws(() => flows.setTx(txSa({ spi: 8 }), key(2)), {
    name: "DataPlaneError",
    code: "ENOSPC",
    message: "Cannot begin a run of IVs: all were used",
  });
  assert.equal(plane.crypto.size, 1);
  assert.equal(plane.miss(PAIR.localVip, PAIR.remoteVip), 0);
});

Deno.test("a plane that chooses its IVs gets keys as they are", () => {
  const { given, nextIvRun } = runs();
  const { plane, flows } = setUp({ nextIvRun, fake: { features: new Set() } });
  flows.setTx(txSa(), key(1));
  assert.deepEqual(given, []);
  assert.equal(plane.crypto.get(1)?.ivStart, 1n);
  assert.throws(() => flows.setTx(txSa({ spi: 8 }), key(1)), { code: "EKEY" });
});

Deno.test("receive SAs have a window where the sender's IVs count and the plane has one", () => {
  let size = 4096;
  const windowOf = (plane: ReturnType<typeof setUp>["plane"], at = 0) => {
    const encap = plane.entriesOf("INGR_ACL")[at]?.actions?.crypto_encap;
    return encap?.action === "decap" ? encap.replay_window ?? 0 : undefined;
  };
  const { plane, flows } = setUp({ replayWindow: () => size });
  flows.addRx(rxSa({ ivCounts: true }));
  assert.equal(windowOf(plane), 4096);
  flows.movePlace(PAIR.localVip, { mac: "02:00:00:00:00:99", port: 2 });
  assert.equal(windowOf(plane), 4096);
  flows.ignoreReplays(rxSa().spi);
  assert.equal(windowOf(plane), 0);
  flows.movePlace(PAIR.localVip, { mac: "02:00:00:00:00:98", port: 2 });
  assert.equal(windowOf(plane), 0);
  plane.calls.length = 0;
  flows.ignoreReplays(rxSa().spi);
  flows.ignoreReplays(0x77);
  assert.deepEqual(methods(plane), []);
  // SAs to come follow the configuration.
  size = 1024;
  flows.addRx(rxSa({ spi: 0x9001, ivCounts: true }));
  flows.addRx(rxSa({ spi: 0x9002 }));
  assert.deepEqual([1, 2].map((at) => windowOf(plane, at)), [1024, 0]);
  const without = setUp({ replayWindow: () => size, fake: { features: new Set() } });
  without.flows.addRx(rxSa({ ivCounts: true }));
  assert.equal(windowOf(without.plane), 0);
});

Deno.test("who gets packets and sends none is told apart from who talks", () => {
  const place = { mac: "02:00:00:00:00:0a", port: 2 };
  const { plane, flows } = setUp({ placeOf: () => place });
  flows.addRx(rxSa());
  flows.setTx(txSa(), key(1));
  assert.deepEqual([...flows.listening()], []);
  const { spi, remoteVip, localVip } = rxSa();
  const receive = () => assert.ok(plane.receive({ spi, srcVip: remoteVip, dstVip: localVip }));
  receive();
  // One look more finds the end of the round.
  const listening = () => [...flows.listening(), ...flows.listening()];
  assert.deepEqual(listening(), [localVip]);
  assert.deepEqual(listening(), [], "nothing since");
  receive();
  assert.equal(plane.miss(localVip, remoteVip), 0);
  assert.deepEqual(listening(), [], "it answers");
});

Deno.test("what is removed together goes in one call, and before an entry of the same match comes", () => {
  const { plane, flows } = setUp();
  for (const spi of [1, 2, 3]) flows.addRx(rxSa({ spi }));
  flows.setTx(txSa(), key(1));
  const calls: number[] = [];
  const change = plane.changeEntries.bind(plane);
  plane.changeEntries = (changes) => {
    calls.push(changes.length);
    return change(changes);
  };
  flows.together(() => {
    flows.together(() => flows.removeRx(1));
    flows.removeRx(2);
    flows.removeTx(PAIR);
    assert.equal(plane.entriesOf("INGR_ACL").length, 3);
    assert.equal(flows.rxStats(2), undefined);
    flows.setTx(txSa({ spi: 8 }), key(2));
    assert.equal(plane.entriesOf("INGR_ACL").length, 1);
    flows.removeRx(3);
  });
  assert.deepEqual(calls, [3, 1]);
  assert.deepEqual([plane.entriesOf("INGR_ACL").length, plane.entriesOf("EGR_ACL").length], [0, 1]);
  flows.addRx(rxSa({ spi: 4 }));
  flows.removeRx(4);
  assert.deepEqual(calls, [3, 1, 1]);
});

Deno.test("an entry that the plane does not remove is tried again, and is no obstacle to others", () => {
  const { plane, flows } = setUp();
  for (const spi of [1, 2]) flows.addRx(rxSa({ spi }));
  plane.failNext("removeEntry");
  assert.throws(() =>
    flows.together(() => {
      flows.removeRx(1);
      flows.removeRx(2);
    }), { code: "EIO" });
  assert.equal(plane.entriesOf("INGR_ACL").length, 1);
  flows.addRx(rxSa({ spi: 1 }));
  assert.equal(plane.entriesOf("INGR_ACL").length, 1);
});

Deno.test("what a pair has carried survives rekeys, to the packet", async () => {
  for (const sampling of [false, true]) {
    const { plane, clock, flows } = setUp({ sampling });
    let [sent, got] = [0n, 0n];
    for (let i = 1; i <= 5; i++) {
      flows.addRx(rxSa({ spi: i }));
      flows.setTx(txSa({ spi: 100 + i }), key(i));
      for (let n = 0; n < i; n++) {
        assert.equal(plane.miss(PAIR.localVip, PAIR.remoteVip), 0);
        sent++;
        assert.ok(plane.receive({ spi: i, srcVip: PAIR.remoteVip, dstVip: PAIR.localVip }));
        got++;
      }
      const totals = () => {
        const { tx, rx } = flows.traffic(PAIR) ?? {};
        return [tx?.packets, rx?.packets];
      };
      assert.deepEqual(totals(), [sent, got]);
      // Half of the time the old key is still there.
      if (i % 2 === 0) await clock.pass(1000);
      if (i > 1) flows.removeRx(i - 1);
      assert.deepEqual(totals(), [sent, got]);
    }
    flows.expireTx(PAIR);
    assert.equal(flows.traffic(PAIR)?.tx.packets, sent);
    await clock.pass(5000);
    assert.equal(flows.traffic(PAIR)?.tx.packets, sent);
    flows.removeTx(PAIR);
    assert.equal(flows.traffic(PAIR)?.rx.packets, got);
    flows.removeRx(5);
    assert.equal(flows.traffic(PAIR), undefined);
  }
});

Deno.test("what a peer was sent and has sent survives the ends of its tunnels, to the packet", async () => {
  const { plane, clock, flows } = setUp();
  const packets = () =>
    flows.carriedByPeer().map(({ peer, sent, received }) => ({
      peer,
      sent: sent.packets,
      received: received.packets,
    }));
  const pass = (spi: number, n: number) => {
    for (let i = 0; i < n; i++) {
      assert.equal(plane.miss(PAIR.localVip, PAIR.remoteVip), 0);
      assert.ok(plane.receive({ spi, srcVip: PAIR.remoteVip, dstVip: PAIR.localVip }));
    }
  };
  const { peer } = txSa();
  flows.addRx(rxSa({ spi: 1 }));
  flows.setTx(txSa({ spi: 101 }), key(1));
  pass(1, 3);
  assert.deepEqual(packets(), [{ peer, sent: 0n, received: 0n }], "nobody has asked");
  flows.txStats(PAIR);
  flows.rxStats(1);
  assert.deepEqual(packets(), [{ peer, sent: 3n, received: 3n }]);
  pass(1, 2);
  // A rekey, and the end: nobody has asked since.
  flows.setTx(txSa({ spi: 102 }), key(2));
  flows.addRx(rxSa({ spi: 2 }));
  flows.removeRx(1);
  pass(2, 4);
  await clock.pass(1000);
  assert.deepEqual(packets(), [{ peer, sent: 5n, received: 5n }]);
  flows.removeTx(PAIR);
  flows.removeRx(2);
  await clock.pass(1000);
  assert.deepEqual(packets(), [{ peer, sent: 9n, received: 9n }]);
  flows.setTx(txSa({ spi: 103 }), key(3));
  pass(2, 0);
  flows.txStats(PAIR);
  assert.deepEqual(packets(), [{ peer, sent: 9n, received: 9n }], "it never falls");
});

Deno.test("the oldest keys are known without a look at all of them", () => {
  const { flows } = setUp();
  assert.deepEqual(flows.oldestKeys(), {});
  const pairs = [1, 2].map((n) => ({ ...PAIR, remoteVip: `10.2.0.${n}` }));
  pairs.forEach((pair, i) =>
    flows.setTx(txSa({ ...pair, spi: i + 1, createdAtMs: 100 + i }), key(i + 1))
  );
  flows.addRx(rxSa({ spi: 7, createdAtMs: 90 }));
  flows.addRx(rxSa({ spi: 8, createdAtMs: 95 }));
  assert.deepEqual(flows.oldestKeys(), { txAtMs: 100, rxAtMs: 90 });
  flows.setTx(txSa({ ...pairs[0], spi: 9, createdAtMs: 200 }), key(9));
  flows.removeRx(7);
  assert.deepEqual(flows.oldestKeys(), { txAtMs: 101, rxAtMs: 95 });
});

Deno.test("all headers to a place change in one call, and a refusal keeps one where it was", () => {
  let mac = "02:00:00:00:00:31";
  const { plane, flows } = setUp({ nextHopMac: () => mac });
  const pairs = [1, 2, 3].map((n) => ({ ...PAIR, remoteVip: `10.2.0.${n}` }));
  pairs.forEach((pair, i) => flows.setTx(txSa({ ...pair, spi: i + 1 }), key(i + 1)));
  const macs = () =>
    plane.entriesOf("EGR_ACL").map(({ actions }) => {
      const encap = actions?.crypto_encap;
      return encap?.action === "encap" ? encap.encap_data[5] : undefined;
    });
  mac = "02:00:00:00:00:32";
  plane.failNext("updateEntry");
  assert.throws(() => flows.refreshNextHop(txSa().pip), { code: "EIO" });
  assert.deepEqual(macs(), [0x31, 0x32, 0x32]);
  plane.calls.length = 0;
  flows.refreshNextHop(txSa().pip);
  assert.deepEqual(methods(plane), ["updateEntry EGR_ACL"]);
  assert.deepEqual(macs(), [0x32, 0x32, 0x32]);
});

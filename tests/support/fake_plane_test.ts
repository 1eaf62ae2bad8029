// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import type { PipeDescriptor, PlaneEvent, SpiKey } from "../../ffi/plane.ts";
import { installTopology } from "../../src/pipes/install.ts";
import { buildTopology } from "../../src/pipes/topology.ts";
import { FakePlane, type FakePlaneOptions } from "./fake_plane.ts";

function installed(options: FakePlaneOptions = {}, sampling = false) {
  const plane = new FakePlane(options);
  const topology = buildTopology({
    sampling,
    sampleRateLog2: 8,
    mode: "tunnel",
    onDemand: true,
    exceptions: false,
  });
  return { plane, pipes: installTopology(plane, topology) };
}

const MATCH = { match: { outer: { src_ip: "10.0.0.1", dst_ip: "10.0.0.2" } } };
const PIPE: PipeDescriptor = {
  name: "A",
  type: "basic",
  domain: "default",
  nr_entries: 1,
  fwd_miss: { type: "drop" },
};

Deno.test("one miss is reported for a flow, and its packets are counted and bounded", async () => {
  const { plane } = installed({ holdPacketsPerFlow: 2 });
  const flow = plane.miss("10.0.0.1", "10.0.0.2");
  plane.miss("10.0.0.1", "10.0.0.2");
  plane.miss("10.0.0.1", "10.0.0.2");
  const events: PlaneEvent[] = [];
  for await (const batch of plane.events()) {
    events.push(...batch);
    break;
  }
  assert.equal(events.length, 1);
  assert.equal(plane.held(flow), 2);
  assert.equal(plane.releaseHeld(flow), 2);
  assert.throws(() => plane.releaseHeld(12345), { code: "ENOENT" });
});

Deno.test("a dropped flow is quiet during its hold-off", () => {
  let now = 0;
  const { plane } = installed({ now: () => now });
  const flow = plane.miss("10.0.0.1", "10.0.0.2");
  assert.equal(plane.dropHeld(flow, "no_peer", 100), 1);
  assert.equal(plane.miss("10.0.0.1", "10.0.0.2"), 0);
  assert.equal(plane.counters()["drop-no-peer"], 2n);
  now = 100;
  assert.notEqual(plane.miss("10.0.0.1", "10.0.0.2"), 0);
});

Deno.test("upstream before downstream is refused", () => {
  const { plane, pipes } = installed({}, true);
  const acl = pipes.pipeId("EGR_ACL");
  const actions = { meta: { pkt_meta: 1 } };
  assert.throws(() => plane.addEntry(acl, { ...MATCH, actions }), { code: "ENOENT" });
  const encrypt = { crypto: { action: "encrypt", crypto_id: 1 } } as const;
  assert.throws(
    () =>
      plane.addEntry(pipes.pipeId("PSP_ENCRYPT"), {
        match: { meta: { pkt_meta: 1 } },
        actions: encrypt,
      }),
    { code: "ENOENT" },
  );
  assert.throws(() => plane.createPipe({ ...PIPE, fwd: { type: "pipe", pipe: 999 } }), {
    code: "ENOENT",
  });
  assert.throws(() => plane.destroyPipe(pipes.pipeId("SYND_STATS")), { code: "EBUSY" });
});

Deno.test("what is there already, or not in the mask, is refused", () => {
  const { plane, pipes } = installed();
  const acl = pipes.pipeId("EGR_ACL");
  plane.addEntry(acl, MATCH);
  assert.throws(() => plane.addEntry(acl, MATCH), { code: "EEXIST" });
  assert.throws(() => plane.addEntry(acl, { match: { meta: { pkt_meta: 1 } } }), {
    code: "EINVAL",
  });
});

Deno.test("a key is set once, and never when wiped", () => {
  const plane = new FakePlane();
  const [one, two] = plane.generateSpis(0, 2) as [SpiKey, SpiKey];
  plane.setCrypto(1, { ...one, ivLimit: 0n });
  assert.throws(() => plane.setCrypto(2, { ...one, ivLimit: 0n }), { code: "EKEY" });
  two.key.wipe();
  assert.throws(() => plane.setCrypto(2, { ...two, ivLimit: 0n }), { code: "EINVAL" });
});

Deno.test("a failure that was asked for comes once, and the calls are recorded", () => {
  const { plane, pipes } = installed();
  plane.calls.length = 0;
  plane.failNext("addEntry", { code: "ENOSPC", pipe: "EGR_ACL" });
  assert.throws(() => plane.addEntry(pipes.pipeId("EGR_ACL"), MATCH), { code: "ENOSPC" });
  plane.addEntry(pipes.pipeId("EGR_ACL"), MATCH);
  assert.deepEqual(plane.calls.map(({ method, failed }) => [method, failed]), [
    ["addEntry", true],
    ["addEntry", false],
  ]);
});

Deno.test("close and abort end the events", async () => {
  const plane = new FakePlane();
  const aborted = new AbortController();
  const read = async (signal?: AbortSignal) => {
    for await (const _ of plane.events(signal)) { /* there are none */ }
  };
  const first = read(aborted.signal);
  aborted.abort();
  await first;
  const second = read();
  await plane.close();
  await second;
  assert.throws(() => plane.start(), { code: "ECLOSED" });
});

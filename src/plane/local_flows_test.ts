// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { FakePlane } from "../../tests/support/fake_plane.ts";
import { NO_LOG } from "../../tests/support/no_log.ts";
import { installTopology } from "../pipes/install.ts";
import { buildTopology } from "../pipes/topology.ts";
import { LocalFlows, type Miss } from "./local_flows.ts";
import type { Place } from "./workload_table.ts";

const A = "10.1.0.1";
const B = "10.1.0.2";
const AT: Readonly<Record<string, Place>> = {
  [A]: { mac: "02:00:00:00:00:0a", port: 2 },
  [B]: { mac: "02:00:00:00:00:0b", port: 3 },
};

function lab({ ports = true } = {}) {
  const plane = new FakePlane();
  const made = { now: 0, places: { ...AT } as Record<string, Place | undefined>, asked: 0 };
  const topology = buildTopology({
    sampling: false,
    sampleRateLog2: 0,
    mode: "tunnel",
    onDemand: true,
    exceptions: false,
    local: true,
    ports,
  });
  const local = new LocalFlows({
    plane,
    installed: installTopology(plane, topology, { hosts: ports ? "many" : "one" }),
    placeOf: (vip) => {
      if (made.places[vip] === undefined) made.asked++;
      return made.places[vip];
    },
    gatewayMac: "02:50:53:50:00:01",
    clock: { now: () => made.now },
    log: NO_LOG,
  });
  /** A packet that is held. */
  const miss = (srcVip: string, dstVip: string, port = AT[srcVip]?.port ?? 9): Miss => ({
    flow: plane.miss(srcVip, dstVip),
    port,
    srcVip,
    dstVip,
  });
  const forwards = () => plane.entriesOf("LOCAL").map(({ fwd }) => fwd);
  return Object.assign(made, { plane, local, miss, forwards });
}

Deno.test("a pair's packets go to the workload's port, from the sender's alone", () => {
  const l = lab();
  l.local.open(l.miss(A, B));
  const [entry, ...others] = l.plane.entriesOf("LOCAL");
  assert.deepEqual(others, []);
  assert.deepEqual(entry, {
    match: { parser_meta: { port_id: 2 }, outer: { src_ip: A, dst_ip: B } },
    actions: { route: { eth_dst: AT[B]?.mac, eth_src: "02:50:53:50:00:01" } },
    monitor: { counter: true },
    fwd: { type: "port", port: 3 },
  });
  l.local.open(l.miss(A, B));
  assert.equal(l.plane.entriesOf("LOCAL").length, 1, "one more that missed before it was there");
  assert.equal(l.local.counters()["local-flows-opened"], 1n);
});

Deno.test("behind one port guests reach each other by way of the gateway", () => {
  const l = lab({ ports: false });
  l.local.open(l.miss(A, B));
  assert.deepEqual(l.plane.entriesOf("LOCAL")[0]?.match, { outer: { src_ip: A, dst_ip: B } });
});

Deno.test("packets wait until the workload is found, and their sender is told when it is not", () => {
  const l = lab();
  l.places[B] = undefined;
  l.local.open(l.miss(A, B));
  assert.deepEqual([l.forwards(), l.asked], [[], 1]);
  l.now = 1000;
  l.local.tick();
  assert.equal(l.asked, 2, "it is asked for again");
  l.local.moved(B, l.places[B] = AT[B]);
  assert.deepEqual(l.forwards(), [{ type: "port", port: 3 }]);

  l.places["10.1.0.9"] = undefined;
  l.local.open(l.miss(A, "10.1.0.9"));
  l.now = 4000;
  l.local.tick();
  assert.deepEqual(l.forwards().at(-1), { type: "rss", rss: "exception" });
  l.now = 14_000;
  l.local.tick();
  l.local.tick();
  assert.equal(l.plane.entriesOf("LOCAL").length, 1, "it is judged anew");
});

Deno.test("workloads that move are followed, and nothing goes where nobody is", () => {
  const l = lab();
  l.local.open(l.miss(A, B));
  l.local.open(l.miss(B, A));
  l.local.moved(B, l.places[B] = { mac: "02:00:00:00:00:0b", port: 4 });
  assert.deepEqual(l.forwards(), [{ type: "port", port: 4 }], "from its old port it sends no more");
  l.local.open(l.miss(B, A, 4));
  assert.deepEqual(l.plane.entriesOf("LOCAL")[1]?.match.parser_meta, { port_id: 4 });
  l.local.moved(A, undefined);
  assert.deepEqual(l.forwards(), []);
  l.local.open(l.miss(A, B));
  l.local.dropPort(4);
  assert.deepEqual(l.forwards(), []);
});

Deno.test("the sender of packets for nobody is told, as long as there is room", () => {
  const l = lab();
  const told = Array.from(
    { length: 1100 },
    (_, i) => l.local.tell(l.miss(A, `192.0.2.${i % 256}`.replace("192", String(1 + (i >> 8))))),
  );
  assert.equal(told.filter((ok) => ok).length, 1024);
  assert.deepEqual(l.forwards()[0], { type: "rss", rss: "exception" });
  l.now = 10_000;
  for (let i = 0; i < 4; i++) l.local.tick();
  assert.deepEqual(l.forwards(), []);
  assert.ok(l.local.tell(l.miss(A, "192.0.2.1")));
});

Deno.test("a pair on which nothing passes goes", () => {
  const l = lab();
  l.local.open(l.miss(A, B));
  const step = () => {
    l.now += 100_000;
    for (let i = 0; i < 3; i++) l.local.tick();
  };
  step();
  step();
  assert.equal(l.plane.entriesOf("LOCAL").length, 1);
  step();
  step();
  assert.equal(l.plane.entriesOf("LOCAL").length, 0);
});

Deno.test("what the plane refuses is dropped and counted", () => {
  const l = lab();
  l.plane.failNext("addEntry", { code: "ENOSPC" });
  l.local.open(l.miss(A, B));
  assert.deepEqual([l.forwards(), l.local.counters()["local-refused"]], [[], 1n]);
  l.plane.failNext("addEntry", { code: "ENOSPC" });
  assert.equal(l.local.tell(l.miss(A, "192.0.2.1")), false);
});

Deno.test("who has an address now gets its packets: nobody's and this host's are judged anew", () => {
  const l = lab();
  const [theirs, nobodys] = ["192.0.2.1", "192.0.2.2"];
  l.local.open(l.miss(A, B));
  l.local.tell(l.miss(A, theirs));
  l.local.tell(l.miss(A, nobodys));
  const owners = {
    byVip: (vip: string) => vip === theirs || vip === B ? { id: "h2" } : undefined,
    isLocal: (vip: string) => vip === A,
  };
  const targets = () => l.plane.entriesOf("LOCAL").map(({ match }) => match.outer?.dst_ip);
  l.local.follow(owners, { local: false });
  assert.deepEqual(targets(), [B, nobodys]);
  l.local.follow(owners, { local: true });
  assert.deepEqual(targets(), [nobodys]);
});

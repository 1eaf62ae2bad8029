// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import type { PipeDescriptor } from "../../ffi/plane.ts";
import { FakePlane } from "../../tests/support/fake_plane.ts";
import { downstreamFirst, installTopology, UPLINK_REST } from "./install.ts";
import { buildTopology } from "./topology.ts";
import { targets } from "./validate.ts";

const TOPOLOGY = buildTopology({
  sampling: true,
  sampleRateLog2: 8,
  mode: "tunnel",
  onDemand: true,
  exceptions: true,
});

Deno.test("pipes are installed after those that they forward to", () => {
  const plane = new FakePlane();
  installTopology(plane, TOPOLOGY);
  const seen = new Set<string>();
  for (const name of plane.pipeNames()) {
    const pipe = TOPOLOGY.pipes.find((p) => p.name === name);
    for (const target of pipe === undefined ? [] : targets(pipe)) {
      assert.ok(seen.has(target), `${name} before ${target}`);
    }
    seen.add(name);
  }
  assert.equal(seen.size, TOPOLOGY.pipes.length);
});

Deno.test("the order does not depend on how the pipes are listed", () => {
  const reversed = { pipes: [...TOPOLOGY.pipes].reverse() };
  const place = new Map(downstreamFirst(reversed).map((pipe, i) => [pipe.name as string, i]));
  for (const pipe of TOPOLOGY.pipes) {
    for (const target of targets(pipe)) {
      assert.ok((place.get(target) ?? 0) < (place.get(pipe.name) ?? 0));
    }
  }
});

Deno.test("the plane gets all static entries, and ids are found by name", () => {
  const plane = new FakePlane();
  const installed = installTopology(plane, TOPOLOGY);
  for (const pipe of TOPOLOGY.pipes) {
    assert.equal(plane.queryPipe(installed.pipeId(pipe.name)).entries, pipe.entries.length);
  }
  const arp = installed.entries.get("ROOT/arp");
  assert.ok(arp !== undefined);
  assert.equal(plane.queryEntry(arp).packets, 0n);
});

Deno.test("removing takes ROOT off first and leaves nothing", () => {
  const plane = new FakePlane();
  const installed = installTopology(plane, TOPOLOGY);
  const root = installed.pipeId("ROOT");
  installed.remove();
  assert.deepEqual(plane.pipeNames(), []);
  const first = plane.calls.find(({ method }) => method === "destroyPipe");
  assert.deepEqual(first?.args, [root]);
});

Deno.test("ports are handles of the plane", () => {
  const plane = new FakePlane();
  installTopology(plane, TOPOLOGY);
  const handles = plane.entriesOf("ROOT").map((entry) => entry.match.parser_meta?.port_id);
  assert.deepEqual([...new Set(handles)].sort(), [plane.ports.uplink, plane.ports.host]);
  const forwards = plane.calls.flatMap(({ method, args }) =>
    method === "createPipe" ? [(args[0] as PipeDescriptor).fwd] : []
  ).flatMap((fwd) => fwd?.type === "port" ? [fwd.port] : []);
  assert.deepEqual([...new Set(forwards)].sort(), [plane.ports.uplink, plane.ports.host]);
});

Deno.test("a failure at any step leaves nothing behind", () => {
  const steps = (plane: FakePlane, method: "createPipe" | "addEntry") =>
    plane.calls.filter((call) => call.method === method).length;
  const whole = new FakePlane();
  installTopology(whole, TOPOLOGY);
  for (const method of ["createPipe", "addEntry"] as const) {
    for (let step = 0; step < steps(whole, method); step++) {
      const plane = new FakePlane();
      let calls = 0;
      const failing = {
        ports: plane.ports,
        createPipe: plane.createPipe.bind(plane),
        destroyPipe: plane.destroyPipe.bind(plane),
        addEntry: plane.addEntry.bind(plane),
      };
      const original = failing[method] as (...args: unknown[]) => number;
      const failAt = (...args: unknown[]) => {
        if (calls++ === step) plane.failNext(method);
        return original(...args);
      };
      assert.throws(() => installTopology({ ...failing, [method]: failAt }, TOPOLOGY), {
        name: "DataPlaneError",
      });
      assert.deepEqual(plane.pipeNames(), [], `${method} ${step}`);
    }
  }
});

Deno.test("a topology that is not valid meets no plane", () => {
  const plane = new FakePlane();
  assert.throws(() => installTopology(plane, { pipes: TOPOLOGY.pipes.slice(1) }), {
    name: "RangeError",
    message: "Cannot install the pipes: There must be exactly one root pipe, not 0",
  });
  assert.equal(plane.calls.length, 0);
});

Deno.test("with many host ports no pipe names one, and whatever is not the uplink is one", () => {
  const plane = new FakePlane();
  const installed = installTopology(plane, TOPOLOGY, { hosts: "many" });
  const handles = plane.entriesOf("ROOT").map(({ match, priority }) => [
    priority,
    match.parser_meta?.port_id,
  ]);
  const { uplink } = plane.ports;
  const others = handles.slice(2).map(([priority]) => [priority, undefined]);
  assert.deepEqual(handles, [[0, uplink], [1, uplink], ...others]);
  assert.deepEqual(plane.entriesOf("ROOT")[1]?.fwd, { type: "kernel" });
  assert.ok(installed.entries.has(`ROOT/${UPLINK_REST}`));
  const forwards = plane.calls.flatMap(({ method, args }) =>
    method === "createPipe" ? [(args[0] as PipeDescriptor).fwd] : []
  );
  assert.ok(!forwards.some((fwd) => fwd?.type === "port" && fwd.port === plane.ports.host));
});

Deno.test("of a plane in hardware ROOT has entries for each host port, and the rest is as with many", () => {
  const plane = new FakePlane();
  const installed = installTopology(plane, TOPOLOGY, { hosts: [2, 3] });
  const root = TOPOLOGY.pipes.find(({ is_root }) => is_root);
  assert.ok(root !== undefined);
  const { uplink } = plane.ports;
  const ofHosts = root.entries.filter(({ match }) => match.parser_meta?.port_id === "host");
  const handles = plane.entriesOf("ROOT").map(({ match }) => match.parser_meta?.port_id);
  for (const port of [2, 3]) {
    assert.equal(handles.filter((handle) => handle === port).length, ofHosts.length);
    assert.ok(installed.entries.has(`ROOT/host-ipv4@${port}`));
  }
  const others = root.entries.length - ofHosts.length;
  assert.equal(handles.filter((handle) => handle === uplink).length, others);
  const created = plane.calls.flatMap(({ method, args }) =>
    method === "createPipe" ? [args[0] as PipeDescriptor] : []
  );
  assert.equal(created.find(({ is_root }) => is_root)?.nr_entries, handles.length);
  assert.ok(!created.some(({ fwd }) => fwd?.type === "port" && fwd.port === plane.ports.host));
});

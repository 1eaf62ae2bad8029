// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { mermaid } from "../pipes/mermaid.ts";
import { buildTopology } from "../pipes/topology.ts";
import { layOut, parse } from "./flowchart.ts";

const OPTIONS = { sampleRateLog2: 7, mode: "tunnel", onDemand: true, exceptions: true } as const;
const COUNTERS = () => ({ entries: 3, packets: 42n, missPackets: 7n, staticEntries: [] });

function chart(sampling: boolean) {
  const topology = buildTopology({ ...OPTIONS, sampling });
  return parse(mermaid(topology, { counters: COUNTERS, ports: { uplink: "p0", host: "vf0 vf1" } }));
}

Deno.test("every pipe of the picture is read, with its edges, what they match, and what passed there", () => {
  const { nodes, edges } = chart(true);
  for (const name of ["ROOT", "EGR_ACL", "EGR_SAMP", "PSP_ENCRYPT", "PSP_DECRYPT", "INGR_ACL"]) {
    assert.ok(nodes.some(({ id, lines }) => id === name && lines[0] === name), name);
  }
  assert.deepEqual(nodes.find(({ id }) => id === "host")?.lines, ["vf0 vf1"]);
  const miss = edges.find(({ from, to }) => from === "EGR_ACL" && to === "RSS");
  assert.deepEqual(miss, {
    from: "EGR_ACL",
    to: "RSS",
    label: "miss",
    dashed: true,
    packets: 7,
  });
  const hit = edges.find(({ from, to }) => from === "PSP_ENCRYPT" && to === "p0");
  assert.deepEqual([hit?.packets, hit?.dashed, hit?.label], [42, false, ""]);
});

Deno.test("columns go from left to right, nodes of one do not overlap, and all are in the picture", () => {
  for (const sampling of [false, true]) {
    const read = chart(sampling);
    const { nodes, width, height } = layOut(read);
    assert.equal(nodes.size, read.nodes.length);
    const all = [...nodes.values()];
    for (const a of all) {
      assert.ok(a.x >= 0 && a.y >= 0 && a.x + a.width <= width && a.y + a.height <= height, a.id);
      for (const b of all) {
        if (a === b || a.x !== b.x) continue;
        assert.ok(a.y + a.height <= b.y || b.y + b.height <= a.y, `${a.id} on ${b.id}`);
      }
    }
    const back = read.edges.filter(({ from, to }) =>
      (nodes.get(from)?.x ?? 0) >= (nodes.get(to)?.x ?? 0)
    );
    assert.deepEqual(back.map(({ label }) => label), ["resubmit"]);
  }
});

Deno.test("an edge over several columns passes none of their nodes", () => {
  for (const sampling of [false, true]) {
    const read = chart(sampling);
    const { nodes, passages, height } = layOut(read);
    assert.ok(passages.size > 0);
    for (const [i, way] of passages) {
      const { from, to } = read.edges[i] ?? { from: "", to: "" };
      for (const { x, y, width } of way) {
        assert.ok(y > 0 && y < height);
        for (const node of nodes.values()) {
          if (node.x < x || node.x > x + width) continue;
          assert.ok(y < node.y || y > node.y + node.height, `${from} to ${to} through ${node.id}`);
        }
      }
    }
  }
});

Deno.test("a text that is no flowchart has nothing in it", () => {
  assert.deepEqual(parse("graph\nwhatever"), { nodes: [], edges: [] });
  assert.equal(layOut({ nodes: [], edges: [] }).nodes.size, 0);
});

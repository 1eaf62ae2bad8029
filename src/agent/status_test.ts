// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { agentStatus, type AgentStatusParts } from "./status.ts";
import type { Pipe, PipeName } from "../pipes/types.ts";
import { buildTopology } from "../pipes/topology.ts";

Deno.test("what a control pipe has passed is the sum of its entries; others tell it themselves", () => {
  const topology = buildTopology({
    sampling: false,
    sampleRateLog2: 0,
    mode: "tunnel",
    onDemand: true,
    exceptions: true,
  });
  const pipes = new Map(topology.pipes.map((pipe: Pipe, id) => [pipe.name, id]));
  const entries = new Map(
    topology.pipes.flatMap((pipe) => pipe.entries.map(({ name }) => `${pipe.name}/${name}`))
      .map((name, id) => [name, id]),
  );
  const none = { bytes: 0n, missPackets: 1n, missBytes: 60n, entries: 0, lastUsedNs: 0n };
  const parts = {
    installed: {
      topology,
      pipes,
      entries,
      pipeId: (name: PipeName) => pipes.get(name) ?? -1,
      remove: () => {},
    },
    plane: {
      queryPipe: (id: number) => ({ ...none, packets: id === pipes.get("EGR_ACL") ? 7n : 0n }),
      queryEntry: () => ({ packets: 2n, bytes: 100n, lastUsedNs: 0n }),
    },
  } as unknown as AgentStatusParts;
  const views = new Map(agentStatus(parts).pipes().map((view) => [view.name, view]));
  const ofRoot = BigInt(topology.pipes.find(({ name }) => name === "ROOT")?.entries.length ?? 0);
  assert.ok(ofRoot > 3n);
  assert.equal(views.get("ROOT")?.packets, 2n * ofRoot);
  assert.equal(views.get("ROOT")?.bytes, 100n * ofRoot);
  assert.equal(views.get("ROOT")?.missPackets, 1n);
  assert.equal(views.get("EGR_ACL")?.packets, 7n);
});

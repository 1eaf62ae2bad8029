// SPDX-License-Identifier: Apache-2.0

/** What `psp-agent explain` says is what then happens on real hosts: the counter that it names is the one that moves. */
import assert from "node:assert/strict";
import { agentCommand, type AgentProcess } from "../support/agent_process.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

/** The verdict for a packet of v1 to `dst`, and the reason among the drops. */
async function explained({ world }: Stage, dst: string): Promise<[string, string, string]> {
  const { code, stdout, stderr } = await agentCommand(world, "h1", [
    ...["explain", world.vip("h1"), dst],
    ...["-o", "json"],
  ]);
  assert.equal(stderr, "");
  const { verdict, counter, steps } = JSON.parse(stdout);
  assert.equal(code, verdict === "dropped" ? 5 : 0);
  return [verdict, counter, steps.map(({ text }: { text: string }) => text).join("\n")];
}

/** Drops by reason that are not 0. */
async function drops(agent: AgentProcess): Promise<Record<string, string>> {
  const { body } = await agent.get("/psp.v1.StatusService/GetStatus");
  const all: Record<string, string> = JSON.parse(body).drops ?? {};
  return Object.fromEntries(Object.entries(all).filter(([, n]) => n !== "0"));
}

story(
  "explained, then sent: it passes, or counts under the name that was told",
  { vips: 2 },
  async (stage) => {
    const { world, startBoth } = stage;
    const { h1, h2 } = await startBoth();
    const to = world.vip("h2");
    assert.equal((await explained(stage, to))[0], "held");
    assert.equal((await ping(world, { in: "v1", to })).received, 1);
    const [passes, , how] = await explained(stage, to);
    assert.equal(passes, "passes");
    assert.match(how, /Sealed with 0x/);
    assert.equal((await ping(world, { in: "v1", to })).received, 1);
    assert.deepEqual(await drops(h1), {});

    await h2.end("SIGKILL");
    const other = world.vip("h2", 1);
    const told = await explained(stage, other);
    assert.match(told[2], /Cannot reach peer "h2"/);
    assert.equal(told[1], "peer-unreachable");
    const before = await drops(h1);
    await ping(world, { in: "v1", to: other }, { wait: 1 });
    await eventually(async () => (await drops(h1))["peer-unreachable"] !== undefined, {
      what: "the packet to be dropped",
    });
    const after = await drops(h1);
    const moved = Object.keys(after).filter((reason) => after[reason] !== before[reason]);
    assert.deepEqual(moved, ["peer-unreachable"]);
  },
);

story("a packet to nobody's address, and one on a port that is gone", {}, async (stage) => {
  const { world, start } = stage;
  const h1 = await start("h1");
  const nobody = "10.77.0.1";
  const [verdict, counter, why] = await explained(stage, nobody);
  assert.deepEqual([verdict, counter], ["dropped", "no-peer"]);
  assert.match(why, /No peer owns 10\.77\.0\.1/);
  await ping(world, { in: "v1", to: nobody }, { wait: 1 });
  assert.ok(await h1.counter("no-peer") > 0);

  await world.mustRun("h1", ["ip", "link", "set", "uplink", "down"]);
  await eventually(async () => /Nothing passes: /.test((await explained(stage, nobody))[2]), {
    what: "the fault to be told",
  });
});

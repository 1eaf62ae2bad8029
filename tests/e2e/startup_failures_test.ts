// SPDX-License-Identifier: Apache-2.0

/** An agent that cannot start says why in one sentence. */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import type { AgentProcess } from "../support/agent_process.ts";
import { pidsIn } from "../support/netns.ts";
import { PLANE } from "../support/standin.ts";
import { story } from "../support/story.ts";
import { within } from "../support/wait.ts";
import type { World } from "../support/world.ts";

interface Case {
  readonly why: string;
  readonly change: (config: PeersJson, world: World) => void;
  /** What the sentence must name. */
  readonly names: RegExp;
}

const CASES: readonly Case[] = [
  {
    why: "an interface is missing",
    change: ({ plane }) => plane[PLANE === "doca" ? "representor" : "uplink"] = "nope0",
    names: /nope0/,
  },
  {
    why: "the database cannot be written",
    change: (config, world) => config.state_dir = world.path("pki/ca/ca.crt"),
    names: /ca\.crt/,
  },
  {
    why: "the shim cannot be loaded",
    change: ({ plane }, world) => plane.library = world.path("pki/ca/ca.crt"),
    names: /ca\.crt/,
  },
  {
    why: "a certificate is missing",
    change: ({ rpc }, world) => {
      if (rpc.tls) rpc.tls.cert = world.path("pki/nobody.crt");
    },
    names: /nobody\.crt/,
  },
  {
    why: "the key exchange must be post-quantum, and the runtime prefers another",
    change: ({ rpc }) => rpc.require_pq = true,
    names: /rpc\.require_pq: Deno .* negotiates X25519 with itself, not X25519MLKEM768/,
  },
];

story("what keeps an agent from starting is one sentence", {}, async ({ world, launch }) => {
  for (const { why, change, names } of CASES) {
    const agent = await launch("h1", {
      change: (config) => change(config, world),
      args: ["--once"],
    });
    await assertRefuses(agent, { why, names });
  }
  assert.deepEqual(await pidsIn(world.ns("h1")), []);
});

story("a port in use keeps an agent from starting", {}, async ({ world, launch }) => {
  const worker = await world.worker("h1");
  for (const port of [7443, 7480]) {
    const hostname = port === 7443 ? world.host("h1").pip : "127.0.0.1";
    await worker.proxy({ listen: { hostname, port }, target: { hostname, port: 1 } });
    const agent = await launch("h1", { args: ["--once"] });
    await assertRefuses(agent, { why: `port ${port} is in use`, names: new RegExp(`${port}`) });
    await worker.proxyClose();
  }
});

async function assertRefuses(
  agent: AgentProcess,
  { why, names }: { readonly why: string; readonly names: RegExp },
): Promise<void> {
  const { code } = await within(agent.ended(), `the end of an agent when ${why}`);
  const said = agent.log.filter((line) => !/^(debug|info)$/i.test(line.level));
  assert.ok(code === 1 || code === 3, `${why}: exit code ${code}: ${agent.logText()}`);
  assert.equal(said.length, 1, `${why}: ${agent.logText()}`);
  assert.match(said[0]?.text ?? "", names, why);
  assert.doesNotMatch(agent.logText(), /^\s+at /m, `${why}: a stack trace is no sentence`);
}

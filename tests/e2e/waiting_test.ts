// SPDX-License-Identifier: Apache-2.0

/** What is not there yet when an agent starts is waited for: the agent comes up by itself, and says meanwhile why not. */
import assert from "node:assert/strict";
import { type PeersJson, peersJson } from "../support/agent_config.ts";
import { agentCommand } from "../support/agent_process.ts";
import { ip } from "../support/netns.ts";
import { PLANE } from "../support/standin.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

interface Late {
  readonly what: string;
  /** Takes it away; what it returns brings it. */
  readonly miss: (world: World, config: PeersJson) => Promise<() => Promise<void>>;
  /** What the reason names. */
  readonly names: RegExp;
}

const LATE: readonly Late[] = [
  {
    what: "the host port",
    async miss(world, { plane }) {
      const port = String(plane.host);
      const ns = world.ns("h1");
      await ip([`link set ${port} down`, `link set ${port} name later`], ns);
      return () => ip([`link set later name ${port}`, `link set ${port} up`], ns);
    },
    names: /Cannot open host port "[^"]+": no such interface/,
  },
  {
    what: "the address of rpc.listen",
    async miss(world, { pip, plane }) {
      const ns = world.ns("h1");
      const shown = await world.mustRun("h1", ["ip", "-o", "addr", "show", "to", pip]);
      const [, device, , address] = shown.split(/\s+/);
      assert.ok(device !== undefined && address?.startsWith(pip), `${plane.uplink}: ${shown}`);
      await ip([`addr del ${address} dev ${device}`], ns);
      return () => ip([`addr add ${address} dev ${device}`], ns);
    },
    names: /Cannot listen on "[^"]+" \(rpc\.listen\)/,
  },
  {
    what: "the certificate",
    async miss(_, { rpc }) {
      const cert = String(rpc.tls?.cert);
      await Deno.rename(cert, `${cert}.later`);
      return () => Deno.rename(`${cert}.later`, cert);
    },
    names: /rpc\.tls\.cert: cannot read/,
  },
  {
    what: "an octet in the key file",
    async miss(_, { rpc }) {
      const key = String(rpc.tls?.key);
      const whole = await Deno.readTextFile(key);
      await Deno.writeTextFile(key, "");
      return () => Deno.writeTextFile(key, whole);
    },
    names: /Cannot use rpc\.tls: .*key/,
  },
  {
    what: "the lock of the state directory",
    async miss(world, config) {
      const dir = world.path("state-held");
      config.state_dir = dir;
      await Deno.mkdir(dir, { mode: 0o700 });
      const lock = await Deno.open(`${dir}/lock`, { create: true, write: true });
      await lock.lock(true);
      return () => {
        lock.close();
        return Promise.resolve();
      };
    },
    names: /another psp-agent holds its lock/,
  },
];

// Hardware's representors and their names are not a namespace's to take away.
const HERE = PLANE === "doca" ? LATE.slice(1) : LATE;

for (const { what, miss, names } of HERE) {
  story(`an agent waits for ${what}, and says so`, {}, async ({ world, launch, start }) => {
    await start("h2");
    const config = peersJson(world, "h1");
    const bring = await miss(world, config);
    const agent = await launch("h1", { change: (usual) => Object.assign(usual, config) });
    const reason = await agent.heard("The agent waits: it starts by itself once it can");
    assert.match(String(reason.fields.reason), names);
    assert.equal(agent.ending, undefined);
    assert.equal(agent.said("Ready").length, 0);
    if (what !== "the certificate") {
      const ready = await eventually(async () => {
        const answer = await agent.get("/readyz");
        return answer.status === 503 && answer;
      }, { what: "an answer of the waiting agent" });
      assert.match(ready.body, names);
      // Between two attempts to start nobody answers.
      await eventually(async () => {
        const { code, stderr } = await agentCommand(world, "h1", ["status"]);
        return code === 4 && stderr.startsWith("psp-agent: The agent waits: ") &&
          names.test(stderr);
      }, { what: "the command line to say what the agent waits for" });
      await eventually(async () => {
        const { stdout } = await agentCommand(world, "h1", [
          "doctor",
          "--config",
          agent.configPath,
        ]);
        return /^problem {2}agent: The agent waits: .*/m.exec(stdout)?.[0].match(names);
      }, { what: "doctor to say so" });
    }
    await bring();
    await agent.ready();
    assert.equal((await agent.get("/readyz")).status, 200);
    const route = { in: "v1", to: world.vip("h2") };
    await eventually(async () => (await ping(world, route, { wait: 0.5 })).received === 1, {
      what: "a packet after the wait",
    });
  });
}

story("an agent that waits ends when it is told to, with 0", {}, async ({ launch }) => {
  const agent = await launch("h1", {
    change: ({ plane }) => plane[PLANE === "doca" ? "representor" : "uplink"] = "nope0",
  });
  await agent.heard("The agent waits: it starts by itself once it can");
  assert.equal((await agent.end("SIGTERM")).code, 0);
});

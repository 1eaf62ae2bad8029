// SPDX-License-Identifier: Apache-2.0

/** `security.deny` in the file of a running agent: connections and tunnels end within a second. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { issue } from "../support/agent_config.ts";
import type { AgentProcess } from "../support/agent_process.ts";
import { kill } from "../support/netns.ts";
import { limitMs } from "../support/scale.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

const RELOADED = "Configuration reloaded";

/** Rewrites the file of a running agent, by renaming another over it. */
async function deny(agent: AgentProcess, list: readonly string[]): Promise<void> {
  const config = JSON.parse(await Deno.readTextFile(agent.configPath));
  config.security = { deny: list };
  await Deno.writeTextFile(`${agent.configPath}.new`, JSON.stringify(config));
  await Deno.rename(`${agent.configPath}.new`, agent.configPath);
}

/** TCP connections of the control channel that stand, seen from h1. */
async function connections(world: World): Promise<number> {
  const ss = ["ss", "-Htn", "state", "established", "( sport = :7443 or dport = :7443 )"];
  return (await world.mustRun("h1", ss)).split("\n").filter((line) => line !== "").length;
}

/** Both agents, with a tunnel that carries. */
async function carrying({ world, startBoth }: Stage) {
  const agents = await startBoth();
  const route = { in: "v1", to: world.vip("h2") };
  const { received, text } = await ping(world, route, { count: 2, interval: 0.05 });
  assert.equal(received, 2, text);
  assert.ok(await connections(world) > 0);
  return { ...agents, route };
}

/** How long it takes until h1 has no connection and no tunnel. */
async function cutWithin(stage: Stage, h1: AgentProcess, act: () => Promise<void>): Promise<void> {
  const startMs = performance.now();
  await act();
  await eventually(async () =>
    await connections(stage.world) === 0 &&
    (await h1.status()).tunnels.up === 0, {
    what: "connections and tunnels of the denied peer to end",
    everyMs: 20,
  });
  const ms = performance.now() - startMs;
  console.log(`    cut ${Math.round(ms)} ms after the file was changed`);
  assert.ok(ms < limitMs(1500), `${Math.round(ms)} ms, of which the file took at most 1,000`);
}

story("an identity that is denied in the file loses connections and tunnels", {}, async (stage) => {
  const { world } = stage;
  const { h1, route } = await carrying(stage);
  const capture = await world.capture();
  await cutWithin(stage, h1, () => deny(h1, ["h2"]));
  const silent = await ping(world, route, { count: 3, interval: 0.05, wait: 0.3 });
  assert.equal(silent.received, 0, "packets pass to a denied peer");
  const back = await ping(world, { in: "v2", to: world.vip("h1") }, { wait: 0.5 });
  assert.equal(back.received, 0, "packets pass from a denied peer");
  const wire = await capture.stop();
  assert.equal(wire.foreign, 0, wire.examples.join("; "));

  await deny(h1, []);
  await eventually(async () => (await ping(world, route, { wait: 0.3 })).received === 1, {
    what: "traffic after the peer is let in again",
  });
});

story("who is denied is told so, and both ends say who refused whom", {}, async (stage) => {
  const { world, start } = stage;
  const [h1, h2] = await Promise.all([
    start("h1", { change: (config) => config.security = { deny: ["h2"] } }),
    start("h2"),
  ]);
  const asked = await ping(world, { in: "v2", to: world.vip("h1") }, { wait: 0.5 });
  assert.equal(asked.received, 0, "packets pass from a denied peer");
  const text = '"h2" is denied by the configuration';
  await eventually(async () => (await refusal(h2))?.startsWith("the peer: "), {
    what: "the denied host to know that it is",
    describe: () => h2.logText(),
  });
  assert.ok((await refusal(h2))?.includes(text), await refusal(h2));
  assert.equal(await refusal(h1), `this host: denied-identity, ${text}`);
  assert.ok(await h2.counter("drop-refused") > 0, "its packets wait for nobody");
  assert.equal(await h2.counter("drop-peer-unreachable"), 0, "the peer did answer");
});

/** Who refused whom, and why, as an agent says it of the other one; undefined: nobody did. */
async function refusal(agent: AgentProcess): Promise<string | undefined> {
  const { body } = await agent.get("/psp.v1.StatusService/ListPeers");
  const [peer] = (JSON.parse(body) as {
    peers: { refusal?: { by: string; reason: string; message: string } }[];
  }).peers;
  return peer?.refusal && `${peer.refusal.by}: ${peer.refusal.reason}, ${peer.refusal.message}`;
}

story(
  "a certificate that is denied ends its tunnels; with another one its owner is back",
  {},
  async (stage) => {
    const { world } = stage;
    const { h1, h2, route } = await carrying(stage);
    const path = world.path("pki/h2/h2.crt");
    const { fingerprint256 } = new X509Certificate(await Deno.readTextFile(path));
    await cutWithin(stage, h1, () => deny(h1, [`sha256:${fingerprint256}`]));
    const silent = await ping(world, route, { count: 3, interval: 0.05, wait: 0.3 });
    assert.equal(silent.received, 0, "packets pass to a denied certificate");

    await Deno.remove(world.path("pki/h2"), { recursive: true });
    await issue(world, "h2");
    await h2.heard("New TLS files are in force");
    await eventually(async () => (await ping(world, route, { wait: 0.3 })).received === 1, {
      what: "traffic under the new certificate",
      describe: () => `${h1.logText()}\n${h2.logText()}`,
    });
  },
);

story(
  "a file that cannot be used changes nothing and is said; SIGHUP reads it too",
  {},
  async (stage) => {
    const { world } = stage;
    const { h1, route } = await carrying(stage);
    const good = await Deno.readTextFile(h1.configPath);
    await Deno.writeTextFile(h1.configPath, `{ "id": "h1", `);
    await h1.heard("Configuration not reloaded");
    const { received, text } = await ping(world, route, { count: 3, interval: 0.05 });
    assert.equal(received, 3, text);

    await Deno.writeTextFile(h1.configPath, good);
    await h1.heard(RELOADED);
    const before = h1.said(RELOADED).length;
    kill(h1.pid, "SIGHUP");
    await h1.heard(RELOADED, before + 1);
  },
);

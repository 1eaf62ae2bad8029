// SPDX-License-Identifier: Apache-2.0

/** Who cannot prove to be the configured peer gets nothing. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { issue, makePki, tlsOf } from "../support/agent_config.ts";
import { agentCommand, type AgentProcess } from "../support/agent_process.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { within } from "../support/wait.ts";

story("a certificate of another CA is refused both ways", {}, async ({ world, start }) => {
  await makePki(world, { dir: "other" });
  const [h1, h2] = await Promise.all([
    start("h1"),
    start("h2", { change: (config) => config.rpc.tls = tlsOf(world, "h2", "other") }),
  ]);
  for (const route of [{ in: "v1", to: world.vip("h2") }, { in: "v2", to: world.vip("h1") }]) {
    const { received } = await ping(world, route, { count: 2, wait: 1 });
    assert.equal(received, 0);
  }
  await assertNothingCameOfIt(h1);
  await assertNothingCameOfIt(h2);
});

story("no variable of the environment makes a stranger a peer", {}, async ({ world, start }) => {
  await makePki(world, { dir: "other" });
  const env = {
    NODE_TLS_REJECT_UNAUTHORIZED: "0",
    NODE_EXTRA_CA_CERTS: world.path("other/ca.crt"),
  };
  const [h1, stranger] = await Promise.all([
    start("h1", { env }),
    // It would answer h1, but is not h2.
    start("h2", {
      change: ({ rpc }) =>
        rpc.tls = { ...tlsOf(world, "h2", "other"), ca: world.path("pki/ca/ca.crt") },
    }),
  ]);
  const { received } = await ping(world, { in: "v1", to: world.vip("h2") }, { count: 2, wait: 1 });
  assert.equal(received, 0);
  await assertNothingCameOfIt(h1);
  assert.equal(await stranger.counter("responder-exchanges"), 0);
  assert.equal(await stranger.counter("exchanges-failed"), 0);
});

story("a peer with another id is refused both ways", {}, async ({ world, start }) => {
  await issue(world, "h9");
  const [h1, h9] = await Promise.all([
    start("h1"),
    start("h2", {
      change: (config) => {
        config.id = "h9";
        config.rpc.tls = tlsOf(world, "h9");
      },
    }),
  ]);
  const asked = await ping(world, { in: "v1", to: world.vip("h2") }, { count: 2, wait: 1 });
  assert.equal(asked.received, 0);
  await assertNothingCameOfIt(h1);

  const asking = await ping(world, { in: "v2", to: world.vip("h1") }, { count: 2, wait: 1 });
  assert.equal(asking.received, 0);
  await assertNothingCameOfIt(h9);
  assert.ok(await h1.counter("unknown-identity") >= 1);
});

story(
  "a host that is refused when it is asked learns it at once, with the reason",
  {},
  async (stage) => {
    const { world, startBoth } = stage;
    // h1 denies the certificate of h2, and h2 never asks.
    const pem = await Deno.readTextFile(tlsOf(world, "h2").cert);
    const fingerprint = new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
    const { h2 } = await startBoth({
      change: (config) => {
        if (config.id === "h1") config.security = { deny: [`sha256:${fingerprint}`] };
      },
    });
    assert.equal((await ping(world, { in: "v1", to: world.vip("h2") }, { wait: 1 })).received, 0);
    await h2.heard("A peer refuses this host's certificate");
    const told = async (host: "h1" | "h2", peer: string) => {
      const { stdout } = await agentCommand(world, host, ["peers", "-o", "json"]);
      const peers = JSON.parse(stdout) as { id: string; refusal: Record<string, string> }[];
      const refusal = peers.find(({ id }) => id === peer)?.refusal ?? {};
      return [refusal["by"], refusal["message"]?.replace(/^.*: /, "")];
    };
    const why = '"h2" is denied by the configuration';
    assert.deepEqual(await told("h1", "h2"), ["this host", why]);
    assert.deepEqual(await told("h2", "h1"), ["the peer", why]);
  },
);

story("an agent does not start with the certificate of another", {}, async (stage) => {
  const { world, launch } = stage;
  const agent = await launch("h1", {
    change: ({ rpc }) => rpc.tls = tlsOf(world, "h2"),
    args: ["--once"],
  });
  const { code } = await within(agent.ended(), "the end of the agent");
  assert.equal(code, 1);
  assert.match(agent.logText(), /h2\.crt.* is not that of .*\/h1/);
});

async function assertNothingCameOfIt(agent: AgentProcess): Promise<void> {
  const { counters, tunnels } = await agent.status();
  assert.ok((counters["exchanges-failed"] ?? 0) >= 1);
  assert.equal(tunnels.up, 0);
  assert.equal(counters["responder-exchanges"], 0);
  assert.equal(counters["tx-packets"], 0);
  const entries = (await agent.pipes()).filter((p) => ["EGR_ACL", "INGR_ACL"].includes(p.name));
  assert.deepEqual(entries.map((pipe) => pipe.entries), [0, 0]);
}

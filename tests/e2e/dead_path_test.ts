// SPDX-License-Identifier: Apache-2.0

/** What lets the control channel through and not PSP, in one direction: its sender says so, and when it is over. */
import assert from "node:assert/strict";
import type { AgentProcess } from "../support/agent_process.ts";
import { separate } from "../support/router.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const LOST = "Packets to the peer do not arrive";

for (const [i, sender] of (["h1", "h2"] as const).entries()) {
  story(
    `a firewall that drops what ${sender} sends to UDP port 1000 shows there`,
    {},
    async (stage) => {
      const { world, startBoth } = stage;
      const router = await separate(world);
      const { h1, h2 } = await startBoth();
      const route = { in: "v1", to: world.vip("h2") };
      const reached = (what: string) =>
        eventually(async () => (await ping(world, route, { wait: 1 })).received === 1, { what });
      await reached("a ping before");
      const [its, other] = sender === "h1" ? [h1, h2] : [h2, h1];
      const unreached = async (agent: AgentProcess) =>
        (await agent.status()).peers.filter(({ unreachedSince }) => unreachedSince !== "")
          .map(({ id }) => id);
      await router.run(["nft", "add table netdev wall"]);
      await router.run([
        "nft",
        `add chain netdev wall in { type filter hook ingress device r${i} priority 0; }`,
      ]);
      await router.run(["nft", "add rule netdev wall in udp dport 1000 drop"]);
      await eventually(async () => {
        await ping(world, route, { count: 4, interval: 0.2, wait: 0.2 });
        return (await unreached(its)).length > 0;
      }, { what: "who sends to find that nothing arrives" });
      const peer = other === h1 ? "h1" : "h2";
      assert.deepEqual(await unreached(its), [peer]);
      assert.deepEqual(await unreached(other), [], "what it sends arrives");
      const { fields } = await its.heard(LOST);
      assert.deepEqual([fields.peer, fields.pip], [peer, world.host(peer).pip]);
      await router.run(["nft", "delete table netdev wall"]);
      await reached("a ping after");
      await eventually(async () => {
        await ping(world, route, { count: 4, interval: 0.2, wait: 1 });
        return (await unreached(its)).length === 0;
      }, { what: "who sends to find that it arrives again" });
      assert.ok(!other.log.some(({ message }) => message === LOST));
    },
  );
}

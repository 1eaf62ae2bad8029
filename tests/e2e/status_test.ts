// SPDX-License-Identifier: Apache-2.0

/** What an operator sees of a running agent from the command line. */
import assert from "node:assert/strict";
import { agentCommand } from "../support/agent_process.ts";
import { PLANE } from "../support/standin.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";

story("the status says whether the ingress guard stands", {}, async ({ start }) => {
  const h1 = await start("h1");
  const state = PLANE === "soft" ? "stands" : "not-applicable";
  const { ports } = await h1.status();
  const guards = ports.map(({ name, guard, guardReason }) => [name, guard, guardReason]);
  assert.deepEqual(guards, [["uplink", state, ""], ["host", state, ""]]);
  assert.equal(await h1.counter("guard-absent"), 0);
});

story("the commands of an operator show the tunnel", {}, async ({ world, start, startBoth }) => {
  const { h2 } = await startBoth();
  const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") });
  assert.equal(received, 1, text);
  const expected: readonly (readonly [readonly string[], RegExp])[] = [
    [["status"], /h2/],
    [["status", "--json"], /"h2"/],
    [["tunnels"], new RegExp(`${world.vip("h1")} +${world.vip("h2")} +up`)],
    [["pipes", "--live"], /EGR_ACL/],
    [["check", "--config", world.path("peers-h1.json")], /"id": "h1"/],
  ];
  for (const [args, shows] of expected) {
    const { code, stdout, stderr } = await agentCommand(world, "h1", args);
    assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
    assert.match(stdout, shows, args.join(" "));
  }

  await h2.end("SIGTERM");
  const gone = await agentCommand(world, "h2", ["status"]);
  assert.notEqual(gone.code, 0);
  assert.equal(gone.stderr.trim().split("\n").length, 1, gone.stderr);
  await start("h2");
});

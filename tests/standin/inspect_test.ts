// SPDX-License-Identifier: Apache-2.0

/** What the CPU looks at before hardware encapsulates is a choice, and nothing unless it is made. */
import assert from "node:assert/strict";
import { agentCommand } from "../support/agent_process.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";

/** plane.inspect, and how many entries behind ROOT lead to the CPU for it: IPv4 and IPv6, SYNs and lengths. */
const CHOICES: readonly ["off" | "syn" | "all" | undefined, (entries: number) => boolean][] = [
  [undefined, (entries) => entries === 0],
  ["off", (entries) => entries === 0],
  ["syn", (entries) => entries === 2],
  ["all", (entries) => entries > 10],
];

story("plane.inspect decides what ROOT hands to the CPU", {}, async ({ world, start }) => {
  await start("h2");
  for (const [inspect, fits] of CHOICES) {
    const record = world.path(`trace-${inspect}`);
    const h1 = await start("h1", {
      env: { PSP_DOCA_TRACE: record },
      change: ({ plane }) => {
        if (inspect === undefined) delete plane.inspect;
        else plane.inspect = inspect;
      },
    });
    const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") });
    assert.equal(received, 1, text);
    const { code } = await agentCommand(world, "h1", ["pipes", "--live"]);
    assert.equal(code, 0);
    await h1.end("SIGTERM");
    const calls = (await Deno.readTextFile(record)).split("\n");
    const matching = (pattern: RegExp) => calls.filter((line) => pattern.test(line)).length;
    const added = matching(/^entry_add pipe=ROOT_INSPECT\d+ .*fwd=pipe:ROOT_INSP1 /);
    assert.ok(fits(added), `${inspect}: ${added}`);
    assert.equal(matching(/^entry_add pipe=ROOT .*fwd=pipe:ROOT_INSP1 /), 0, "ROOT has its own");
  }
});

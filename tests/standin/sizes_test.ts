// SPDX-License-Identifier: Apache-2.0

/** Sizes and the library's options as keys of the configuration, on devices that have less than is asked for. */
import assert from "node:assert/strict";
import { agentCommand } from "../support/agent_process.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";

/** What a device has, by how much less than one peer needs, and what an agent makes of it. */
const DEVICES: readonly [string, number, number][] = [
  ["counters=5300", 1024, 512],
  ["psp=600", 1024, 512],
  ["actions_mem=1048576", 2048, 1024],
];

story("a device with less memory gets a smaller plane, which says so", {}, async (stage) => {
  const { world, launch, start } = stage;
  await start("h2");
  for (const [capacity, entries, ids] of DEVICES) {
    const h1 = await launch("h1", { env: { DOCA_STANDIN_CAPACITY: capacity } });
    await h1.ready();
    const { stdout } = await agentCommand(world, "h1", ["status"]);
    assert.match(
      stdout,
      new RegExp(`sizes +${entries} of 4096 entries, ${ids} of 2048 crypto ids`),
    );
    assert.match(stdout, /the device has no memory for more/, capacity);
    const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") });
    assert.equal(received, 1, text);
    const said = h1.log.filter(({ message }) => /^The device has less memory/.test(message));
    assert.deepEqual(said.map(({ fields }) => fields.count), [entries], h1.logText());
    await h1.end("SIGTERM");
  }
});

story(
  "what the configuration says of DPDK and DOCA Flow reaches them",
  {},
  async ({ world, start }) => {
    const record = world.path("trace");
    const h1 = await start("h1", {
      env: { PSP_DOCA_TRACE: record, DOCA_STANDIN_RELAX: "mode" },
      change: ({ plane }) =>
        Object.assign(plane, {
          max_entries: 1000,
          max_crypto_ids: 100,
          actions_memory_mb: 3,
          mbufs: 1024,
          devargs: "dv_esw_en=1",
          // The stand-in takes its name as well as its number.
          dpdk_representor: plane.representor,
          flow_mode: "hws,switch,expert",
        }),
    });
    const { stdout } = await agentCommand(world, "h1", ["status"]);
    assert.match(
      stdout,
      /sizes +1000 entries, 100 crypto ids, 4 MiB for actions, 1024 packet buffers, 3 queues\n/,
    );
    await h1.end("SIGTERM");
    const calls = await Deno.readTextFile(record);
    assert.match(calls, /dpdk_probe devargs=\S+,dv_esw_en=1 representor=[a-z]\w+ -> ok/);
    assert.match(calls, /flow_init mode=hws,switch,expert counters=5096 psp_keys=100 -> ok/);
  },
);

story(
  "a DOCA that is newer than what the plane knows is warned of",
  {},
  async ({ world, start }) => {
    for (
      const [version, newer] of [["3.3.0", false], ["3.4.0109", true], ["4.0.1", true]] as const
    ) {
      const env = { DOCA_STANDIN_VERSION: version };
      const h1 = await start("h1", { env });
      const said = h1.log.filter(({ message }) => /^DOCA is newer/.test(message));
      assert.equal(said.length, newer ? 1 : 0, version);
      const { stdout } = await agentCommand(world, "h1", ["status", "--json"]);
      assert.match(
        stdout,
        new RegExp(`DOCA ${version}, built with stand-in${newer ? ", newer than 3.3" : ""};`),
      );
      await h1.end("SIGTERM");
    }
  },
);

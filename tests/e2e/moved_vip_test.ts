// SPDX-License-Identifier: Apache-2.0

/** A workload's address moves from one host to another, on three real agents that learn of it in files of their own. */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { PingStream } from "../support/ping_stream.ts";
import { limitMs } from "../support/scale.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { addThirdHost, H3_PIP } from "../support/third_host.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

/** What nobody asks for: an agent needs to have something. */
const OTHER = "10.9.0.1";

story(
  "an address moves to a third host: its tunnel is there within a second",
  {},
  async (stage) => {
    const { world, start } = stage;
    const vip = world.vip("h2");
    const third = await addThirdHost(world, vip);
    const peer = (id: "h2" | "h3", vips: string[]) => ({
      id,
      svc_address: `${id === "h2" ? world.host("h2").pip : H3_PIP}:7443`,
      vips,
    });
    const h1 = await start("h1", {
      change: (config) => config.peers = [peer("h2", [vip]), peer("h3", [OTHER])],
    });
    const h2 = await start("h2");
    const toH1 = (config: PeersJson) => config.peers = JSON.parse(peersOfH2).slice(0, 1);
    const peersOfH2 = JSON.stringify(JSON.parse(await Deno.readTextFile(h2.configPath)).peers);
    await third.start((config) => {
      toH1(config);
      config.vips = [{ vip: OTHER }];
    });
    const route = { in: "v1", to: vip };
    assert.equal((await ping(world, route, { count: 3, interval: 0.1 })).received, 3);
    assert.deepEqual([(await h2.status()).tunnels.up, await third.tunnelsUp()], [1, 0]);

    const capture = await world.capture();
    await using stream = new PingStream(world, { ...route, count: 300, intervalMs: 20 });
    await eventually(() => stream.answers.size > 20, { what: "the stream to run", everyMs: 10 });
    const write = async (path: string, change: (config: PeersJson) => void) => {
      const config = JSON.parse(await Deno.readTextFile(path));
      change(config);
      await Deno.writeTextFile(`${path}.new`, JSON.stringify(config));
      await Deno.rename(`${path}.new`, path);
    };
    const began = performance.now();
    await Promise.all([
      write(h1.configPath, (c) => c.peers = [peer("h2", [OTHER]), peer("h3", [vip])]),
      write(h2.configPath, (c) => c.vips = [{ vip: OTHER }]),
      write(third.configPath, (c) => c.vips = [{ vip }]),
    ]);
    await eventually(async () => await third.tunnelsUp() === 1, { what: "the tunnel with h3" });
    const { sent, lost } = await stream.ended();
    const times = [...stream.answers.values()].sort((a, b) => a - b);
    const gapMs = Math.max(...times.slice(1).map((at, i) => at - (times[i] ?? at)));
    console.log(
      `    ${lost.length} of ${sent} pings without an answer, the longest silence ${
        Math.round(gapMs)
      } ms`,
    );
    assert.ok(gapMs < limitMs(2000), `${gapMs} ms, of which the files took at most 1,000`);
    assert.ok(times.some((at) => at > began + gapMs), "answers of the new owner");
    assert.equal((await h2.status()).tunnels.up, 0, "the old owner has let go");
    const [tunnel, ...others] = await h1.tunnels();
    assert.deepEqual([tunnel?.peer, tunnel?.state, others], ["h3", "up", []]);
    assertOnlyPsp(await capture.stop());
  },
);

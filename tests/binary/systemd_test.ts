// SPDX-License-Identifier: Apache-2.0

/** The unit: systemd finds nothing wrong with it, and the agent is what it promises, as the unit runs it. */
import assert from "node:assert/strict";
import { peersJson } from "../support/agent_config.ts";
import { spawn } from "../support/netns.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually, within } from "../support/wait.ts";
import { NotifySocket } from "./notify_socket.ts";
import { inTemporary, ROOT } from "./run_alone.ts";

const UNIT = `${ROOT}deploy/systemd/psp-agent.service`;
const BINARY = `${ROOT}build/bin/psp-agent`;
/** Nobody's user and group. */
const NOBODY = 65_534;

async function analyze(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command("systemd-analyze", { args }).output();
  const text = (octets: Uint8Array) => new TextDecoder().decode(octets);
  return { code, said: text(stdout) + text(stderr) };
}

/** The values of a key of the unit. */
function setting(key: string): string {
  const lines = Deno.readTextFileSync(UNIT).split("\n").filter((line) =>
    line.startsWith(`${key}=`)
  );
  assert.equal(lines.length, 1, key);
  return (lines[0] ?? "").slice(key.length + 1);
}

for (const name of ["psp-agent", "psp-agent-doca"]) {
  Deno.test(`systemd-analyze verify has nothing to say: ${name}`, async () => {
    await inTemporary(async (dir) => {
      const source = `${ROOT}deploy/systemd/${name}.service`;
      // Where the program is installed is not here.
      const unit = Deno.readTextFileSync(source).replace("/usr/local/bin/psp-agent", BINARY);
      await Deno.writeTextFile(`${dir}/${name}.service`, unit);
      const { code, said } = await analyze("verify", "--man=no", `${dir}/${name}.service`);
      assert.deepEqual([code, said], [0, ""]);
    });
  });
}

Deno.test("systemd-analyze security finds little exposed", async () => {
  const { code, said } = await analyze("security", "--offline=yes", "--threshold=25", UNIT);
  assert.equal(code, 0, said);
  // CAP_SYS_RAWIO, CAP_IPC_LOCK, the device and what NVIDIA's libraries may need are the difference.
  const hardware = UNIT.replace("psp-agent.service", "psp-agent-doca.service");
  const more = await analyze("security", "--offline=yes", "--threshold=35", hardware);
  assert.equal(more.code, 0, more.said);
  assert.equal(setting("AmbientCapabilities"), setting("CapabilityBoundingSet"));
  // The list itself: tests/deploy/rights_test.ts. CAP_NET_ADMIN is 2 of the 25.
});

story(
  "as the unit runs it: no root, three capabilities, and the manager is told",
  {},
  async (stage) => {
    const { world } = stage;
    const h2 = await stage.start("h2");
    const state = world.path("state-h1");
    await Deno.mkdir(state, { mode: 0o700 });
    const config = peersJson(world, "h1");
    const path = world.path("peers-h1.json");
    await Deno.writeTextFile(path, JSON.stringify(config));
    for (const file of [state, config.rpc.tls?.key ?? ""]) await Deno.chown(file, NOBODY, NOBODY);
    await Deno.chmod(world.path("."), 0o711);
    await Deno.chmod(world.path("pki"), 0o711);
    await Deno.chmod(world.path("pki/h1"), 0o711);
    const binary = world.path("psp-agent");
    await Deno.copyFile(BINARY, binary);
    await using manager = new NotifySocket(world.path("notify"));
    const capabilities = setting("AmbientCapabilities").toLowerCase().split(" ")
      .map((name) => name.replace("cap_", "+")).join(",");
    const child = spawn([
      "setpriv",
      `--reuid=${NOBODY}`,
      `--regid=${NOBODY}`,
      "--clear-groups",
      `--inh-caps=-all,${capabilities}`,
      `--ambient-caps=-all,${capabilities}`,
      `--bounding-set=-all,${capabilities}`,
      "--no-new-privs",
      "env",
      "-i",
      `NOTIFY_SOCKET=${manager.path}`,
      "WATCHDOG_USEC=400000",
      `STATE_DIRECTORY=${state}`,
      binary,
      "--config",
      path,
    ], { ns: world.ns("h1") });
    const streams = [child.stdout, child.stderr].map((stream) => new Response(stream).text());
    try {
      const ready = await manager.said("READY=1");
      assert.ok(ready.includes("STATUS=1 peer, 0 tunnels up"), ready.join());
      await manager.said("WATCHDOG=1");
      const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, {
        count: 5,
        interval: 0.05,
      });
      assert.equal(received, 5, text);
      assert.equal((await h2.tunnels())[0]?.state, "up");
      await manager.said("STATUS=1 peer, 1 tunnel up");

      child.kill("SIGHUP");
      const reloading = await manager.said("RELOADING=1");
      assert.match(reloading[1] ?? "", /^MONOTONIC_USEC=[1-9]\d+$/);
      await eventually(() => {
        const since = manager.messages.slice(manager.messages.indexOf(reloading));
        return since.some((lines) => lines.includes("READY=1"));
      }, { what: "the manager to be told that the reload is over" });

      child.kill("SIGTERM");
      await manager.said("STOPPING=1");
      assert.equal((await within(child.status, "the end of the agent")).code, 0);
    } catch (error) {
      child.kill("SIGKILL");
      throw new Error((await Promise.all(streams)).join("\n"), { cause: error });
    } finally {
      await child.stdin.close();
      await Promise.all(streams);
    }
  },
);

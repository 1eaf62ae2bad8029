// SPDX-License-Identifier: Apache-2.0

/** A state directory that fails the agent: it starts, or says why; traffic goes on, and never in clear. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { AgentProcess } from "../support/agent_process.ts";
import { mustRun } from "../support/netns.ts";
import { assertOnlyPsp, type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually, within } from "../support/wait.ts";

/** Runs the agent with a file system of its own on its state directory; it goes when the agent does. */
function onTmpfs(dir: string, { size, then = "true" }: { size: string; then?: string }): string[] {
  const script =
    `mkdir -p ${dir} && mount -t tmpfs -o size=${size} psp ${dir} && ${then} && exec "$@"`;
  return ["unshare", "--mount", "sh", "-c", script, "sh"];
}

async function refuses(agent: AgentProcess, why: RegExp): Promise<void> {
  const { code } = await within(agent.ended(), "the end of the agent");
  assert.ok(code === 1 || code === 3, `exit code ${code}: ${agent.logText()}`);
  assert.match(agent.logText(), why);
  assert.doesNotMatch(agent.logText(), /^\s+at /m, "a stack trace is no sentence");
}

async function carries({ world }: Stage): Promise<void> {
  const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, { count: 3 });
  assert.equal(received, 3, text);
}

story(
  "a state directory that is full, or cannot be written, is said at the start",
  {},
  async (stage) => {
    const { world, launch } = stage;
    const dir = world.path("state-h1");
    const fill = `chmod 700 ${dir}; dd if=/dev/zero of=${dir}/fill bs=4k 2>/dev/null; true`;
    await refuses(
      await launch("h1", { wrap: onTmpfs(dir, { size: "64k", then: fill }), args: ["--once"] }),
      /state|database/,
    );
    const readOnly = `touch ${dir}/lock && mount -o remount,ro ${dir}`;
    await refuses(
      await launch("h1", { wrap: onTmpfs(dir, { size: "1m", then: readOnly }), args: ["--once"] }),
      /state directory .*read-only/i,
    );
  },
);

story("a disk that fills up costs the record, not the traffic", { vips: 40 }, async (stage) => {
  const { world, start } = stage;
  const dir = world.path("state-h1");
  const [h1] = await Promise.all([
    start("h1", { wrap: onTmpfs(dir, { size: "1m" }) }),
    start("h2"),
  ]);
  const capture = await world.capture({ snaplen: 96 });
  await carries(stage);
  const inside = ["nsenter", "-t", `${h1.pid}`, "-m", "-r", "sh", "-c"];
  await mustRun([...inside, `dd if=/dev/zero of=${dir}/fill bs=4k 2>/dev/null; true`]);
  for (let i = 1; i < 40; i++) {
    const route = { in: "v1", to: world.vip("h2", i) };
    const { received, text } = await ping(world, route, { from: world.vip("h1", i) });
    assert.equal(received, 1, `tunnel ${i}: ${text}`);
  }
  await h1.heard("Cannot write the database");
  assert.ok(await h1.counter("record-failed") > 0);
  await mustRun([...inside, `rm ${dir}/fill`]);
  await h1.heard("The database can be written again");
  await carries(stage);
  assertOnlyPsp(await capture.stop());
});

story("a corrupt database is set aside, and epochs go on", {}, async (stage) => {
  const { world, start, startBoth } = stage;
  const { h1 } = await startBoth();
  await carries(stage);
  const before = BigInt((await h1.status()).bootEpoch);
  await h1.end("SIGTERM");
  const path = world.path("state-h1/agent.db");
  await Deno.writeFile(path, crypto.getRandomValues(new Uint8Array(8192)));
  const again = await start("h1");
  await again.heard("The database is corrupt: it was set aside, and a new one begun");
  assert.ok(BigInt((await again.status()).bootEpoch) > before);
  const names = [...Deno.readDirSync(world.path("state-h1"))].map(({ name }) => name);
  assert.ok(names.some((name) => name.startsWith("agent.db.corrupt-")), names.join(" "));
  await eventually(async () => {
    const { received } = await ping(world, { in: "v1", to: world.vip("h2") }, { wait: 0.3 });
    return received === 1;
  }, { what: "traffic with the new database" });
});

story(
  "a database of a newer agent is refused and left alone",
  {},
  async ({ world, start, launch }) => {
    const agent = await start("h1");
    await agent.end("SIGTERM");
    const path = world.path("state-h1/agent.db");
    const db = new DatabaseSync(path);
    db.exec("PRAGMA user_version = 99");
    db.close();
    await refuses(await launch("h1"), /its schema 99 is newer than this agent's \d+/);
    const left = new DatabaseSync(path);
    assert.equal(left.prepare("PRAGMA user_version").get()?.user_version, 99);
    left.close();
  },
);

story("a state directory that another user owns is not used", {}, async (stage) => {
  const dir = stage.world.path("state-h1");
  const NOBODY = 65534;
  const start = (then: string) =>
    stage.launch("h1", {
      wrap: ["sh", "-c", `${then} && exec "$@"`, "sh"],
      args: ["--once"],
    });
  await refuses(
    await start(`mkdir -p ${dir} && chown ${NOBODY} ${dir}`),
    /Cannot use state directory .*: it belongs to another user/,
  );
  await refuses(
    await start(`chown 0 ${dir} && touch ${dir}/agent.db && chown ${NOBODY} ${dir}/agent.db`),
    /Cannot use state directory .*: "agent\.db" in it belongs to another user/,
  );
});

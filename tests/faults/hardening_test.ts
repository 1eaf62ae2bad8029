// SPDX-License-Identifier: Apache-2.0

/** An agent without root: two capabilities, its state for itself, nothing for a debugger. */
import assert from "node:assert/strict";
import type { AgentProcess } from "../support/agent_process.ts";
import { kill, mustRun } from "../support/netns.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { within } from "../support/wait.ts";

const NOBODY = 65534;
const SETPRIV = [
  "setpriv",
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  "--clear-groups",
  "--no-new-privs",
  "--inh-caps=-all,+net_admin,+net_raw",
  "--ambient-caps=-all,+net_admin,+net_raw",
  "--bounding-set=-all,+net_admin,+net_raw",
];

const TREE = new URL("../../", import.meta.url).pathname.replace(/\/$/, "");

/**
 * The tree may lie where nobody may not go (a home of root's): in the agent's own mount namespace it is
 * bound to a place where everybody may, and the program's path is that one.
 */
function inReach(place: string): string[] {
  const script = `mkdir -p "${place}" && mount --bind "${TREE}" "${place}" || exit 1
for word do
  case $word in "${TREE}"/*) word="${place}/\${word#"${TREE}"/}" ;; esac
  set -- "$@" "$word"
  shift
done
exec "$@"`;
  return ["sh", "-c", script, "sh", ...SETPRIV];
}

/** h1 as nobody, with CAP_NET_ADMIN and CAP_NET_RAW; h2 as it is elsewhere. */
async function startUnprivileged({ world, start }: Stage) {
  // All that is in the world, not the world itself: an agent uses no directory that another user can exchange.
  const give = `mkdir -p "$0/state-h1" && chmod 711 "$0" && chown -R ${NOBODY}:${NOBODY} "$0"/*`;
  await world.mustRun("h1", ["sh", "-c", give, world.path("").replace(/\/$/, "")]);
  const [h1, h2] = await Promise.all([
    start("h1", { wrap: inReach(world.path("tree")) }),
    start("h2"),
  ]);
  return { h1, h2 };
}

/** A line of /proc/<pid>/status. */
async function processStatus({ pid }: AgentProcess, name: string): Promise<string> {
  // Deno keeps /proc to itself unless it has every permission.
  const text = await mustRun(["cat", `/proc/${pid}/status`]);
  return new RegExp(`^${name}:\\s*(.*)$`, "m").exec(text)?.[1] ?? "";
}

story("an agent works as nobody with CAP_NET_ADMIN and CAP_NET_RAW alone", {}, async (stage) => {
  const { world } = stage;
  const { h1 } = await startUnprivileged(stage);
  assert.match(await processStatus(h1, "Uid"), new RegExp(`^${NOBODY}\\s`));
  // CAP_NET_ADMIN is bit 12, CAP_NET_RAW 13.
  assert.equal(BigInt(`0x${await processStatus(h1, "CapEff")}`), 3n << 12n);
  const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, {
    count: 5,
    interval: 0.05,
  });
  assert.equal(received, 5, text);
});

story("its state is its own, it leaves no core dump and opens no inspector", {}, async (stage) => {
  const { world } = stage;
  const { h1 } = await startUnprivileged(stage);
  await ping(world, { in: "v1", to: world.vip("h2") });
  const dir = world.path("state-h1");
  assert.equal((Deno.statSync(dir).mode ?? 0) & 0o777, 0o700);
  const names = [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
  assert.ok(names.includes("agent.db") && names.includes("lock"), names.join(" "));
  for (const name of names) {
    assert.equal((Deno.statSync(`${dir}/${name}`).mode ?? 0) & 0o777, 0o600, name);
  }
  const limits = await mustRun(["cat", `/proc/${h1.pid}/limits`]);
  assert.match(limits, /^Max core file size\s+0\s+0\s/m);

  const listeners = () => world.mustRun("h1", ["ss", "-Hltn"]);
  const before = await listeners();
  kill(h1.pid, "SIGUSR1");
  // As where a file may not grow any more (ulimit -f).
  kill(h1.pid, "SIGXFSZ");
  // An answer that came after the signal: it has been delivered, or is blocked.
  const { received } = await ping(world, { in: "v1", to: world.vip("h2") }, { count: 5 });
  assert.equal(received, 5, "the agent did not survive SIGUSR1");
  assert.equal(await listeners(), before);
  assert.doesNotMatch(h1.logText(), /inspector|debugger/i);
});

story(
  "a second agent on the same state directory is refused",
  {},
  async ({ world, startBoth, launch }) => {
    const { h1 } = await startBoth();
    const second = await launch("h1", { args: ["--once"] });
    const { code } = await within(second.ended(), "the end of the second agent");
    assert.ok(code !== 0);
    assert.match(second.logText(), /state directory .*: another psp-agent holds its lock/);
    assert.equal(await h1.healthy(), true);
    const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, { count: 3 });
    assert.equal(received, 3, text);
  },
);

story("status beyond loopback needs TLS, and proof of who asks", {}, async ({ world, launch }) => {
  const { pip } = world.host("h1");
  const agent = await launch("h1", { change: ({ status }) => status.listen = `${pip}:7480` });
  const { code } = await within(agent.ended(), "the end of an agent with an open status");
  assert.ok(code !== 0);
  assert.match(agent.logText(), /status.*TLS|TLS.*status/i);
});

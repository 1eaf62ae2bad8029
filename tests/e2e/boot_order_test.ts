// SPDX-License-Identifier: Apache-2.0

/**
 * A boot at which everything is late: clock, host port, address, certificate, state directory, one after the other in any
 * order. A supervisor runs the agent by the rules of the unit that is shipped; traffic passes in the end, by itself.
 * Short: 5 orders, with another one last in each. Full: all 120, 5 s apart, about an hour.
 */
import assert from "node:assert/strict";
import { type PeersJson, peersJson } from "../support/agent_config.ts";
import type { AgentProcess } from "../support/agent_process.ts";
import { fakeClock } from "../support/fake_clock.ts";
import { ip } from "../support/netns.ts";
import { scaled } from "../support/scale.ts";
import { seededRandom } from "../support/seeded_random.ts";
import { PLANE } from "../support/standin.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

const UNIT = new URL("../../deploy/systemd/psp-agent.service", import.meta.url);
const LATE_MS = scaled(200, 5000);
const ORDERS = scaled(5, 120);

/** Takes something away; what it returns brings it. */
type Miss = (world: World, config: PeersJson) => Promise<() => Promise<void>>;

/** What the agent says of each of them that it waits for. */
const WAYS: Readonly<Record<string, RegExp>> = {
  clock: /not valid before/,
  port: /host port/,
  address: /Cannot listen/,
  certificate: /rpc\.tls\.cert: cannot read/,
  directory: /holds its lock/,
};

const LATE: Readonly<Record<string, Miss>> = {
  async clock(world) {
    // Before any certificate of ours was valid.
    await Deno.writeTextFile(clockOf(world), "-400d");
    return () => Deno.writeTextFile(clockOf(world), "+0");
  },
  async port(world, { plane }) {
    const port = String(plane.host);
    const ns = world.ns("h1");
    await ip([`link set ${port} down`, `link set ${port} name later`], ns);
    return () => ip([`link set later name ${port}`, `link set ${port} up`], ns);
  },
  async address(world, { pip }) {
    const ns = world.ns("h1");
    await ip([`addr del ${pip}/24 dev uplink`], ns);
    return () => ip([`addr add ${pip}/24 dev uplink`], ns);
  },
  async certificate(_, { rpc }) {
    const cert = String(rpc.tls?.cert);
    await Deno.rename(cert, `${cert}.later`);
    return () => Deno.rename(`${cert}.later`, cert);
  },
  async directory(_, { state_dir: dir }) {
    await Deno.mkdir(dir, { mode: 0o700, recursive: true });
    const lock = await Deno.open(`${dir}/lock`, { create: true, write: true });
    await lock.lock(true);
    return () => Promise.resolve(lock.close());
  },
};

function clockOf(world: World): string {
  return world.path("clock");
}

/** The value of a key of the unit. */
async function setting(key: string): Promise<string> {
  const text = await Deno.readTextFile(UNIT);
  const value = new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1];
  assert.ok(value !== undefined, key);
  return value;
}

/** As systemd does with the unit: starts it again whatever it ends with, but for what the unit names. */
async function supervise(stage: Stage): Promise<{
  readonly starts: () => number;
  /** What it said that it waits for. */
  readonly reasons: () => readonly string[];
  stop(): Promise<void>;
}> {
  assert.equal(await setting("Restart"), "always");
  const never = (await setting("RestartPreventExitStatus")).split(" ").map(Number);
  const delayMs = Number(await setting("RestartSec")) * 1000;
  const env = fakeClock(clockOf(stage.world));
  let agent: AgentProcess | undefined;
  let starts = 0;
  let isOver = false;
  const run = async () => {
    while (!isOver) {
      agent = await stage.launch("h1", { env });
      starts++;
      const { code } = await agent.ended();
      if (isOver) return;
      assert.ok(!never.includes(code), `given up for exit code ${code}: ${agent.logText()}`);
      // The supervisor's own pause.
      await new Promise((resolve) => setTimeout(resolve, delayMs));
    }
  };
  const running = run();
  running.catch(() => {});
  return {
    starts: () => starts,
    reasons: () =>
      agent?.said("The agent waits: it starts by itself once it can")
        .map(({ fields }) => String(fields.reason)) ?? [],
    stop: async () => {
      isOver = true;
      await agent?.end("SIGTERM");
      await running;
    },
  };
}

/** All orders of some things. */
function* orders<T>(things: readonly T[]): Generator<readonly T[]> {
  if (things.length === 0) yield [];
  for (const [i, first] of things.entries()) {
    for (const rest of orders(things.filter((_, j) => j !== i))) yield [first, ...rest];
  }
}

/** All of them, or by chance as many for each that may be the last. */
function some(all: readonly (readonly string[])[], n: number): readonly (readonly string[])[] {
  const { uniform } = seededRandom(1);
  const names = Object.keys(LATE);
  return names.flatMap((name) =>
    all.filter((order) => order.at(-1) === name).map((order) => ({ order, at: uniform() }))
      .sort((a, b) => a.at - b.at).slice(0, n / names.length).map(({ order }) => order)
  );
}

// Hardware's representors are not a namespace's to take away.
if (PLANE === "soft") {
  story(
    `whatever is late at boot, in ${ORDERS} orders, traffic passes by itself`,
    {},
    async (stage) => {
      const { world, start } = stage;
      await start("h2");
      const config = peersJson(world, "h1");
      const all = [...orders(Object.keys(LATE))];
      assert.equal(all.length, 120);
      for (const order of some(all, ORDERS)) {
        const bring = new Map<string, () => Promise<void>>();
        for (const name of order) {
          bring.set(name, await LATE[name]?.(world, config) ?? assert.fail());
        }
        const supervisor = await supervise(stage);
        for (const name of order) {
          if (name !== order.at(-1)) await new Promise((resolve) => setTimeout(resolve, LATE_MS));
          // The last one is what the agent waits for alone.
          else {await eventually(() => WAYS[name]?.test(supervisor.reasons().at(-1) ?? ""), {
              what: `the agent to wait for ${name}`,
              describe: () => supervisor.reasons().join("\n"),
            });}
          await bring.get(name)?.();
        }
        const route = { in: "v1", to: world.vip("h2") };
        await eventually(async () => (await ping(world, route, { wait: 0.5 })).received === 1, {
          what: `traffic after ${order.join(", ")}`,
        });
        // It waited; nobody had to start it again.
        assert.equal(supervisor.starts(), 1, order.join(", "));
        await supervisor.stop();
      }
    },
  );
}

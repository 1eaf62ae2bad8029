// SPDX-License-Identifier: Apache-2.0

/**
 * A test that tells a story with two agents: the stage is set before it, and its logs are shown
 * when it fails.
 */
import assert from "node:assert/strict";
import { judge, type Trace, type Verdict } from "../explore/trace.ts";
import { makePki } from "./agent_config.ts";
import { type AgentOptions, AgentProcess } from "./agent_process.ts";
import type { WireReport } from "./capture.ts";
import { requireRoot } from "./netns.ts";
import { type HostName, HOSTS, type WorldOptions } from "./plan.ts";
import { eventually, messageOf } from "./wait.ts";
import { World } from "./world.ts";

/** What a story has to play with. */
export interface Stage {
  readonly world: World;
  /** Starts a host's agent and waits until it is ready. */
  start(host: HostName, options?: AgentOptions): Promise<AgentProcess>;
  /** Starts it and waits for nothing. */
  launch(host: HostName, options?: AgentOptions): Promise<AgentProcess>;
  /** Both, with the same options for each. */
  startBoth(options?: AgentOptions): Promise<Record<HostName, AgentProcess>>;
}

/** What an agent has said is read by then, whatever else the machine does. */
const UNDER_WAY_MS = 10_000;
/** Lines of each agent's log that a failure shows. */
const SHOWN = 60;

/**
 * Registers a test with a world and certificates of its own. Fails with one sentence without root.
 */
export function story(
  name: string,
  options: WorldOptions,
  tell: (stage: Stage) => Promise<void>,
): void {
  Deno.test({ name, sanitizeResources: true, fn: () => perform(options, tell) });
}

/**
 * Fails unless the wire carried PSP, neighbour resolution and the control channel, and all of it
 * was seen.
 */
export function assertOnlyPsp(report: WireReport): void {
  assert.equal(report.lost, 0, "tcpdump lost frames: no proof");
  assert.equal(report.foreign, 0, `foreign frames on the underlay: ${report.examples.join("; ")}`);
  assert.ok(report.psp.frames > 0, "no PSP on the underlay");
}

async function perform(
  options: WorldOptions,
  tell: (stage: Stage) => Promise<void>,
): Promise<void> {
  requireRoot();
  const cast: AgentProcess[] = [];
  await using world = await World.create(options);
  await makePki(world);
  const keep = (agent: AgentProcess) => {
    cast.push(agent);
    return agent;
  };
  const launch: Stage["launch"] = async (host, options) =>
    keep(await AgentProcess.launch(world, host, options));
  const start: Stage["start"] = async (host, options) => {
    const agent = await launch(host, options);
    await agent.ready();
    return agent;
  };
  const startBoth: Stage["startBoth"] = async (options) => {
    const [h1, h2] = await Promise.all(HOSTS.map((host) => start(host, options)));
    if (h1 === undefined || h2 === undefined) throw new Error("Two hosts make two agents");
    return { h1, h2 };
  };
  try {
    await tell({ world, launch, start, startBoth });
    const { steps } = await assertAllowed(cast);
    console.log(`protocol: ${steps} steps checked, 0 refused`);
  } catch (error) {
    throw new Error(`${messageOf(error)}\n${await whatHappened(cast)}`, { cause: error });
  }
}

/** What the agents did is what the protocol allows: logs at level "debug" tell. Returns what was looked at. */
async function assertAllowed(cast: readonly AgentProcess[]): Promise<Verdict> {
  const isOneClock = !cast.some(({ hasOwnClock }) => hasOwnClock);
  const verdict = () => judge(cast.map((agent) => traceOf(agent, isOneClock)));
  // What one agent said may be read before what another had said earlier: it is on its way.
  const what = "lines of the log that are under way";
  await eventually(() => verdict().refusals.length === 0, { what, deadlineMs: UNDER_WAY_MS })
    .catch(() => {});
  const last = verdict();
  assert.deepEqual(last.refusals, [], "the protocol does not allow this");
  return last;
}

/** What an agent did, and when, by the machine's clock; where its own is another one: when that was read. */
function traceOf({ host, log }: AgentProcess, isOneClock: boolean): Trace {
  const lines = log.filter(({ saidMs }) => !Number.isNaN(saidMs));
  return {
    host,
    lines: isOneClock ? lines.map((line) => ({ ...line, atMs: line.saidMs })) : lines,
  };
}

/** The logs in one order of time, and what each agent's counters say that is not 0. */
async function whatHappened(cast: readonly AgentProcess[]): Promise<string> {
  const log = cast.flatMap((agent) =>
    agent.log.slice(-SHOWN).map(({ atMs, text }) => ({ atMs, text: `${agent.host} ${text}` }))
  ).sort((a, b) => a.atMs - b.atMs).map((line) => line.text);
  const counters = await Promise.all(cast.map(async (agent) => {
    const { ending, host, pid } = agent;
    if (ending !== undefined) {
      return `${host} (${pid}) has ended: code ${ending.code}, signal ${ending.signal ?? "none"}`;
    }
    const status = await agent.status().catch((error) => messageOf(error));
    if (typeof status === "string") return `${agent.host} status: ${status}`;
    const shown = Object.entries(status.counters).filter(([, value]) => value !== 0);
    return `${agent.host} counters: ${shown.map(([name, n]) => `${name}=${n}`).join(" ")}`;
  }));
  return ["--- what happened ---", ...log, ...counters].join("\n");
}

// SPDX-License-Identifier: Apache-2.0

/**
 * An agent as a process in its host's namespace. PSP_AGENT_BIN names another program than bin/psp-
 * agent (a compiled binary, another plane).
 */
import { type PeersJson, peersJson, STATUS } from "./agent_config.ts";
import { kill, type Output, run, spawn } from "./netns.ts";
import { lines } from "./ns_worker.ts";
import type { HostName } from "./plan.ts";
import { planeEnv } from "./standin.ts";
import {
  type AgentStatus,
  getPipes,
  getStatus,
  type Http,
  listTunnels,
  type PipeStatus,
  type TunnelStatus,
} from "./status_client.ts";
import { eventually, within } from "./wait.ts";
import type { World } from "./world.ts";

/** What is special about one agent. */
export interface AgentOptions {
  /** Changes the host's configuration before it is written. */
  readonly change?: (config: PeersJson) => void;
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs the program, such as `setpriv ...`. */
  readonly wrap?: readonly string[];
  /** More of the command line, such as "--once". */
  readonly args?: readonly string[];
}

/** One line of an agent's log. */
export interface LogLine {
  /** As it came. */
  readonly text: string;
  readonly message: string;
  readonly level: string;
  /** When it was read: on a busy machine long after it was said. */
  readonly atMs: number;
  /** When it was said, by the agent's clock; NaN: it does not say. */
  readonly saidMs: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** How an agent ended. */
export interface Ending {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  /** From the signal to the end of the process. */
  readonly ms: number;
}

/** The program under test. */
export const AGENT_BIN: string = Deno.env.get("PSP_AGENT_BIN") ??
  new URL("../../bin/psp-agent", import.meta.url).pathname;

/** One running agent; killed with its world. */
export class AgentProcess implements AsyncDisposable {
  readonly host: HostName;
  readonly configPath: string;
  readonly log: LogLine[] = [];
  /** Its wall clock is none of the machine's. */
  readonly hasOwnClock: boolean;
  readonly #world: World;
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  #stdout = "";
  #status: Deno.CommandStatus | undefined;

  private constructor(world: World, host: HostName, configPath: string, options: AgentOptions) {
    this.host = host;
    this.configPath = configPath;
    this.#world = world;
    const { wrap = [], args = [], env = {} } = options;
    this.hasOwnClock = env.FAKETIME_TIMESTAMP_FILE !== undefined;
    this.#child = spawn([...wrap, AGENT_BIN, "--config", configPath, ...args], {
      ns: world.ns(host),
      env: { ...planeEnv(), PSP_AGENT_SOCKET: socketOf(world, host), ...env },
    });
    this.#child.status.then((status) => this.#status = status);
    this.#reading = Promise.all([
      this.#child.stdin.close(),
      this.#read(),
      new Response(this.#child.stdout).text().then((text) => this.#stdout = text),
    ]);
  }

  /** Writes the configuration and starts the program; does not wait for anything. */
  static async launch(
    world: World,
    host: HostName,
    options: AgentOptions = {},
  ): Promise<AgentProcess> {
    const config = peersJson(world, host);
    options.change?.(config);
    const path = world.path(`peers-${host}.json`);
    await Deno.writeTextFile(path, JSON.stringify(config, null, 2));
    return world.own(new AgentProcess(world, host, path, options));
  }

  /** How it ended; undefined while it runs. */
  get ending(): Deno.CommandStatus | undefined {
    return this.#status;
  }

  /** `launch`, and waits until it says that it is ready and its health check agrees. */
  static async start(
    world: World,
    host: HostName,
    options: AgentOptions = {},
  ): Promise<AgentProcess> {
    const agent = await AgentProcess.launch(world, host, options);
    await agent.ready();
    return agent;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Throws at once, with what it said, when the program ends instead. */
  async ready(): Promise<void> {
    const end = this.ended().then((ending) => {
      throw new Error(`Agent ${this.host} ended with code ${ending.code}:\n${this.logText()}`);
    });
    const up = eventually(async () => this.said("Ready").length > 0 && await this.healthy(), {
      what: `agent ${this.host} to be ready`,
      describe: () => this.logText(),
    });
    end.catch(() => {});
    up.catch(() => {});
    await Promise.race([up, end]);
  }

  /** True when /healthz answers 200. */
  async healthy(): Promise<boolean> {
    const { status } = await this.#http("/healthz");
    return status === 200;
  }

  status(): Promise<AgentStatus> {
    return getStatus(this.#http);
  }

  /** `contains`: only those whose peer or addresses have this text in them. */
  tunnels(contains = ""): Promise<TunnelStatus[]> {
    return listTunnels(this.#http, contains);
  }

  pipes(): Promise<PipeStatus[]> {
    return getPipes(this.#http);
  }

  async counter(name: string): Promise<number> {
    const { counters } = await this.status();
    const value = counters[name];
    if (value === undefined) {
      throw new Error(`Agent ${this.host} has no counter "${name}": ${Object.keys(counters)}`);
    }
    return value;
  }

  /** What a GET of the status listener answers. */
  get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    return this.#http(path);
  }

  /** Log lines with this constant sentence, as far as they have been read. */
  said(message: string): LogLine[] {
    return this.log.filter((line) => line.message === message);
  }

  /**
   * The first line with this sentence, or the `n`-th, once it is here: a line comes by another way than the answer or the
   * packet that shows what it speaks of.
   */
  heard(message: string, n = 1): Promise<LogLine> {
    return eventually(() => this.said(message)[n - 1], {
      what: `agent ${this.host} to say "${message}"`,
      everyMs: 10,
      describe: () => this.logText(),
    });
  }

  /** Everything that it wrote, for the text of a failure. */
  logText(): string {
    return [...this.log.map((line) => line.text), this.#stdout].join("\n");
  }

  /** Sends a signal and waits for the end. */
  async end(signal: Deno.Signal): Promise<Ending> {
    const start = performance.now();
    kill(this.pid, signal);
    const { code, signal: by } = await within(
      this.ended(),
      `the end of agent ${this.host} after ${signal}:\n${this.logText()}`,
    );
    return { code, signal: by, ms: performance.now() - start };
  }

  /** Resolves when the program has ended and everything that it wrote is here. */
  async ended(): Promise<Deno.CommandStatus> {
    this.#status = await this.#child.status;
    await this.#reading;
    return this.#status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    kill(this.pid, "SIGKILL");
    await this.ended();
  }

  readonly #http: Http = async (path, json) => {
    const worker = await this.#world.worker(this.host);
    return await worker.http(`http://${STATUS}${path}`, json);
  };

  async #read(): Promise<void> {
    for await (const text of lines(this.#child.stderr)) this.log.push(parseLogLine(text));
  }
}

/** Both agents, ready. */
export async function startAgents(
  world: World,
  options: Partial<Record<HostName, AgentOptions>> = {},
): Promise<Record<HostName, AgentProcess>> {
  const [h1, h2] = await Promise.all([
    AgentProcess.start(world, "h1", options.h1),
    AgentProcess.start(world, "h2", options.h2),
  ]);
  return { h1, h2 };
}

/** A command of the agent's program in a host's namespace, as a user would give it. */
export function agentCommand(
  world: World,
  host: HostName,
  args: readonly string[],
): Promise<Output> {
  const env = { PSP_AGENT_SOCKET: socketOf(world, host) };
  return run([AGENT_BIN, ...args], { ns: world.ns(host), env });
}

/** Namespaces share the file system: each agent has a socket of its own. */
export function socketOf(world: World, host: HostName): string {
  return world.path(`${host}.sock`);
}

function parseLogLine(text: string): LogLine {
  const atMs = performance.now();
  try {
    const json = JSON.parse(text) as Record<string, unknown>;
    const properties = json["properties"];
    const nested = typeof properties === "object" && properties !== null ? properties : {};
    return {
      text,
      message: String(json["message"] ?? json["msg"] ?? ""),
      level: String(json["level"] ?? ""),
      atMs,
      saidMs: Date.parse(String(json["@timestamp"])),
      fields: { ...json, ...nested },
    };
  } catch {
    return { text, message: text, level: "", atMs, saidMs: NaN, fields: {} };
  }
}

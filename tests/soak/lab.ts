// SPDX-License-Identifier: Apache-2.0

/**
 * Three hosts on a switch, a workload behind each, for as long as a soak takes: an agent on each host, a ping from
 * each workload to each other one all the time, and a capture on the switch.
 */
import { pkiInit, pkiIssue } from "../../src/pki/pki.ts";
import { AGENT_BIN } from "../support/agent_process.ts";
import { fakeClock } from "../support/fake_clock.ts";
import { estateDir, ip, kill, makeEstate, mustRun, run, spawn } from "../support/netns.ts";
import { lines } from "../support/ns_worker.ts";
import { GATEWAY, GATEWAY_MAC } from "../support/plan.ts";
import { eventually, within } from "../support/wait.ts";
import { type TraceLine, traceLine } from "../explore/trace.ts";

export const HOSTS = [1, 2, 3] as const;
export type HostNumber = typeof HOSTS[number];

/** What every ping carries: nobody may find it on the switch. */
export const MARK = "5053502d736f616b2d636c6561722121";

const DOMAIN = "psp-agent.local";
const MTU = 1500;
/** What a state directory has room for. */
const STATE_MIB = 16;
/** Between two pings of a pair. */
const PING_S = 0.2;
/** A clock that is set counts after so long. */
const CLOCK_S = 1;
/**
 * Seconds that clocks are away: by a zone, by what makes every certificate too old or not valid yet, by half a minute. Far
 * enough from each other, so that a line of a log tells by which of them it was written.
 */
export const WRONG_CLOCKS_S = [7200, -7200, 400 * 86_400, -400 * 86_400, 30, -30] as const;
/** A start takes some seconds of a processor, which a busy machine gives when it can. */
const READY_MS = 300_000;

/** One agent, which comes and goes. */
export interface Agent {
  readonly pid: number;
  readonly startedMs: number;
  /** Resolves with what was wrong about its end; undefined: it was told to end. */
  readonly ended: Promise<string | undefined>;
  readonly warnings: string[];
  ready: boolean;
  told: boolean;
  over: boolean;
}

export class Lab implements AsyncDisposable {
  readonly prefix: string;
  readonly dir: string;
  readonly agents = new Map<HostNumber, Agent>();
  /** By "1-2": when that workload was last answered by that one. */
  readonly answers = new Map<string, number>();
  /** What must not have been. */
  readonly faults: string[] = [];
  /** Milliseconds that each start took. */
  readonly starts: number[] = [];
  /** What each process said of its tunnels, in the order of their starts. */
  readonly traces: { readonly host: string; readonly lines: readonly TraceLine[] }[] = [];
  readonly #stack = new AsyncDisposableStack();
  readonly #macs = new Map<string, number>();
  #isOver = false;

  private constructor() {
    this.prefix = `psp${Deno.pid}x${crypto.randomUUID().slice(0, 6)}`;
    this.dir = estateDir(this.prefix);
  }

  /** Hosts, cables, certificates and configurations; no agent runs yet. */
  static async make(): Promise<Lab> {
    const lab = new Lab();
    try {
      await lab.#setUp();
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #setUp(): Promise<void> {
    const names = [...HOSTS.flatMap((i) => [`h${i}`, `w${i}`]), "sw"];
    const namespaces = names.map((name) => this.ns(name));
    this.#stack.use(await makeEstate({ prefix: this.prefix, dir: this.dir, namespaces }));
    await ip(["link add br0 type bridge", "link set br0 up"], this.ns("sw"));
    await pkiInit({ dir: `${this.dir}/pki` });
    for (const i of HOSTS) {
      await this.plugUplink(i);
      await this.plugWorkload(i);
      await this.certify(i);
      await this.setClock(i, 0);
      const state = `${this.dir}/state${i}`;
      await Deno.mkdir(state);
      const options = `size=${STATE_MIB}m,mode=0700`;
      await mustRun(["mount", "-t", "tmpfs", "-o", options, "tmpfs", state]);
      this.#stack.defer(async () => void await run(["umount", "-l", state]));
      await Deno.writeTextFile(this.configOf(i), JSON.stringify(this.#config(i)));
    }
  }

  ns(name: string): string {
    return `${this.prefix}-${name}`;
  }

  pip(i: HostNumber): string {
    return `192.168.77.${i}`;
  }

  vip(i: HostNumber): string {
    return `10.${i}.0.1`;
  }

  configOf(i: HostNumber): string {
    return `${this.dir}/h${i}.json`;
  }

  /** A cable from a host to the switch, with another MAC than the one before. */
  async plugUplink(i: HostNumber): Promise<void> {
    const [ns, sw] = [this.ns(`h${i}`), this.ns("sw")];
    await ip([
      `link add uplink address ${this.newMac(`01:0${i}`)} netns ${ns} type veth ` +
      `peer name u${i} netns ${sw}`,
    ]);
    await ip([`link set u${i} mtu ${MTU} master br0 up`], sw);
    await ip([`link set uplink mtu ${MTU} up`, this.addPip(i)], ns);
  }

  /** The line of ip(8) that gives a host its address. */
  addPip(i: HostNumber): string {
    return `addr add ${this.pip(i)}/24 dev uplink`;
  }

  /** A workload's interface and the host's port before it. */
  async plugWorkload(i: HostNumber): Promise<void> {
    const [ns, w] = [this.ns(`h${i}`), this.ns(`w${i}`)];
    await ip([
      `link add eth0 address ${this.newMac(`02:0${i}`)} netns ${w} type veth ` +
      `peer name vm0 netns ${ns}`,
    ]);
    await ip([`link set vm0 mtu ${MTU} up`], ns);
    await ip([
      "link set eth0 mtu 1400 up",
      `addr add ${this.vip(i)}/32 dev eth0`,
      `neigh add ${GATEWAY.ipv4} lladdr ${GATEWAY_MAC} dev eth0 nud permanent`,
      `route add default via ${GATEWAY.ipv4} dev eth0 onlink src ${this.vip(i)}`,
    ], w);
  }

  newMac(of: string): string {
    const n = (this.#macs.get(of) ?? 0) + 1;
    this.#macs.set(of, n);
    return `02:00:${(n >> 8).toString(16).padStart(2, "0")}:${
      (n & 255).toString(16).padStart(2, "0")
    }:${of}`;
  }

  /** A new certificate of the same CA. */
  async certify(i: HostNumber): Promise<void> {
    await pkiIssue({ dir: `${this.dir}/pki`, id: `h${i}`, domain: DOMAIN, force: true });
  }

  /** How many seconds the wall clock of a host's agent is away; after `CLOCK_S`. */
  async setClock(i: HostNumber, offsetS: number): Promise<void> {
    // At once: half of a line would be another time.
    await Deno.writeTextFile(`${this.#clockOf(i)}.new`, `${offsetS < 0 ? "" : "+"}${offsetS}\n`);
    await Deno.rename(`${this.#clockOf(i)}.new`, this.#clockOf(i));
  }

  #clockOf(i: HostNumber): string {
    return `${this.dir}/h${i}.clock`;
  }

  /** Starts a host's agent and waits until it says that it is ready. */
  async start(i: HostNumber): Promise<void> {
    const steps: TraceLine[] = [];
    this.traces.push({ host: `h${i}`, lines: steps });
    const child = spawn([AGENT_BIN, "--config", this.configOf(i)], {
      ns: this.ns(`h${i}`),
      env: {
        PSP_AGENT_SOCKET: `${this.dir}/h${i}.sock`,
        ...fakeClock(this.#clockOf(i), { cacheS: CLOCK_S }),
      },
    });
    const warnings: string[] = [];
    const reading = Promise.all([
      child.stdin.close(),
      child.stdout.cancel(),
      this.#read(i, child, steps),
    ]);
    const agent: Agent = {
      pid: child.pid,
      startedMs: performance.now(),
      warnings,
      ready: false,
      told: false,
      over: false,
      ended: child.status.then(async ({ code, signal }) => {
        agent.over = true;
        await reading;
        const expected = agent.told && (signal === "SIGKILL" || code === 0);
        return expected ? undefined : `agent h${i} ended with ${signal ?? `code ${code}`}`;
      }),
    };
    this.agents.set(i, agent);
    agent.ended.then((fault) => fault !== undefined && this.faults.push(fault));
    await eventually(() => agent.ready || agent.over, {
      what: `agent h${i} to be ready`,
      deadlineMs: READY_MS,
      describe: () => warnings.join("\n"),
    });
    this.starts.push(performance.now() - agent.startedMs);
  }

  /** What the agents said above debug, for whoever looks into what went wrong: the lab's own files go with it. */
  async keepLogs(dir: string): Promise<void> {
    await Deno.mkdir(dir, { recursive: true });
    for (const i of HOSTS) {
      await Deno.copyFile(`${this.dir}/h${i}.log`, `${dir}/h${i}.log`).catch(() => {});
    }
  }

  /** Ends a host's agent, and says how long that took. */
  async end(i: HostNumber, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const agent = this.agents.get(i);
    if (agent === undefined) return;
    agent.told = true;
    kill(agent.pid, signal);
    await within(agent.ended, `the end of agent h${i} after ${signal}`, 30_000);
  }

  /** Octets of memory of a host's agent. */
  async resident(i: HostNumber): Promise<number> {
    const status = await mustRun(["cat", `/proc/${this.agents.get(i)?.pid}/status`]);
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? NaN) * 1024;
  }

  /** Pings from each workload to each other one, until the lab is gone. */
  pingAll(): void {
    for (const i of HOSTS) {
      for (const j of HOSTS.filter((j) => j !== i)) this.#stack.use(this.#ping(i, j));
    }
  }

  /** Pairs of which nothing came back since then. */
  silentSince(ms: number): string[] {
    return HOSTS.flatMap((i) => HOSTS.filter((j) => j !== i).map((j) => `${i}-${j}`))
      .filter((pair) => (this.answers.get(pair) ?? 0) <= ms);
  }

  /** tcpdump on the switch, of what each host sends; stopped with `stop`. Files are read by wire.ts. */
  async capture(): Promise<{ readonly paths: readonly string[]; stop(): Promise<void> }> {
    const ends = await Promise.all(HOSTS.map(async (i) => {
      const path = `${this.dir}/u${i}.pcap`;
      const child = spawn(
        // At the switch itself: a cable that is plugged in again is another interface.
        ["tcpdump", "-i", "br0", "-n", "-U", "-Z", "root", "-B", "16384", "-s", "300", "-w", path]
          .concat(["ip", "src", this.pip(i), "or", "(", "not", "ip", ")", "or", "ip", "src", "net"])
          .concat([`10.${i}.0.0/16`]),
        { ns: this.ns("sw") },
      );
      let said = "";
      const reading = Promise.all([
        child.stdin.close(),
        child.stdout.cancel(),
        child.stderr.pipeThrough(new TextDecoderStream()).pipeTo(
          new WritableStream({ write: (text) => void (said += text) }),
        ),
      ]);
      await eventually(() => said.includes("listening on"), {
        what: "tcpdump",
        describe: () => said,
      });
      return { path, child, reading };
    }));
    const stop = async () => {
      for (const { child, reading } of ends) {
        kill(child.pid, "SIGINT");
        await child.status;
        await reading;
      }
    };
    this.#stack.defer(stop);
    return { paths: ends.map(({ path }) => path), stop };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    for (const agent of this.agents.values()) {
      agent.told = true;
      kill(agent.pid, "SIGCONT");
      kill(agent.pid, "SIGKILL");
      await agent.ended;
    }
    await this.#stack.disposeAsync();
  }

  #config(i: HostNumber): object {
    const base = `${this.dir}/pki/h${i}`;
    return {
      id: `h${i}`,
      state_dir: `${this.dir}/state${i}`,
      pip: this.pip(i),
      vips: [`10.${i}.0.0/24`],
      // One as a list, whose ports come and go, the others by name.
      plane: { uplink: "uplink", host: i === 1 ? ["vm*"] : "vm0" },
      rpc: { tls: { cert: `${base}/h${i}.crt`, key: `${base}/h${i}.key`, ca: `${base}/ca.crt` } },
      tunnel: { life: "20s", back_off: "200ms", back_off_max: "1s" },
      rotation: { interval: "45s" },
      log: { level: "debug", format: "json" },
      peers: HOSTS.filter((j) => j !== i).map((j) => ({
        id: `h${j}`,
        svc_address: `${this.pip(j)}:7443`,
        vips: [`10.${j}.0.0/24`],
      })),
    };
  }

  async #read(i: HostNumber, child: Deno.ChildProcess, steps: TraceLine[]): Promise<void> {
    for await (const line of lines(child.stderr)) {
      const step = traceLine(line);
      if (step !== undefined) steps.push({ ...step, atMs: trueTime(step.atMs) });
      // Thousands of lines say that nothing is wrong: what a run leaves behind is for people.
      if (/"level":"DEBUG"/i.test(line)) continue;
      await Deno.writeTextFile(`${this.dir}/h${i}.log`, line + "\n", { append: true });
      const agent = this.agents.get(i);
      if (agent === undefined || agent.pid !== child.pid) continue;
      if (line.includes('"Ready"')) agent.ready = true;
      if (!/"level":"(INFO|DEBUG)"/i.test(line)) agent.warnings.push(line);
      if (/unexpected error/.test(line)) this.faults.push(`agent h${i}: ${line}`);
    }
  }

  #ping(i: HostNumber, j: HostNumber): AsyncDisposable {
    const pair = `${i}-${j}`;
    let child: Deno.ChildProcess | undefined;
    const loop = async () => {
      while (!this.#isOver) {
        child = spawn(
          ["ping", "-n", "-i", `${PING_S}`, "-W", "1", "-p", MARK, "-I", this.vip(i), this.vip(j)],
          { ns: this.ns(`w${i}`) },
        );
        const rest = Promise.all([child.stdin.close(), child.stderr.cancel()]);
        for await (const line of lines(child.stdout)) {
          if (/icmp_seq=\d+ ttl=/.test(line)) this.answers.set(pair, performance.now());
        }
        await child.status;
        await rest;
      }
    };
    const running = loop();
    return {
      [Symbol.asyncDispose]: async () => {
        this.#isOver = true;
        if (child !== undefined) kill(child.pid, "SIGKILL");
        await running;
      },
    };
  }
}

/** When a line was written that came just now: by the clock that is the nearest to this one, or away as it may be. */
function trueTime(atMs: number): number {
  const now = Date.now();
  const times = [0, ...WRONG_CLOCKS_S].map((awayS) => atMs - awayS * 1000);
  return times.reduce((best, time) => Math.abs(time - now) < Math.abs(best - now) ? time : best);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Whoever carries packets from one workload to the other: nobody (a cable), the passthrough, psp-agent, and tunnels of
 * others. Configurations are written here and keys made at run time, with each program's defaults but for the MTU.
 */
import { pkiInit, pkiIssue } from "../../src/pki/pki.ts";
import { makePki, type PeersJson } from "../../tests/support/agent_config.ts";
import { startAgents } from "../../tests/support/agent_process.ts";
import { ip, kill, mustRun, run, spawn } from "../../tests/support/netns.ts";
import { lines } from "../../tests/support/ns_worker.ts";
import { type HostName, HOSTS, otherHost } from "../../tests/support/plan.ts";
import { eventually, within } from "../../tests/support/wait.ts";
import { INNER_MTU, type Lab } from "./lab.ts";

/** What is measured. */
export interface Contender {
  readonly name: ContenderName;
  /** How the far workload is reached. */
  readonly path: "direct" | "gateways";
  /** The agent with another configuration: measured only when it is asked for by name. */
  readonly isForm?: true;
  /** What it is, with its version; or what is missing on this machine. */
  readonly about: () => Promise<Found>;
  /** Sets it up in a lab, until disposed of. */
  readonly start: (lab: Lab) => Promise<Running>;
}

/** Names, as figures have them. */
export type ContenderName =
  | "direct"
  | "passthrough"
  | "psp-agent"
  | "psp-agent-version-0"
  | "psp-agent-sample-1024"
  | "psp-agent-sample-2"
  | "psp-agent-workers-2"
  | "psp-agent-busy-poll"
  | "wireguard-go-new"
  | "wireguard-go-debian"
  | "nebula"
  | "openvpn";

/** Whether a contender can be measured here. */
export type Found = { readonly version: string } | { readonly missing: string };

/** One that carries packets now. */
export interface Running extends AsyncDisposable {
  /** Gateway processes; none for a cable. */
  readonly pids: readonly number[];
}

/** Where the programs of this folder's Makefile are. */
export const BUILD: string = new URL("../../build/bench", import.meta.url).pathname;

/**
 * Forms of the agent to be compared with its default one: AES-GCM-128, one packet in so many as a sample, two threads,
 * and threads that look for packets before they sleep.
 */
const FORMS: readonly (readonly [ContenderName, (config: PeersJson) => void])[] = [
  ["psp-agent-version-0", (config) => config.psp = { versions: ["aes-gcm-128"] }],
  ["psp-agent-sample-1024", (config) => config.psp = { sample_rate_log2: 10 }],
  ["psp-agent-sample-2", (config) => config.psp = { sample_rate_log2: 1 }],
  ["psp-agent-workers-2", (config) => Object.assign(config.plane, { workers: 2 })],
  ["psp-agent-busy-poll", (config) => Object.assign(config.plane, { busy_poll_us: 100 })],
];

/** All of them, in the order of the table. `wireguardGo`: the program of the current one, undefined: none. */
export function contenders(wireguardGo: string | undefined): Contender[] {
  return [
    {
      name: "direct",
      path: "direct",
      about: () => Promise.resolve({ version: "a veth from workload to workload" }),
      start: () => Promise.resolve({ pids: [], [Symbol.asyncDispose]: () => Promise.resolve() }),
    },
    {
      name: "passthrough",
      path: "gateways",
      about: () => Promise.resolve({ version: "bench/path/passthrough.c" }),
      start: startPassthrough,
    },
    { name: "psp-agent", path: "gateways", about: aboutAgent, start: (lab) => startAgent(lab) },
    ...FORMS.map(([name, change]): Contender => ({
      name,
      path: "gateways",
      isForm: true,
      about: aboutAgent,
      start: (lab) => startAgent(lab, change),
    })),
    {
      name: "wireguard-go-new",
      path: "gateways",
      about: () => aboutCurrentWireguard(wireguardGo),
      start: (lab) => startWireguard(lab, wireguardGo ?? ""),
    },
    {
      name: "wireguard-go-debian",
      path: "gateways",
      about: () => aboutDebian(["wireguard-go", "wireguard-tools"], ["wireguard-go", "wg"]),
      start: (lab) => startWireguard(lab, "wireguard-go"),
    },
    {
      name: "nebula",
      path: "gateways",
      about: () => aboutDebian(["nebula"], ["nebula", "nebula-cert"]),
      start: startNebula,
    },
    {
      name: "openvpn",
      path: "gateways",
      about: () => aboutDebian(["openvpn"], ["openvpn"]),
      start: startOpenvpn,
    },
  ];
}

// ---- what is there -----------------------------------------------------------------------------

async function aboutAgent(): Promise<Found> {
  const commit = await run(["git", "describe", "--always", "--dirty"]);
  return { version: commit.code === 0 ? `of commit ${commit.stdout.trim()}` : "of this tree" };
}

/** Packages by their programs; the version is the first package's. */
async function aboutDebian(
  packages: readonly string[],
  programs: readonly string[],
): Promise<Found> {
  for (const program of programs) {
    if ((await run(["sh", "-c", `command -v ${program}`])).code !== 0) {
      return { missing: `no "${program}": Debian packages ${packages.join(", ")}` };
    }
  }
  const said = await run(["dpkg-query", "-W", "-f", "${Version}", packages[0] ?? ""]);
  return { version: said.code === 0 ? `Debian ${said.stdout}` : "version unknown" };
}

async function aboutCurrentWireguard(program: string | undefined): Promise<Found> {
  if (program === undefined) {
    return { missing: "no current wireguard-go: WIREGUARD_GO names none, and none could be built" };
  }
  if ((await run(["test", "-x", program])).code !== 0) {
    return { missing: `WIREGUARD_GO="${program}" cannot be run` };
  }
  const tools = await aboutDebian(["wireguard-tools"], ["wg"]);
  if ("missing" in tools) return tools;
  const said = await run(["go", "version", "-m", program]);
  const version = /^\s+mod\s+\S+\s+(\S+)/m.exec(said.stdout)?.[1];
  return { version: version ?? program };
}

// ---- ours --------------------------------------------------------------------------------------

async function startPassthrough(lab: Lab): Promise<Running> {
  await lab.gatewayIs("workload");
  return await both(lab, (host) => ({
    argv: [`${BUILD}/passthrough`, "host", "uplink"],
    isUp: (child) => Promise.resolve(child.said("ready")),
    what: `the passthrough on ${host}`,
  }));
}

async function startAgent(lab: Lab, change?: (config: PeersJson) => void): Promise<Running> {
  const { world } = lab;
  await lab.gatewayIs("agent");
  if (await Deno.stat(world.path("pki")).catch(() => undefined) === undefined) await makePki(world);
  const options = {
    change: (config: PeersJson) => {
      config.log.level = "info";
      change?.(config);
    },
  };
  const agents = Object.values(await startAgents(world, { h1: options, h2: options }));
  return {
    pids: agents.map(({ pid }) => pid),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(agents.map((agent) => agent.end("SIGTERM")));
    },
  };
}

// ---- others ------------------------------------------------------------------------------------

/**
 * WireGuard's own sockets lie in one directory for the whole machine: each side gets one of its own. `ip netns exec`
 * has made a mount namespace.
 */
const WIREGUARD = `
set -eu
mkdir -p /run/wireguard
mount -t tmpfs wireguard /run/wireguard
"$1" -f wg0 &
child=$!
trap 'kill $child; wait $child; exit 0' TERM
tries=0
until wg setconf wg0 "$2" 2>/dev/null; do
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || wg setconf wg0 "$2"
  sleep 0.05
done
ip link set wg0 mtu "$3" up
ip route add "$4" dev wg0
echo ready
wait $child
`;

async function startWireguard(lab: Lab, program: string): Promise<Running> {
  const { world } = lab;
  const keys = {} as Record<HostName, { own: string; public: string }>;
  for (const host of HOSTS) {
    const own = (await mustRun(["wg", "genkey"])).trim();
    keys[host] = { own, public: (await mustRun(["wg", "pubkey"], { stdin: own })).trim() };
  }
  for (const host of HOSTS) {
    const far = otherHost(host);
    await Deno.writeTextFile(
      world.path(`wireguard-${host}.conf`),
      `[Interface]\nPrivateKey = ${keys[host].own}\nListenPort = 51820\n` +
        `[Peer]\nPublicKey = ${keys[far].public}\nEndpoint = ${world.host(far).pip}:51820\n` +
        `AllowedIPs = ${world.workload(far).prefixes.ipv4}\n`,
      { mode: 0o600 },
    );
  }
  return await routed(lab, (host) => ({
    argv: ["sh", "-c", WIREGUARD, "wireguard", program, world.path(`wireguard-${host}.conf`)]
      .concat(String(INNER_MTU), world.workload(otherHost(host)).prefixes.ipv4),
    env: { LOG_LEVEL: "error" },
    isUp: (child) => Promise.resolve(child.said("ready")),
    what: `wireguard-go on ${host}`,
  }));
}

async function startNebula(lab: Lab): Promise<Running> {
  const { world } = lab;
  const dir = world.path("nebula");
  const address = { h1: "10.254.0.1", h2: "10.254.0.2" };
  if (await Deno.stat(dir).catch(() => undefined) === undefined) {
    await Deno.mkdir(dir);
    const ca = ["-ca-crt", `${dir}/ca.crt`, "-ca-key", `${dir}/ca.key`];
    const out = (
      name: string,
    ) => ["-out-crt", `${dir}/${name}.crt`, "-out-key", `${dir}/${name}.key`];
    await mustRun(["nebula-cert", "ca", "-name", "bench", ...out("ca")]);
    for (const host of HOSTS) {
      const subnets = ["-subnets", world.workload(host).prefixes.ipv4];
      const name = ["-name", host, "-ip", `${address[host]}/24`];
      await mustRun(["nebula-cert", "sign", ...ca, ...name, ...subnets, ...out(host)]);
    }
  }
  const any = [{ port: "any", proto: "any", host: "any" }];
  for (const host of HOSTS) {
    const far = otherHost(host);
    // YAML takes JSON.
    await Deno.writeTextFile(
      `${dir}/${host}.yml`,
      JSON.stringify({
        pki: { ca: `${dir}/ca.crt`, cert: `${dir}/${host}.crt`, key: `${dir}/${host}.key` },
        static_host_map: { [address[far]]: [`${world.host(far).pip}:4242`] },
        lighthouse: { am_lighthouse: false, hosts: [] },
        listen: { host: world.host(host).pip, port: 4242 },
        tun: {
          dev: "nebula0",
          mtu: INNER_MTU,
          unsafe_routes: [{ route: world.workload(far).prefixes.ipv4, via: address[far] }],
        },
        logging: { level: "warning" },
        firewall: { inbound: any, outbound: any },
      }),
    );
  }
  return await routed(lab, (host) => ({
    argv: ["nebula", "-config", `${dir}/${host}.yml`],
    isUp: () => hasRoute(lab, host, "nebula0"),
    what: `nebula on ${host}`,
  }));
}

async function startOpenvpn(lab: Lab): Promise<Running> {
  const { world } = lab;
  const dir = world.path("openvpn");
  const address = { h1: "10.254.1.1", h2: "10.254.1.2" };
  if (await Deno.stat(dir).catch(() => undefined) === undefined) {
    await pkiInit({ dir });
    for (const id of HOSTS) await pkiIssue({ dir, id, domain: "bench.example" });
  }
  for (const host of HOSTS) {
    const far = otherHost(host);
    await Deno.writeTextFile(
      `${dir}/${host}.conf`,
      [
        "dev tun0",
        `local ${world.host(host).pip}`,
        `remote ${world.host(far).pip}`,
        "port 1194",
        host === "h1" ? "tls-server" : "tls-client",
        "dh none",
        `ca ${dir}/ca.crt`,
        `cert ${dir}/${host}.crt`,
        `key ${dir}/${host}.key`,
        `ifconfig ${address[host]} ${address[far]}`,
        `tun-mtu ${INNER_MTU}`,
        "mssfix 0",
        "data-ciphers AES-256-GCM",
        "disable-dco",
        "verb 1",
      ].join("\n") + "\n",
    );
  }
  const running = await routed(lab, (host) => ({
    argv: ["openvpn", "--config", `${dir}/${host}.conf`],
    isUp: async () =>
      (await world.run(host, ["ip", "-o", "addr", "show", "dev", "tun0"])).stdout
        .includes(address[host]),
    what: `openvpn on ${host}`,
  }));
  for (const host of HOSTS) {
    const far = world.workload(otherHost(host)).prefixes.ipv4;
    await ip([`route add ${far} dev tun0`], world.ns(host));
  }
  return running;
}

async function hasRoute({ world }: Lab, host: HostName, device: string): Promise<boolean> {
  const far = world.workload(otherHost(host)).prefixes.ipv4;
  const { stdout } = await world.run(host, ["ip", "route", "show", far, "dev", device]);
  return stdout.includes(far);
}

// ---- processes ---------------------------------------------------------------------------------

interface Command {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly isUp: (child: Gateway) => Promise<boolean>;
  readonly what: string;
}

/** Gateways that leave routing to their host's kernel. */
async function routed(lab: Lab, command: (host: HostName) => Command): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  await lab.gatewayIs("host");
  stack.use(await lab.route());
  const { pids } = stack.use(await both(lab, command));
  const all = stack.move();
  return { pids, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** One on each host, until both say that they are up. */
async function both({ world }: Lab, command: (host: HostName) => Command): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const started = HOSTS.map((host) => {
    const { argv, env, isUp, what } = command(host);
    const gateway = stack.use(new Gateway(argv, { ns: world.ns(host), ...env && { env } }));
    return { gateway, isUp, what };
  });
  for (const { gateway, isUp, what } of started) {
    await eventually(() => isUp(gateway), { what, everyMs: 50, describe: () => gateway.text });
  }
  const all = stack.move();
  return {
    pids: started.map(({ gateway }) => gateway.pid),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** A gateway's process; what it says is kept for the text of a failure. */
class Gateway implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  readonly #said: string[] = [];

  constructor(
    argv: readonly string[],
    options: { readonly ns: string; readonly env?: Readonly<Record<string, string>> },
  ) {
    this.#child = spawn(argv, options);
    this.#reading = Promise.all([
      this.#child.stdin.close().catch(() => {}),
      this.#read(this.#child.stdout),
      this.#read(this.#child.stderr),
    ]);
  }

  get pid(): number {
    return this.#child.pid;
  }

  get text(): string {
    return this.#said.join("\n");
  }

  said(text: string): boolean {
    return this.#said.includes(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    kill(this.pid, "SIGTERM");
    try {
      await within(this.#child.status, "the end of a gateway", 5_000);
    } catch {
      kill(this.pid, "SIGKILL");
      await this.#child.status;
    }
    await this.#reading;
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const text of lines(stream)) this.#said.push(text);
  }
}

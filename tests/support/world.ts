// SPDX-License-Identifier: Apache-2.0

/**
 * Two hosts and their workloads in namespaces of their own, for one test: `await using world =
 * await World.create()`. Everything is gone at the end, whatever the end is.
 */
import { Capture, type CaptureOptions } from "./capture.ts";
import { ip, makeEstate, mustRun, type Output, run, type RunOptions } from "./netns.ts";
import { NsWorker } from "./ns_worker.ts";
import {
  type Family,
  GATEWAY,
  GATEWAY_MAC,
  type Host,
  type HostName,
  HOSTS,
  otherHost,
  type Plan,
  plan,
  type Workload,
  type WorldOptions,
} from "./plan.ts";

/** Namespaces, links and addresses by a plan, and what runs in them. */
export class World implements AsyncDisposable {
  readonly plan: Plan;
  readonly #stack: AsyncDisposableStack;
  readonly #workers = new Map<string, Promise<NsWorker>>();

  private constructor(layout: Plan, stack: AsyncDisposableStack) {
    this.plan = layout;
    this.#stack = stack;
  }

  /** Throws one sentence when it cannot be made, and then nothing is left of it. */
  static async create(options: WorldOptions = {}): Promise<World> {
    const layout = plan(options);
    const hosts = HOSTS.map((name) => layout.hosts[name]);
    const namespaces = hosts.flatMap((h) => [h.ns, ...h.workloads.map((w) => w.ns)]);
    await using stack = new AsyncDisposableStack();
    stack.use(await makeEstate({ prefix: layout.prefix, dir: layout.dir, namespaces }));
    await connect(layout);
    await Promise.all([
      ...hosts.map((host) => setUpHost(layout, host)),
      ...hosts.flatMap((h) => h.workloads.map((w) => setUpWorkload(layout, w))),
    ]);
    return new World(layout, stack.move());
  }

  host(name: HostName): Host {
    return this.plan.hosts[name];
  }

  /** The first workload of a host, or the n-th. */
  workload(host: HostName, n = 0): Workload {
    const found = this.plan.hosts[host].workloads[n];
    if (found === undefined) throw new Error(`Host "${host}" has no workload ${n}`);
    return found;
  }

  /** The n-th vip of a host's first workload. */
  vip(host: HostName, n = 0, family: Family = this.plan.inner[0] ?? "ipv4"): string {
    const found = this.workload(host).vips[family][n];
    if (found === undefined) throw new Error(`Host "${host}" has no ${family} vip ${n}`);
    return found;
  }

  /** Namespace of "h1", "v1", "v1b", ... */
  ns(name: string): string {
    return `${this.plan.prefix}-${name}`;
  }

  /** A path in the world's own directory. */
  path(name: string): string {
    return `${this.plan.dir}/${name}`;
  }

  run(name: string, argv: readonly string[], options: RunOptions = {}): Promise<Output> {
    return run(argv, { ...options, ns: this.ns(name) });
  }

  mustRun(name: string, argv: readonly string[], options: RunOptions = {}): Promise<string> {
    return mustRun(argv, { ...options, ns: this.ns(name) });
  }

  /** The helper process in a namespace, started when it is first asked for. */
  worker(name: string): Promise<NsWorker> {
    const there = this.#workers.get(name);
    if (there !== undefined) return there;
    const started = NsWorker.start(this.ns(name)).then((worker) => this.#stack.use(worker));
    this.#workers.set(name, started);
    return started;
  }

  /** Captures what arrives at both ends of the underlay, so that no way of sending escapes it. */
  async capture(options: CaptureOptions = {}): Promise<Capture> {
    return this.#stack.use(await Capture.start(this, options));
  }

  /** Closed with the world, in reverse order. */
  own<T extends AsyncDisposable>(thing: T): T {
    return this.#stack.use(thing);
  }

  /**
   * Lets the hosts forward the underlay's family in clear, as if there were no agents: what to
   * compare with.
   */
  async routeInClear(): Promise<void> {
    for (const name of HOSTS) {
      const { ns, workloads } = this.host(name);
      const peer = this.host(otherHost(name));
      const family = this.plan.underlay;
      await mustRun(["sh", "-c", ROUTING_ON[family]], { ns });
      const gateway = `addr add ${GATEWAY[family]}/${
        family === "ipv4" ? 32 : "128 nodad"
      } dev host`;
      const here = workloads.flatMap((w) => [
        `route add ${w.prefixes[family]} dev host`,
        ...w.vips[family].map((vip) => `neigh replace ${vip} lladdr ${w.mac} dev host`),
      ]);
      const there = peer.workloads.map((w) =>
        `route add ${w.prefixes[family]} via ${peer.pip} dev uplink`
      );
      await ip([`link set host address ${GATEWAY_MAC}`, gateway, ...here, ...there], ns);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function connect({ hosts, ownPorts }: Plan): Promise<void> {
  const { h1, h2 } = hosts;
  const lines = [
    `link add uplink address ${h1.uplinkMac} netns ${h1.ns} type veth ` +
    `peer name uplink address ${h2.uplinkMac} netns ${h2.ns}`,
  ];
  for (const host of [h1, h2]) {
    const bridged = host.workloads.length > 1 && !ownPorts;
    if (bridged) {
      lines.push(
        `link add host address ${host.hostMac} netns ${host.ns} type veth ` +
          `peer name trunk netns ${host.ns}`,
      );
    }
    for (const w of host.workloads) {
      const end = bridged
        ? `name ${w.name} netns`
        : `name ${w.port} address ${portMac(host, w)} netns`;
      lines.push(
        `link add eth0 address ${w.mac} netns ${w.ns} type veth peer ${end} ${host.ns}`,
      );
    }
  }
  await ip(lines);
}

/** A host's ports differ in their MACs. */
function portMac({ hostMac, workloads }: Host, w: Workload): string {
  return hostMac.replace(/fe$/, (0xfe - workloads.indexOf(w)).toString(16));
}

async function setUpHost({ underlay, mtu, ownPorts }: Plan, host: Host): Promise<void> {
  if (underlay === "ipv6") await enableIpv6(host.ns, "uplink");
  const length = underlay === "ipv4" ? "24" : "64 nodad";
  const lines = [
    `link set uplink mtu ${mtu} up`,
    `addr add ${host.pip}/${length} dev uplink`,
  ];
  if (host.workloads.length > 1 && !ownPorts) {
    lines.push("link add br0 type bridge", "link set br0 up");
    for (const port of ["trunk", ...host.workloads.map((w) => w.name)]) {
      lines.push(`link set ${port} mtu ${mtu} master br0 up`);
    }
  }
  const ports = new Set(host.workloads.map((w) => w.port));
  for (const port of ports) lines.push(`link set ${port} mtu ${mtu} up`);
  await ip(lines, host.ns);
}

async function setUpWorkload(layout: Plan, w: Workload): Promise<void> {
  if (layout.inner.includes("ipv6")) await enableIpv6(w.ns, "eth0");
  const lines = [`link set eth0 mtu ${layout.workloadMtu} up`];
  for (const vip of w.vips.ipv4) lines.push(`addr add ${vip}/32 dev eth0`);
  for (const vip of w.vips.ipv6) lines.push(`addr add ${vip}/128 dev eth0 nodad`);
  for (const family of layout.inner) {
    const via = GATEWAY[family];
    if (layout.staticNeighbours) {
      lines.push(`neigh add ${via} lladdr ${GATEWAY_MAC} dev eth0 nud permanent`);
    }
    // The source is the first vip, not whichever was added last.
    lines.push(`route add default via ${via} dev eth0 onlink src ${w.vips[family][0]}`);
  }
  await ip(lines, w.ns);
}

async function enableIpv6(ns: string, device: string): Promise<void> {
  const set = (key: string, value: number) =>
    `echo ${value} > /proc/sys/net/ipv6/conf/${device}/${key}`;
  await mustRun(["sh", "-c", [set("accept_dad", 0), set("disable_ipv6", 0)].join("; ")], { ns });
}

const ROUTING_ON: Readonly<Record<Family, string>> = {
  ipv4: "echo 1 > /proc/sys/net/ipv4/ip_forward",
  ipv6: "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6;" +
    "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
};

// SPDX-License-Identifier: Apache-2.0

/**
 * Two hosts and two workloads in namespaces, twice: with one cable between the hosts, and with a bridge that lets only
 * packets of the wire's own size through. Every contender is set up in these same namespaces, one after the other.
 */
import { ip, makeEstate, mustRun } from "../../tests/support/netns.ts";
import { GATEWAY, GATEWAY_MAC, type HostName, HOSTS, otherHost } from "../../tests/support/plan.ts";
import { World } from "../../tests/support/world.ts";

/** How the hosts are connected. */
export type Wire = "cable" | "bridge";

/** Octets of IP on the underlay. */
const MTU = 1500;
/** Octets of IP at the workloads, the same for every contender: 1,500 minus PSP's 60 over IPv4, and WireGuard's 60. */
export const INNER_MTU = 1440;
/** A cable from workload to workload, past the hosts. */
const DIRECT = { v1: "10.9.0.1", v2: "10.9.0.2" } as const;

/** Namespaces that are gone when it is disposed of. */
export class Lab implements AsyncDisposable {
  readonly wire: Wire;
  readonly world: World;

  private constructor(wire: Wire, world: World) {
    this.wire = wire;
    this.world = world;
  }

  /** Throws one sentence when it cannot be made, and then nothing is left of it. */
  static async create(wire: Wire): Promise<Lab> {
    await using stack = new AsyncDisposableStack();
    const world = stack.use(await World.create({ mtu: MTU, workloadMtu: INNER_MTU }));
    const lab = new Lab(wire, world);
    for (const host of HOSTS) {
      // Without it the kernel would start a flow of one contender with what it learned of another's.
      await mustRun(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save"], {
        ns: world.workload(host).ns,
      });
    }
    if (wire === "cable") await lab.#connectDirectly();
    else await lab.#connectByBridge();
    stack.move();
    return lab;
  }

  /** Where the workload of h2 is reached from that of h1. */
  address(path: "direct" | "gateways"): string {
    return path === "direct" ? DIRECT.v2 : this.world.vip("h2");
  }

  /**
   * What stands for the gateway at a workload: the agent's own MAC, the host's for a gateway that routes, or the far
   * workload's for one that only carries.
   */
  async gatewayIs(what: "agent" | "host" | "workload"): Promise<void> {
    for (const name of HOSTS) {
      const host = this.world.host(name);
      const mac = {
        agent: GATEWAY_MAC,
        host: host.hostMac,
        workload: this.world.workload(otherHost(name)).mac,
      }[what];
      await ip(
        [`neigh replace ${GATEWAY.ipv4} lladdr ${mac} dev eth0 nud permanent`],
        this.world.workload(name).ns,
      );
    }
  }

  /** Lets the hosts route between their workload and what else they have; disposal takes it back. */
  async route(): Promise<AsyncDisposable> {
    for (const name of HOSTS) {
      const { ns } = this.world.host(name);
      const w = this.world.workload(name);
      await ip([
        `addr add ${GATEWAY.ipv4}/32 dev host`,
        `route add ${w.prefixes.ipv4} dev host`,
        ...w.vips.ipv4.map((vip) => `neigh replace ${vip} lladdr ${w.mac} dev host nud permanent`),
      ], ns);
      await mustRun(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], { ns });
    }
    return { [Symbol.asyncDispose]: () => this.#unroute() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }

  async #unroute(): Promise<void> {
    for (const name of HOSTS) {
      const { ns } = this.world.host(name);
      await mustRun(["sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"], { ns });
      await ip([
        `route del ${this.world.workload(name).prefixes.ipv4} dev host`,
        `neigh flush dev host nud permanent`,
        `addr del ${GATEWAY.ipv4}/32 dev host`,
      ], ns);
    }
  }

  async #connectDirectly(): Promise<void> {
    const [v1, v2] = HOSTS.map((name) => this.world.workload(name).ns);
    await ip([`link add direct netns ${v1} type veth peer name direct netns ${v2}`]);
    for (const [ns, address] of [[v1, DIRECT.v1], [v2, DIRECT.v2]]) {
      await ip([`addr add ${address}/24 dev direct`, `link set direct mtu ${INNER_MTU} up`], ns);
    }
  }

  /** The uplinks' cable is replaced; nothing on the way takes a super-frame. */
  async #connectByBridge(): Promise<void> {
    const prefix = this.world.plan.prefix.replace(
      /.{6}$/,
      () => crypto.getRandomValues(new Uint8Array(3)).toHex(),
    );
    const ns = `${prefix}-wire`;
    const dir = `${this.world.plan.dir}-wire`;
    this.world.own(await makeEstate({ prefix, dir, namespaces: [ns] }));
    await ip(["link del uplink"], this.world.host("h1").ns);
    // Where bridges hand frames to netfilter, that would be a seventh of all the gateways' time, in whoever's sends: a wire has
    // none. The directory is there when something has loaded that.
    const bridges = "/proc/sys/net/bridge/bridge-nf-call";
    const off = `for f in ${bridges}-*; do [ ! -e "$f" ] || echo 0 > "$f"; done`;
    await mustRun(["sh", "-c", off], { ns });
    await ip(["link add wire type bridge", "link set wire up"], ns);
    for (const name of HOSTS) await this.#plugIn(name, ns);
  }

  async #plugIn(name: HostName, wire: string): Promise<void> {
    const { ns, pip, uplinkMac } = this.world.host(name);
    await ip([
      `link add uplink address ${uplinkMac} netns ${ns} type veth peer name ${name} netns ${wire}`,
    ]);
    await ip([`link set ${name} mtu ${MTU} master wire up`], wire);
    await ip([`link set uplink mtu ${MTU} up`, `addr add ${pip}/24 dev uplink`], ns);
    const off = ["tso", "gso", "gro", "tx-udp-segmentation"].flatMap((feature) => [feature, "off"]);
    await mustRun(["ethtool", "-K", "uplink", ...off], { ns });
    await mustRun(["ethtool", "-K", name, ...off], { ns: wire });
  }
}

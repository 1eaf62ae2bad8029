// SPDX-License-Identifier: Apache-2.0

/**
 * Addresses and names of a world, as data: two hosts on an underlay, workloads behind each.
 *
 *     v1 eth0 --- host h1 uplink ====== uplink h2 host --- eth0 v2
 *
 * With several workloads on a host, a bridge stands between them and its port, or each has a port of its own.
 */
import { estateDir } from "./netns.ts";

/** The hosts. */
export type HostName = "h1" | "h2";
/** Address families. */
export type Family = "ipv4" | "ipv6";

/** What a world looks like; all of it has a default. */
export interface WorldOptions {
  /** Outer addresses; IPv4 by default. */
  readonly underlay?: Family;
  /** Inner addresses; IPv4 only by default. */
  readonly inner?: readonly Family[];
  /** Workload namespaces on each host: v1, v1b, v1c, ... 1 by default. */
  readonly workloads?: number;
  /**
   * Every other workload is in the network "blue", the first, third, ... in "red", each on a port of its own; the first
   * of each have equal addresses, and so on. Default: false.
   */
  readonly tenants?: boolean;
  /** Each workload has a port of its own, "vm0", "vm1", ..., and the agent has all of them. Default: false. */
  readonly ownPorts?: boolean;
  /** Virtual addresses of each workload and family; 1 by default, at most 3,000. */
  readonly vips?: number;
  /** Octets of IP on the underlay; 1,500 by default. */
  readonly mtu?: number;
  /** Octets of IP at the workloads; by default what fits the underlay whatever the header form. */
  readonly workloadMtu?: number;
  /**
   * The workloads know their gateway's MAC; false: the agent must answer ARP and ND. Default true.
   */
  readonly staticNeighbours?: boolean;
}

/** A tenant's namespace behind a host. */
export interface Workload {
  readonly name: string;
  readonly ns: string;
  readonly mac: string;
  /** The host's interface that it is behind; others may be behind it too. */
  readonly port: string;
  /** "": the default one. */
  readonly network: string;
  readonly vips: Readonly<Record<Family, readonly string[]>>;
  /** What contains all its vips. */
  readonly prefixes: Readonly<Record<Family, string>>;
}

/** A host: an agent's place. */
export interface Host {
  readonly name: HostName;
  readonly ns: string;
  readonly pip: string;
  readonly uplinkMac: string;
  readonly hostMac: string;
  readonly workloads: readonly Workload[];
}

/** A whole world as data. */
export interface Plan {
  readonly prefix: string;
  readonly dir: string;
  readonly underlay: Family;
  readonly inner: readonly Family[];
  readonly mtu: number;
  readonly workloadMtu: number;
  readonly staticNeighbours: boolean;
  readonly ownPorts: boolean;
  readonly hosts: Readonly<Record<HostName, Host>>;
}

/** What workloads have as their gateway's MAC: the agent's `gateway_mac` by default. */
export const GATEWAY_MAC = "02:50:53:50:00:01";
/** What workloads send everything through; on no interface. */
export const GATEWAY: Readonly<Record<Family, string>> = { ipv4: "169.254.1.1", ipv6: "fe80::1" };
/**
 * Outer IPv6 (40), UDP (8), PSP with a virtualization cookie (24), ICV (16): the most that PSP
 * adds.
 */
const MOST_OVERHEAD = 88;
/** Both hosts, in order. */
export const HOSTS = ["h1", "h2"] as const;

/**
 * Lays a world out, under a name that no other has: test files may run side by side in one process.
 */
export function plan(options: WorldOptions): Plan {
  const prefix = `psp${Deno.pid}x${crypto.getRandomValues(new Uint8Array(3)).toHex()}`;
  const underlay = options.underlay ?? "ipv4";
  const inner = options.inner ?? ["ipv4"];
  const mtu = options.mtu ?? 1500;
  const tenants = options.tenants ?? false;
  const ownPorts = options.ownPorts ?? tenants;
  const host = (side: 1 | 2): Host => ({
    name: `h${side}`,
    ns: `${prefix}-h${side}`,
    pip: underlay === "ipv4" ? `192.168.77.${side}` : `fd77::${side}`,
    uplinkMac: `02:00:00:00:77:0${side}`,
    hostMac: `02:00:00:00:0${side}:fe`,
    workloads: Array.from(
      { length: options.workloads ?? 1 },
      (_, j) =>
        workload(side, j, {
          prefix,
          inner,
          vips: options.vips ?? 1,
          port: ownPorts ? `vm${j}` : "host",
          network: tenants ? j % 2 === 0 ? "red" : "blue" : "",
        }),
    ),
  });
  return {
    prefix,
    dir: estateDir(prefix),
    underlay,
    inner,
    mtu,
    workloadMtu: options.workloadMtu ?? mtu - MOST_OVERHEAD,
    staticNeighbours: options.staticNeighbours ?? true,
    ownPorts,
    hosts: { h1: host(1), h2: host(2) },
  };
}

function workload(
  side: number,
  j: number,
  options: {
    readonly prefix: string;
    readonly inner: readonly Family[];
    readonly vips: number;
    readonly port: string;
    readonly network: string;
  },
): Workload {
  const name = `v${side}${j === 0 ? "" : String.fromCharCode(97 + j)}`;
  const indexes = Array.from({ length: options.vips }, (_, i) => i);
  // Of two networks, those with the same number have the same addresses.
  const n = options.network === "" ? j : Math.floor(j / 2);
  const ipv4 = (i: number) => `10.${side}.${16 * n + Math.floor(i / 254)}.${(i % 254) + 1}`;
  const ipv6 = (i: number) => `fd00:${side}:${n.toString(16)}::${(i + 1).toString(16)}`;
  return {
    name,
    ns: `${options.prefix}-${name}`,
    mac: `02:00:00:0${side}:${(j + 1).toString(16).padStart(2, "0")}:01`,
    port: options.port,
    network: options.network,
    vips: {
      ipv4: options.inner.includes("ipv4") ? indexes.map(ipv4) : [],
      ipv6: options.inner.includes("ipv6") ? indexes.map(ipv6) : [],
    },
    prefixes: {
      ipv4: `10.${side}.${16 * n}.0/20`,
      ipv6: `fd00:${side}:${n.toString(16)}::/64`,
    },
  };
}

/** The other host. */
export function otherHost(host: HostName): HostName {
  return host === "h1" ? "h2" : "h1";
}

/** "10.0.0.1:80" or "[fd00::1]:80". */
export function hostPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

// SPDX-License-Identifier: Apache-2.0

/** `peers.json` and certificates of the hosts of a world. */
import { pkiInit, pkiIssue } from "../../src/pki/pki.ts";
import { mustRun } from "./netns.ts";
import { inNetwork } from "../../src/model/network.ts";
import { type Host, type HostName, hostPort, HOSTS, otherHost, type Workload } from "./plan.ts";
import { planeSection } from "./standin.ts";
import type { World } from "./world.ts";

/** The trust domain that a configuration has by default. */
export const DOMAIN = "psp-agent.local";
/** Where agents listen for one another. */
const RPC_PORT = 7443;
/** Where each of them answers for its status, in its own namespace. */
export const STATUS = "127.0.0.1:7480";

/** What `peers.json` holds, as far as tests change it; see src/config/schema.ts for all of it. */
export interface PeersJson {
  id: string;
  domain: string;
  state_dir: string;
  pip: string;
  vips: { vip: string; mac?: string; gateway?: string; dns?: string[] }[];
  networks?: {
    name: string;
    vc: number;
    ports: string[];
    vips?: { vip: string; gateway?: string; dns?: string[] }[];
    gateway?: string;
    dns?: string[];
    mtu?: number;
    policy?: { deny: string[] };
  }[];
  peers: {
    id: string;
    svc_address: string;
    vips: string[];
    pip?: string;
    vc?: string;
    next_hop_mac?: string;
  }[];
  plane: {
    kind: "soft" | "doca";
    uplink?: string;
    host?: string | string[];
    ports?: { name: string; vips: string[]; mac?: string }[];
    pci?: string;
    representor?: string | string[];
    inspect?: "off" | "syn" | "all";
    backend?: string;
    host_guard?: "auto" | "require" | "off";
    library?: string;
    uplink_vlan?: number;
    next_hop_mac?: string;
  };
  rpc: {
    listen: string;
    tls?: { cert: string; key: string; ca: string };
    insecure?: boolean;
    require_pq?: boolean;
    timeout?: string;
    attempts?: number;
    peer_rate?: number;
    peer_burst?: number;
  };
  status: { listen: string; admin?: boolean; token_file?: string; loopback?: string };
  tunnel: {
    back_off?: string;
    back_off_max?: string;
    grace?: string;
    idle?: string;
    life?: string;
    restore?: boolean;
    peer_share?: number;
    source_share?: number;
  };
  rotation?: { interval?: string };
  security?: { deny?: string[] };
  directory?: { dir?: string; etcd?: Record<string, unknown> };
  hold?: { packets_per_flow?: number; bytes?: number; flows?: number };
  psp?: {
    versions?: string[];
    mode?: "tunnel" | "transport";
    mss_clamp?: boolean;
    path_mtu?: number;
    replay_window?: number;
    sample_rate_log2?: number;
    crypt_offset?: { ipv4: number; ipv6: number };
    max_crypt_offset?: { ipv4: number; ipv6: number };
  };
  log: { level: "debug" | "info" | "warning" | "error"; format: "text" | "json" };
}

/** The configuration of one host. Every call makes a new one, to be changed at will. */
export function peersJson(world: World, name: HostName): PeersJson {
  const host = world.host(name);
  const peer = world.host(otherHost(name));
  return {
    id: name,
    domain: DOMAIN,
    state_dir: world.path(`state-${name}`),
    pip: host.pip,
    vips: host.workloads.flatMap((w) =>
      vipsOf(w).map((vip) => ({ vip: inNetwork(vip, w.network), mac: w.mac }))
    ),
    peers: [{
      id: peer.name,
      svc_address: hostPort(peer.pip, RPC_PORT),
      vips: peer.workloads.flatMap((w) =>
        world.plan.inner.map((family) => inNetwork(w.prefixes[family], w.network))
      ),
    }],
    ...networksOf(host),
    plane: planeSection("uplink", world.plan.ownPorts ? ["vm*"] : "host"),
    rpc: { listen: hostPort(host.pip, RPC_PORT), tls: tlsOf(world, name) },
    status: { listen: STATUS },
    // Short, so that a test of failure and recovery is short.
    tunnel: { back_off: "200ms", back_off_max: "1s" },
    log: { level: "debug", format: "json" },
  };
}

/** What networks have as their cookies in the tests. */
export const COOKIES: Readonly<Record<string, number>> = { red: 0x0ed, blue: 0xb10e };

function networksOf({ workloads }: Host): Pick<PeersJson, "networks"> {
  const names = new Set(workloads.map(({ network }) => network).filter((name) => name !== ""));
  if (names.size === 0) return {};
  return {
    networks: [...names].map((name) => ({
      name,
      vc: COOKIES[name] ?? 1,
      ports: workloads.filter(({ network }) => network === name).map(({ port }) => port),
    })),
  };
}

/** Where the certificates of an identity lie, in the world's PKI or another of its directories. */
export function tlsOf(world: World, id: string, dir = "pki"): Required<PeersJson["rpc"]>["tls"] {
  const base = world.path(`${dir}/${id}`);
  return { cert: `${base}/${id}.crt`, key: `${base}/${id}.key`, ca: `${base}/ca.crt` };
}

/** A CA in the world's directory `dir`, and a certificate of it for each id. */
export async function makePki(
  world: World,
  options: { readonly dir?: string; readonly ids?: readonly string[] } = {},
): Promise<void> {
  const dir = world.path(options.dir ?? "pki");
  await pkiInit({ dir });
  await Promise.all((options.ids ?? HOSTS).map((id) => pkiIssue({ dir, id, domain: DOMAIN })));
}

/** One more certificate of the world's CA. */
export async function issue(world: World, id: string): Promise<void> {
  await pkiIssue({ dir: world.path("pki"), id, domain: DOMAIN });
}

/** The same by the agent's own command line, as a user makes them. */
export async function makePkiByCommand(world: World, bin: string): Promise<void> {
  const dir = world.path("pki");
  await mustRun([bin, "pki", "init", "--dir", dir]);
  await Promise.all(HOSTS.map((id) => mustRun([bin, "pki", "issue", "--dir", dir, "--id", id])));
}

function vipsOf(w: Workload): readonly string[] {
  return [...w.vips.ipv4, ...w.vips.ipv6];
}

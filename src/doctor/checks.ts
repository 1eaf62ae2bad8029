// SPDX-License-Identifier: Apache-2.0

/** What would keep an agent from working, each with what to do about it. Pure: the machine is given. */
import { forwardedFamilies, guardReason } from "../../ffi/codec.ts";
import { type Config, hostNames } from "../config/config.ts";
import { forwardingAdvice } from "../plane/forwarding.ts";
import { guardReasonText } from "../plane/guard.ts";
import { hostInterfaces } from "../plane/host_ports.ts";
import { isPattern, matchesName } from "../model/patterns.ts";
import { mtuOf } from "../plane/mtu.ts";
import { forListeners, limitFor } from "../rpc/descriptors.ts";
import { HYBRID } from "../rpc/key_exchange.ts";
import { STATUS_CONNECTIONS } from "../rpc/status_server.ts";
import type { HostReport, Machine } from "./machine.ts";

/** One thing that was looked at. */
export interface Finding {
  /** "kernel", "interface p0" */
  readonly what: string;
  readonly verdict: "ok" | "warning" | "problem";
  readonly found: string;
  /** What to do; absent when there is nothing to do. */
  readonly advice?: string;
}

/** PACKET_VNET_HDR with UDP segmentation (USO): 6.2; everything else: 4.18. */
const OLDEST_KERNEL = [4, 18] as const;
const GOOD_KERNEL = [6, 2] as const;
const PAGE_SIZE = 4096;
const CAPABILITIES = {
  net_bind_service: 10,
  net_admin: 12,
  net_raw: 13,
  ipc_lock: 14,
  sys_rawio: 17,
} as const;
/** What mlx5 asks of whoever opens a device: DPDK, doc/guides/platform/mlx5.rst. */
const OF_A_DEVICE = ["net_raw", "net_admin", "sys_rawio"] as const;
/** c-shim/soft/port.c asks for that much. */
const SOCKET_BUFFER = 32 * 2 ** 20;
/** Before this, a clock was never set. */
const EARLIEST_MS = Date.UTC(2025, 0, 1);

/** Of the machine alone. */
export function machineFindings(machine: Machine): Finding[] {
  return [kernel(machine), pageSize(machine), ...capabilities(machine), clock(machine)];
}

/** Of the machine for one configuration. */
export function configFindings(machine: Machine, config: Config): Finding[] {
  return [
    ...interfaces(machine, config),
    ...guard(machine, config),
    ...forwarding(machine, config),
    ...device(machine, config),
    listenAddress(machine, config),
    descriptors(machine, config),
    connections(config),
    keyExchange(machine, config),
    database(machine, config),
  ];
}

function kernel(machine: Machine): Finding {
  const found = machine.kernel();
  const [major = 0, minor = 0] = found.split(".").map((part) => parseInt(part, 10));
  const older = ([a, b]: readonly [number, number]) => major < a || (major === a && minor < b);
  const what = "kernel";
  if (older(OLDEST_KERNEL)) {
    return {
      what,
      verdict: "problem",
      found,
      advice: "use Linux 4.18 or later, best 6.2 or later",
    };
  }
  if (!older(GOOD_KERNEL)) return { what, verdict: "ok", found };
  const advice = "before 6.2 UDP segmentation may be done packet by packet: slower, not wrong";
  return { what, verdict: "warning", found, advice };
}

function pageSize({ report }: Machine): Finding {
  const what = "page size";
  const size = report?.pageSize;
  if (size === undefined) return { what, verdict: "warning", found: "cannot be read" };
  if (size === PAGE_SIZE) return { what, verdict: "ok", found: `${size} octets` };
  const advice = `boot a kernel with pages of ${PAGE_SIZE} octets: the runtime is built for those`;
  return { what, verdict: "problem", found: `${size} octets`, advice };
}

function capabilities(machine: Machine): Finding[] {
  const mask = machine.report?.capabilities;
  if (mask === undefined) {
    return [{ what: "capabilities", verdict: "warning", found: "cannot be read" }];
  }
  const has = (bit: number) => (mask & (1n << BigInt(bit))) !== 0n;
  // Either lets the agent have UDP 1000; with CAP_NET_ADMIN it also needs /proc/sys writable.
  const forPort = (["net_bind_service", "net_admin"] as const).filter((n) => has(CAPABILITIES[n]));
  const missing = [
    ...(has(CAPABILITIES.net_raw) ? [] : ["CAP_NET_RAW"]),
    ...(forPort.length > 0 ? [] : ["CAP_NET_BIND_SERVICE"]),
  ];
  const rights: Finding = missing.length === 0
    ? {
      what: "capabilities",
      verdict: "ok",
      found: `CAP_NET_RAW, CAP_${forPort[0]?.toUpperCase()}`,
    }
    : {
      what: "capabilities",
      verdict: "problem",
      found: `no ${missing.join(", no ")}`,
      advice: "run as root, or as the systemd unit does (AmbientCapabilities)",
    };
  return has(CAPABILITIES.net_admin) ? [rights] : [rights, buffers(machine.report)];
}

/** Without CAP_NET_ADMIN the system's limits bind. */
function buffers(report: HostReport | undefined): Finding {
  const what = "socket buffers";
  const least = Math.min(report?.rmemMax ?? 0, report?.wmemMax ?? 0);
  const found = `at most ${least} octets`;
  if (least >= SOCKET_BUFFER) return { what, verdict: "ok", found };
  const advice =
    `sysctl -w net.core.rmem_max=${SOCKET_BUFFER} net.core.wmem_max=${SOCKET_BUFFER}, ` +
    "or CAP_NET_ADMIN: bursts are lost otherwise";
  return { what, verdict: "warning", found, advice };
}

function clock(machine: Machine): Finding {
  const what = "clock";
  const found = new Date(machine.nowMs()).toISOString();
  if (machine.nowMs() < EARLIEST_MS) {
    const advice = "set the clock: no certificate is valid at that time";
    return { what, verdict: "problem", found, advice };
  }
  const keepers = ["/run/systemd/timesync/synchronized", "/run/chrony", "/run/ntpd.pid"];
  if (keepers.some((path) => machine.exists(path))) return { what, verdict: "ok", found };
  const advice = "nothing seems to keep it right (systemd-timesyncd, chrony): certificates need it";
  return { what, verdict: "warning", found, advice };
}

function interfaces(machine: Machine, config: Config): Finding[] {
  const { plane } = config;
  if (plane.kind !== "soft") return [];
  const known = machine.report?.interfaces;
  if (known === undefined) return [];
  const state = ([role, name]: readonly [string, string]): Finding => {
    const what = `${role} "${name}"`;
    const found = known.get(name);
    if (found === undefined) {
      const advice = `no such interface: name another one in plane.${role} (ip link)`;
      return { what, verdict: "problem", found: "is not there", advice };
    }
    const { up, mtu } = found;
    if (up) return { what, verdict: "ok", found: `up, MTU ${mtu}` };
    const advice = `ip link set ${name} up, and its other end`;
    return { what, verdict: "warning", found: `down, MTU ${mtu}`, advice };
  };
  const hosts = hostInterfaces(plane, new Set(known.keys()));
  const named = hostNames(plane).filter((name) => !isPattern(name));
  const findings = [
    state(["uplink", plane.uplink]),
    ...new Set([...named, ...hosts]).values().map((name) => state(["host", name])),
  ];
  for (const pattern of hostNames(plane).filter(isPattern)) {
    if (hosts.some((name) => matchesName(pattern, name))) continue;
    const found = "there is no interface of that name now";
    findings.push({ what: `host "${pattern}"`, verdict: "ok", found });
  }
  const uplink = known.get(plane.uplink)?.mtu;
  const mtus = hosts.flatMap((name) => known.get(name)?.mtu ?? []);
  if (uplink === undefined || mtus.length === 0) return findings;
  const host = Math.max(...mtus);
  const { largestInnerPacket, overhead } = mtuOf(config, uplink);
  const found = `packets of workloads up to ${largestInnerPacket} octets fit the uplink`;
  if (host <= largestInnerPacket) return [...findings, { what: "MTU", verdict: "ok", found }];
  const advice = `the workloads' MTU is ${host}: give the uplink ${host + overhead}, or them ` +
    `${largestInnerPacket}; else they learn it packet by packet`;
  return [...findings, { what: "MTU", verdict: "warning", found, advice }];
}

/** What the agent would meet, with the rights of whoever asks. */
function guard({ report }: Machine, { plane }: Config): Finding[] {
  if (plane.kind !== "soft" || report?.guard === undefined) return [];
  const what = "ingress guard";
  const open = "this host's kernel answers workloads, and works on PSP packets";
  if (plane.hostGuard === "off") {
    const advice = 'plane.host_guard "auto" keeps them from it';
    return [{ what, verdict: "warning", found: `off: ${open}`, advice }];
  }
  const reason = guardReason(report.guard);
  if (reason === undefined) return [{ what, verdict: "ok", found: "can be set" }];
  const required = plane.hostGuard === "require";
  const found = `cannot be set: ${guardReasonText(reason)}; ` +
    (required ? "the agent does not start without it" : open);
  return [{ what, verdict: required ? "problem" : "warning", found, advice: ADVICE[reason] }];
}

const ADVICE = {
  "no-right": "give the agent CAP_NET_ADMIN",
  "no-kernel": "use Linux 5.12 or later with CONFIG_NF_TABLES_NETDEV (nft_chain_filter, nf_tables)",
  "refused": 'plane.host_guard "require" makes the agent say what the kernel said',
} as const;

/** The soft plane does not open there without a guard. */
function forwarding({ report }: Machine, { plane }: Config): Finding[] {
  if (plane.kind !== "soft" || report === undefined) return [];
  const what = "kernel forwarding";
  const hosts = hostInterfaces(plane, new Set(report.interfaces.keys()));
  return hosts.map((host): Finding => {
    const families = forwardedFamilies(report.forwards.get(host) ?? 0);
    if (families.length === 0) return { what, verdict: "ok", found: `off on ${host}` };
    if (report.guard === 0 && plane.hostGuard !== "off") {
      const found = `on for ${host}: the ingress guard keeps its packets from the kernel`;
      return { what, verdict: "ok", found };
    }
    const found = `on for what comes in on ${host}: it would leave in clear text`;
    return { what, verdict: "problem", found, advice: forwardingAdvice(families, host) };
  });
}

/** What the DOCA plane needs of this process to open its device: as c-shim/doca/device.c looks at it. */
function device({ report }: Machine, { plane }: Config): Finding[] {
  if (plane.kind !== "doca" || report?.capabilities === undefined) return [];
  const { capabilities: mask, memlock, verbs, hugepagesMb } = report;
  const has = (name: keyof typeof CAPABILITIES) =>
    (mask & (1n << BigInt(CAPABILITIES[name]))) !== 0n;
  const advice =
    "run as deploy/systemd/psp-agent-doca.service does, or as root: docs/install.md, Rights";
  const findings: Finding[] = [];
  const add = (what: string, good: boolean, found: string, instead: string = advice) =>
    findings.push({
      what,
      verdict: good ? "ok" : "problem",
      found,
      ...good ? {} : { advice: instead },
    });
  const missing = OF_A_DEVICE.filter((name) => !has(name)).map((name) =>
    `CAP_${name.toUpperCase()}`
  );
  add(
    "rights on the device",
    missing.length === 0,
    missing.length === 0
      ? OF_A_DEVICE.map((name) => `CAP_${name.toUpperCase()}`).join(", ")
      : `no ${missing.join(", no ")}`,
  );
  if (verbs !== undefined) {
    const { there, open } = verbs;
    add(
      "files of the device",
      open > 0,
      there === 0
        ? "there is no /dev/infiniband/uverbs*"
        : `${open} of ${there} files /dev/infiniband/uverbs* can be opened`,
    );
  }
  if (memlock !== undefined) {
    const free = has("ipc_lock") || memlock === Infinity;
    add(
      "locked memory",
      free,
      free ? "as much as is needed" : `at most ${memlock / 1024} KiB, no CAP_IPC_LOCK`,
    );
  }
  const wanted = plane.hugepagesMb ?? 1;
  add(
    "hugepages",
    (hugepagesMb ?? 0) >= wanted,
    `${hugepagesMb ?? 0} MiB are free, ${plane.hugepagesMb ?? "some"} are needed`,
    "sysctl -w vm.nr_hugepages=1024, and a file of /etc/sysctl.d for the next boot: docs/doca.md, step 6",
  );
  return findings;
}

function listenAddress(machine: Machine, { rpc, pip }: Config): Finding {
  const host = rpc.listen.slice(0, rpc.listen.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
  const what = "addresses";
  const any = host === "0.0.0.0" || host === "::";
  const missing = [pip, ...any ? [] : [host]].filter((a) => !machine.addresses().includes(a));
  if (missing.length === 0) return { what, verdict: "ok", found: `${pip}, ${rpc.listen}` };
  const found = `this host has no ${[...new Set(missing)].join(", no ")}`;
  const advice = "give the address to the uplink, or correct pip and rpc.listen";
  return { what, verdict: "problem", found, advice };
}

/** At the limit the runtime aborts; the agent stays below it, and refuses connections. */
function descriptors({ descriptorLimit: limit }: Machine, { rpc, peers, plane }: Config): Finding {
  const what = "file descriptors";
  if (limit === undefined) return { what, verdict: "warning", found: "the limit cannot be read" };
  // What a pattern will match, and how many workers there will be, shows at the start.
  const sockets = plane.kind === "soft"
    ? { ports: 1 + hostNames(plane).length, workers: plane.workers ?? 1 }
    : { ports: 0, workers: 0 };
  const needed = limitFor({
    inward: rpc.maxConnections + STATUS_CONNECTIONS,
    outward: rpc.maxConnections,
    peers: peers.length,
    plane: sockets,
  });
  if (limit >= needed) return { what, verdict: "ok", found: `at most ${limit}` };
  const left = forListeners(limit, peers.length, sockets);
  return {
    what,
    // Each peer calls, and somebody asks for the status.
    verdict: left <= peers.length ? "problem" : "warning",
    found: `at most ${limit}: enough for ${left} connections, not for those of rpc.max_connections`,
    advice: `LimitNOFILE=${needed} (ulimit -n ${needed}) or more, for this user's processes here`,
  };
}

/** Between two agents; another program may prefer another. */
function keyExchange({ keyExchange: found = "unknown" }: Machine, { rpc }: Config): Finding {
  const what = "key exchange";
  if (found === HYBRID) return { what, verdict: "ok", found: `${found}, post-quantum` };
  if (!rpc.requirePq) return { what, verdict: "ok", found: `${found}, not post-quantum` };
  const advice = `remove rpc.require_pq, or use a Deno that prefers ${HYBRID}`;
  return { what, verdict: "problem", found: `${found}: the agent does not start`, advice };
}

/** Peers keep the connection that they have opened. */
function connections({ rpc, peers }: Config): Finding {
  const what = "connections";
  const found = `rpc.max_connections is ${rpc.maxConnections}; peers: ${peers.length}`;
  if (rpc.maxConnections >= peers.length) return { what, verdict: "ok", found };
  const advice = `rpc.max_connections: ${2 * peers.length}, or peers take turns`;
  return { what, verdict: "warning", found, advice };
}

function database(machine: Machine, { stateDir }: Config): Finding {
  const what = "database";
  const path = `${stateDir}/agent.db`;
  if (!machine.exists(path)) return { what, verdict: "ok", found: "none yet: the agent makes it" };
  const said = machine.checkDatabase(path);
  if (said === "ok") return { what, verdict: "ok", found: path };
  const advice =
    "stop the agent and move the file away: it holds no key, tunnels are asked for anew";
  return { what, verdict: "problem", found: `${path}: ${said}`, advice };
}

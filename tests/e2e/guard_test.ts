// SPDX-License-Identifier: Apache-2.0

/**
 * The ingress guard: this host's kernel works on nothing of the tunnels, and a workload reaches nothing of the host. Each
 * thing that does not happen is shown to happen without the guard.
 */
import assert from "node:assert/strict";
import type { PeersJson } from "../support/agent_config.ts";
import { tlsOf } from "../support/agent_config.ts";
import type { AgentProcess } from "../support/agent_process.ts";
import { classify } from "../support/frames.ts";
import { kill } from "../support/netns.ts";
import { type Stage, story } from "../support/story.ts";
import { copy, ping } from "../support/traffic.ts";
import { within } from "../support/wait.ts";
import type { World } from "../support/world.ts";

const WITHOUT_NET_ADMIN = ["setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin"];
const MISSING = "No ingress guard: this host's kernel works on what comes in";
type Mode = NonNullable<PeersJson["plane"]["host_guard"]>;

// ---- what the kernel of a host works on --------------------------------------------------------

/** What the IP layer of a host has counted. */
interface Counted {
  /** Packets for this host that were neither TCP, which the agents speak, nor neighbour discovery. */
  readonly ip: number;
  readonly udp: number;
  readonly icmpOut: number;
}

/**
 * The counters of one moment: the two families stand in two files, so a reading counts only where no segment came between.
 * IPv6 counts what is delivered, not what is received: the far kernel's multicast reports are received, and given to nobody.
 */
async function counted(world: World, host: "h1" | "h2"): Promise<Counted> {
  const files = ["snmp", "snmp6", "snmp"].map((file) => `cat /proc/net/${file}`);
  const text = await world.mustRun(host, ["sh", "-c", files.join("; echo --; ")]);
  const [first = "", second = "", third = ""] = text.split("--\n");
  const tcp = tableSum(first, "Tcp", "InSegs");
  if (tableSum(third, "Tcp", "InSegs") !== tcp) return await counted(world, host);
  const neighbours = lineSum(second, "Icmp6InNeighborSolicits", "Icmp6InNeighborAdvertisements");
  return {
    ip: tableSum(first, "Ip", "InReceives") + lineSum(second, "Ip6InDelivers") - tcp - neighbours,
    udp: tableSum(first, "Udp", "InDatagrams", "NoPorts", "InErrors") +
      lineSum(second, "Udp6InDatagrams", "Udp6NoPorts", "Udp6InErrors"),
    icmpOut: tableSum(first, "Icmp", "OutMsgs") +
      lineSum(second, "Icmp6OutDestUnreachs", "Icmp6OutParmProblems"),
  };
}

/** The sum of columns of one table of /proc/net/snmp: a line of names, and a line of values. */
function tableSum(text: string, table: string, ...names: string[]): number {
  const [keys = "", values = ""] = text.split("\n").filter((line) => line.startsWith(`${table}:`));
  const at = (name: string) => Number(values.split(" ")[keys.split(" ").indexOf(name)]);
  return names.reduce((sum, name) => sum + at(name), 0);
}

/** The sum of lines of /proc/net/snmp6: a name and a value each. */
function lineSum(text: string, ...names: string[]): number {
  const at = (name: string) => Number(new RegExp(`^${name}\\s+(\\d+)$`, "m").exec(text)?.[1]);
  return names.reduce((sum, name) => sum + at(name), 0);
}

/** How far a host's counters move while 500 pings and 8 MiB of TCP pass its tunnels, and in how many frames they came. */
async function movedByTraffic(
  { world, startBoth }: Stage,
  mode: Mode,
): Promise<{ readonly moved: Counted; readonly frames: number }> {
  await startBoth({ change: ({ plane }) => plane.host_guard = mode });
  await ping(world, { in: "v1", to: world.vip("h2") });
  const before = await counted(world, "h2");
  const capture = await world.capture({ snaplen: 96 });
  const pings = await ping(world, { in: "v1", to: world.vip("h2") }, { count: 500, flood: true });
  assert.equal(pings.received, 500, pings.text);
  const sent = { from: "v1", to: "v2", address: world.vip("h2"), bytes: 8 << 20 };
  const copied = await copy(world, sent);
  assert.equal(copied.receivedSha256, copied.sentSha256);
  await capture.stop();
  const after = await counted(world, "h2");
  const moved = {
    ip: after.ip - before.ip,
    udp: after.udp - before.udp,
    icmpOut: after.icmpOut - before.icmpOut,
  };
  const control = new Set([7443]);
  const frames = [...capture.frames()].filter(({ to, data }) =>
    to === "h2" && classify(data, control).kind === "psp"
  );
  return { moved, frames: frames.length };
}

for (const underlay of ["ipv4", "ipv6"] as const) {
  story(
    `the kernel counts nothing of what tunnels carry (${underlay})`,
    { underlay },
    async (s) => {
      const { moved, frames } = await movedByTraffic(s, "require");
      assert.deepEqual(moved, { ip: 0, udp: 0, icmpOut: 0 });
      assert.ok(frames > 0, "nothing came");
    },
  );

  story(`without the guard it counts all of it (${underlay})`, { underlay }, async (s) => {
    const { moved: { ip, udp, icmpOut }, frames } = await movedByTraffic(s, "off");
    assert.ok(ip >= frames && frames > 0, `${ip} packets of ${frames} frames`);
    assert.ok(udp >= frames, `${udp} UDP packets of ${frames} frames`);
    assert.equal(icmpOut, 0, "the socket on UDP 1000 keeps it from answering");
  });
}

// ---- what a workload reaches -------------------------------------------------------------------

const HOST_PORT = "198.51.100";
const LISTENER = 9999;

/** Each way to the host that a workload has, and whether it led there. */
async function reached(stage: Stage, mode: Mode): Promise<Record<string, boolean>> {
  const { world, launch } = stage;
  const { pip, hostMac } = world.host("h1");
  await openHost(world);
  const agent = await launch("h1", {
    change: (config) => {
      config.plane.host_guard = mode;
      config.rpc.listen = "[::]:7443";
      const beyondLoopback = { listen: "[::]:7480", tls: tlsOf(world, "h1") };
      config.status = beyondLoopback;
    },
  });
  await agent.heard("Ready");
  const worker = await world.worker("h1");
  const target = { hostname: "127.0.0.1", port: 1 };
  await worker.proxy({ listen: { hostname: "::", port: LISTENER }, target });
  await worker.proxyFault({ kind: "black-hole" }); // it accepts, and keeps silent

  const linkLocal = `[${linkLocalOf(hostMac)}%25eth0]`;
  const tcp = (address: string, port: number) => connects(world, `http://${address}:${port}/`);
  const echoes = async (address: string) =>
    (await world.run("v1", ["ping", "-n", "-c", "1", "-W", "1", address])).code === 0;
  const ways: Readonly<Record<string, () => Promise<boolean>>> = {
    "ARP": () => resolves(world, `${HOST_PORT}.1`, hostMac),
    "ping to the host port": () => echoes(`${HOST_PORT}.1`),
    "ping to the underlay address": () => echoes(pip),
    "ping to IPv6 link-local": () => echoes(`${linkLocalOf(hostMac)}%eth0`),
    "control listener, host port's address": () => tcp(`${HOST_PORT}.1`, 7443),
    "control listener, underlay address": () => tcp(pip, 7443),
    "control listener, IPv6 link-local": () => tcp(linkLocal, 7443),
    "status listener, host port's address": () => tcp(`${HOST_PORT}.1`, 7480),
    "status listener, underlay address": () => tcp(pip, 7480),
    "status listener, IPv6 link-local": () => tcp(linkLocal, 7480),
    "any other listener, underlay address": () => tcp(pip, LISTENER),
    "any other listener, IPv6 link-local": () => tcp(linkLocal, LISTENER),
  };
  // Where none leads there each takes its time: all at once.
  const led = await Promise.all(
    Object.entries(ways).map(async ([way, leads]) => [way, await leads()] as const),
  );
  return Object.fromEntries(led);
}

/** The host has addresses on its host port, and the workload knows its way to them, ARP or no ARP. */
async function openHost(world: World): Promise<void> {
  const { pip, hostMac } = world.host("h1");
  const ipv6 = (device: string) =>
    `echo 0 >/proc/sys/net/ipv6/conf/${device}/accept_dad;` +
    `echo 0 >/proc/sys/net/ipv6/conf/${device}/disable_ipv6;`;
  await world.mustRun("h1", [
    "sh",
    "-ec",
    `${ipv6("host")} ip addr add ${HOST_PORT}.1/24 dev host`,
  ]);
  await world.mustRun("v1", [
    "sh",
    "-ec",
    `${ipv6("eth0")} ip addr add ${HOST_PORT}.2/24 dev eth0
    ip route add ${pip}/32 dev eth0 src ${HOST_PORT}.2
    ip neigh add ${pip} lladdr ${hostMac} dev eth0 nud permanent`,
  ]);
}

/** By modified EUI-64 (RFC 4291, appendix A). */
function linkLocalOf(mac: string): string {
  const [a = 0, b, c, d, e, f] = mac.split(":").map((octet) => parseInt(octet, 16));
  const hex = [a ^ 2, b, c, 0xff, 0xfe, d, e, f].map((n = 0) => n.toString(16).padStart(2, "0"));
  return `fe80::${[0, 2, 4, 6].map((i) => `${hex[i]}${hex[i + 1]}`).join(":")}`;
}

/** Whether a TCP connection of the workload is accepted. */
async function connects(world: World, url: string): Promise<boolean> {
  const { stdout } = await world.run("v1", [
    ...["curl", "-s", "--noproxy", "*", "--connect-timeout", "1", "--max-time", "2"],
    ...["-o", "/dev/null", "-w", "%{time_connect}", url],
  ]);
  return Number(stdout) > 0;
}

/** Whether the workload learns the host's MAC when it asks for an address. */
async function resolves(world: World, address: string, mac: string): Promise<boolean> {
  await world.run("v1", ["ping", "-n", "-c", "1", "-W", "1", address]);
  const { stdout } = await world.run("v1", ["ip", "neigh", "show", address]);
  return stdout.includes(mac);
}

story("a workload reaches nothing of the host", {}, async (stage) => {
  const found = Object.entries(await reached(stage, "require"));
  assert.deepEqual(found.filter(([, led]) => led), []);
  // With the MAC in hand, too.
  const { world } = stage;
  const { hostMac } = world.host("h1");
  const permanent = ["lladdr", hostMac, "dev", "eth0", "nud", "permanent"];
  await world.mustRun("v1", ["ip", "neigh", "replace", `${HOST_PORT}.1`, ...permanent]);
  await world.mustRun("v1", ["ip", "neigh", "replace", linkLocalOf(hostMac), ...permanent]);
  assert.equal(await connects(world, `http://${HOST_PORT}.1:7443/`), false);
  assert.equal(await connects(world, `http://[${linkLocalOf(hostMac)}%25eth0]:7443/`), false);
  await world.mustRun("h1", ["nft", "flush", "ruleset"]);
  assert.equal(await connects(world, `http://${HOST_PORT}.1:7443/`), false);
});

story("without the guard each of these ways leads to the host", {}, async (stage) => {
  const found = Object.entries(await reached(stage, "off"));
  assert.deepEqual(found.filter(([, led]) => !led), []);
});

// ---- how it ends -------------------------------------------------------------------------------

const tables = (world: World) => world.mustRun("h1", ["nft", "list", "tables"]);

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  story(`${signal} leaves no rule behind`, {}, async ({ world, start }) => {
    const agent = await start("h1");
    assert.match(await tables(world), /^table netdev psp-agent-uplink$/m);
    await agent.end(signal);
    assert.equal(await tables(world), "");
    await start("h1");
    assert.match(await tables(world), /^table netdev psp-agent-uplink$/m);
  });
}

// ---- without CAP_NET_ADMIN ---------------------------------------------------------------------

async function guards(agent: AgentProcess): Promise<string[]> {
  const { ports } = await agent.status();
  return ports.map((port) => `${port.name} ${port.interface} ${port.guard} ${port.guardReason}`);
}

story("without CAP_NET_ADMIN an agent says so and goes on", {}, async (stage) => {
  const { world, start } = stage;
  const [h1, h2] = await Promise.all([start("h1", { wrap: WITHOUT_NET_ADMIN }), start("h2")]);
  assert.deepEqual(await guards(h1), [
    "uplink uplink absent no-right",
    "host host absent no-right",
  ]);
  assert.deepEqual(await guards(h2), ["uplink uplink stands ", "host host stands "]);
  const { level, fields } = await h1.heard(MISSING);
  assert.deepEqual(
    [level, fields["interface"], fields["reason"]],
    ["WARN", "uplink, host", "CAP_NET_ADMIN is missing"],
  );
  assert.equal(h2.said(MISSING).length, 0);
  assert.ok(await h1.counter("guard-absent") > 0);
  assert.equal(await h2.counter("guard-absent"), 0);
  const pings = await ping(world, { in: "v1", to: world.vip("h2") }, { count: 3 });
  assert.equal(pings.received, 3, pings.text);
});

story("a guard that is required and cannot be had keeps an agent from starting", {}, async (s) => {
  const agent = await s.launch("h1", {
    wrap: WITHOUT_NET_ADMIN,
    change: ({ plane }) => plane.host_guard = "require",
  });
  const { code } = await within(agent.ended(), "the end of an agent without its guard");
  assert.equal(code, 1, agent.logText());
  assert.match(agent.logText(), /Cannot set the ingress guard of .*: CAP_NET_ADMIN is missing/);
});

story("the kernel's forwarding matters only where there is no guard", {}, async (stage) => {
  const { world, start, launch } = stage;
  await world.mustRun("h1", ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
  const guarded = await start("h1");
  kill(guarded.pid, "SIGTERM");
  await guarded.ended();
  const bare = await launch("h1", { change: ({ plane }) => plane.host_guard = "off" });
  const { code } = await within(bare.ended(), "the end of an agent that would leak");
  assert.equal(code, 1, bare.logText());
  assert.match(bare.logText(), /set net\.ipv4\.conf\.host\.forwarding=0/);
});

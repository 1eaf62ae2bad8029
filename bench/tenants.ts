// SPDX-License-Identifier: Apache-2.0

/**
 * What one tenant's flood costs another: the warm ping of a workload behind a port of its own, and its first packet to an
 * address that it has not spoken to, while its neighbour sends as much as it can. Compared with the same generator sending
 * into a bridge beside the agent, which costs the machine as much, and the agent nothing.
 * Usage: SECONDS=5 ROUNDS=3 ONLY=misses bench/tenants.ts
 */
import { dhcp, solicitation } from "../tests/fixtures/packets.ts";
import { arpProbe } from "../src/exceptions/arp.ts";
import { macBytes } from "../src/exceptions/frame.ts";
import { makePki, type PeersJson } from "../tests/support/agent_config.ts";
import { AgentProcess } from "../tests/support/agent_process.ts";
import { udpFrame } from "../tests/support/frames.ts";
import { ip, kill, spawn } from "../tests/support/netns.ts";
import { GATEWAY_MAC } from "../tests/support/plan.ts";
import { sendFrames } from "../tests/support/raw_socket.ts";
import { ping } from "../tests/support/traffic.ts";
import { eventually } from "../tests/support/wait.ts";
import { World } from "../tests/support/world.ts";
import { median, percentile, table } from "./lib/figures.ts";
import { positive } from "./lib/options.ts";

const SECONDS = positive("SECONDS", 5);
const ROUNDS = positive("ROUNDS", 3);
/** Frames that are made once and sent over and over. */
const KINDS_OF_FRAME = 4096;
const VIPS = 60;

interface Sender {
  readonly mac: string;
  readonly vip: string;
}

/** The i-th frame of a flood. */
type Maker = (i: number, from: Sender) => Uint8Array<ArrayBuffer>;

const FLOODS: Readonly<Record<string, Maker>> = {
  "misses": (i, from) => udp(from, `10.2.${100 + (i >> 8 & 127)}.${i & 255}`),
  "to nowhere": (_, from) => udp(from, "192.0.2.77"),
  "ARP": (i, { mac }) => sentBy(arpProbe(`10.2.${i >> 8 & 255}.${i & 255}`, mac), mac),
  "ND": (i, { mac }) => sentBy(solicitation(`fd02::${(i & 0xffff).toString(16)}`), mac),
  "DHCP": (_, { mac }) => sentBy(dhcp("350101"), mac),
};

function udp({ mac, vip }: Sender, dst: string): Uint8Array<ArrayBuffer> {
  const at = { dstMac: GATEWAY_MAC, srcMac: mac, src: vip, dst, srcPort: 4000, dstPort: 9 };
  return udpFrame(at, new Uint8Array(64));
}

function sentBy(frame: Uint8Array<ArrayBuffer>, mac: string): Uint8Array<ArrayBuffer> {
  frame.set(macBytes(mac), 6);
  return frame;
}

/** As a program in the flooder's namespace: sends until it is killed, and says how many a second. */
function generate([device = "", kind = "", mac = "", vip = ""]: readonly string[]): void {
  const make = FLOODS[kind];
  if (make === undefined) throw new RangeError(`There is no flood "${kind}"`);
  const frames = Array.from({ length: KINDS_OF_FRAME }, (_, i) => make(i, { mac, vip }));
  console.log("begun");
  for (;;) sendFrames(device, frames);
}

interface Sample {
  readonly p99: number;
  readonly first: number;
}

/** One flood over one interface of the flooder. */
async function sample(
  world: World,
  { device, kind, n }: { readonly device: string; readonly kind: string; readonly n: number },
): Promise<Sample> {
  const { mac, vips, ns } = world.workload("h1", 0);
  const self = new URL(import.meta.url).pathname;
  const child = spawn(
    [Deno.execPath(), "run", "-A", "--quiet", "--no-check", self, "flood", device, kind, mac]
      .concat(vips.ipv4[0] ?? ""),
    { ns },
  );
  const output = [child.stdin.close(), child.stderr.cancel()];
  try {
    const reader = child.stdout.getReader();
    await reader.read();
    output.push(reader.cancel());
    const far = world.workload("h2", 1).vips.ipv4;
    const first = await ping(world, { in: "v1b", to: far[1 + n % (VIPS - 1)] ?? "" }, { count: 1 });
    const warm = await ping(world, { in: "v1b", to: far[0] ?? "" }, {
      count: SECONDS * 100,
      interval: 0.01,
    });
    return { p99: percentile(warm.rttMs, 0.99), first: first.rttMs[0] ?? Infinity };
  } finally {
    kill(child.pid, "SIGKILL");
    await child.status;
    await Promise.allSettled(output);
  }
}

async function measure(): Promise<void> {
  await using world = await World.create({ workloads: 2, ownPorts: true, vips: VIPS });
  await makePki(world);
  const change = (config: PeersJson) => {
    config.vips = [{ vip: config.id === "h1" ? "10.1.0.0/16" : "10.2.0.0/16" }];
    for (const peer of config.peers) peer.vips = [peer.id === "h1" ? "10.1.0.0/16" : "10.2.0.0/16"];
    config.log.level = "warning";
  };
  for (const host of ["h1", "h2"] as const) {
    const agent = await AgentProcess.launch(world, host, { change });
    await eventually(() => agent.healthy(), { what: `agent ${host}`, deadlineMs: 20_000 });
  }
  // Beside the agent: a bridge that takes the flood, and another port of it where it goes.
  const { ns } = world.host("h1");
  const flooder = world.workload("h1", 0);
  await ip([
    `link add eth9 address ${flooder.mac} netns ${flooder.ns} type veth peer name fl0 netns ${ns}`,
  ]);
  await ip([
    "link add br9 type bridge",
    "link add fl1 type veth peer name fl2",
    ...["br9", "fl0", "fl1", "fl2"].map((name) => `link set ${name} up`),
    "link set fl0 master br9",
    "link set fl1 master br9",
  ], ns);
  await ip(["link set eth9 up"], flooder.ns);
  const to = world.workload("h2", 1).vips.ipv4[0] ?? "";
  await ping(world, { in: "v1b", to }, { count: 20, interval: 0.05 });
  const rows: string[][] = [];
  let n = 0;
  const only = Deno.env.get("ONLY") ?? "";
  for (const kind of Object.keys(FLOODS).filter((name) => name.includes(only))) {
    const port: Sample[] = [];
    const bridge: Sample[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      bridge.push(await sample(world, { device: "eth9", kind, n: n++ }));
      port.push(await sample(world, { device: "eth0", kind, n: n++ }));
    }
    const of = (samples: readonly Sample[], what: keyof Sample) =>
      median(samples.map((one) => one[what]));
    const ratio = of(port, "p99") / of(bridge, "p99");
    rows.push([
      kind,
      of(port, "p99").toFixed(2),
      of(bridge, "p99").toFixed(2),
      ratio.toFixed(2),
      of(port, "first").toFixed(1),
      of(bridge, "first").toFixed(1),
    ]);
  }
  console.log(
    table(
      ["flood", "ping p99 ms", "by a bridge", "ratio", "first packet ms", "by a bridge"],
      rows,
    ),
  );
}

if (import.meta.main) {
  const [role, ...rest] = Deno.args;
  if (role === "flood") generate(rest);
  else await measure();
}

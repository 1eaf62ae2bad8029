// SPDX-License-Identifier: Apache-2.0

/** The loads that a path is put under, and what is read from them. Every end is a process in a workload's namespace. */
import { copy, type CopyResult } from "../../tests/support/traffic.ts";
import { kill, spawn } from "../../tests/support/netns.ts";
import { lines } from "../../tests/support/ns_worker.ts";
import { eventually, within } from "../../tests/support/wait.ts";
import { BUILD } from "./contenders.ts";
import { ranS } from "../lib/cpu.ts";
import type { Lab } from "./lab.ts";

const PROBE = `${BUILD}/probe`;
const PROBE_PORT = "5301";
/** Of UDP payload: 92 octets of IP. */
const SMALL = 64;
/** Bisection between 5,000 and 1,000,000 packets/s; 10 steps leave 0.5 % of the logarithm, that is 2 % of the rate. */
const RATE = { low: 5_000, high: 1_000_000, steps: 11 } as const;

/**
 * The two ends of a round trip stand on two hosts, so on two processors: left to the scheduler they would share one
 * whenever nothing lies between them, and the path would then be compared with a function call.
 */
const ONE_END = ["taskset", "-c", String(navigator.hardwareConcurrency - 1)];
const OTHER_END = ["taskset", "-c", "0"];

/** From one workload to the other. */
export interface Route {
  readonly lab: Lab;
  /** Of v2. */
  readonly address: string;
  /** Congestion control of iperf3's streams. */
  readonly congestion: string;
}

/** What TCP came to. */
export interface Tcp {
  readonly gbps: number;
  /** CPU seconds of the gateways for each GB (10^9 octets) that TCP carried; undefined without gateways. */
  readonly cpuSPerGb: number | undefined;
}

interface IperfReport {
  readonly intervals: { readonly sum: { readonly bytes: number } }[];
  readonly end: { readonly sum_received: { readonly bits_per_second: number } };
  readonly error?: string;
}

/** iperf3 from v1 to v2; its first second counts for CPU time alone. */
export async function tcp(
  route: Route,
  options: { readonly streams: number; readonly seconds: number; readonly pids: readonly number[] },
): Promise<Tcp> {
  const { streams, seconds, pids } = options;
  const startS = ranS(pids);
  const report = await iperf(route, ["-P", String(streams), "-t", String(seconds), "-O", "1"]);
  const ran = ranS(pids) - startS;
  const bytes = report.intervals.reduce((sum, interval) => sum + interval.sum.bytes, 0);
  return {
    gbps: report.end.sum_received.bits_per_second / 1e9,
    cpuSPerGb: pids.length === 0 ? undefined : ran / (bytes / 1e9),
  };
}

async function iperf(route: Route, args: readonly string[]): Promise<IperfReport> {
  const { lab: { world }, address, congestion } = route;
  const server = spawn(["iperf3", "-s", "-1", "-B", address], { ns: world.ns("v2") });
  await server.stdin.close();
  const served = server.output();
  try {
    await eventually(
      async () => (await world.run("v2", ["ss", "-Hltn", "sport", "=", "5201"])).stdout !== "",
      { what: "iperf3 to listen", everyMs: 20 },
    );
    const argv = ["iperf3", "-J", "-c", address, "-C", congestion, ...args];
    const { stdout, stderr } = await world.run("v1", argv, { deadlineMs: 120_000 });
    const report = JSON.parse(stdout || "{}") as IperfReport;
    if (report.error !== undefined || report.end?.sum_received === undefined) {
      throw new Error(`Cannot measure TCP to ${address}: ${report.error ?? stderr.trim()}`);
    }
    return report;
  } finally {
    kill(server.pid, "SIGTERM");
    await served;
  }
}

/** Round trips of 64 octets over UDP, in microseconds; `loaded`: beside one TCP stream that takes what it can get. */
export async function rtt(
  route: Route,
  { seconds, loaded }: { readonly seconds: number; readonly loaded: boolean },
): Promise<number[]> {
  await using _server = await serve(route, ONE_END);
  const flow = loaded ? iperf(route, ["-t", String(seconds + 3)]) : Promise.resolve(undefined);
  flow.catch(() => {});
  // The flow's first second is its slow start.
  if (loaded) await eventually(() => isFlowing(route), { what: "the flow beside the probes" });
  const pauseUs = loaded ? "1000" : "200";
  const text = await route.lab.world.mustRun(
    "v1",
    [...OTHER_END, PROBE, "rtt", route.address, PROBE_PORT, "100000", pauseUs, String(seconds)],
    { deadlineMs: (seconds + 20) * 1000 },
  );
  await flow;
  const us = [...text.matchAll(/^(\d+)$/gm)].map((match) => Number(match[1]) / 1000);
  if (us.length === 0) throw new Error(`Cannot measure round trips to ${route.address}: ${text}`);
  return us;
}

/** True when v2 has got a second's worth of the flow: 50 MB. */
async function isFlowing({ lab: { world }, address }: Route): Promise<boolean> {
  const { stdout } = await world.run("v2", ["ss", "-Htin", "src", `${address}:5201`]);
  const received = [...stdout.matchAll(/bytes_received:(\d+)/g)].map((match) => Number(match[1]));
  return Math.max(0, ...received) > 50e6;
}

/** The highest rate of datagrams with 64 octets of payload of which none was lost, in packets/s. */
export async function lossless(route: Route, seconds: number): Promise<number> {
  await using _server = await serve(route);
  const { low, high, steps } = RATE;
  const numbers = [SMALL, seconds, low, high, steps].map(String);
  const text = await route.lab.world.mustRun(
    "v1",
    [PROBE, "rate", route.address, PROBE_PORT, ...numbers],
    { deadlineMs: 180_000 },
  );
  return Number(/^best (\d+)$/m.exec(text)?.[1] ?? NaN);
}

/** Sends so many octets over TCP, hashed at both ends; throws when the hashes differ. */
export async function checkedCopy(
  route: Omit<Route, "congestion">,
  bytes: number,
  seed: string,
): Promise<CopyResult> {
  const { lab: { world }, address } = route;
  const done = await copy(world, {
    ...{ from: "v1", to: "v2", address, bytes, seed, port: 5302 },
  });
  if (done.bytes !== bytes || done.sentSha256 !== done.receivedSha256) {
    throw new Error(
      `Cannot trust the path to ${address}: sent ${bytes} octets, SHA-256 ${done.sentSha256}, ` +
        `received ${done.bytes}, ${done.receivedSha256}`,
    );
  }
  return done;
}

/** Waits until the far workload answers. */
export async function reach({ lab: { world }, address }: Omit<Route, "congestion">): Promise<void> {
  await eventually(
    async () => (await world.run("v1", ["ping", "-n", "-c", "1", "-W", "1", address])).code === 0,
    { what: `${address} to answer`, deadlineMs: 30_000, everyMs: 50 },
  );
}

async function serve(
  { lab: { world }, address }: Route,
  pin: readonly string[] = [],
): Promise<AsyncDisposable> {
  const child = spawn([...pin, PROBE, "serve", address, PROBE_PORT], { ns: world.ns("v2") });
  const said = new Response(child.stderr).text();
  const reading = child.stdin.close().then(async () => {
    const texts = lines(child.stdout);
    const { value } = await texts.next();
    if (value !== "ready") throw new Error(`Cannot serve probes: ${(await said).trim()}`);
    return texts;
  });
  const texts = await within(reading, "the probes' far end", 10_000);
  return {
    [Symbol.asyncDispose]: async () => {
      kill(child.pid, "SIGTERM");
      await child.status;
      await texts.return(undefined);
      await said;
    },
  };
}

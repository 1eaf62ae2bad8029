// SPDX-License-Identifier: Apache-2.0

/**
 * First-packet latency towards one peer: cold pairs (no tunnel yet), then the same pairs warm, in one run. There
 * are more pairs than `rpc.peer_burst`, so that what limits a peer is in the figures. They arrive in two ways:
 * one after the other, each when the one before is answered, and all at once.
 * Usage, as root: deno run -A bench/first_packet.ts [--json] [--pairs=1000]
 */
import { buildFrame, checksum, IP_PROTO_ICMP, view } from "../src/exceptions/frame.ts";
import { makePki } from "../tests/support/agent_config.ts";
import { startAgents } from "../tests/support/agent_process.ts";
import { type Figures, figures } from "../tests/support/bench_lab.ts";
import { type Arrival, echoTimes } from "../tests/support/echo_probe.ts";
import { GATEWAY_MAC } from "../tests/support/plan.ts";
import { World } from "../tests/support/world.ts";

const ARRIVALS: readonly Arrival[] = ["sequential", "bunched"];
const ECHO_REQUEST = 8;

interface Series {
  readonly arrival: Arrival;
  readonly cold: Figures;
  readonly warm: Figures;
  readonly ratio: { readonly p50: number; readonly p99: number };
  /** Requests to the peer while the pairs were cold. */
  readonly exchanges: number;
}

async function measure(pairs: number): Promise<Series[]> {
  await using world = await World.create({ vips: pairs });
  await makePki(world);
  const { h1 } = await startAgents(world, {
    h1: { change: ({ log }) => log.level = "info" },
    h2: { change: ({ log }) => log.level = "info" },
  });
  const exchanges = async () => Number((await h1.status()).counters["initiator-exchanges"] ?? 0);
  const all: Series[] = [];
  for (const [from, arrival] of ARRIVALS.entries()) {
    // Each arrival has a source of its own, so that its pairs are cold.
    const frames = Array.from({ length: pairs }, (_, seq) => echo(world, { from, seq }));
    const probe = { ns: world.ns("v1"), device: "eth0", arrival, frames };
    const before = await exchanges();
    const cold = figures(await echoTimes(probe));
    const asked = await exchanges() - before;
    const warm = figures(await echoTimes(probe));
    const ratio = { p50: cold.p50 / warm.p50, p99: cold.p99 / warm.p99 };
    all.push({ arrival, cold, warm, ratio, exchanges: asked });
  }
  return all;
}

/** A ping from a vip of v1 to the vip of v2 that its sequence number says. */
function echo(
  world: World,
  { from, seq }: { readonly from: number; readonly seq: number },
): Uint8Array {
  const icmp = new Uint8Array(64);
  icmp[0] = ECHO_REQUEST;
  view(icmp).setUint16(6, seq);
  view(icmp).setUint16(2, checksum(icmp));
  return buildFrame({
    ethDst: GATEWAY_MAC,
    ethSrc: world.workload("h1").mac,
    src: world.vip("h1", from),
    dst: world.vip("h2", seq),
    protocol: IP_PROTO_ICMP,
    ttl: 64,
  }, icmp);
}

if (import.meta.main) {
  const pairs = Number(/--pairs=(\d+)/.exec(Deno.args.join(" "))?.[1] ?? 1000);
  const all = await measure(pairs);
  if (Deno.args.includes("--json")) {
    console.log(JSON.stringify({ pairs, unit: "ms", arrivals: all }));
  } else {
    const row = (name: string, { p50, p99, max }: Figures) =>
      `  ${name}  p50 ${p50.toFixed(3)} ms   p99 ${p99.toFixed(3)} ms   max ${max.toFixed(3)} ms`;
    console.log(`round trip of a ping, ${pairs} pairs of one peer`);
    for (const { arrival, cold, warm, ratio, exchanges } of all) {
      console.log(`${arrival}, ${exchanges} exchanges`);
      console.log(row("cold", cold));
      console.log(row("warm", warm));
      console.log(`  cold / warm: ${ratio.p50.toFixed(1)} at p50, ${ratio.p99.toFixed(1)} at p99`);
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What the status listener's answers cost with many SAs, over HTTP: pages of ListTunnels and ListSas, GetStatus, metrics.
 * One host's core on tables in memory, so what the plane's own counters cost is not in it.
 * Usage: deno run -A bench/status.ts [--sas=100000] [--json]
 */
import process from "node:process";
import { openStatusClient } from "../src/rpc/status_client.ts";
import { source, STATUS, world as listener } from "../tests/rpc/status_lab.ts";
import { world } from "../tests/support/core_world.ts";

const sas = Number(Deno.args.find((arg) => arg.startsWith("--sas="))?.slice(6) ?? 100_000);
const BATCH = 500;
const CALLS = 200;

await using w = world({
  hosts: 2,
  files: false,
  changes: { tunnel: { idleMs: 0 }, maxEntries: 1 << 20 },
});
const [h1, h2] = [w.host(1), w.host(2)];
for (let n = 0; n < sas / 2; n += BATCH) {
  for (let i = n; i < n + BATCH; i++) h1.send(h2, { from: 1 + (i >> 8), dst: 1 + (i & 255) });
  await w.clock.advance(1000);
}
const { core } = h1;
const { tunnels } = core.status({ maxPeers: 0 });
/** The longest that the core took for one answer, of the processor's time: so long nothing else has its turn. */
let longestMs = 0;
function measured<Q, A>(ask: (query: Q) => A): (query: Q) => A {
  return (query) => {
    const before = process.cpuUsage();
    const answer = ask(query);
    const { user, system } = process.cpuUsage(before);
    longestMs = Math.max(longestMs, (user + system) / 1000);
    return answer;
  };
}
const of = source({
  status: measured((query) => ({ ...STATUS, ...core.status(query) })),
  peerParts: (query) => core.peerParts(query),
  tunnels: measured((query) => core.tunnels(query)),
  sas: measured((query) => core.sas(query)),
  peers: measured((query) => core.peers(query)),
});
await using l = await listener({}, of);
const figures: Record<string, unknown> = { up: tunnels.up };

async function timed(name: string, path: (i: number) => string): Promise<void> {
  const ms: number[] = [];
  let octets = 0;
  longestMs = 0;
  const cpu = process.cpuUsage();
  for (let i = 0; i < CALLS; i++) {
    const began = performance.now();
    const body = await (await fetch(`${l.url}${path(i)}`)).arrayBuffer();
    ms.push(performance.now() - began);
    octets = body.byteLength;
  }
  const { user, system } = process.cpuUsage(cpu);
  ms.sort((a, b) => a - b);
  const at = (q: number) => Number((ms[Math.floor(ms.length * q)] ?? NaN).toFixed(2));
  figures[name] = {
    p50: at(0.5),
    p99: at(0.99),
    cpu: Number(((user + system) / 1000 / CALLS).toFixed(2)),
    longest: Number(longestMs.toFixed(2)),
    octets,
  };
}

/** Pages that begin anywhere. */
function page(call: string, i: number): string {
  const at = Math.floor(i * sas / 2 / CALLS);
  const pageToken = `h2 ${h1.vip(1 + (at >> 8))} ${h2.vip(1 + (at & 255))}`;
  return asked(call, { pageSize: 100, pageToken });
}

function asked(call: string, request: Readonly<Record<string, unknown>>): string {
  const message = encodeURIComponent(JSON.stringify(request));
  return `/psp.v1.StatusService/${call}?connect=v1&encoding=json&message=${message}`;
}

await timed("ListTunnels, 100 rows", (i) => page("ListTunnels", i));
await timed("ListSas, 100 rows", (i) => page("ListSas", i));
const spis = core.sas({ limit: sas }).sas.map(({ sa: { spi } }) => spi);
await timed("ListSas, by SPI", (i) => asked("ListSas", { spi: spis[i * 97 % spis.length] ?? 0 }));
await timed("GetStatus", () => "/psp.v1.StatusService/GetStatus");
await timed("/metrics", () => "/metrics");
await using client = openStatusClient({ address: l.address });
const began = performance.now();
let rows = 0;
for await (const found of client.tunnels()) {
  if (rows === 0) figures["first page of the command, ms"] = Math.round(performance.now() - began);
  rows += found.length;
}
figures["all pages of the command, ms"] = Math.round(performance.now() - began);
figures["rows"] = rows;
console.log(Deno.args.includes("--json") ? JSON.stringify(figures) : figures);

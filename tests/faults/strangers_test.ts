// SPDX-License-Identifier: Apache-2.0

/**
 * Strangers crowd the listener while a peer makes exchanges: each is answered in its time, on a new connection too, and
 * memory is bounded. What it costs is printed: how long an exchange takes is the machine's as much as the crowd's.
 * Short: 300 silent connections, 200 bad handshakes a second, 4 s. Full: 1,500 and 1,000, for 60 s.
 */
import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { figures, timed } from "../support/bench_lab.ts";
import { ExchangeLab } from "../support/exchange_lab.ts";
import { lines } from "../support/ns_worker.ts";
import { inOwnNamespace } from "../support/own_namespace.ts";
import { scaled } from "../support/scale.ts";

const SILENT = scaled(300, 1500);
const BAD_PER_S = scaled(200, 1000);
const SECONDS = scaled(4, 60);
const PACE_MS = 20;
/** Of what is in use after a collection, while the crowd is there. */
const GROWTH_BYTES = 64 << 20;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function inUse(): number {
  collect();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/** The crowd as a process of its own; `end` resolves with what it did. */
async function crowd(port: number) {
  const script = new URL("../support/strangers.ts", import.meta.url).pathname;
  const args = ["run", "-A", "--quiet", "--no-check", script, port, SILENT, BAD_PER_S].map(String);
  const child = new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "piped" })
    .spawn();
  const said = lines(child.stdout);
  assert.equal((await said.next()).value, "crowded");
  return async () => {
    await child.stdin.close();
    const report = await said.next();
    await child.status;
    return JSON.parse(report.value ?? "{}") as Record<"silent" | "evicted" | "bad", number>;
  };
}

await inOwnNamespace(import.meta.url, () => {
  // Deno's sanitizers would keep the trace of every connection: no memory could be measured.
  const options = { sanitizeOps: false, sanitizeResources: false };
  Deno.test("strangers do not keep a peer from its exchanges", options, async () => {
    await using lab = await ExchangeLab.open({
      realLimits: true,
      change: (config) => {
        config["rpc"] = { ...config["rpc"] as object, peer_rate: 1000, peer_burst: 10_000 };
      },
    });
    for (let i = 0; i < 50; i++) await lab.exchange({ from: i });
    const before = inUse();
    const end = await crowd(lab.h2.server.address.port);
    const ms: number[] = [];
    for (let i = 0; ms.length * PACE_MS < SECONDS * 1000; i++) {
      // Now and then on a connection of its own, which has to get past the crowd.
      if (i % 25 === 24) lab.h1.client.close();
      ms.push(await timed(() => lab.exchange({ from: 100 + i })));
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
    const after = inUse();
    const done = await end();
    const { p50, p99, max } = figures(ms);
    const grown = (after - before) / (1 << 20);
    console.log(
      `    ${ms.length} exchanges, p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} max ` +
        `${max.toFixed(1)} ms; ${done.silent} silent, ${done.bad} bad; +${grown.toFixed(0)} MiB`,
    );
    assert.ok(done.bad >= BAD_PER_S * SECONDS / 4, `${done.bad} bad handshakes are no crowd`);
    assert.ok(after - before < GROWTH_BYTES, `${grown.toFixed(0)} MiB more`);
  });
});

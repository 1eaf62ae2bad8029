// SPDX-License-Identifier: Apache-2.0

/** The harness itself, without agents: what the other suites take for granted. */
import assert from "node:assert/strict";
import { payload, PayloadSearch } from "./payload.ts";
import { estateDir, run } from "./netns.ts";
import { eventually } from "./wait.ts";
import { copy, ping } from "./traffic.ts";
import { World } from "./world.ts";

const COPY = { from: "v1", to: "v2", bytes: 8 << 20, seed: "harness" } as const;

Deno.test("a world without agents carries nothing between its workloads", async () => {
  await using world = await World.create();
  const { received } = await ping(world, { in: "v1", to: world.vip("h2") }, { wait: 0.3 });
  assert.equal(received, 0);
});

for (const underlay of ["ipv4", "ipv6"] as const) {
  Deno.test(`a copy in clear over ${underlay} is found in the capture`, async () => {
    await using world = await World.create({ underlay, inner: [underlay], vips: 3 });
    await world.routeInClear();
    const capture = await world.capture();
    const pings = await ping(world, { in: "v1", to: world.vip("h2", 2) }, { count: 3 });
    assert.equal(pings.rttMs.length, 3, pings.text);
    const result = await copy(world, { ...COPY, address: world.vip("h2") });
    assert.equal(result.bytes, COPY.bytes);
    assert.equal(result.receivedSha256, result.sentSha256);
    const search = new PayloadSearch(payload(COPY.seed, COPY.bytes));
    const report = await capture.stop(search);
    assert.equal(report.lost, 0);
    assert.ok((report.payloadHits ?? 0) >= search.windows * 0.9, `${report.payloadHits} windows`);
    assert.ok(report.foreign > 0 && report.neighbour > 0 && report.psp.frames === 0);
  });
}

Deno.test("several workloads on a host reach each other host's workloads", async () => {
  await using world = await World.create({ workloads: 2 });
  await world.routeInClear();
  const vip = world.workload("h2", 1).vips.ipv4[0] ?? "";
  const { received, text } = await ping(world, { in: "v1b", to: vip });
  assert.equal(received, 1, text);
});

Deno.test("a proxy loses one reply, and only one", async () => {
  await using world = await World.create();
  const worker = await world.worker("h1");
  const at = { hostname: "127.0.0.1", port: 7444 };
  await worker.proxy({ listen: at, target: { hostname: world.host("h2").pip, port: 7443 } });
  const h2 = world.ns("h2");
  const script = `const s = Deno.serve({hostname: "${world.host("h2").pip}", port: 7443, ` +
    `onListen() { console.log("up") }}, () => new Response("x".repeat(500)));await s.finished`;
  const server = new Deno.Command("ip", {
    args: ["netns", "exec", h2, Deno.execPath(), "eval", script],
    stdout: "piped",
  }).spawn();
  await using _ = {
    async [Symbol.asyncDispose]() {
      server.kill("SIGKILL");
      await server.status;
      await server.stdout.cancel();
    },
  };
  const url = "http://127.0.0.1:7444/";
  await eventually(async () => (await worker.http(url)).status === 200, { what: "the server" });
  await worker.proxyFault({ kind: "lose-reply" });
  // fetch asks again by itself when a kept connection is cut.
  assert.equal((await worker.http(url)).body.length, 500);
  const { connections, faults } = await worker.proxyStats();
  assert.ok(connections >= 2 && faults === 1);
});

Deno.test("a world is gone when the process that made it is killed", async () => {
  const script = [
    `import { World } from "${new URL("./world.ts", import.meta.url)}";`,
    "const world = await World.create();",
    "console.log(world.plan.prefix);",
    "await new Promise(() => setInterval(() => {}, 1e6));",
  ].join("\n");
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", script],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const prefix = new TextDecoder().decode((await reader.read()).value).trim();
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  assert.match(prefix, /^psp\d+x[0-9a-f]{6}$/);
  await eventually(async () => {
    const { stdout } = await run(["ip", "netns", "list"]);
    const dirs = [...Deno.readDirSync(estateDir(""))].map((entry) => entry.name);
    return !stdout.includes(`${prefix}-`) && !dirs.includes(prefix);
  }, { what: `the removal of ${prefix}` });
});

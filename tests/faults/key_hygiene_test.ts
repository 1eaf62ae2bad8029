// SPDX-License-Identifier: Apache-2.0

/**
 * Every key of a busy run of two real agents is looked for in all that they leave behind: logs, database, WAL,
 * status, metrics, error texts and the wire. The run is insecure, so that the keys can be known at all.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { PeersJson } from "../support/agent_config.ts";
import type { AgentProcess } from "../support/agent_process.ts";
import { classify } from "../support/frames.ts";
import { kill, spawn } from "../support/netns.ts";
import { lines } from "../support/ns_worker.ts";
import { type HostName, HOSTS, otherHost } from "../support/plan.ts";
import { recordedKeys } from "../support/record_proxy.ts";
import { scaled } from "../support/scale.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const KEYS = scaled(60, 1000);
const PROXY = "127.0.0.1:7444";

/** The forms in which a key may have slipped out. */
function forms(hex: string): Buffer[] {
  const raw = Buffer.from(hex, "hex");
  const spaced = hex.replaceAll(/..(?=.)/g, "$& ");
  return [
    raw,
    ...[hex, hex.toUpperCase(), spaced, raw.toString("base64").replace(/=+$/, ""), raw.join(",")]
      .map((text) => Buffer.from(text)),
    Buffer.from(raw.toString("base64url")),
  ];
}

/** The names of the places that hold any of the keys, in any form. */
function leaks(keys: Iterable<string>, places: ReadonlyMap<string, Buffer>): string[] {
  const needles = [...keys].flatMap(forms);
  return [...places].filter(([, hay]) => needles.some((needle) => hay.includes(needle)))
    .map(([name]) => name);
}

function insecure(config: PeersJson): void {
  delete config.rpc.tls;
  config.rpc.insecure = true;
  for (const peer of config.peers) peer.svc_address = PROXY;
  config.tunnel.life = "4s";
  config.tunnel.grace = "1s";
  config.rotation = { interval: "2s" };
}

async function proxyOn(stage: Stage, host: HostName): Promise<AsyncDisposable> {
  const { world } = stage;
  const script = new URL("../support/record_proxy.ts", import.meta.url).pathname;
  const dir = world.path("keys");
  const target = `${world.host(otherHost(host)).pip}:7443`;
  const child = spawn([
    ...[Deno.execPath(), "run", "-A", "--quiet", "--no-check", "--cached-only"],
    ...[script, PROXY, target, dir],
  ], { ns: world.ns(host) });
  const said = lines(child.stdout);
  assert.equal((await said.next()).value, "listening");
  return {
    async [Symbol.asyncDispose]() {
      kill(child.pid, "SIGKILL");
      await Promise.allSettled([child.status, child.stdin.close(), child.stderr.cancel()]);
      await said.return(undefined);
    },
  };
}

/** What an agent says and keeps. */
async function placesOf({ world }: Stage, agent: AgentProcess): Promise<[string, Buffer][]> {
  const { host } = agent;
  const worker = await world.worker(host);
  const url = (path: string) => `http://127.0.0.1:7480${path}`;
  const rpc = (method: string) => worker.http(url(`/psp.v1.StatusService/${method}`), {});
  const pages = await Promise.all([
    worker.http(url("/metrics")),
    ...["GetStatus", "ListTunnels", "GetPipes"].map(rpc),
  ]);
  pages.forEach(({ status }, i) => assert.equal(status, 200, `page ${i} of ${host}`));
  const dir = world.path(`state-${host}`);
  const files = [...Deno.readDirSync(dir)].map(({ name }): [string, Buffer] => [
    `${host} ${name}`,
    Buffer.from(Deno.readFileSync(`${dir}/${name}`)),
  ]);
  assert.ok(files.some(([name]) => name.endsWith("-wal")), "no WAL to look at");
  return [
    ...pages.map(({ body }, i): [string, Buffer] => [`${host} page ${i}`, Buffer.from(body)]),
    ...files,
    [`${host} log`, Buffer.from(agent.logText())],
  ];
}

story(`none of ${KEYS} keys and more is found anywhere`, { vips: 4 }, async (stage) => {
  const { world, start, startBoth } = stage;
  await Deno.mkdir(world.path("keys"));
  await using _h1 = await proxyOn(stage, "h1");
  await using _h2 = await proxyOn(stage, "h2");
  const agents = await startBoth({ change: insecure });
  const capture = await world.capture({ controlPorts: [7443] });
  const gone: [string, Buffer][] = [];
  let killed = false;
  await eventually(async () => {
    for (let i = 0; i < 4; i++) {
      const route = { in: "v1", to: world.vip("h2", i) };
      await ping(world, route, { from: world.vip("h1", i), wait: 1 });
    }
    const { size } = recordedKeys(world.path("keys"));
    if (!killed && size > KEYS / 2) {
      killed = true;
      await agents.h2.end("SIGKILL");
      gone.push(["h2 log of the killed", Buffer.from(agents.h2.logText())]);
      agents.h2 = await start("h2", { change: insecure });
    }
    return killed && size >= KEYS;
  }, { what: `${KEYS} keys`, deadlineMs: scaled(60_000, 1_200_000) });

  const places = new Map(gone);
  for (const host of HOSTS) {
    for (const [name, octets] of await placesOf(stage, agents[host])) places.set(name, octets);
  }
  await capture.stop();
  const control = new Set([7443]);
  const wire = [...capture.frames()].filter(({ data }) =>
    classify(data, control).kind !== "control"
  )
    .map(({ data }) => Buffer.from(data));
  places.set("wire", Buffer.concat(wire));
  const keys = recordedKeys(world.path("keys"));
  const octets = [...places.values()].reduce((sum, { length }) => sum + length, 0);
  console.log(`    ${keys.size} keys, ${places.size} places, ${octets} octets`);
  assert.deepEqual(leaks(keys, places), []);

  // The search would have found them.
  const [key = ""] = keys;
  for (const [i, form] of forms(key).entries()) {
    const planted = new Map([[
      "planted",
      Buffer.concat([Buffer.from("x"), form, Buffer.from("y")]),
    ]]);
    assert.deepEqual(leaks(keys, planted), ["planted"], `form ${i}`);
  }
});

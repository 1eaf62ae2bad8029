// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { DataPlaneError } from "../../ffi/plane.ts";
import { planOf, reload, type Running } from "./reload.ts";
import { LiveConfig } from "../config/changes.ts";
import { ConfigError, type TlsFiles } from "../config/config.ts";
import { parseConfig } from "../config/load.ts";
import { SMALLEST } from "../../tests/support/config_text.ts";
import { Peers } from "../core/directory.ts";
import { Sources } from "../directory/sources.ts";

const configOf = (change: object) =>
  parseConfig(JSON.stringify({ ...SMALLEST, ...change }), "/etc/psp-agent/peers.json").config;

const [h2] = SMALLEST.peers;
const h3 = { id: "h3", svc_address: "192.0.2.3:7443", vips: ["10.3.0.0/24"] };

/** An agent that notes who was told what. */
function running(change: object = {}, options: { readonly hasVc?: boolean } = {}) {
  const live = new LiveConfig(configOf(change));
  const ended = new AbortController();
  const peers = new Peers(live.view);
  const told: string[] = [];
  const note = (who: string) => (...args: unknown[]) => {
    told.push(`${who} ${JSON.stringify(args[0] ?? null)}`);
    return [] as never;
  };
  const store = (who: string) => ({
    reload: () => (told.push(`${who} reload`), false),
    follow(files: TlsFiles) {
      if (files.cert.endsWith("/bad.crt")) throw new ConfigError("bad.crt cannot be used");
      return () => void told.push(`${who} follow ${files.cert}`);
    },
  });
  const trust = (who: string) => (t: { deny: readonly string[] }, ids?: readonly string[]) => {
    told.push(`${who} trust ${ids ?? "all"} ${t.deny}`);
    return 0;
  };
  const sources = new Sources(live.view.vips.map(({ vip }) => vip), live.view.peers);
  const agent: Running = {
    live,
    peers,
    sources,
    openSources: (_, names) => void told.push(`open ${names}`),
    core: {
      change: (changes) => {
        told.push(
          `core ${changes.changed.map(({ id }) => id)} -${changes.removed} ${changes.vips}`,
        );
        return peers.apply(changes, 0);
      },
      configChanged: note("core keys"),
      deny: (list) => (told.push(`core deny ${list}`), list),
    },
    server: { setTrust: trust("server"), setLimits: note("limits"), presented: () => new Map() },
    status: { ...store("status"), setTrust: trust("status"), setOrigins: note("origins") },
    client: {
      setTrust: trust("client"),
      setLimits: note("client limits"),
      presented: () => new Map([["h2", "00".repeat(32)]]),
    },
    tls: store("tls"),
    flows: { refreshNextHop: note("hop") },
    hosts: { follow: () => void told.push("hosts") },
    workloads: { follow: note("workloads") },
    warm: { add: note("warm") },
    hasVc: options.hasVc ?? false,
    plane: {
      limitHold(limits) {
        if (limits.flows === 13) throw new DataPlaneError("out of memory", "ENOMEM");
        told.push(`plane hold ${limits.packetsPerFlow} ${limits.flows} ${limits.bytes}`);
      },
    },
    log: { debug: note("log"), info: note("info"), warn: note("warn"), error: note("error") },
    logAs: note("logAs"),
    notify: { reloading: () => {}, ready: () => {} },
    signal: ended.signal,
  };
  const take = async (next: object, plan = false) => {
    told.length = 0;
    const view = await reload(() => Promise.resolve(configOf(next)), agent, { plan });
    return { view, told: told.filter((line) => !/ reload$/.test(line)) };
  };
  return { agent, live, peers, take, ended };
}

Deno.test("peers that come, go and are others: core, client, listener and next hops follow", async () => {
  const { take, peers, live } = running({ peers: [h2, h3] });
  const moved = { ...h2, next_hop_mac: "02:00:00:00:00:02", pip: "192.0.2.2" };
  const { view, told } = await take({ peers: [moved, { ...h3, id: "h4", svc_address: "h4:1" }] });
  assert.deepEqual(view, {
    done: true,
    message: "peers: 1 added, 1 removed, 1 changed",
    added: 1,
    removed: 1,
    changed: 1,
    keys: [],
    restartKeys: [],
  });
  assert.deepEqual(told, [
    "core keys []",
    "core h2,h4 -h3 undefined",
    "client trust h2,h4,h3 ",
    "server trust h2,h4,h3 ",
    'hop "192.0.2.2"',
    'warm "h4"',
    'info "Configuration reloaded"',
  ]);
  assert.deepEqual([peers.has("h3"), peers.byVip("10.3.0.1")?.id], [false, "h4"]);
  assert.deepEqual(live.view.peers.map(({ id }) => id), ["h2", "h4"]);
});

Deno.test("what else is live is in force, each part is told of its own", async () => {
  const { take } = running();
  const { view, told } = await take({
    log: { level: "debug" },
    tunnel: { life: "5m" },
    vips: ["10.1.0.0/25"],
    rpc: { tls: { cert: "b.crt", key: "b.key", ca: "ca.crt" }, max_connections: 9 },
    security: { deny: ["h2"] },
  });
  assert.ok(view.done, view.message);
  assert.deepEqual(
    told,
    [
      "tls follow /etc/psp-agent/b.crt",
      'logAs {"level":"debug","format":"text"}',
      told.find((line) => /^limits .*"maxConnections":9/.test(line)),
      told.find((line) => /^client limits .*"maxConnections":9/.test(line)),
      told.find((line) => /^core keys .*"tunnel.life"/.test(line)),
      "core  - 10.1.0.0/25",
      "client trust  h2",
      "server trust  h2",
      'workloads {"vips":[{"vip":"10.1.0.0/25","dns":[]}],"rules":[]}',
      "core deny h2",
      "core deny h2",
      "server trust all h2",
      "status trust all h2",
      "client trust all h2",
      'info "The deny list is in force"',
      'info "Configuration reloaded"',
    ],
  );
});

Deno.test("what an agent cannot take is refused by name, and then all of it", async () => {
  const { take, live, peers } = running();
  const before = live.now;
  const { view, told } = await take({ peers: [h2, h3], psp: { ttl: 1 }, pip: "192.0.2.9" });
  assert.equal(view.done, false);
  assert.deepEqual(view.restartKeys, ["pip", "psp.ttl"]);
  assert.match(view.message, /^Cannot change pip, psp\.ttl while the agent runs: restart it/);
  assert.deepEqual(told, ['error "Configuration not reloaded"']);
  assert.deepEqual([live.now, peers.has("h3")], [before, false]);

  const bad = await take({
    peers: [h2, h3],
    rpc: { tls: { cert: "bad.crt", key: "b.key", ca: "ca.crt" } },
  });
  assert.deepEqual([bad.view.done, bad.view.message], [false, "bad.crt cannot be used"]);
  assert.deepEqual([live.now, peers.has("h3")], [before, false]);
});

Deno.test("the hold has other limits at once, or nothing of the file is in force", async () => {
  const { take, live } = running();
  const { view, told } = await take({ hold: { flows: 100, packets_per_flow: 8 } });
  assert.deepEqual([view.done, view.keys], [true, ["hold.packets_per_flow", "hold.flows"]]);
  assert.ok(told.includes("plane hold 8 100 16777216"), told.join("; "));
  const before = live.now;
  const refused = await take({ hold: { flows: 13 }, peers: [h3] });
  assert.deepEqual([refused.view.done, refused.view.message], [false, "out of memory"]);
  assert.equal(live.now, before);
});

const BLUE = { name: "blue", vc: 7, ports: ["tap7"], vips: ["10.9.0.0/24"] };
const MANY = { plane: { uplink: "p0", host: ["tap0"] } };

Deno.test("a network comes and goes: ports before addresses, workloads last", async () => {
  const { take, peers } = running(MANY, { hasVc: true });
  const came = await take({ ...MANY, networks: [BLUE] });
  assert.ok(came.view.done, came.view.message);
  assert.deepEqual(came.view.keys, ["vips", "plane.host", "networks"]);
  const who = (told: readonly string[]) => told.map((line) => line.split(" ")[0]);
  const order = ["core", "hosts", "core", "client", "server", "workloads", "info"];
  assert.deepEqual(who(came.told), order);
  assert.ok(peers.isLocal("10.9.0.1@blue"));
  const { told } = await take(MANY);
  assert.deepEqual(who(told), order);
  assert.equal(peers.isLocal("10.9.0.1@blue"), false);
});

Deno.test("a network with another cookie goes, and comes; what its policy denies is another matter", async () => {
  const { take, peers } = running({ ...MANY, networks: [BLUE] }, { hasVc: true });
  const since = () => peers.ownedSince("10.9.0.1@blue");
  assert.equal(since(), -Infinity);
  const { told } = await take({
    ...MANY,
    networks: [{ ...BLUE, policy: { deny: ["10.2.0.0/24"] } }],
  });
  assert.equal(told.filter((line) => line.startsWith("core  -")).length, 1);
  assert.equal(since(), -Infinity);
  const recast = await take({ ...MANY, networks: [{ ...BLUE, vc: 8 }] });
  assert.deepEqual(recast.told.filter((line) => line.startsWith("core  -")), [
    "core  - 10.1.0.0/24",
    "core  - 10.1.0.0/24,10.9.0.0/24@blue",
  ]);
  assert.equal(since(), 0, "it is another one since");
});

Deno.test("a port or a network that would need other pipes refuses all of the file", async () => {
  const { take, live, peers } = running({}, { hasVc: true });
  const before = live.now;
  const { view, told } = await take({ networks: [BLUE], peers: [h2, h3] });
  assert.deepEqual(view.restartKeys, ["plane.host", "networks"]);
  assert.deepEqual([told, live.now, peers.has("h3")], [
    ['error "Configuration not reloaded"'],
    before,
    false,
  ]);
});

Deno.test("the first virtualization cookie needs other pipes, the second one does not", () => {
  const [before, after] = [configOf({}), configOf({ peers: [{ ...h2, vc: 7 }] })];
  assert.deepEqual(planOf(before, after, { hasVc: false }).restartKeys, ["peers[h2].vc"]);
  assert.ok(planOf(before, after, { hasVc: true }).done);
});

Deno.test("a plan changes nothing, and a reload of the same file says so", async () => {
  const { take, live } = running();
  const before = live.now;
  const planned = await take({ peers: [h3] }, true);
  assert.equal(planned.view.message, "peers: 1 added, 1 removed, 0 changed");
  assert.deepEqual([planned.told, live.now], [[], before]);
  assert.equal((await take({})).view.message, "Nothing has changed");
});

Deno.test("a certificate that is denied ends the tunnels that it opened", async () => {
  const { take } = running();
  const { told } = await take({ security: { deny: [`sha256:${"00".repeat(32)}`] } });
  const print = `sha256:${"00".repeat(32)}`;
  assert.deepEqual(told.filter((line) => line.startsWith("core deny")), [
    `core deny ${print},h2`,
    `core deny ${print}`,
  ]);
});

Deno.test("very many peers are changed some at a time, and in the end all of them are", async () => {
  const of = (port: number, n: number) =>
    Array.from({ length: n }, (_, i) => ({
      id: `p${i}`,
      svc_address: `192.0.2.2:${port + i}`,
      vips: [`11.0.${i >> 8}.${i & 255}`],
    }));
  const { take, peers } = running({ peers: of(1000, 400) });
  const { view, told } = await take({ peers: of(2000, 380) });
  assert.deepEqual([view.done, view.changed, view.removed], [true, 380, 20]);
  const steps = told.filter((line) => /^core p/.test(line));
  assert.equal(steps.length, 8, "50 in each: one prefix before, one after");
  assert.deepEqual([peers.count, peers.get("p9")?.svcAddress], [380, "192.0.2.2:2009"]);
});

Deno.test("an agent that ends makes no more changes", async () => {
  const of = (port: number) =>
    Array.from({ length: 200 }, (_, i) => ({
      id: `p${i}`,
      svc_address: `192.0.2.2:${port + i}`,
      vips: [`11.0.${i >> 8}.${i & 255}`],
    }));
  const { take, ended } = running({ peers: of(1000) });
  ended.abort();
  const { told } = await take({ peers: of(2000) });
  assert.equal(told.filter((line) => /^core p/.test(line)).length, 1);
});

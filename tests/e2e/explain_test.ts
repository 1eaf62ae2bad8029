// SPDX-License-Identifier: Apache-2.0

/**
 * What `explain` says is what then happens on real hosts. Each row is a set-up that is made for real: the packet is
 * explained, then sent, and the counter that moves is the one that was named, at the host that was named.
 */
import assert from "node:assert/strict";
import { pkiIssue } from "../../src/pki/pki.ts";
import { DOMAIN, makePki, type PeersJson, tlsOf } from "../support/agent_config.ts";
import { agentCommand, type AgentProcess } from "../support/agent_process.ts";
import { classify } from "../support/frames.ts";
import { ip, kill } from "../support/netns.ts";
import type { HostName } from "../support/plan.ts";
import { PLANE } from "../support/standin.ts";
import { type Stage, story } from "../support/story.ts";
import { addThirdHost, H3_PIP } from "../support/third_host.ts";
import { ping } from "../support/traffic.ts";
import { eventually, messageOf } from "../support/wait.ts";
import type { World } from "../support/world.ts";

/** A packet that is asked about. */
interface Packet {
  readonly src: string;
  readonly dst: string;
  readonly length?: number;
  readonly ttl?: number;
  readonly port?: string;
}

/** The answer. */
interface Told {
  readonly verdict: string;
  readonly counter?: string;
  readonly counterAt?: string;
  readonly steps: readonly { at: string; verdict: string; text: string; host?: string }[];
}

interface Row {
  readonly name: string;
  /** Makes the set-up what it is. */
  readonly before?: () => Promise<unknown>;
  readonly packet: Packet;
  readonly verdict: "passes" | "held" | "dropped";
  /** What goes up; where the answer names it, it is its `counter`. Absent: nothing counts what never comes in. */
  readonly moves?: string;
  /** Where; h1 by default. */
  readonly at?: HostName;
  readonly words: RegExp;
  /** The answer that is looked at; absent: that to one question. */
  readonly ask?: () => Promise<Told>;
  /** Sends it. */
  readonly send: () => Promise<unknown>;
  /** Undoes the set-up. */
  readonly after?: () => Promise<unknown>;
}

type Agents = Readonly<Record<HostName, AgentProcess>>;

async function explained(agent: AgentProcess, packet: Packet): Promise<Told> {
  const message = encodeURIComponent(JSON.stringify(packet));
  const query = `connect=v1&encoding=json&message=${message}`;
  const { status, body } = await agent.get(`/psp.v1.StatusService/Explain?${query}`);
  assert.equal(status, 200, body);
  return JSON.parse(body);
}

function textOf({ steps }: Told): string {
  return steps.map(({ at, text, host = "" }) => `${host} ${at} ${text}`).join("\n");
}

/** Counters under their names, drops under their reasons; where one name is both, together. */
async function counts(agent: AgentProcess): Promise<Readonly<Record<string, number>>> {
  const { body } = await agent.get("/psp.v1.StatusService/GetStatus");
  const { counters = {}, drops = {} } = JSON.parse(body);
  const sums: Record<string, number> = {};
  for (const [name, value] of [...Object.entries(counters), ...Object.entries(drops)]) {
    sums[name] = (sums[name] ?? 0) + Number(value);
  }
  return sums;
}

async function agree(agents: Agents, row: Row): Promise<void> {
  const began = performance.now();
  const { packet, verdict, moves, at = "h1", words, send, ask } = row;
  try {
    await row.before?.();
    const told = await (ask?.() ?? explained(agents.h1, packet));
    assert.match(textOf(told), words);
    assert.equal(told.verdict, verdict, textOf(told));
    if (told.counter !== undefined) {
      assert.equal(told.counter, moves);
      assert.equal(told.counterAt ?? "h1", at);
    }
    const before = await counts(agents[at]);
    await send();
    if (moves !== undefined) {
      let now = before;
      await eventually(async () => {
        now = await counts(agents[at]);
        return (now[moves] ?? 0) > (before[moves] ?? 0);
      }, {
        what: `${moves} to go up at ${at}`,
        describe: () =>
          `moved: ${Object.keys(now).filter((name) => now[name] !== before[name])}\n${
            textOf(told)
          }`,
      });
    }
    await row.after?.();
  } catch (cause) {
    throw new Error(`${row.name}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  console.log(`    ${row.name}: ${moves ?? verdict}, ${Math.round(performance.now() - began)} ms`);
}

/** Rewrites the file of a running agent, and waits until it is taken. */
async function put(agent: AgentProcess, text: string): Promise<void> {
  const said = () => agent.said("Configuration reloaded").length;
  const before = said();
  await Deno.writeTextFile(`${agent.configPath}.new`, text);
  await Deno.rename(`${agent.configPath}.new`, agent.configPath);
  kill(agent.pid, "SIGHUP");
  await eventually(() => said() > before, { what: "the file to be taken", everyMs: 10 });
}

/** What is set up by a change of an agent's file, and undone. */
function changed(agent: AgentProcess, change: (config: PeersJson) => void) {
  let kept = "";
  return {
    before: async () => {
      kept = await Deno.readTextFile(agent.configPath);
      const config = JSON.parse(kept);
      change(config);
      await put(agent, JSON.stringify(config));
    },
    after: async () => await put(agent, kept),
  };
}

/** One ping from a workload of h1, not waited for. */
function once(world: World, to: string, more: readonly string[] = [], from = "v1") {
  return async () =>
    void await world.run(from, ["ping", "-n", "-c", "1", "-W", "0.2", ...more, to]);
}

/** Packets of h1 that were recorded on the way to h2 come again. */
async function replay(world: World): Promise<void> {
  const capture = await world.capture();
  await ping(world, { in: "v1", to: world.vip("h2") });
  const { spis } = await capture.stop();
  const sealed = [...capture.frames()].filter(({ to }) => to === "h2")
    .map(({ data }) => Uint8Array.from(data)).filter((data) => {
      const frame = classify(data, new Set([7443]));
      return frame.kind === "psp" && spis.h2.has(frame.spi);
    });
  await (await world.worker("h1")).frames("uplink", sealed);
}

story(
  "explained, then sent: two hosts, and what befalls them",
  { vips: 20 },
  async ({ world, start }: Stage) => {
    const change = (config: PeersJson) => config.hold = { packets_per_flow: 4 };
    const [h1, h2] = await Promise.all([start("h1", { change }), start("h2")]);
    const [src, far] = [world.vip("h1"), (n: number) => world.vip("h2", n)];
    const to = (n: number, more: Partial<Packet> = {}): Packet => ({ src, dst: far(n), ...more });
    const sent = (n: number) => ({ packet: to(n), send: once(world, far(n)) });
    const up = async () => assert.equal((await ping(world, { in: "v1", to: far(0) })).received, 1);
    const slow = changed(h2, ({ rpc }) => Object.assign(rpc, { peer_rate: 1, peer_burst: 1 }));
    const short = changed(h1, ({ tunnel }) => Object.assign(tunnel, { life: "2s", idle: "1h" }));
    const rows: Row[] = [
      {
        name: "the first packet",
        ...sent(0),
        verdict: "held",
        moves: "held-packets",
        words: /h2 RSS It would get a tunnel\nh2 host Handed to the workload 10\.2\.0\.1 at host/,
      },
      {
        name: "a tunnel that is up",
        before: up,
        ...sent(0),
        verdict: "passes",
        moves: "rx-packets",
        at: "h2",
        words: /Sealed with (0x\w+) [^]*h2 INGR_ACL \1 lets 10\.1\.0\.1 in/,
      },
      {
        name: "too big for the tunnel",
        before: () => ip(["link set eth0 mtu 1500"], world.ns("v1")),
        packet: to(0, { length: 1500 }),
        verdict: "dropped",
        moves: "too-big",
        words: /1500 octets are more than the 1440 that fit/,
        send: once(world, far(0), ["-s", "1472", "-M", "do"]),
      },
      ...PLANE === "doca" ? [] : [
        {
          name: "a packet that comes again",
          packet: to(0),
          verdict: "passes",
          moves: "rx-replay",
          at: "h2",
          words: /did not come before \(else rx-replay\)/,
          send: () => replay(world),
        } as const,
      ],
      {
        name: "nobody's address",
        packet: { src, dst: "10.77.0.1" },
        verdict: "dropped",
        moves: "no-peer",
        words: /No peer owns 10\.77\.0\.1/,
        send: once(world, "10.77.0.1"),
      },
      {
        name: "multicast",
        packet: { src, dst: "224.0.0.251" },
        verdict: "dropped",
        moves: "no-peer",
        words: /stay on the workload's own link/,
        send: once(world, "224.0.0.251"),
      },
      {
        name: "a source that is not here",
        before: () => ip(["addr add 10.9.0.1/32 dev eth0"], world.ns("v1")),
        packet: { src: "10.9.0.1", dst: far(0) },
        verdict: "dropped",
        moves: "refused",
        words: /10\.9\.0\.1 is none of this host's vips/,
        send: once(world, far(0), ["-I", "10.9.0.1"]),
      },
      {
        name: "this host is on the peer's deny list",
        ...changed(h2, (config) => config.security = { deny: ["h1"] }),
        ...sent(1),
        verdict: "dropped",
        moves: "refused",
        words: /h2 gives no tunnel: "h1" is denied by the configuration/,
      },
      {
        name: "the peer is on the deny list",
        ...changed(h1, (config) => config.security = { deny: ["h2"] }),
        ...sent(2),
        verdict: "dropped",
        moves: "refused",
        words: /h2 is on the deny list/,
      },
      {
        name: "an address that the peer does not have",
        ...changed(h2, (config) => config.vips = config.vips.slice(0, 3)),
        ...sent(3),
        verdict: "dropped",
        moves: "refused",
        words: /refused-vip\): h2 does not own 10\.2\.0\.4/,
      },
      {
        name: "more in clear text than the peer allows",
        ...changed(h2, (config) => config.psp = { max_crypt_offset: { ipv4: 1, ipv6: 1 } }),
        ...sent(4),
        verdict: "dropped",
        moves: "refused",
        words: /refused-crypt-offset\): crypt offset 5 is more than 1/,
      },
      {
        name: "a port of the peer that is down",
        before: async () => {
          await ip(["link set host down"], world.ns("h2"));
          await eventually(async () => (await h2.get("/healthz")).status === 503, {
            what: "h2 to see it",
          });
        },
        ...sent(0),
        verdict: "dropped",
        moves: "host-tx-error",
        at: "h2",
        words: /h2 host Nothing passes there: interface host is down/,
        after: async () => {
          await ip(["link set host up"], world.ns("h2"));
          await eventually(() => h2.healthy(), { what: "h2 to be well" });
        },
      },
      {
        name: "asked more often than the peer allows",
        ...slow,
        packet: to(5),
        // It has the place of sixteen questions a second, and answers more where the machine is slow.
        ask: () =>
          eventually(async () => {
            const asked = Array.from({ length: 8 }, () => explained(h1, to(5)));
            return (await Promise.all(asked)).find((told) => /slowed-by-peer/.test(textOf(told)));
          }, { what: "the peer to be asked too often", everyMs: 0 }),
        // What it has for the next request comes in again while this is typed.
        send: async () => {
          for (let n = 10; n < 20; n++) {
            const asked = Array.from({ length: 8 }, () => explained(h1, to(n)));
            await Promise.all([...asked, once(world, far(n))()]);
          }
        },
        verdict: "held",
        moves: "slowed-by-peer",
        words: /asked too often, and is asked again later \(slowed-by-peer\)/,
      },
      {
        name: "more than the hold keeps of a flow",
        before: async () => {
          kill(h2.pid, "SIGSTOP");
          await once(world, far(6))();
        },
        packet: to(6),
        verdict: "dropped",
        moves: "peer-unreachable",
        words: /beyond what the hold has room for, the oldest goes \(hold-flow-full/,
        send: async () => {
          const before = (await counts(h1))["hold-flow-full"] ?? 0;
          await world.run("v1", ["ping", "-n", "-c", "9", "-i", "0.01", "-W", "0.2", far(6)]);
          assert.ok(((await counts(h1))["hold-flow-full"] ?? 0) > before);
        },
        after: async () => {
          kill(h2.pid, "SIGCONT");
          await eventually(async () => (await ping(world, { in: "v1", to: far(7) })).received > 0, {
            what: "h2 to be back",
          });
        },
      },
      {
        name: "the uplink is down",
        before: async () => {
          await ip(["link set uplink down"], world.ns("h1"));
          await eventually(async () => (await h1.get("/healthz")).status === 503, {
            what: "h1 to see it",
          });
        },
        ...sent(0),
        verdict: "dropped",
        moves: "tx-error",
        words: / p0 Nothing leaves this host: interface uplink is down$/,
        after: async () => {
          await ip(["link set uplink up"], world.ns("h1"));
          await eventually(
            async () => (await ping(world, { in: "v1", to: far(0) }, { wait: 0.5 })).received > 0,
            { what: "packets to pass again" },
          );
        },
      },
      {
        name: "a peer that is not there",
        before: async () => {
          // Each tunnel in its time, and this one's key is to end.
          const key = async () =>
            (await h1.tunnels()).find(({ remoteVip }) => remoteVip === far(0))?.txSpi;
          const before = await key();
          await short.before();
          await eventually(async () => await key() !== before, {
            what: "a key of a short life",
            deadlineMs: 30_000,
          });
          await up();
          await h2.end("SIGKILL");
        },
        ...sent(8),
        verdict: "dropped",
        moves: "peer-unreachable",
        words: /h2 gives no tunnel: Cannot reach peer "h2"/,
      },
      {
        name: "a transmit SA beyond its life",
        before: () =>
          eventually(async () => (await explained(h1, to(0))).counter === "tx-key-expired", {
            what: "the SA to end",
          }),
        ...sent(0),
        verdict: "dropped",
        moves: "tx-key-expired",
        words: /reached its hard limit, and h2 gave no new SA/,
      },
      {
        name: "a peer that is left alone",
        before: () =>
          eventually(async () => {
            const told = await explained(h1, to(9));
            // Long enough for the question and the packet that follow.
            const leftS = Number(/may be made in ([\d.]+) s/.exec(textOf(told))?.[1]);
            return told.counter === "back-off" && leftS >= 0.5;
          }, { what: "h2 to be given up for a while", everyMs: 10 }),
        ...sent(9),
        verdict: "dropped",
        moves: "back-off",
        words: /the next (attempt|one) may be made in/,
      },
    ];
    for (const row of rows) await agree({ h1, h2 }, row);

    const { code, stdout } = await agentCommand(world, "h1", ["explain", src, "10.77.0.1"]);
    assert.equal(code, 5, "a command says so to a script");
    assert.match(stdout, /The packet is dropped, and counted as no-peer\.\n$/);
  },
);

story(
  "explained, then sent: two networks, a policy, ports of their own",
  { tenants: true, workloads: 4 },
  async ({ world, start }: Stage) => {
    const [red, blue, otherRed] = [
      world.workload("h1", 0),
      world.workload("h1", 1),
      world.workload("h1", 2),
    ] as const;
    const there = (n: number) => world.workload("h2", n).vips.ipv4[0] ?? "";
    const here = ({ vips }: { vips: { ipv4: readonly string[] } }) => vips.ipv4[0] ?? "";
    const [h1, h2] = await Promise.all([
      start("h1", {
        change: (config) => {
          config.vips.push({ vip: "10.1.0.64/28@red" });
          config.plane.ports = [{ name: red.port, vips: [`${here(red)}@red`] }];
          const network = config.networks?.find(({ name }) => name === "red");
          if (network !== undefined) network.policy = { deny: [`${there(2)}/32`] };
        },
      }),
      start("h2", {
        change: (config) => {
          const network = config.networks?.find(({ name }) => name === "blue");
          if (network !== undefined) network.vc += 1;
        },
      }),
    ]);
    const inRed = { src: here(red), port: red.port };
    const rows: Row[] = [
      {
        name: "a cookie that differs",
        packet: { src: `${here(blue)}@blue`, dst: `${there(1)}@blue` },
        verdict: "dropped",
        moves: "refused",
        words: /refused-network\): cookie 45326 where network "blue" has 45327/,
        send: once(world, there(1), [], blue.name),
      },
      {
        name: "a network that this host has no part in there",
        ...changed(h2, (config) => {
          config.peers.forEach((peer) => peer.vips = peer.vips.filter((v) => v.endsWith("@red")));
        }),
        packet: { src: here(blue), dst: there(3), port: blue.port },
        verdict: "dropped",
        moves: "refused",
        words: /refused-network\): h1 is not in network "blue"/,
        send: once(world, there(3), [], blue.name),
      },
      {
        name: "what the policy denies",
        packet: { ...inRed, dst: there(2) },
        verdict: "dropped",
        moves: "refused-policy",
        words: /The policy of network "red" denies 10\.2\.16\.1/,
        send: once(world, there(2), [], red.name),
      },
      {
        name: "an address of another port",
        before: () => ip([`addr add ${here(red)}/32 dev eth0`], otherRed.ns),
        packet: { src: here(red), dst: there(0), port: otherRed.port },
        verdict: "dropped",
        moves: "source-guard",
        words: /10\.1\.0\.1@red is not an address of vm2/,
        send: once(world, there(0), ["-I", here(red)], otherRed.name),
        after: () => ip([`addr del ${here(red)}/32 dev eth0`], otherRed.ns),
      },
      {
        name: "from one workload of the host to another",
        before: () => ping(world, { in: red.name, to: here(otherRed) }),
        packet: { ...inRed, dst: here(otherRed) },
        verdict: "passes",
        moves: "local-packets",
        words: /are both on this host: no tunnel carries it/,
        send: once(world, here(otherRed), [], red.name),
      },
      {
        name: "the last hop is used up",
        packet: { ...inRed, dst: here(otherRed), ttl: 1 },
        verdict: "dropped",
        moves: "time-exceeded-sent",
        words: /Its TTL is used up on the way to 10\.1\.16\.1@red at vm2/,
        send: once(world, here(otherRed), ["-t", "1"], red.name),
      },
      {
        name: "an address of this host at which nobody is",
        packet: { ...inRed, dst: "10.1.0.65" },
        verdict: "dropped",
        moves: "unreachable-sent",
        words: /Nobody on this host answered for 10\.1\.0\.65@red/,
        send: once(world, "10.1.0.65", [], red.name),
      },
      {
        name: "a port that is gone",
        before: async () => {
          await ip(["link del vm3"], world.ns("h1"));
          const gone = { src: here(blue), dst: there(1), port: "vm3" };
          await eventually(async () => !/EGR_ACL/.test(textOf(await explained(h1, gone))), {
            what: "h1 to see it",
          });
        },
        packet: { src: here(blue), dst: there(1), port: "vm3" },
        verdict: "dropped",
        words: /ingress Nothing (comes in|passes): .*vm3/,
        send: async () => {},
      },
    ];
    for (const row of rows) await agree({ h1, h2 }, row);
  },
);

story(
  "explained, then sent: the kernel forwards in clear text, and peers that prove nothing",
  { vips: 3 },
  async ({ world, start, launch }: Stage) => {
    // As if one of the clocks were a month off.
    const nowMs = Date.now() + 30 * 86_400_000;
    await pkiIssue({ dir: world.path("pki"), id: "h2", domain: DOMAIN, nowMs, force: true });
    await makePki(world, { dir: "other" });
    const [h1, early] = await Promise.all([
      start("h1", { change: ({ plane }) => plane.host_guard = "off" }),
      launch("h2"),
    ]);
    const packet = (n: number) => ({ src: world.vip("h1"), dst: world.vip("h2", n) });
    await agree({ h1, h2: early }, {
      name: "a certificate of next month",
      packet: packet(0),
      verdict: "dropped",
      moves: "peer-unreachable",
      words: /h2 gives no tunnel: Cannot reach peer "h2"/,
      send: once(world, world.vip("h2")),
    });
    await early.end("SIGTERM");
    const h2 = await start("h2", { change: ({ rpc }) => rpc.tls = tlsOf(world, "h2", "other") });
    await agree({ h1, h2 }, {
      name: "a certificate of another CA",
      before: () =>
        eventually(async () => (await explained(h1, packet(1))).counter !== "back-off", {
          what: "h2 to be tried again",
          everyMs: 10,
        }),
      packet: packet(1),
      verdict: "dropped",
      moves: "peer-unreachable",
      words: /h2 gives no tunnel: .*unable to verify/,
      send: once(world, world.vip("h2", 1)),
    });
    await agree({ h1, h2 }, {
      name: "the kernel forwards besides",
      before: () =>
        world.mustRun("h1", ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/host/forwarding"]),
      packet: { src: world.vip("h1"), dst: "10.77.0.1" },
      verdict: "dropped",
      moves: "no-peer",
      words: /^ ingress The kernel forwards what comes in at host in clear text .*sysctl -w/,
      send: async () => {
        await once(world, "10.77.0.1")();
        await eventually(async () => (await counts(h1))["kernel-forwards"] !== 0, {
          what: "the forwarding to be counted",
        });
      },
    });
  },
);

story(
  "explained, then sent: an agent that is ending",
  { vips: 3 },
  async ({ world, start }: Stage) => {
    const vip = "10.3.0.1";
    const third = await addThirdHost(world, vip);
    const change = (config: PeersJson) =>
      config.peers.push({ id: "h3", svc_address: `${H3_PIP}:7443`, vips: [vip] });
    const h2 = await start("h2");
    const pid = await third.start((config) => config.vips = [{ vip }]);
    const [src, dst] = [world.vip("h1"), world.vip("h2", 1)];
    // Its last words take as long as a peer may take that does not hear them: on a busy machine more than once.
    for (let attempt = 1;; attempt++) {
      const h1 = await start("h1", { change });
      kill(pid, "SIGCONT");
      for (const to of [world.vip("h2"), vip]) {
        await eventually(async () => (await ping(world, { in: "v1", to })).received === 1, {
          what: `a tunnel to ${to}`,
        });
      }
      kill(pid, "SIGSTOP");
      const end = h1.end("SIGTERM");
      try {
        await eventually(async () => (await h1.get("/readyz")).body === "draining\n", {
          what: "h1 to end",
          everyMs: 0,
          deadlineMs: 5000,
        });
        await agree({ h1, h2 }, {
          name: "an agent that is ending",
          packet: { src, dst },
          verdict: "dropped",
          moves: "shutdown",
          words: /^ ROOT [^]* RSS The agent is ending, and opens no tunnel any more$/,
          send: once(world, dst),
        });
        await end;
        break;
      } catch (cause) {
        await end;
        if (attempt === 4 || !messageOf(cause).includes("fetch failed")) throw cause;
      }
    }
  },
);

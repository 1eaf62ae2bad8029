// SPDX-License-Identifier: Apache-2.0

/** What fits a tunnel, and how workloads learn it that do not know. */
import assert from "node:assert/strict";
import { ip } from "../support/netns.ts";
import { PLANE } from "../support/standin.ts";
import { agentCommand } from "../support/agent_process.ts";
import type { Family } from "../support/plan.ts";
import { sniff } from "../support/sniff.ts";
import { story } from "../support/story.ts";
import { copy, ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";
import type { World } from "../support/world.ts";

const BOTH = ["ipv4", "ipv6"] as const;

/** A ping of so many octets of IP that must not be cut. */
async function whole(
  world: World,
  { family, octets }: { readonly family: Family; readonly octets: number },
): Promise<string> {
  const size = octets - (family === "ipv4" ? 28 : 48);
  const route = { in: "v1", to: world.vip("h2", 0, family) };
  return (await ping(world, route, { mayBeCut: false, size })).text;
}

for (const [underlay, fits] of [["ipv4", 1440], ["ipv6", 1420]] as const) {
  story(`packets that do not fit are answered with the MTU (${underlay} underlay)`, {
    underlay,
    inner: BOTH,
    workloadMtu: 1500,
  }, async ({ world, startBoth }) => {
    const { h1 } = await startBoth();
    const status = await h1.status();
    assert.deepEqual(status.mtu, { uplink: 1500, overhead: 1500 - fits, inner: fits });
    const shown = await agentCommand(world, "h1", ["status"]);
    const line = `uplink 1500, overhead ${1500 - fits}, largest inner packet ${fits}`;
    assert.ok(shown.stdout.includes(line), shown.stdout + shown.stderr);
    for (const family of BOTH) {
      assert.match(await whole(world, { family, octets: fits }), /1 received/);
      const refused = await whole(world, { family, octets: fits + 1 });
      assert.match(refused, new RegExp(`mtu ?= ?${fits}`), refused);
      const to = world.vip("h2", 0, family);
      const route = await world.mustRun("v1", ["ip", "route", "get", to]);
      assert.match(route, new RegExp(`mtu ${fits}`), route);
    }
    assert.ok(await h1.counter("too-big") >= 2);
  });
}

// Hardware cuts nothing.
if (PLANE !== "doca") {
  story("what may be cut is cut as a router does it, and arrives whole", {
    inner: BOTH,
    workloadMtu: 1500,
  }, async ({ world, startBoth }) => {
    const { h1, h2 } = await startBoth();
    const route = { in: "v1", to: world.vip("h2") };
    // 1,500 octets in one packet, and 4,028 in three of which two are too long themselves.
    for (const size of [1472, 4000]) {
      const options = { count: 3, interval: 0.1, mayBeCut: true, size };
      const { received, text } = await ping(world, route, options);
      assert.equal(received, 3, text);
    }
    // There and back.
    for (const agent of [h1, h2]) {
      assert.ok(await agent.counter("fragments") >= 9, `${await agent.counter("fragments")}`);
      assert.equal(await agent.counter("too-big"), 0);
    }
  });
}

// Hardware sends what the port takes, and says nothing of the rest.
if (PLANE !== "doca") {
  story("a peer is told through the tunnel what the port of our workload carries", {
    inner: BOTH,
  }, async ({ world, startBoth }) => {
    await ip(["link set host mtu 1300"], world.host("h2").ns);
    await ip(["link set eth0 mtu 1300"], world.workload("h2").ns);
    const { h1, h2 } = await startBoth();
    for (const family of BOTH) {
      assert.match(await whole(world, { family, octets: 1300 }), /1 received/);
      assert.match(await whole(world, { family, octets: 1301 }), /mtu ?= ?1300/);
      const to = world.vip("h2", 0, family);
      assert.match(await world.mustRun("v1", ["ip", "route", "get", to]), /mtu 1300/);
    }
    assert.ok(await h2.counter("too-big") >= 2);
    assert.ok(await h2.counter("too-big-told") >= 2);
    assert.equal(await h1.counter("too-big"), 0);
    const drops = await agentCommand(world, "h2", ["drops"]);
    assert.match(drops.stdout, /too-big/, drops.stdout + drops.stderr);
    // IPv4 that may be cut arrives.
    const options = { count: 3, interval: 0.1, mayBeCut: true, size: 1372 };
    const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, options);
    assert.equal(received, 3, text);
  });
}

story(
  "errors about packets that are too big are rate limited",
  { workloadMtu: 1500 },
  async (s) => {
    const { world, startBoth } = s;
    const { h1 } = await startBoth();
    assert.match(await whole(world, { family: "ipv4", octets: 1000 }), /1 received/);
    const frame = (i: number) => {
      const bytes = new Uint8Array(14 + 1500);
      const view = new DataView(bytes.buffer);
      bytes.set(Uint8Array.fromHex("025053500001" + "020000010101" + "0800" + "450005dc"));
      view.setUint16(18, i);
      bytes.set(Uint8Array.fromHex("4000" + "4011" + "0000" + "0a010001" + "0a020001"), 20);
      let sum = 0;
      for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
      view.setUint16(24, ~sum & 0xffff);
      view.setUint16(38, 1480);
      return bytes;
    };
    const worker = await world.worker("v1");
    const before = await h1.counter("too-big");
    const errors = async () => {
      const text = await world.mustRun("v1", ["cat", "/proc/net/snmp"]);
      const [names, values] = text.split("\n").filter((line) => line.startsWith("Icmp:"))
        .map((line) => line.split(" "));
      return Number(values?.[names?.indexOf("InDestUnreachs") ?? -1]);
    };
    const told = await errors();
    const sentMs = performance.now();
    await worker.frames("eth0", Array.from({ length: 200 }, (_, i) => frame(i)));
    await eventually(async () => await h1.counter("too-big") === before + 200, {
      what: "200 packets to be too big",
      describe: async () => `${await h1.counter("too-big") - before}`,
    });
    await eventually(async () => await errors() > told, { what: "an error about one of them" });
    // One a second, and one more for each of the few threads that may have had some of them.
    const n = await errors() - told;
    const seconds = (performance.now() - sentMs) / 1000;
    assert.ok(n <= 5 + seconds, `${n} errors for 200 packets of a flow in ${seconds} s`);
  },
);

for (const clamp of [true, false]) {
  story(`TCP of a workload at 1,500 ${clamp ? "is clamped" : "finds the MTU"}`, {
    workloadMtu: 1500,
    inner: BOTH,
  }, async ({ world, startBoth }) => {
    const { h1 } = await startBoth({ change: (config) => config.psp = { mss_clamp: clamp } });
    for (const family of BOTH) {
      const filter = family === "ipv4"
        ? "tcp[tcpflags] & tcp-syn != 0"
        : "ip6[6] == 6 and ip6[53] & 2 != 0";
      const at = { device: "eth0", count: 1 };
      const syn = await sniff(world, { ...at, in: "v2", filter: `${filter} and dst port 5201` });
      const ack = await sniff(world, { ...at, in: "v1", filter: `${filter} and src port 5201` });
      const address = world.vip("h2", 0, family);
      const result = await copy(world, { from: "v1", to: "v2", address, bytes: 4 << 20 });
      assert.equal(result.receivedSha256, result.sentSha256);
      const [there, here] = await Promise.all([syn(), ack()]);
      const fixed = family === "ipv4" ? 40 : 60;
      const mss = (clamp ? 1440 : 1500) - fixed;
      for (const frame of [there[0], here[0]]) assert.equal(mssOf(frame, family), mss);
    }
    const { counters } = await h1.status();
    // One for each SYN: a host that is busy may send one again.
    const clamped = counters["mss-clamped"] ?? 0;
    assert.ok(clamp ? clamped >= 2 : clamped === 0, `${clamped} clamped`);
    assert.equal((counters["too-big"] ?? 0) > 0, !clamp, `${counters["too-big"]} too big`);
  });
}

/** The MSS option of a SYN; Linux puts it first. */
function mssOf(frame: Uint8Array<ArrayBuffer> | undefined, family: Family): number {
  assert.ok(frame);
  const tcp = 14 + (family === "ipv4" ? 20 : 40);
  assert.equal(frame[tcp + 20], 2, "the first option is the MSS");
  return new DataView(frame.buffer, frame.byteOffset).getUint16(tcp + 22);
}

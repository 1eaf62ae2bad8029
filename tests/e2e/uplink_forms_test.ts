// SPDX-License-Identifier: Apache-2.0

/** Uplinks of other kinds: tagged, jumbo; and what psp-agent pipes --live says of the traffic. */
import assert from "node:assert/strict";
import { agentCommand } from "../support/agent_process.ts";
import { udpFrame } from "../support/frames.ts";
import { readPsp } from "../support/psp_wire.ts";
import { separate } from "../support/router.ts";
import { sniff } from "../support/sniff.ts";
import { PLANE, STANDIN_RELEASE } from "../support/standin.ts";
import { assertOnlyPsp, story } from "../support/story.ts";
import { copy, ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

story("a tagged uplink: PSP in the VLAN, the control channel beside it", {}, async (stage) => {
  const { world, startBoth } = stage;
  await startBoth({ change: ({ plane }) => plane.uplink_vlan = 42 });
  const tagged = await sniff(world, {
    in: "h2",
    device: "uplink",
    filter: "vlan 42 and udp dst port 1000",
    count: 3,
  });
  // One by one: packets that waited together cross the wire as one frame.
  for (let i = 0; i < 3; i++) {
    const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, { wait: 1 });
    // The stand-in's ports know no tags on what comes in: there the requests' way is all that can be seen.
    assert.equal(received, PLANE === "doca" ? 0 : 1, text);
  }
  for (const frame of await tagged()) assert.equal(readPsp(frame)?.vlan, 42);
});

story("a jumbo uplink carries jumbo packets", {
  mtu: 9000,
  inner: ["ipv4", "ipv6"],
  workloadMtu: 9000,
}, async ({ world, startBoth }) => {
  const { h1 } = await startBoth();
  assert.deepEqual((await h1.status()).mtu, { uplink: 9000, overhead: 60, inner: 8940 });
  const capture = await world.capture();
  for (const [family, headers] of [["ipv4", 28], ["ipv6", 48]] as const) {
    const to = world.vip("h2", 0, family);
    const pinged = await ping(world, { in: "v1", to }, { count: 3, size: 8940 - headers });
    assert.equal(pinged.received, 3, pinged.text);
    const result = await copy(world, { from: "v1", to: "v2", address: to, bytes: 32 << 20 });
    assert.equal(result.receivedSha256, result.sentSha256);
  }
  assertOnlyPsp(await capture.stop());
});

story("pipes --live counts what passes each pipe and edge", {}, async ({ world, startBoth }) => {
  const { h1, h2 } = await startBoth();
  // The first packet misses, is held, and comes again; then there is a tunnel.
  for (const count of [1, 9]) {
    const route = { in: "v1", to: world.vip("h2") };
    const { received, text } = await ping(world, route, { count, interval: 0.01 });
    assert.equal(received, count, text);
  }
  // Nobody's packet: it fails to open.
  const forged = Uint8Array.fromHex(`0401050500000009${"00".repeat(60)}`);
  const worker = await world.worker("h1");
  await worker.frames("uplink", [udpFrame({
    dstMac: world.host("h2").uplinkMac,
    srcMac: world.host("h1").uplinkMac,
    src: world.host("h1").pip,
    dst: world.host("h2").pip,
    srcPort: 50_000,
    dstPort: 1000,
  }, forged)]);
  await eventually(async () => await h2.counter("rx-auth-fail") === 1, { what: "the forgery" });
  const live = async (host: "h1" | "h2") => {
    const { code, stdout, stderr } = await agentCommand(world, host, ["pipes", "--live"]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const [one, two] = await Promise.all([live("h1"), live("h2")]);
  for (
    const part of [
      "EGR_ACL-.->|miss: 1|RSS",
      "EGR_ACL-->|10|p0",
      String.raw`A: encap, encrypt\n1 entries, 10 packets`,
      "INGR_ACL-->|10|host",
    ]
  ) assert.ok(one.includes(part), `${part} in ${one}`);
  // From DOCA 3.2 on what cannot be decrypted does not get as far as INGR_ACL (docs/doca.md).
  const missed = PLANE === "doca" && STANDIN_RELEASE !== "300" ? 0 : 1;
  for (
    const part of [
      'udp 1000: 11"|PSP_DECRYPT',
      `INGR_ACL-.->|miss: ${missed}|SYND_STATS`,
      "icv_failed 1, bad_trailer 0",
    ]
  ) assert.ok(two.includes(part), `${part} in ${two}`);
  assert.equal(await h1.counter("samples"), 0);
});

story("of an uplink's addresses the control channel leaves with the pip", {}, async (stage) => {
  const { world, startBoth } = stage;
  const { pip } = world.host("h1");
  // The kernel takes the one that was there first.
  const length = /inet \S+\/(\d+)/.exec(
    await world.mustRun("h1", ["ip", "-4", "addr", "show", "dev", "uplink"]),
  )?.[1];
  for (
    const line of [
      `del ${pip}/${length}`,
      `add 192.168.77.99/${length}`,
      `add ${pip}/${length}`,
    ]
  ) await world.mustRun("h1", ["ip", "addr", ...line.split(" "), "dev", "uplink"]);
  const chosen = await world.mustRun("h1", ["ip", "route", "get", world.host("h2").pip]);
  assert.match(chosen, /src 192\.168\.77\.99/);
  // As where a firewall knows the hosts by their outer addresses.
  for (
    const line of [
      "add table inet wall",
      "add chain inet wall in { type filter hook input priority 0; }",
      `add rule inet wall in tcp dport 7443 ip saddr != ${pip} drop`,
    ]
  ) await world.mustRun("h2", ["nft", line]);
  await startBoth();
  const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, { wait: 10 });
  assert.equal(received, 1, text);
});

story(
  "where only rules for the pip lead over the uplink, both channels go by them",
  {},
  async (stage) => {
    const { world, startBoth } = stage;
    await separate(world);
    for (const name of ["h1", "h2"] as const) {
      const { pip } = world.host(name);
      for (
        const line of [
          "link add oob address 02:00:00:00:98:01 type veth peer name oob-far",
          "link set oob up",
          "link set oob-far up",
          "addr add 10.99.0.1/24 dev oob",
          "route del default",
          // As on a host with a network for its administrators: nobody there knows the others' outer addresses.
          "route add default via 10.99.0.254",
          "route add default via 192.168.77.254 dev uplink table 77",
          `rule add from ${pip} lookup 77`,
        ]
      ) await world.mustRun(name, ["ip", ...line.split(" ")]);
    }
    await startBoth();
    const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, { wait: 10 });
    assert.equal(received, 1, text);
  },
);

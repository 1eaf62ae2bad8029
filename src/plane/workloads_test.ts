// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { DataPlaneError } from "../../ffi/plane.ts";
import { fixedPorts } from "../../tests/support/fixed_ports.ts";
import { VirtualClock } from "../../tests/sim/virtual_clock.ts";
import type { Config } from "../config/config.ts";
import { arpAnnouncement, arpProbe } from "../exceptions/arp.ts";
import {
  buildUdp,
  type Bytes,
  ipBytes,
  l4ChecksumOk,
  macBytes,
  parseIp,
} from "../exceptions/frame.ts";
import { neighbourAnnouncement } from "../exceptions/nd.ts";
import { Peers } from "../core/directory.ts";
import { Workloads, type WorkloadsOptions } from "./workloads.ts";

const GATEWAY_MAC = "02:50:53:50:00:01";
const PORT = 2;
const MAC = "02:00:00:00:00:11";

interface World {
  readonly workloads: Workloads;
  readonly sent: Bytes[];
  /** Handles of the ports that they went to. */
  readonly to: number[];
  readonly moved: [string, string | undefined][];
  readonly clock: VirtualClock;
  refuses: boolean;
}

function world(
  vips: Config["vips"],
  peerVips = ["10.2.0.0/24"],
  options: Partial<WorkloadsOptions> = {},
): World {
  const config: Pick<Config, "domain" | "gatewayMac" | "vips" | "peers" | "security"> = {
    domain: "psp-agent.local",
    gatewayMac: GATEWAY_MAC,
    vips,
    peers: [{ id: "h2", svcAddress: "192.0.2.2:7443", vips: peerVips }],
    security: { deny: [] },
  };
  const none = () => {};
  const clock = new VirtualClock();
  const made = {
    to: [] as number[],
    sent: [] as Bytes[],
    moved: [] as [string, string | undefined][],
    clock,
    refuses: false,
  };
  const workloads = new Workloads({
    config,
    peers: new Peers(config),
    clock,
    mtu: 1440,
    log: { debug: none, info: none, warn: none, error: none },
    ports: fixedPorts(PORT),
    moved: (vip, place) => made.moved.push([vip, place?.mac]),
    plane: {
      inject: (port, frame) => {
        made.to.push(Number(port));
        if (made.refuses) throw new DataPlaneError("Cannot inject: its queue is full", "EIO");
        made.sent.push(frame);
      },
    },
    ...options,
  });
  return Object.assign(made, { workloads });
}

const V4 = [{ vip: "10.1.0.0/24", dns: [] }];
const V6 = [{ vip: "fd01::/64", dns: [] }];

Deno.test("a host port that takes no reply does not end the agent", () => {
  const w = world([...V4, ...V6]);
  w.refuses = true;
  w.workloads.onException(arpProbe("10.2.0.7", MAC), PORT);
  assert.equal(w.workloads.placeOf("10.1.0.9"), undefined);
  w.workloads.tick();
  w.refuses = false;
  w.workloads.tick();
  assert.equal(w.sent.length, 1, "what could not be sent is due still");
});

Deno.test("routers are advertised now and then, for the lifetimes run out", async () => {
  const w = world(V6);
  w.workloads.tick();
  w.workloads.tick();
  assert.equal(w.sent.length, 1);
  const packet = w.sent[0] && parseIp(w.sent[0]);
  assert.ok(packet && l4ChecksumOk(packet));
  assert.deepEqual([packet.ethDst, packet.dst], ["33:33:00:00:00:01", "ff02::1"]);
  assert.equal(packet.l4[0], 134);
  await w.clock.advance(599_999);
  w.workloads.tick();
  assert.equal(w.sent.length, 1);
  await w.clock.advance(1);
  w.workloads.tick();
  assert.equal(w.sent.length, 2);
});

Deno.test("without IPv6 workloads there is nothing to advertise", () => {
  const w = world(V4);
  w.workloads.tick();
  assert.deepEqual(w.sent, []);
});

Deno.test("a workload is found by what it sends, and its vip is asked for at most once a second", async () => {
  const w = world(V4);
  assert.equal(w.workloads.placeOf("10.1.0.7"), undefined);
  assert.equal(w.workloads.placeOf("10.1.0.7"), undefined);
  assert.equal(w.sent.length, 1);
  await w.clock.advance(1000);
  assert.equal(w.workloads.placeOf("10.1.0.7"), undefined);
  assert.equal(w.sent.length, 2);
  w.workloads.learn("10.1.0.7", { mac: MAC, port: PORT });
  assert.equal(w.workloads.placeOf("10.1.0.7")?.mac, MAC);
  assert.deepEqual(w.moved, [["10.1.0.7", MAC]]);
  w.workloads.learn("10.2.0.7", { mac: MAC, port: PORT });
  assert.equal(w.moved.length, 1, "a peer's vip is no workload of ours");
});

for (
  const [whose, mac] of Object.entries({
    "everybody's": "ff:ff:ff:ff:ff:ff",
    "a group's": "01:00:5e:00:00:01",
    "IPv6 groups'": "33:33:00:00:00:01",
    "nobody's": "00:00:00:00:00:00",
    "the gateway's": GATEWAY_MAC,
  })
) {
  Deno.test(`no claim is believed of a workload whose MAC is ${whose}: by ARP, ND, DHCP or a packet`, () => {
    const w = world([...V4, ...V6]);
    w.workloads.learn("10.1.0.7", { mac: MAC, port: PORT });
    w.workloads.learn("fd01::7", { mac: MAC, port: PORT });
    assert.equal(w.workloads.learn("10.1.0.7", { mac, port: PORT }), false);
    // Some have no better one, as who writes frames by hand: what they send passes.
    assert.equal(w.workloads.shows("10.1.0.7", { mac, port: PORT }), true);
    w.workloads.onException(arpAnnouncement("10.1.0.7", mac), PORT);
    w.workloads.onException(neighbourAnnouncement("fd01::7", mac), PORT);
    assert.equal(w.workloads.placeOf("10.1.0.7")?.mac, MAC);
    assert.equal(w.workloads.placeOf("fd01::7")?.mac, MAC);
    assert.equal(w.workloads.counters()["claims-refused"], 4n);
    w.workloads.onException(dhcpRequest(mac, "10.1.0.9"), PORT);
    assert.equal(w.workloads.counters()["claims-refused"], 5n);
    assert.equal(w.workloads.knownPlaceOf("10.1.0.9"), undefined);
  });
}

/** DHCPREQUEST of a machine for an address. */
function dhcpRequest(mac: string, address: string): Bytes {
  const message = new Uint8Array(300);
  message.set([1, 1, 6]);
  message.set(macBytes(mac), 28);
  message.set([0x63, 0x82, 0x53, 0x63, 53, 1, 3, 50, 4, ...ipBytes(address), 255], 236);
  const at = { ethDst: "ff:ff:ff:ff:ff:ff", ethSrc: mac, dst: "255.255.255.255", ttl: 64 };
  return buildUdp({ ...at, src: "0.0.0.0" }, { src: 68, dst: 67 }, message);
}

Deno.test("who claims the gateway's address gets nothing that is sent to the gateway", () => {
  const gateway = "10.1.0.1";
  const w = world([{ vip: "10.1.0.0/24", gateway, dns: [] }]);
  w.workloads.onException(arpAnnouncement(gateway, MAC), PORT);
  w.sent.length = 0;
  w.workloads.onException(arpProbe(gateway, "02:00:00:00:00:77"), PORT);
  assert.equal(w.sent.length, 1);
  assert.equal(w.sent[0]?.subarray(22, 28).toHex(), GATEWAY_MAC.replaceAll(":", ""));
});

Deno.test("who owns 0.0.0.0/0 is not taken to own the segment's own addresses", () => {
  const answered = (target: string) => {
    const w = world(V4, ["0.0.0.0/0"]);
    w.workloads.onException(arpProbe(target, MAC), PORT);
    return w.sent.length === 1;
  };
  assert.deepEqual(["8.8.8.8", "10.2.0.7"].map(answered), [true, true]);
  assert.deepEqual(["169.254.77.7", "224.0.0.1", "255.255.255.255"].map(answered), [
    false,
    false,
    false,
  ]);
  assert.ok(answered("169.254.1.1"), "the gateway is the agent's own");
});

/** An IPv4 packet from a peer to a workload, as the plane hands it over when it knows no place for it. */
function undelivered(dst: string): Bytes {
  const at = { ethDst: GATEWAY_MAC, ethSrc: GATEWAY_MAC, src: "10.2.0.9", dst, ttl: 64 };
  return buildUdp(at, { src: 9, dst: 9 }, Uint8Array.of(1));
}

Deno.test("packets wait a little for a workload that is not found yet, and none is broadcast", async () => {
  const w = world(V4);
  for (let i = 0; i < 10; i++) w.workloads.onUndelivered(undelivered("10.1.0.7"), "10.1.0.7");
  assert.equal(w.sent.length, 1, "it is asked for");
  w.workloads.learn("10.1.0.7", { mac: MAC, port: PORT });
  const packets = w.sent.slice(1).map((frame) => parseIp(frame));
  assert.deepEqual(packets.map((packet) => packet?.ethDst), Array(8).fill(MAC));
  w.workloads.onUndelivered(undelivered("10.1.0.7"), "10.1.0.7");
  assert.equal(w.sent.length, 10, "found: it goes at once");
  assert.equal(w.workloads.counters()["workload-unknown"], 2n);

  w.workloads.onUndelivered(undelivered("10.1.0.8"), "10.1.0.8");
  for (let s = 0; s < 4; s++) {
    await w.clock.advance(1000);
    w.workloads.tick();
  }
  assert.equal(w.workloads.counters()["workload-unknown"], 3n);
  const before = w.sent.length;
  w.workloads.learn("10.1.0.8", { mac: MAC, port: PORT });
  assert.equal(w.sent.length, before, "what waited too long is gone");
  w.workloads.onUndelivered(Uint8Array.of(1, 2, 3), "10.1.0.7");
  assert.equal(w.workloads.counters()["workload-unknown"], 4n);
});

Deno.test("a workload that was silent for long is asked, and forgotten when it does not answer", async () => {
  const w = world(V4);
  w.workloads.learn("10.1.0.7", { mac: MAC, port: PORT });
  w.workloads.learn("10.1.0.8", { mac: MAC, port: PORT });
  await w.clock.advance(300_001);
  w.workloads.tick();
  assert.equal(w.sent.length, 2);
  w.workloads.learn("10.1.0.8", { mac: MAC, port: PORT });
  for (let s = 0; s < 4; s++) {
    await w.clock.advance(1000);
    w.workloads.tick();
  }
  assert.deepEqual(w.moved.at(-1), ["10.1.0.7", undefined]);
  assert.equal(w.workloads.placeOf("10.1.0.8")?.mac, MAC);
});

Deno.test("a guest that only listens is asked, at its port first, then wherever it can be", async () => {
  const listening = new Set<string>();
  const w = world(V4, undefined, { listening: () => listening, ports: fixedPorts(PORT, 3, 4) });
  w.workloads.learn("10.1.0.7", { mac: MAC, port: PORT });
  const tick = async () => {
    await w.clock.advance(1000);
    w.workloads.tick();
    listening.clear();
  };
  await tick();
  listening.add("10.1.0.7");
  await tick();
  assert.deepEqual(w.to, [PORT], "one packet is enough");
  await tick();
  await tick();
  assert.deepEqual(w.to, [PORT, PORT, PORT, 3, 4]);
  w.workloads.learn("10.1.0.7", { mac: "02:00:00:00:00:12", port: 3 });
  assert.equal(w.workloads.placeOf("10.1.0.7")?.mac, "02:00:00:00:00:12");
  await tick();
  assert.equal(w.to.length, 5, "it has been heard");
  for (let i = 0; i < 10; i++) {
    if (i === 1) listening.add("10.1.0.7");
    await tick();
  }
  assert.equal(w.to.length, 5 + 2 + 3 * 3, "who does not answer is not asked for ever");
});

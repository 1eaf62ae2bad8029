// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { DataPlaneError } from "../../ffi/plane.ts";
import { VirtualClock } from "../../tests/support/virtual_clock.ts";
import type { Config } from "../config/config.ts";
import { arpProbe } from "../exceptions/arp.ts";
import { type Bytes, l4ChecksumOk, parseIp } from "../exceptions/frame.ts";
import { Peers } from "../core/directory.ts";
import { Workloads } from "./workloads.ts";

const GATEWAY_MAC = "02:50:53:50:00:01";
const MAC = "02:00:00:00:00:11";

interface World {
  readonly workloads: Workloads;
  readonly sent: Bytes[];
  readonly moved: [string, string][];
  readonly clock: VirtualClock;
  refuses: boolean;
}

function world(vips: Config["vips"], peerVips = ["10.2.0.0/24"]): World {
  const config: Pick<Config, "domain" | "gatewayMac" | "vips" | "peers" | "security"> = {
    domain: "psp-agent.local",
    gatewayMac: GATEWAY_MAC,
    vips,
    peers: [{ id: "h2", svcAddress: "192.0.2.2:7443", vips: peerVips }],
    security: { deny: [] },
  };
  const none = () => {};
  const clock = new VirtualClock();
  const made = { sent: [] as Bytes[], moved: [] as [string, string][], clock, refuses: false };
  const workloads = new Workloads({
    config,
    peers: new Peers(config),
    clock,
    mtu: 1440,
    log: { debug: none, info: none, warn: none, error: none },
    moved: (vip, mac) => made.moved.push([vip, mac]),
    plane: {
      inject: (port, frame) => {
        assert.equal(port, "host");
        if (made.refuses) throw new DataPlaneError("Cannot inject: its queue is full", "EIO");
        made.sent.push(frame);
      },
    },
  });
  return Object.assign(made, { workloads });
}

const V4 = [{ vip: "10.1.0.0/24", dns: [] }];
const V6 = [{ vip: "fd01::/64", dns: [] }];

Deno.test("a host port that takes no reply does not end the agent", () => {
  const w = world([...V4, ...V6]);
  w.refuses = true;
  w.workloads.onException(arpProbe("10.2.0.7", MAC));
  assert.equal(w.workloads.macOf("10.1.0.9"), undefined);
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
  assert.equal(w.workloads.macOf("10.1.0.7"), undefined);
  assert.equal(w.workloads.macOf("10.1.0.7"), undefined);
  assert.equal(w.sent.length, 1);
  await w.clock.advance(1000);
  assert.equal(w.workloads.macOf("10.1.0.7"), undefined);
  assert.equal(w.sent.length, 2);
  w.workloads.learn("10.1.0.7", MAC);
  assert.equal(w.workloads.macOf("10.1.0.7"), MAC);
  assert.deepEqual(w.moved, [["10.1.0.7", MAC]]);
  w.workloads.learn("10.2.0.7", MAC);
  assert.equal(w.moved.length, 1, "a peer's vip is no workload of ours");
});

Deno.test("who owns 0.0.0.0/0 is not taken to own the segment's own addresses", () => {
  const answered = (target: string) => {
    const w = world(V4, ["0.0.0.0/0"]);
    w.workloads.onException(arpProbe(target, MAC));
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

// SPDX-License-Identifier: Apache-2.0

/** A peer that allows little is asked more slowly, and the packets wait for it. */
import assert from "node:assert/strict";
import { buildFrame, checksum, IP_PROTO_ICMP, view } from "../../src/exceptions/frame.ts";
import { echoTimes } from "../support/echo_probe.ts";
import { GATEWAY_MAC } from "../support/plan.ts";
import { story } from "../support/story.ts";

/** Six full requests, where one is allowed, and one more each second. */
const PAIRS = 1500;

story(
  "a peer that refuses for the rate gets every request in the end",
  { vips: PAIRS },
  async (stage) => {
    const { world, start } = stage;
    const [h1, h2] = await Promise.all([
      // Nothing is asked again because an answer takes its time.
      start("h1", { change: ({ rpc }) => rpc.timeout = "30s" }),
      start("h2", { change: ({ rpc }) => Object.assign(rpc, { peer_rate: 1, peer_burst: 1 }) }),
    ]);
    const frames = Array.from({ length: PAIRS }, (_, seq) => {
      const icmp = new Uint8Array(64);
      icmp[0] = 8; // echo request
      view(icmp).setUint16(6, seq);
      view(icmp).setUint16(2, checksum(icmp));
      return buildFrame({
        ethDst: GATEWAY_MAC,
        ethSrc: world.workload("h1").mac,
        src: world.vip("h1"),
        dst: world.vip("h2", seq),
        protocol: IP_PROTO_ICMP,
        ttl: 64,
      }, icmp);
    });
    const probe = { ns: world.ns("v1"), device: "eth0", arrival: "bunched", frames } as const;
    assert.equal((await echoTimes(probe)).length, PAIRS);
    const [one, two] = [(await h1.status()).counters, (await h2.status()).counters];
    assert.ok((one["slowed-by-peer"] ?? 0) > 0, "h2 refused some");
    assert.ok((two["refused-rate"] ?? 0) >= (one["slowed-by-peer"] ?? 0), "it counts notices too");
    assert.equal(one["exchanges-failed"], 0);
    assert.equal(one["tunnels-opened"], PAIRS);
    assert.equal(two["responder-repeats"], 0);
  },
);

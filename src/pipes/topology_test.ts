// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import fc from "fast-check";
import { buildTopology } from "./topology.ts";
import type { PipeName, Topology, TopologyOptions } from "./types.ts";
import { validateTopology } from "./validate.ts";

const PLAIN: TopologyOptions = {
  sampling: false,
  sampleRateLog2: 0,
  mode: "tunnel",
  onDemand: true,
  exceptions: false,
};

function pipe(topology: Topology, name: PipeName) {
  const found = topology.pipes.find((p) => p.name === name);
  assert.ok(found, name);
  return found;
}

Deno.test("every form of the reference topologies is valid", () => {
  fc.assert(fc.property(
    fc.record({
      sampling: fc.boolean(),
      sampleRateLog2: fc.integer({ min: 0, max: 16 }),
      mode: fc.constantFrom("tunnel" as const, "transport" as const),
      onDemand: fc.boolean(),
      exceptions: fc.boolean(),
      vc: fc.boolean(),
    }),
    (options) => assert.deepEqual(validateTopology(buildTopology(options)), []),
  ));
});

Deno.test("without sampling there are five pipes, with sampling three more", () => {
  const names = (sampling: boolean) =>
    buildTopology({ ...PLAIN, sampling }).pipes.map(({ name }) => name);
  assert.deepEqual(names(false), ["ROOT", "EGR_ACL", "PSP_DECRYPT", "INGR_ACL", "SYND_STATS"]);
  assert.deepEqual(names(true), [
    "ROOT",
    "EGR_ACL",
    "EGR_SAMP",
    "PSP_ENCRYPT",
    "PSP_DECRYPT",
    "INGR_SAMP",
    "INGR_ACL",
    "SYND_STATS",
  ]);
});

Deno.test("ROOT has three classification entries, and with exceptions those before them", () => {
  const names = (exceptions: boolean) =>
    pipe(buildTopology({ ...PLAIN, exceptions }), "ROOT").entries.map(({ name }) => name);
  assert.deepEqual(names(false), ["host-ipv4", "host-ipv6", "uplink-psp"]);
  assert.deepEqual(names(true).slice(-3), ["host-ipv4", "host-ipv6", "uplink-psp"]);
  assert.deepEqual(names(true).slice(0, -3), ["arp", "nd-rs", "nd-ns", "nd-na", "dhcp", "dhcp6"]);
});

Deno.test("ROOT looks at its entries in their order", () => {
  const { entries } = pipe(buildTopology({ ...PLAIN, exceptions: true }), "ROOT");
  assert.deepEqual(entries.map(({ priority }) => priority), entries.map((_, i) => i));
});

Deno.test("a miss in EGR_ACL goes to RSS on demand, and is dropped with static tunnels only", () => {
  const miss = (onDemand: boolean) =>
    pipe(buildTopology({ ...PLAIN, onDemand }), "EGR_ACL").fwd_miss;
  assert.deepEqual(miss(true), { type: "rss", rss: "miss" });
  assert.deepEqual(miss(false), { type: "drop" });
});

Deno.test("encryption is in the secure egress domain, decryption in the secure ingress domain", () => {
  for (const sampling of [false, true]) {
    for (const { name, domain, actions } of buildTopology({ ...PLAIN, sampling }).pipes) {
      const crypto = actions?.crypto?.action;
      if (crypto === "encrypt") assert.equal(domain, "secure_egress", name);
      if (crypto === "decrypt") assert.equal(domain, "secure_ingress", name);
    }
  }
});

Deno.test("transport mode matches the vips as outer addresses, tunnel mode as inner ones", () => {
  const mask = (mode: "tunnel" | "transport") =>
    pipe(buildTopology({ ...PLAIN, mode }), "INGR_ACL").match_mask;
  assert.ok(mask("tunnel")?.inner && !mask("tunnel")?.outer);
  assert.ok(mask("transport")?.outer && !mask("transport")?.inner);
});

Deno.test("INGR_ACL compares the cookie only when VCs are in use", () => {
  const vc = (on: boolean) =>
    pipe(buildTopology({ ...PLAIN, vc: on }), "INGR_ACL").match_mask?.tun?.psp?.vc;
  assert.equal(vc(true), true);
  assert.equal(vc(false), undefined);
});

Deno.test("one packet in 2^n is sampled, each when n is 0", () => {
  const samp = (sampleRateLog2: number) =>
    pipe(buildTopology({ ...PLAIN, sampling: true, sampleRateLog2 }), "EGR_SAMP");
  assert.deepEqual(samp(8).match_mask, { parser_meta: { random: 255 } });
  assert.deepEqual(samp(8).entries[0]?.match, { parser_meta: { random: 1 } });
  assert.deepEqual(samp(0).entries[0]?.match, {});
  assert.throws(() => samp(17), RangeError);
});

Deno.test("SYND_STATS counts, reports and drops each syndrome", () => {
  const { entries } = pipe(buildTopology(PLAIN), "SYND_STATS");
  assert.deepEqual(entries.map(({ name }) => name), ["ok", "icv_failed", "bad_trailer"]);
  for (const { fwd, monitor } of entries) {
    assert.deepEqual(fwd, { type: "drop" });
    assert.deepEqual(monitor, { counter: true, notify: "syndrome" });
  }
});

// SPDX-License-Identifier: Apache-2.0

/** Networks as the core sees them: equal addresses are nobody's but their own network's. */
import assert from "node:assert/strict";
import { Peers } from "../../src/core/directory.ts";
import { cookieProblem } from "../../src/core/params.ts";

const NETWORKS = [
  { name: "blue", vc: 7n, ports: [], vips: [], dns: [], policy: { deny: ["10.2.8.0/24"] } },
  { name: "red", vc: 8n, ports: [], vips: [], dns: [], policy: { deny: [] } },
];

Deno.test("every combination of two networks with equal addresses: an owner in one is none in the other", () => {
  const peers = new Peers({
    domain: "test",
    security: { deny: [] },
    networks: NETWORKS,
    vips: [{ vip: "10.1.0.0/24@blue", dns: [] }, { vip: "10.1.0.0/24", dns: [] }],
    peers: [
      { id: "h2", svcAddress: "192.0.2.2:7443", vips: ["10.2.0.0/16@blue"] },
      { id: "h3", svcAddress: "192.0.2.3:7443", vips: ["10.2.0.0/16@red", "10.1.0.0/24@red"] },
    ],
  });
  const owner = (vip: string) => peers.isLocal(vip) ? "here" : peers.byVip(vip)?.id;
  const networks = ["", "@blue", "@red", "@green"];
  assert.deepEqual(networks.map((n) => owner(`10.1.0.7${n}`)), ["here", "here", "h3", undefined]);
  assert.deepEqual(networks.map((n) => owner(`10.2.0.7${n}`)), [undefined, "h2", "h3", undefined]);
  assert.deepEqual(networks.map((n) => owner(`10.2.8.7${n}`)), [
    undefined,
    undefined,
    "h3",
    undefined,
  ], "what a network's policy denies has no owner there");
  for (const [id, network] of [["h2", "blue"], ["h3", "red"]] as const) {
    for (const other of networks) {
      assert.equal(peers.owns(id, `10.2.0.7${other}`), other === `@${network}`);
    }
  }
});

Deno.test("parameters of a network have its cookie, or are refused", () => {
  const problem = (vip: string, vc: bigint | undefined) =>
    cookieProblem(vc === undefined ? {} : { vc }, { vip, networks: NETWORKS });
  for (const { name, vc } of NETWORKS) {
    const vip = `10.1.0.7@${name}`;
    assert.equal(problem(vip, vc), undefined);
    for (const wrong of [undefined, 0n, 15n - vc, 9n]) {
      assert.match(problem(vip, wrong) ?? "", /vc/);
    }
  }
  assert.match(problem("10.1.0.7@green", 7n) ?? "", /not known/);
  for (const any of [undefined, 7n]) assert.equal(problem("10.1.0.7", any), undefined);
});

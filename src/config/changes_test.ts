// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { APPLIES, changedKeys, LiveConfig, peerChanges, restartKeys } from "./changes.ts";
import { parseConfig } from "./load.ts";
import { SMALLEST } from "./test_files.ts";

const configOf = (change: object) =>
  parseConfig(JSON.stringify({ ...SMALLEST, ...change }), "/etc/psp-agent/peers.json").config;

const TLS = { cert: "a.crt", key: "a.key", ca: "ca.crt" };

Deno.test("a changed key is live or waits for a start, by one table", () => {
  const before = configOf({});
  const cases: [change: object, live: string[], restart: string[]][] = [
    [{}, [], []],
    [{ tunnel: { life: "1h" } }, [], []],
    [{ tunnel: { life: "2h", on_demand: false } }, ["tunnel.life"], ["tunnel.on_demand"]],
    [{ security: { deny: ["h9"] }, log: { level: "debug" } }, ["security.deny", "log.level"], []],
    [{ vips: ["10.1.0.0/24", "10.9.0.0/24"] }, ["vips"], []],
    [{ rotation: { interval: "1h" }, psp: { ttl: 32 } }, ["rotation.interval"], [
      "psp.ttl",
    ]],
    [{ rpc: { tls: TLS, listen: "192.0.2.1:7444" } }, [
      "rpc.tls.cert",
      "rpc.tls.key",
      "rpc.tls.ca",
    ], ["rpc.listen"]],
    [{ rpc: { insecure: true } }, [], ["rpc.insecure", "rpc.tls"]],
    [{ status: { tls: TLS, origins: ["https://a.example"] } }, ["status.origins"], ["status.tls"]],
    [{ psp: { ttl: 1, max_crypt_offset: { ipv4: 1, ipv6: 1 } } }, ["psp.max_crypt_offset"], [
      "psp.ttl",
    ]],
    [{ plane: { uplink: "u9", host: "h9" } }, [], ["plane.uplink", "plane.host"]],
  ];
  for (const [change, live, restart] of cases) {
    const after = configOf(change);
    assert.deepEqual([...restartKeys(before, after)].sort(), [...restart].sort());
    assert.deepEqual([...changedKeys(before, after)].sort(), [...live, ...restart].sort());
  }
  assert.equal(APPLIES.peers, "live");
});

Deno.test("peers that come, go and are others are told apart; their order is nothing", () => {
  const of = (id: string, ...vips: string[]) => ({ id, svcAddress: "a:1", vips });
  const before = [of("h2", "10.2.0.1/32"), of("h3", "10.3.0.1/32"), of("h4", "10.4.0.1/32")];
  const after = [of("h4", "10.4.0.1/32"), of("h3", "10.3.0.2/32"), of("h5", "10.5.0.1/32")];
  const { changed, removed } = peerChanges(before, after);
  assert.deepEqual([changed.map(({ id }) => id), removed], [["h3", "h5"], ["h2"]]);
});

Deno.test("whoever holds the view of a configuration reads what is in force", () => {
  const live = new LiveConfig(configOf({}));
  const { view } = live;
  const part: { readonly tunnel: { readonly lifeMs: number } } = view;
  assert.equal(part.tunnel.lifeMs, 3_600_000);
  live.replace(configOf({ tunnel: { life: "5m" } }));
  assert.equal(part.tunnel.lifeMs, 300_000);
  assert.equal(live.now.tunnel.lifeMs, 300_000);
  assert.deepEqual({ ...view }, live.now);
});

// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { changedSince, reload, type Running } from "./reload.ts";
import { parseConfig } from "../config/load.ts";
import { SMALLEST } from "../config/test_files.ts";

const configOf = (change: object) =>
  parseConfig(JSON.stringify({ ...SMALLEST, ...change }), "/etc/psp-agent/peers.json").config;

Deno.test("what a reload does not take is named; what it takes is not", () => {
  const before = configOf({});
  assert.deepEqual(changedSince(before, configOf({})), []);
  assert.deepEqual(changedSince(before, configOf({ security: { deny: ["h9"] } })), []);
  assert.deepEqual(changedSince(before, configOf({ tunnel: { life: "1h" } })), [], "the default");
  const [h2] = SMALLEST.peers;
  assert.deepEqual(
    changedSince(before, configOf({ tunnel: { life: "2h" }, peers: [{ ...h2, vc: "1" }] })),
    ["tunnel.life", "peers[h2].vc"],
  );
});

Deno.test("a reload says what it took, and what has to wait for a new start", async () => {
  const said: string[] = [];
  const say = (message: string, fields: object = {}) =>
    said.push(`${message} ${JSON.stringify(fields)}`);
  const heard: unknown[] = [];
  const running: Running = {
    config: configOf({}),
    core: { deny: (list) => (heard.push(list), list) },
    server: { setTrust: () => 0, presented: () => new Map() } as unknown as Running["server"],
    status: { reload: () => {}, setTrust: () => {} },
    client: { setTrust: () => {}, presented: () => new Map() },
    tls: undefined,
    log: { debug: say, info: say, warn: say, error: say },
    notify: { reloading: () => {}, ready: () => {} },
  };
  const after = configOf({ security: { deny: ["h2"] }, psp: { ttl: 1 } });
  await reload(() => Promise.resolve(after), running);
  assert.deepEqual(heard, [["h2"], ["h2"]]);
  assert.deepEqual(said, [
    'Configuration reloaded: the deny list and certificates are in force {"count":1}',
    'Other changes come into force when the agent is started again {"reason":"psp.ttl"}',
  ]);
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Key } from "../../ffi/key.ts";
import { requestDigest } from "./digest.ts";
import type { NewTunnelRequest, TunnelOffer } from "./exchange.ts";
import type { PspParams } from "./sa.ts";

function offer(change: Partial<PspParams> = {}, vips: Partial<TunnelOffer> = {}): TunnelOffer {
  return {
    localVip: "10.2.0.1",
    remoteVip: "10.1.0.1",
    reverse: {
      spi: 7,
      version: "aes-gcm-128",
      key: new Key(new Uint8Array(16).fill(1)),
      pip: "192.0.2.2",
      mac: "02:00:00:00:00:02",
      cryptOffset: 5,
      mode: "tunnel",
      serial: 1n,
      lifeS: 60,
      ...change,
    },
    ...vips,
  };
}

function digest(change: Partial<NewTunnelRequest> = {}): string {
  return requestDigest({
    bootEpoch: 1n,
    requestId: "00",
    versionsAccepted: ["aes-gcm-128", "aes-gcm-256"],
    tunnels: [offer()],
    ...change,
  });
}

Deno.test("a request again is the same, and one with anything different is another", () => {
  const others: Partial<NewTunnelRequest>[] = [
    { bootEpoch: 2n },
    { requestId: "01" },
    { versionsAccepted: ["aes-gcm-256", "aes-gcm-128"] },
    { tunnels: [] },
    { tunnels: [offer(), offer()] },
    { tunnels: [offer({}, { localVip: "10.2.0.2" })] },
    { tunnels: [offer({}, { remoteVip: "10.1.0.2" })] },
    ...([
      { spi: 8 },
      { version: "aes-gmac-128" },
      { key: new Key(new Uint8Array(16).fill(2)) },
      { key: new Key(new Uint8Array(32).fill(1)) },
      { pip: "192.0.2.3" },
      { mac: "02:00:00:00:00:03" },
      { cryptOffset: 6 },
      { mode: "transport" },
      { serial: 2n },
      { lifeS: 61 },
      { vc: 0n },
    ] as const).map((change) => ({ tunnels: [offer(change)] })),
  ];
  const all = [digest(), ...others.map(digest)];
  assert.equal(new Set(all).size, all.length);
  assert.deepEqual(others.map(digest), all.slice(1));
  assert.equal(digest(), all[0]);
});

// SPDX-License-Identifier: Apache-2.0

/** Configurations for tests of the core. */
import { LIMITS } from "../../ffi/symbols.ts";
import type { Config } from "../../src/config/config.ts";

/** Parts of the configuration that a test may set. */
export type Changes =
  & {
    readonly [K in "tunnel" | "rpc" | "psp" | "rotation" | "security"]?: Partial<Config[K]>;
  }
  & {
    /** Of the plane; absent: its own default. */
    readonly maxEntries?: number;
  };

/** Host `n` of `hosts`, each a peer of every other. */
export function configOf(
  n: number,
  { hosts, changes }: { readonly hosts: number; readonly changes: Changes },
): Config {
  const peers = Array.from({ length: hosts }, (_, i) => i + 1).filter((i) => i !== n);
  return {
    id: `h${n}`,
    domain: "test",
    stateDir: "",
    pip: `192.0.2.${n}`,
    gatewayMac: "02:50:53:50:00:01",
    vips: [{ vip: `10.${n}.0.0/16`, dns: [] }],
    peers: peers.map((i) => ({
      id: `h${i}`,
      svcAddress: `192.0.2.${i}:7481`,
      vips: [`10.${i}.0.0/16`],
    })),
    plane: {
      kind: "soft",
      uplink: "u",
      host: "h",
      backend: "auto",
      hostGuard: "auto",
      maxEntries: changes.maxEntries ?? LIMITS.max_entries.default,
      uplinkVlan: 0,
    },
    psp: {
      versions: ["aes-gcm-256", "aes-gcm-128"],
      mode: "tunnel",
      sampleRateLog2: 0,
      sampleBytes: 0,
      copyDscp: true,
      mssClamp: true,
      ttl: 64,
      replayWindow: LIMITS.replay_window.default,
      ...changes.psp,
    },
    hold: {
      packetsPerFlow: LIMITS.hold_packets_per_flow.default,
      bytes: LIMITS.hold_bytes.default,
      flows: LIMITS.hold_flows.default,
    },
    rpc: {
      listen: "",
      insecure: true,
      requirePq: false,
      timeoutMs: 1000,
      attempts: 4,
      maxConnections: 256,
      handshakeTimeoutMs: 5000,
      maxMessageBytes: 65536,
      peerRate: 50,
      peerBurst: 200,
      ...changes.rpc,
    },
    status: { listen: "", admin: false, origins: [] },
    tunnel: {
      onDemand: true,
      restore: true,
      lifeMs: 3_600_000,
      lifePackets: 1n << 34n,
      idleMs: 600_000,
      graceMs: 5000,
      backOffMs: 1000,
      backOffMaxMs: 60_000,
      ...changes.tunnel,
    },
    rotation: { intervalMs: 86_400_000, ...changes.rotation },
    security: { deny: [], ...changes.security },
    log: { level: "info", format: "text" },
    directory: {},
  };
}

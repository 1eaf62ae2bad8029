// SPDX-License-Identifier: Apache-2.0

/**
 * The effective configuration: what `peers.json` says, validated, with every default filled in.
 * The file has the same tree in snake_case ("state_dir"), durations as "10m" or seconds; here they are
 * milliseconds.
 */
import type { PspMode, PspVersion } from "../sa/sa.ts";

export type PlaneConfig =
  | {
    readonly kind: "soft";
    readonly uplink: string;
    readonly host: string;
    readonly backend: "auto" | "openssl" | "ipsec-mb";
    readonly nextHopMac?: string;
    /** 802.1Q VLAN id, 0: untagged. */
    readonly uplinkVlan: number;
    /** Path of another shim than the one that comes with the agent. */
    readonly library?: string;
  }
  | {
    readonly kind: "doca";
    readonly pci: string;
    readonly representor: string;
    readonly cores: string;
    readonly hugepagesMb?: number;
    readonly nextHopMac?: string;
    readonly uplinkVlan: number;
    readonly library?: string;
  };

/** An address or prefix of workloads on this host. */
export interface LocalVip {
  /** Canonical CIDR: "10.1.0.5/32". */
  readonly vip: string;
  /** MAC of the workload; absent: learned. */
  readonly mac?: string;
  /** What DHCP and router advertisements say. */
  readonly gateway?: string;
  readonly dns: readonly string[];
}

export interface PeerConfig {
  /** The last part of its SPIFFE id, or the DNS name in its certificate. */
  readonly id: string;
  /** "host:port" of its agent; IPv6 in brackets. */
  readonly svcAddress: string;
  /** Outer address; absent: what the exchange says. */
  readonly pip?: string;
  /** Canonical CIDRs. */
  readonly vips: readonly string[];
  readonly nextHopMac?: string;
  /** Virtualization cookie for packets that this peer sends to us. */
  readonly vc?: bigint;
}

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface Config {
  readonly id: string;
  /** Trust domain of the SPIFFE ids. */
  readonly domain: string;
  readonly stateDir: string;
  readonly pip: string;
  /** MAC that workloads see as their gateway's; must differ from the host port's own. */
  readonly gatewayMac: string;
  readonly vips: readonly LocalVip[];
  readonly peers: readonly PeerConfig[];
  readonly plane: PlaneConfig;
  readonly psp: {
    /** In order of preference. */
    readonly versions: readonly PspVersion[];
    readonly mode: PspMode;
    /** Absent: 5 and 10, or 7 and 12 with a VC; in transport mode 0, or 2. */
    readonly cryptOffset?: { readonly ipv4: number; readonly ipv6: number };
    readonly sampleRateLog2: number;
    readonly sampleBytes: number;
    readonly copyDscp: boolean;
    readonly mssClamp: boolean;
    readonly ttl: number;
  };
  readonly hold: {
    readonly packetsPerFlow: number;
    readonly bytes: number;
    readonly flows: number;
  };
  readonly rpc: {
    /** "host:port". */
    readonly listen: string;
    readonly tls?: TlsFiles;
    readonly insecure: boolean;
    readonly timeoutMs: number;
    readonly attempts: number;
    readonly maxConnections: number;
    readonly handshakeTimeoutMs: number;
    readonly maxMessageBytes: number;
    readonly peerRate: number;
    readonly peerBurst: number;
  };
  readonly status: {
    readonly listen: string;
    readonly admin: boolean;
    readonly tls?: TlsFiles;
    readonly tokenFile?: string;
  };
  readonly tunnel: {
    readonly onDemand: boolean;
    readonly restore: boolean;
    readonly lifeMs: number;
    /** Packets per transmit key. */
    readonly lifePackets: bigint;
    readonly idleMs: number;
    readonly graceMs: number;
    readonly backOffMs: number;
    readonly backOffMaxMs: number;
  };
  readonly rotation: { readonly intervalMs: number };
  readonly security: {
    /** Identities ("h9", a SPIFFE id) or certificate fingerprints ("sha256:..."). */
    readonly deny: readonly string[];
  };
  readonly log: {
    readonly level: "debug" | "info" | "warning" | "error";
    readonly format: "text" | "json";
  };
}

/** The configuration cannot be used. `problems` has one sentence for each thing that is wrong. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  constructor(message: string, readonly problems: readonly string[] = [], options?: ErrorOptions) {
    super(message, options);
  }
}

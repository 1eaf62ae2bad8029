// SPDX-License-Identifier: Apache-2.0

/** Between the file's names and the `Config` that the agent works with: there, and back for printing. */
import { resolve } from "node:path";
import { isOneAddress, parseIp } from "./addresses.ts";
import { compact } from "./compact.ts";
import type { Config, PlaneConfig, TlsFiles } from "./config.ts";
import { formatDuration } from "./durations.ts";
import type { FileForm } from "./schema.ts";

/** Fills in what depends on other keys; relative paths start at `dir`, the file's directory. */
export function toConfig(form: FileForm, dir: string): Config {
  const path = (file: string) => resolve(dir, file);
  const tls = (files: TlsFiles | undefined) =>
    files && { cert: path(files.cert), key: path(files.key), ca: path(files.ca) };
  const { psp, hold, rpc, status, tunnel } = form;
  return {
    id: form.id,
    domain: form.domain,
    stateDir: path(form.state_dir),
    pip: form.pip,
    gatewayMac: form.gateway_mac,
    vips: form.vips.map(({ mac, ...entry }) =>
      compact({ ...entry, mac: isOneAddress(entry.vip) ? mac : undefined })
    ),
    peers: form.peers.map((peer) =>
      compact({
        id: peer.id,
        svcAddress: peer.svc_address,
        pip: peer.pip,
        vips: peer.vips,
        nextHopMac: peer.next_hop_mac,
        vc: peer.vc,
      })
    ),
    plane: toPlane(form.plane, path),
    psp: compact({
      versions: psp.versions,
      mode: psp.mode,
      cryptOffset: psp.crypt_offset,
      sampleRateLog2: psp.sample_rate_log2,
      sampleBytes: psp.sample_bytes,
      copyDscp: psp.copy_dscp,
      mssClamp: psp.mss_clamp,
      ttl: psp.ttl,
    }),
    hold: { packetsPerFlow: hold.packets_per_flow, bytes: hold.bytes, flows: hold.flows },
    rpc: compact({
      listen: rpc.listen ?? defaultListen(form.pip),
      tls: tls(rpc.tls),
      insecure: rpc.insecure,
      timeoutMs: rpc.timeout,
      attempts: rpc.attempts,
      maxConnections: rpc.max_connections,
      handshakeTimeoutMs: rpc.handshake_timeout,
      maxMessageBytes: rpc.max_message_bytes,
      peerRate: rpc.peer_rate,
      peerBurst: rpc.peer_burst,
    }),
    status: compact({
      listen: status.listen,
      admin: status.admin,
      tls: tls(status.tls),
      tokenFile: status.token_file && path(status.token_file),
    }),
    tunnel: {
      onDemand: tunnel.on_demand,
      restore: tunnel.restore,
      lifeMs: tunnel.life,
      lifePackets: tunnel.life_packets,
      idleMs: tunnel.idle,
      graceMs: tunnel.grace,
      backOffMs: tunnel.back_off,
      backOffMaxMs: tunnel.back_off_max,
    },
    rotation: { intervalMs: form.rotation.interval },
    security: { deny: form.security.deny },
    log: { level: form.log.level, format: form.log.format },
  };
}

/** Where the control channel listens when the file does not say: the host's own address, port 7443. */
export function defaultListen(pip: string): string {
  return parseIp(pip).includes(":") ? `[${pip}]:7443` : `${pip}:7443`;
}

/** The tree that a file would have for this configuration: loading it gives the same one again. */
export function toFile(config: Config): Record<string, unknown> {
  const { psp, hold, rpc, status, tunnel } = config;
  return compact({
    id: config.id,
    domain: config.domain,
    state_dir: config.stateDir,
    pip: config.pip,
    gateway_mac: config.gatewayMac,
    vips: config.vips.map((entry) => entry),
    plane: fromPlane(config.plane),
    psp: compact({
      versions: psp.versions,
      mode: psp.mode,
      crypt_offset: psp.cryptOffset,
      sample_rate_log2: psp.sampleRateLog2,
      sample_bytes: psp.sampleBytes,
      copy_dscp: psp.copyDscp,
      mss_clamp: psp.mssClamp,
      ttl: psp.ttl,
    }),
    hold: { packets_per_flow: hold.packetsPerFlow, bytes: hold.bytes, flows: hold.flows },
    rpc: compact({
      listen: rpc.listen,
      tls: rpc.tls,
      insecure: rpc.insecure,
      timeout: formatDuration(rpc.timeoutMs),
      attempts: rpc.attempts,
      max_connections: rpc.maxConnections,
      handshake_timeout: formatDuration(rpc.handshakeTimeoutMs),
      max_message_bytes: rpc.maxMessageBytes,
      peer_rate: rpc.peerRate,
      peer_burst: rpc.peerBurst,
    }),
    status: compact({
      listen: status.listen,
      admin: status.admin,
      tls: status.tls,
      token_file: status.tokenFile,
    }),
    tunnel: {
      on_demand: tunnel.onDemand,
      restore: tunnel.restore,
      life: formatDuration(tunnel.lifeMs),
      life_packets: fromBigint(tunnel.lifePackets),
      idle: formatDuration(tunnel.idleMs),
      grace: formatDuration(tunnel.graceMs),
      back_off: formatDuration(tunnel.backOffMs),
      back_off_max: formatDuration(tunnel.backOffMaxMs),
    },
    rotation: { interval: formatDuration(config.rotation.intervalMs) },
    security: { deny: config.security.deny },
    log: config.log,
    peers: config.peers.map((peer) =>
      compact({
        id: peer.id,
        svc_address: peer.svcAddress,
        pip: peer.pip,
        vips: peer.vips,
        next_hop_mac: peer.nextHopMac,
        vc: peer.vc === undefined ? undefined : fromBigint(peer.vc),
      })
    ),
  });
}

function toPlane(plane: FileForm["plane"], path: (file: string) => string): PlaneConfig {
  const common = {
    nextHopMac: plane.next_hop_mac,
    uplinkVlan: plane.uplink_vlan,
    library: plane.library && path(plane.library),
  };
  if (plane.kind === "soft") {
    const { kind, uplink, host, backend } = plane;
    return compact({ kind, uplink, host, backend, ...common });
  }
  const { kind, pci, representor, cores, hugepages_mb } = plane;
  return compact({ kind, pci, representor, cores, hugepagesMb: hugepages_mb, ...common });
}

function fromPlane(plane: PlaneConfig): Record<string, unknown> {
  const { nextHopMac, uplinkVlan, library, ...rest } = plane;
  const common = { next_hop_mac: nextHopMac, uplink_vlan: uplinkVlan, library };
  if (rest.kind === "soft") return compact({ ...rest, ...common });
  const { hugepagesMb, ...doca } = rest;
  return compact({ ...doca, hugepages_mb: hugepagesMb, ...common });
}

/** JSON has no 64-bit numbers: above 2^53 they stand in quotes. */
function fromBigint(n: bigint): number | string {
  return n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : `0x${n.toString(16)}`;
}

// SPDX-License-Identifier: Apache-2.0

/** Certificates, a handler that records, servers and clients on loopback: what the tests here share. */
import { Key } from "../../ffi/key.ts";
import type { TlsFiles } from "../../src/config/config.ts";
import type {
  NewTunnelReply,
  NewTunnelRequest,
  Notice,
  TunnelHandler,
} from "../../src/model/exchange.ts";
import { type IssuedPaths, pkiInit, pkiIssue } from "../../src/pki/pki.ts";
import { createRpcClient, type RpcClient, type RpcClientOptions } from "../../src/rpc/client.ts";
import type { RpcEvents } from "../../src/rpc/events.ts";
import { peerIds, type Trust } from "../../src/rpc/identity.ts";
import { type RpcServer, type RpcServerOptions, startRpcServer } from "../../src/rpc/server.ts";
import { TlsStore, type TlsStoreOptions } from "../../src/rpc/tls_store.ts";
import { peerAddresses } from "../support/peer_addresses.ts";
import type { PspParams } from "../../src/model/sa.ts";

export const DOMAIN = "example.org";
export const TRUST: Trust = { domain: DOMAIN, peers: peerIds(["h1", "h2", "h3"]), deny: [] };
export const MAX_BYTES = 65_536;

export interface Heard extends RpcEvents {
  readonly counts: Map<string, number>;
  /** "h9 unknown-identity" for each refusal. */
  readonly refusals: string[];
  readonly lines: string[];
}

export function ears(): Heard {
  const counts = new Map<string, number>();
  const lines: string[] = [];
  const refusals: string[] = [];
  return {
    counts,
    refusals,
    refused: ({ named, reason }) => refusals.push(`${named} ${reason}`),
    refusedBy: (peer, why) => refusals.push(`by ${peer}: ${why}`),
    lines,
    count: (name) => counts.set(name, (counts.get(name) ?? 0) + 1),
    log: (level, message, fields) =>
      lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
  };
}

export class Lab implements Disposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "psp-rpc-" });

  static async make(ids: readonly string[] = ["h1", "h2", "h3"]): Promise<Lab> {
    const lab = new Lab();
    await lab.ca("ca");
    for (const id of ids) await lab.issue(id);
    return lab;
  }

  /** A CA whose files lie side by side with those of its hosts: as the last release made them. */
  async ca(name: string, days?: number): Promise<void> {
    const dir = `${this.dir}/${name}`;
    const { cert, key } = await pkiInit({ dir, name, ...days === undefined ? {} : { days } });
    Deno.renameSync(key, `${dir}/ca.key`);
    Deno.renameSync(cert, `${dir}/ca.crt`);
  }

  async issue(
    id: string,
    options: { ca?: string; domain?: string; dns?: string[]; ips?: string[]; days?: number } = {},
  ): Promise<IssuedPaths> {
    const { ca = "ca", domain = DOMAIN, ...more } = options;
    return await pkiIssue({ dir: `${this.dir}/${ca}`, id, domain, force: true, ...more });
  }

  files(id: string, ca = "ca"): TlsFiles {
    const dir = `${this.dir}/${ca}`;
    return { cert: `${dir}/${id}.crt`, key: `${dir}/${id}.key`, ca: `${dir}/ca.crt` };
  }

  /** Without watching, unless asked for. */
  store(id: string, options: TlsStoreOptions = {}, ca = "ca"): TlsStore {
    return new TlsStore(this.files(id, ca), { pollMs: 0, ...options });
  }

  /** The same, as text. */
  read(id: string, ca = "ca"): TlsFiles {
    const files = this.files(id, ca);
    return {
      cert: Deno.readTextFileSync(files.cert),
      key: Deno.readTextFileSync(files.key),
      ca: Deno.readTextFileSync(files.ca),
    };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.dir, { recursive: true });
  }
}

export interface Recorder extends TunnelHandler {
  readonly calls: { readonly peer: string; readonly request: NewTunnelRequest }[];
  readonly notices: { readonly peer: string; readonly notice: Notice }[];
}

/** Answers each offer with the key 0x22..., SPI 0x80000000 + index + 1. */
export function recorder(
  answer?: (request: NewTunnelRequest) => Promise<NewTunnelReply>,
): Recorder {
  const calls: Recorder["calls"] = [];
  const notices: Recorder["notices"] = [];
  return {
    calls,
    notices,
    async newTunnel(peer, request) {
      calls.push({ peer, request });
      if (answer) return await answer(request);
      return {
        bootEpoch: 77n,
        version: "aes-gcm-256",
        outcomes: request.tunnels.map((_, i) => ({
          ok: true,
          params: params(0x8000_0001 + i, 0x22),
        })),
      };
    },
    notify(peer, notice) {
      notices.push({ peer, notice });
      return Promise.resolve({ bootEpoch: 77n });
    },
  };
}

export function params(spi: number, fill: number): PspParams {
  return {
    spi,
    version: "aes-gcm-256",
    key: new Key(new Uint8Array(32).fill(fill)),
    pip: "192.0.2.2",
    mac: "02:00:00:00:00:02",
    cryptOffset: 5,
    mode: "tunnel",
    serial: 9n,
    lifeS: 3600,
  };
}

export function request(tunnels = 1, fill = 0x11): NewTunnelRequest {
  return {
    bootEpoch: 42n,
    requestId: "000102030405060708090a0b0c0d0e0f",
    versionsAccepted: ["aes-gcm-256", "aes-gcm-128"],
    tunnels: Array.from({ length: tunnels }, (_, i) => ({
      localVip: `10.1.${i >> 8}.${i & 255}`,
      remoteVip: "10.2.0.1",
      reverse: params(i + 1, fill),
    })),
  };
}

export function start(options: Partial<RpcServerOptions> = {}): Promise<RpcServer> {
  return startRpcServer({
    listen: "127.0.0.1:0",
    handler: recorder(),
    trust: TRUST,
    maxConnections: 64,
    handshakeTimeoutMs: 1000,
    maxMessageBytes: MAX_BYTES,
    ...options,
  });
}

/** A client of "h1" that knows one peer, "h2". */
export function clientOf(server: RpcServer, options: Partial<RpcClientOptions> = {}): RpcClient {
  return createRpcClient({
    id: "h1",
    peers: peerAddresses({ id: "h2", svcAddress: `127.0.0.1:${server.address.port}` }),
    trust: TRUST,
    maxMessageBytes: MAX_BYTES,
    ...options,
  });
}

export const CALL = { timeoutMs: 5000 };

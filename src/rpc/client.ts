// SPDX-License-Identifier: Apache-2.0

/**
 * Calls to other agents: one long-lived HTTP/2 connection per peer, which must prove that it is that peer.
 *
 * Keys: the request's key bytes are copied into the message and wiped there when the call is over; the
 * reply's become `Key`s and are zeros in the message. Serialised buffers are out of reach (see
 * tunnel_service.ts).
 */
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import type { SecureClientSessionOptions } from "node:http2";
import { ConfigError } from "../config/config.ts";
import type { CallOptions, TunnelClient } from "../exchange/exchange.ts";
import { subjectAltNames } from "../pki/san.ts";
import { type RpcEvents, SILENT } from "./events.ts";
import { H2Connection } from "./h2_connection.ts";
import { TunnelService } from "./gen/psp/v1/tunnel_pb.ts";
import { identify, type Trust } from "./identity.ts";
import { INSECURE_PEER_HEADER } from "./server.ts";
import { contextOptions, runtimeRefusal } from "./tls.ts";
import type { TlsStore } from "./tls_store.ts";
import { noticeToProto, replyFromProto, requestToProto, wipeRequest } from "./tunnel_codec.ts";

/** A peer that can be called. */
export interface PeerAddress {
  readonly id: string;
  /** "host:port". */
  readonly svcAddress: string;
}

/** What the client needs. Without `tls`, `insecure` must be true. */
export interface RpcClientOptions {
  /** The own id, which insecure mode sends along. */
  readonly id: string;
  readonly peers: readonly PeerAddress[];
  readonly trust: Trust;
  readonly tls?: TlsStore;
  readonly insecure?: boolean;
  readonly maxMessageBytes: number;
  /** A connection that heard nothing for this long is asked; default 20 s. */
  readonly pingIntervalMs?: number;
  /** ... and given up after this; default 5 s. */
  readonly pingTimeoutMs?: number;
  readonly events?: RpcEvents;
}

/** A `TunnelClient` with connections to close. */
export interface RpcClient extends TunnelClient, Disposable {
  /** New peers or deny list: connections to whoever is gone or denied end at once. */
  setTrust(trust: Trust, peers: readonly PeerAddress[]): void;
  /** The certificate that each peer showed last, by its fingerprint. */
  presented(): ReadonlyMap<string, string>;
  /** Ends all connections; calls under way reject. */
  close(): void;
}

interface Line {
  readonly svcAddress: string;
  readonly connection: H2Connection;
  readonly call: ReturnType<typeof createClient<typeof TunnelService>>;
  /** Why the last certificate was refused: TLS itself only says that it was. */
  refusal: { message: string } | undefined;
}

/** Makes a client; it connects when it is first used. Throws `ConfigError`: no TLS and not insecure, Deno too old. */
export function createRpcClient(options: RpcClientOptions): RpcClient {
  refuseUnsafe(options);
  const events = options.events ?? SILENT;
  let { trust, peers } = options;
  const lines = new Map<string, Line>();
  const presented = new Map<string, string>();
  const cut = (id: string, why: string) => {
    lines.get(id)?.connection.close(why);
    lines.delete(id);
  };
  const lineTo = (id: string): Line => {
    const peer = peers.find((p) => p.id === id);
    if (peer === undefined) {
      throw new ConnectError(`Cannot call "${id}": no such peer`, Code.NotFound);
    }
    if (trust.deny.includes(id) || trust.deny.includes(`spiffe://${trust.domain}/psp/${id}`)) {
      throw new ConnectError(`Cannot call "${id}": it is denied`, Code.PermissionDenied);
    }
    const open = lines.get(id);
    if (open !== undefined) return open;
    const line = openLine(options, peer, { trust: () => trust, events, presented });
    lines.set(id, line);
    return line;
  };
  const call = async <T>(
    id: string,
    run: (line: Line, options: { timeoutMs: number; signal?: AbortSignal }) => Promise<T>,
    { timeoutMs, signal }: CallOptions,
  ): Promise<T> => {
    const until = performance.now() + timeoutMs;
    const attempt = async (again: boolean): Promise<T> => {
      const line = lineTo(id);
      const { warm } = line.connection;
      const leftMs = Math.max(1, Math.ceil(until - performance.now()));
      try {
        return await run(line, signal ? { timeoutMs: leftMs, signal } : { timeoutMs: leftMs });
      } catch (error) {
        const outcome = explain(error, { id, line, signal });
        // An old connection may turn out to be dead or closing; every call may be repeated, so try a new one.
        if (again && warm && outcome.code === Code.Unavailable && !answered(outcome)) {
          return await attempt(false);
        }
        if (outcome.code === Code.Unavailable) events.count("peer-unavailable");
        throw outcome;
      }
    };
    return await attempt(true);
  };
  // New files: calls under way end on the old connection, the next ones open a new one.
  const stopFollowing = options.tls?.onChange(() => {
    for (const { connection } of lines.values()) connection.retire();
  });
  const close = () => {
    stopFollowing?.();
    for (const id of [...lines.keys()]) cut(id, "the agent is stopping");
  };
  return {
    async newTunnel(peer, request, callOptions) {
      const message = requestToProto(request);
      try {
        const reply = await call(
          peer,
          (line, limits) => line.call.newTunnel(message, limits),
          callOptions,
        );
        return fromPeer(peer, () => replyFromProto(reply, request.tunnels.length));
      } finally {
        wipeRequest(message);
      }
    },
    async notify(peer, notice, callOptions) {
      const { bootEpoch } = await call(
        peer,
        (line, limits) => line.call.notify(noticeToProto(notice), limits),
        callOptions,
      );
      return { bootEpoch };
    },
    setTrust(nextTrust, nextPeers) {
      trust = nextTrust;
      peers = nextPeers;
      for (const [id, line] of [...lines]) {
        const kept = peers.some((p) => p.id === id && p.svcAddress === line.svcAddress);
        // A fingerprint cannot be told from here: whenever one is listed, every peer proves itself anew.
        const doubtful = trust.deny.some((d) => d === id || /^(spiffe|sha256):/i.test(d));
        if (!kept || doubtful) cut(id, "the configuration has changed");
      }
    },
    presented: () => presented,
    close,
    [Symbol.dispose]: close,
  };
}

function refuseUnsafe(options: RpcClientOptions): void {
  if (options.tls !== undefined) {
    const refusal = runtimeRefusal(Deno.version.deno);
    if (refusal !== undefined) throw new ConfigError(refusal);
  } else if (options.insecure !== true) {
    throw new ConfigError('Cannot call peers without TLS: set "rpc.tls", or "rpc.insecure": true');
  }
}

function openLine(
  options: RpcClientOptions,
  peer: PeerAddress,
  { trust, events, presented }: {
    readonly trust: () => Trust;
    readonly events: RpcEvents;
    readonly presented: Map<string, string>;
  },
): Line {
  const baseUrl = `${options.tls ? "https" : "http"}://${peer.svcAddress}`;
  const session = (): SecureClientSessionOptions =>
    options.tls === undefined ? {} : {
      ...contextOptions(options.tls.current),
      // Host names are for the web: the certificate must be that of the peer we meant.
      checkServerIdentity: (_host, certificate) => {
        const found = identify({
          ...subjectAltNames(new Uint8Array(certificate.raw)),
          fingerprint: certificate.fingerprint256,
        }, trust());
        line.refusal = undefined;
        if (found.ok && found.peer === peer.id) {
          presented.set(peer.id, certificate.fingerprint256);
          return undefined;
        }
        events.count(found.ok ? "unknown-identity" : found.reason);
        line.refusal = {
          message: found.ok ? `the certificate is that of "${found.peer}"` : found.message,
        };
        return new Error(line.refusal.message);
      },
    };
  const connection = new H2Connection({
    authority: baseUrl,
    session,
    maxBytes: options.maxMessageBytes,
    pingIntervalMs: options.pingIntervalMs ?? 20_000,
    pingTimeoutMs: options.pingTimeoutMs ?? 5_000,
  });
  const transport = createTransport({
    baseUrl,
    httpClient: (request) => connection.request(request),
    useBinaryFormat: true,
    interceptors: options.tls ? [] : [nameOurselves(options.id)],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes: options.maxMessageBytes,
    writeMaxBytes: options.maxMessageBytes,
  });
  const line: Line = {
    svcAddress: peer.svcAddress,
    connection,
    call: createClient(TunnelService, transport),
    refusal: undefined,
  };
  return line;
}

function nameOurselves(id: string): Interceptor {
  return (next) => (request) => {
    request.header.set(INSECURE_PEER_HEADER, id);
    return next(request);
  };
}

/** A reply that makes no sense is the peer's fault, not an argument of ours. */
function fromPeer<T>(peer: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    const why = ConnectError.from(error).rawMessage;
    throw new ConnectError(`Cannot use the reply of "${peer}": ${why}`, Code.Internal);
  }
}

/**
 * Whatever kept the peer from answering is `unavailable`; a wrong certificate is `unauthenticated`; what
 * the peer answered, our own deadline and our own abort stay what they are.
 */
function explain(
  error: unknown,
  { id, line, signal }: {
    readonly id: string;
    readonly line: Line;
    readonly signal: AbortSignal | undefined;
  },
): ConnectError {
  const found = ConnectError.from(error);
  if (signal?.aborted && found.code === Code.Canceled) return found;
  if (found.code === Code.DeadlineExceeded || answered(found)) return found;
  if (line.refusal !== undefined) {
    return new ConnectError(
      `Cannot trust peer "${id}": ${line.refusal.message}`,
      Code.Unauthenticated,
    );
  }
  return new ConnectError(
    `Cannot reach peer "${id}" at ${line.svcAddress}: ${found.rawMessage}`,
    Code.Unavailable,
  );
}

/** Errors that came over the wire carry the headers of the response. */
function answered(error: ConnectError): boolean {
  return [...error.metadata.keys()].length > 0;
}

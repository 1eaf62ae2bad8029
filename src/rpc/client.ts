// SPDX-License-Identifier: Apache-2.0

/**
 * Calls to other agents: one long-lived HTTP/2 connection per peer, which must prove that it is that peer.
 *
 * Keys: the request's key bytes are copied into the message and wiped there, and in what is sent, when the call is
 * over; the reply's become `Key`s and are zeros in the message. Buffers below are out of reach (see tunnel_service.ts).
 */
import { Code, ConnectError } from "@connectrpc/connect";
import type { TLSSocket } from "node:tls";
import { parseHostPort } from "../config/addresses.ts";
import { ConfigError } from "../config/config.ts";
import { type CallOptions, ExchangeError, type TunnelClient } from "../model/exchange.ts";
import type { Descriptors } from "./descriptors.ts";
import { type RpcEvents, SILENT } from "./events.ts";
import { fromConnect } from "./exchange_errors.ts";
import { certificateRefusal } from "./tls_alerts.ts";
import { callUnary, H2Connection, type UnaryOver } from "./h2_connection.ts";
import type { From } from "./h2_session.ts";
import { HYBRID } from "./key_exchange.ts";
import { Outward } from "./outward.ts";
import { TunnelService } from "./gen/psp/v1/tunnel_pb.ts";
import { identify, isDenied, isDeniedCertificate, type Trust } from "./identity.ts";
import {
  type Ending,
  FirstOver,
  foresee,
  isOver,
  type Proof,
  type ProofOptions,
  prove,
  proveAgain,
  REVIEW_MS,
} from "./proof.ts";
import { INSECURE_PEER_HEADER } from "./server.ts";
import { clientOptions, runtimeRefusal } from "./tls.ts";
import type { TlsStore } from "./tls_store.ts";
import {
  countsFromProto,
  noticeToProto,
  peerExplainFromProto,
  questionToProto,
  replyFromProto,
  requestToProto,
  wipeRequest,
} from "./tunnel_codec.ts";

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
  /** The address of a peer at the moment of the question; undefined: there is no such peer. */
  readonly peers: (id: string) => PeerAddress | undefined;
  readonly trust: Trust;
  readonly tls?: TlsStore;
  readonly insecure?: boolean;
  /** Peers that use another key exchange than the post-quantum one are not called. */
  readonly requirePq?: boolean;
  readonly maxMessageBytes: number;
  /** Connections at most; default: as many as there are peers. */
  readonly maxConnections?: number;
  /** Shared with the listeners; default: no limit. */
  readonly descriptors?: Descriptors | undefined;
  /** How long a connection without a call stays; default a minute. */
  readonly keepMs?: number;
  /** Whether packets pass between this host and a peer: then its connection stays while there is room. */
  readonly inUse?: (peer: string) => boolean;
  /** A connection that heard nothing for this long is asked; default 20 s. */
  readonly pingIntervalMs?: number;
  /** ... and given up after this; default 5 s. */
  readonly pingTimeoutMs?: number;
  readonly events?: RpcEvents;
  /** A connection to a peer stands: the address that its name was resolved to. */
  readonly onConnected?: (peer: string, address: string) => void;
  /** Default: the kernel chooses the address that connections leave with. */
  readonly from?: From;
}

/** A `TunnelClient` with connections to close. */
export interface RpcClient extends TunnelClient, Disposable {
  /**
   * Peers have changed, or the deny list: connections to whoever is gone, elsewhere or denied end at once. `ids`: whom it
   * concerns; absent: all.
   */
  setTrust(trust: Trust, ids?: readonly string[]): void;
  /** Other bounds: who is beyond them goes when a connection is opened. */
  setLimits(limits: { readonly maxConnections: number }): void;
  /** The certificate that each peer showed last, by its fingerprint. */
  presented(): ReadonlyMap<string, string>;
  /** The group of the key exchange with each peer, on the newest connection. */
  keyExchanges(): ReadonlyMap<string, string>;
  /** Ends all connections; calls under way reject. */
  close(): void;
}

/** A look at what is to be closed or asked, each of which wakes the process: while it finds something, and else. */
const LOOK_MS = 100;
const LOOK_AT_REST_MS = 1000;
const KEEP_MS = 60_000;
const PING_INTERVAL_MS = 20_000;
const PING_TIMEOUT_MS = 5_000;

const { method } = TunnelService;

interface Line {
  readonly svcAddress: string;
  readonly connection: H2Connection;
  readonly over: UnaryOver;
  /** Of the newest connection. */
  proof: Proof | undefined;
  /** Why the last certificate was refused: TLS itself only says that it was. */
  refusal: { message: string } | undefined;
}

/** Makes a client; it connects when it is first used. Throws `ConfigError`: no TLS and not insecure, Deno too old. */
export function createRpcClient(options: RpcClientOptions): RpcClient {
  refuseUnsafe(options);
  const events = options.events ?? SILENT;
  let { trust } = options;
  const { peers } = options;
  const lines = new Map<string, Line>();
  const presented = new Map<string, string>();
  const keyExchanges = new Map<string, string>();
  const first = new FirstOver();
  const pingMs = options.pingIntervalMs ?? PING_INTERVAL_MS;
  const outward = new Outward({
    max: options.maxConnections ?? Infinity,
    descriptors: options.descriptors,
    keepMs: options.keepMs ?? KEEP_MS,
    pingMs,
    inUse: options.inUse ?? (() => false),
  });
  const forget = (id: string): Line | undefined => {
    const line = lines.get(id);
    lines.delete(id);
    outward.leave(id);
    return line;
  };
  const cut = (id: string, why: string) => forget(id)?.connection.close(why);
  /** Keeps nothing of a line whose connection is gone. */
  const gone = (id: string, line: Line) => {
    if (lines.get(id) === line && outward.isIdle(id) && !line.connection.isOpen) forget(id);
  };
  const lineTo = (id: string): Line => {
    const peer = peers(id);
    if (peer === undefined) {
      throw new ConnectError(`Cannot call "${id}": no such peer`, Code.NotFound);
    }
    if (isDenied(id, "", trust)) {
      throw new ConnectError(`Cannot call "${id}": it is denied`, Code.PermissionDenied);
    }
    const open = lines.get(id);
    if (open !== undefined) return open;
    const evict = outward.enter(id, performance.now());
    if (evict === "full") {
      events.count("outward-full");
      const why = `Cannot call "${id}": every connection that may be open has calls`;
      throw new ExchangeError("unavailable", why, { local: true });
    }
    if (evict !== undefined) {
      events.count("outward-evicted");
      lines.get(evict)?.connection.close("another one needs its place");
      lines.delete(evict);
    }
    const onGone = () => gone(id, line);
    const line = openLine(options, peer, {
      trust: () => trust,
      events,
      presented,
      keyExchanges,
      first,
      onGone,
    });
    lines.set(id, line);
    return line;
  };
  const look = () => {
    const { close, ping } = outward.due(performance.now());
    for (const id of close) {
      events.count("outward-idle");
      lines.get(id)?.connection.retire();
      lines.delete(id);
    }
    for (const id of ping) lines.get(id)?.connection.ping();
    lookIn(close.length + ping.length > 0 ? LOOK_MS : LOOK_AT_REST_MS);
  };
  let looking: ReturnType<typeof setTimeout> | undefined;
  const lookIn = (ms: number) => {
    looking = setTimeout(look, Math.min(ms, pingMs, options.keepMs ?? KEEP_MS));
    Deno.unrefTimer(looking);
  };
  lookIn(LOOK_AT_REST_MS);
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
      outward.begin(id, performance.now());
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
      } finally {
        outward.end(id, performance.now());
        gone(id, line);
      }
    };
    try {
      return await attempt(true);
    } catch (error) {
      throw error instanceof ExchangeError ? error : fromConnect(error);
    }
  };
  /** Closes connections whose certificates have ended meanwhile or, when all are judged, are good no more. */
  const review = (tls: TlsStore, all: boolean) => {
    const how = judging(tls);
    if (!all && !first.take(how.nowMs)) return;
    for (const [id, line] of lines) {
      const { proof } = line;
      if (proof === undefined) continue;
      const proven = all || isOver(proof, how.nowMs)
        ? proveAgain(proof, how)
        : { ok: true as const, proof };
      if (proven.ok) {
        line.proof = proven.proof;
        first.add(proven.proof);
      } else end(id, { counter: proven.reason, reason: proven.message });
    }
  };
  /** Ends a connection whose certificate was good once. */
  const end = (id: string, { counter, reason }: Ending) => {
    events.count(counter);
    events.log(
      "warning",
      "A connection to a peer is closed: its certificate is not good any more",
      {
        peer: id,
        fingerprint: lines.get(id)?.proof?.leaf.fingerprint,
        counter,
        reason,
      },
    );
    forget(id)?.connection.close(`its certificate is not good any more: ${reason}`, true);
  };
  const { tls } = options;
  // New files: calls under way end on the old connection, if that may stay; the next ones open a new one.
  const stopFollowing = tls?.onChange(() => {
    review(tls, true);
    for (const { connection } of lines.values()) connection.retire();
  });
  const reviews = tls && setInterval(() => review(tls, false), REVIEW_MS);
  if (reviews !== undefined) Deno.unrefTimer(reviews);
  const close = () => {
    stopFollowing?.();
    clearInterval(reviews);
    clearTimeout(looking);
    for (const id of [...lines.keys()]) cut(id, "the agent is stopping");
  };
  return {
    async newTunnel(peer, request, callOptions) {
      const message = requestToProto(request);
      try {
        const reply = await call(
          peer,
          ({ over }, limits) =>
            callUnary(over, {
              method: method.newTunnel,
              message,
              ...limits,
              onSent: callOptions.onSent,
            }),
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
        ({ over }, limits) =>
          callUnary(over, { method: method.notify, message: noticeToProto(notice), ...limits }),
        callOptions,
      );
      return { bootEpoch };
    },
    async notifyAt(peer, address, notice, callOptions) {
      const known = peers(peer);
      if (known === undefined || isDenied(peer, "", trust)) {
        throw new ExchangeError("not_found", `Cannot call "${peer}": no such peer`);
      }
      const { port } = parseHostPort(known.svcAddress);
      const host = address.includes(":") ? `[${address}]` : address;
      const there = { id: peer, svcAddress: `${host}:${port}` };
      // What it proves there is not what the connection to the peer proves: its own books are not touched.
      const line = openLine(options, there, {
        trust: () => trust,
        events,
        presented: new Map(),
        keyExchanges: new Map(),
        first: new FirstOver(),
        onGone: () => {},
      });
      try {
        const { timeoutMs, signal } = callOptions;
        const message = noticeToProto(notice);
        const how = { method: method.notify, message, timeoutMs, signal };
        const { bootEpoch } = await callUnary(line.over, how);
        return { bootEpoch };
      } catch (error) {
        throw fromConnect(explain(error, { id: peer, line, signal: callOptions.signal }));
      } finally {
        line.connection.close("the question was asked");
      }
    },
    async explain(peer, question, callOptions) {
      const answer = await call(
        peer,
        ({ over }, limits) =>
          callUnary(over, {
            method: method.explain,
            message: questionToProto(question),
            ...limits,
          }),
        callOptions,
      );
      return fromPeer(peer, () => peerExplainFromProto(answer));
    },
    async countPackets(peer, { spis, unanswered }, callOptions) {
      const answer = await call(
        peer,
        ({ over }, limits) =>
          callUnary(over, {
            method: method.countPackets,
            message: { spis: [...spis], unanswered },
            ...limits,
          }),
        callOptions,
      );
      return fromPeer(peer, () => countsFromProto(answer, spis.length));
    },
    isConnected: (peer) => lines.get(peer)?.connection.warm ?? false,
    setTrust(nextTrust, ids = [...lines.keys()]) {
      trust = nextTrust;
      for (const id of ids) {
        const address = peers(id)?.svcAddress;
        if (address === undefined) {
          presented.delete(id);
          keyExchanges.delete(id);
        }
        const line = lines.get(id);
        if (line === undefined) continue;
        const kept = address === line.svcAddress;
        const wrong = line.proof && stranger(id, line.proof, trust);
        if (wrong !== undefined) end(id, wrong);
        else if (!kept || isDenied(id, "", trust)) cut(id, "the configuration has changed");
      }
    },
    setLimits: ({ maxConnections }) => outward.setMax(maxConnections),
    presented: () => presented,
    keyExchanges: () => keyExchanges,
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
  { trust, events, presented, keyExchanges, first, onGone }: {
    readonly trust: () => Trust;
    readonly events: RpcEvents;
    readonly presented: Map<string, string>;
    readonly keyExchanges: Map<string, string>;
    readonly first: FirstOver;
    readonly onGone: () => void;
  },
): Line {
  const baseUrl = `${options.tls ? "https" : "http"}://${peer.svcAddress}`;
  const { tls } = options;
  const admit = async (
    socket: TLSSocket,
    keyExchange: string | undefined,
  ): Promise<string | undefined> => {
    if (tls === undefined) return undefined;
    const signed = await foresee(socket, judging(tls));
    if (socket.destroyed) return "the connection was lost";
    line.proof = undefined;
    line.refusal = undefined;
    keyExchanges.set(peer.id, keyExchange ?? "unknown");
    const proven = prove(socket, { ...judging(tls), signed });
    const wrong = !proven.ok
      ? { counter: proven.reason, reason: proven.message }
      : stranger(peer.id, proven.proof, trust()) ?? weak(keyExchange, options);
    if (wrong !== undefined) {
      events.count(wrong.counter);
      line.refusal = { message: wrong.reason };
    } else if (proven.ok) {
      line.proof = proven.proof;
      first.add(proven.proof);
      presented.set(peer.id, proven.proof.leaf.fingerprint);
    }
    return wrong?.reason;
  };
  const connection = new H2Connection({
    authority: baseUrl,
    from: options.from,
    ...(tls === undefined ? {} : { admit, tls: () => clientOptions(tls.context) }),
    flooded(counter) {
      events.count(counter);
      events.log("warning", "A connection to a peer is closed: it was flooded", {
        peer: peer.id,
        counter,
      });
    },
    maxBytes: options.maxMessageBytes,
    pingTimeoutMs: options.pingTimeoutMs ?? PING_TIMEOUT_MS,
    onGone,
    onOpen: (address) => options.onConnected?.(peer.id, address),
    onFailed(error) {
      const reason = certificateRefusal(error);
      if (reason === undefined) return;
      events.count("certificate-refused");
      const address = peer.svcAddress;
      events.log("warning", "A peer refuses this host's certificate", {
        peer: peer.id,
        address,
        reason,
      });
    },
  });
  const line: Line = {
    svcAddress: peer.svcAddress,
    connection,
    over: {
      connection,
      fields: options.tls ? {} : { [INSECURE_PEER_HEADER]: options.id },
      maxBytes: options.maxMessageBytes,
    },
    proof: undefined,
    refusal: undefined,
  };
  return line;
}

function judging(tls: TlsStore): ProofOptions {
  return { judge: tls.judge, purpose: "server", nowMs: Date.now() };
}

/** Why the owner of a certificate is not the peer that we meant; undefined: it is. */
function stranger(id: string, { leaf }: Proof, trust: Trust): Ending | undefined {
  const found = identify(leaf, trust);
  if (!found.ok) return { counter: found.reason, reason: found.message };
  if (isDeniedCertificate(leaf, trust)) {
    return { counter: "denied-identity", reason: "it is denied by the configuration" };
  }
  if (found.peer === id) return undefined;
  return { counter: "unknown-identity", reason: `the certificate is that of "${found.peer}"` };
}

/** Why this key exchange will not do. */
function weak(
  keyExchange: string | undefined,
  { requirePq = false }: RpcClientOptions,
): Ending | undefined {
  if (!requirePq || keyExchange === HYBRID) return undefined;
  const reason = `its key exchange is ${
    keyExchange ?? "unknown"
  }, and rpc.require_pq wants ${HYBRID}`;
  return { counter: "key-exchange-refused", reason };
}

/** A reply that makes no sense is the peer's fault, not an argument of ours. */
function fromPeer<T>(peer: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    const why = ConnectError.from(error).rawMessage;
    throw new ExchangeError("internal", `Cannot use the reply of "${peer}": ${why}`);
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
  const alert = certificateRefusal(found.rawMessage);
  const why = alert === undefined
    ? found.rawMessage
    : `it refuses this host's certificate: ${alert}`;
  return new ConnectError(
    `Cannot reach peer "${id}" at ${line.svcAddress}: ${why}`,
    Code.Unavailable,
    undefined,
    undefined,
    found,
  );
}

/** Errors that came over the wire carry the headers of the response. */
function answered(error: ConnectError): boolean {
  return [...error.metadata.keys()].length > 0;
}

// SPDX-License-Identifier: Apache-2.0

/** The listener for other agents: mutual TLS, identity from the certificate, Connect, gRPC and gRPC-Web. */
import { createContextValues } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ConfigError } from "../config/config.ts";
import type { TunnelHandler } from "../model/exchange.ts";
import type { AdmissionLimits } from "./admission.ts";
import type { ShareLimits } from "./connection_shares.ts";
import { type RpcEvents, SILENT } from "./events.ts";
import {
  identify,
  type Identity,
  isDeniedCertificate,
  misled,
  type Refused,
  type Trust,
} from "./identity.ts";
import { onRefused } from "./h2_session.ts";
import { type Accepted, type Carrier, carrierOf, listen, type Request } from "./listener.ts";
import type { Descriptors } from "./descriptors.ts";
import type { Proof, Unproven } from "./proof.ts";
import type { Response } from "./protocols.ts";
import { refuseCall, UNKNOWN_CALL } from "./refusals.ts";
import { runtimeRefusal } from "./tls.ts";
import type { TlsStore } from "./tls_store.ts";
import { cutTimeouts } from "./timeouts.ts";
import { ARRIVED, CALLER, callerGate, FROM, tunnelRoutes } from "./tunnel_service.ts";

/** What the server needs. Without `tls`, `insecure` must be true. */
export interface RpcServerOptions {
  /** "host:port". */
  readonly listen: string;
  readonly handler: TunnelHandler;
  readonly trust: Trust;
  readonly tls?: TlsStore;
  /** Plain HTTP; the caller is whoever the header `psp-peer` says. For laboratories only. */
  readonly insecure?: boolean;
  /** Callers that would use another key exchange than the post-quantum one are refused. */
  readonly requirePq?: boolean;
  readonly maxConnections: number;
  readonly handshakeTimeoutMs: number;
  readonly maxMessageBytes: number;
  /** A connection without requests is closed; default 10 min. */
  readonly idleMs?: number;
  /** A request must be over by then; default 30 s. */
  readonly requestTimeoutMs?: number;
  /** A connection that never had a request is closed; default 10 s. */
  readonly firstRequestMs?: number;
  readonly admission?: AdmissionLimits;
  readonly descriptors?: Descriptors | undefined;
  /** How often a quiet listener is tried; default 5 s. */
  readonly lookMs?: number;
  readonly events?: RpcEvents;
  /** A peer has proved who it is on a new connection: the address that it comes from. Never without TLS. */
  readonly onPeer?: (peer: string, address: string) => void;
}

/** Listening until closed. */
export interface RpcServer extends AsyncDisposable {
  /** Where it listens, for logs and tests. */
  readonly address: { readonly hostname: string; readonly port: number };
  /** Connections beyond the handshake. */
  connections(): number;
  /** Whether it accepts connections, as far as was seen. */
  accepting(): boolean;
  /**
   * Peers have changed, or the deny list: connections that are not welcome any more end at once. Returns how many. `ids`:
   * whom it concerns, besides connections of nobody known; absent: all.
   */
  setTrust(trust: Trust, ids?: readonly string[]): number;
  /** For connections that come from now on. */
  setLimits(limits: Pick<RpcServerOptions, "maxConnections" | "handshakeTimeoutMs">): void;
  /** The certificate that each peer showed last, by its fingerprint. */
  presented(): ReadonlyMap<string, string>;
  /** Lets requests under way end, at most `graceMs` (default 500). */
  close(graceMs?: number): Promise<void>;
}

/** Names the caller where there is no TLS. */
export const INSECURE_PEER_HEADER = "psp-peer";
/** Connections of one identity; the oldest makes room. Agents need one. */
const MAX_CONNECTIONS_PER_PEER = 8;
/** What strangers leave to peers, and what those of one address may have that ask for nothing. */
const RESERVE = 1 / 4;
const IDLE_PER_ADDRESS = 16;

interface Known {
  readonly proof: Proof;
  /** Where it comes from. */
  readonly address: string;
  identity: Identity;
}

/** Starts listening. Throws `ConfigError`: no TLS and not insecure, a Deno too old, address in use. */
export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const events = options.events ?? SILENT;
  refuseUnsafe(options, events);
  let trust = options.trust;
  const known = new Map<Carrier, Known>();
  const unproven = new WeakMap<Carrier, Refused>();
  const presented = new Map<string, string>();
  const accept = (carrier: Carrier, proof: Proof | undefined, address: string): Accepted => {
    if (proof === undefined) return options.tls === undefined ? {} : "refused";
    const entry = { proof, identity: identityOf(proof, trust), address };
    known.set(carrier, entry);
    carrier.on("close", () => known.delete(carrier));
    // A good certificate of somebody who may not ask: he is told so in the protocol he speaks, once, if he is denied.
    if (!entry.identity.ok) return { leaves: entry.identity.reason === "denied-identity" };
    const { peer } = entry.identity;
    if ("settings" in carrier) onRefused(carrier, (why) => events.refusedBy(peer, why));
    presented.set(entry.identity.peer, proof.leaf.fingerprint);
    options.onPeer?.(entry.identity.peer, address);
    return { identity: entry.identity.peer };
  };
  /** Whom strangers cannot be told from: a peer whose certificate is not good any more, or by another CA. */
  const lastWords = (carrier: Carrier, { reason, message, claim }: Unproven): Accepted => {
    if (claim === undefined || reason === "sessions-resumed" || reason === "certificate-missing") {
      return "refused";
    }
    const why = { reason, message: `The certificate is refused: ${message}` };
    const refused = misled(claim, why, trust);
    if (refused === undefined) return "refused";
    unproven.set(carrier, refused);
    return { leaves: true };
  };
  /** Requests that have come to the method that they call. */
  const arrived = new WeakSet<Request>();
  /** Counts a request of a peer that was answered, and called nothing: its path, encoding or message is none. */
  const watch = (request: Request, response: Response) => {
    const caller = callerOf(request);
    if (!caller.ok) return;
    const address = known.get(carrierOf(request))?.address;
    response.once("close", () => {
      if (arrived.has(request) || !response.headersSent) return;
      events.count("unreadable-request");
      events.log("warning", "A request of a peer cannot be read", {
        peer: caller.peer,
        address,
        code: response.statusCode,
      });
    });
  };
  const callerOf = (request: Request): Identity => {
    if (options.tls === undefined) return insecureCaller(request, trust);
    const carrier = carrierOf(request);
    return known.get(carrier)?.identity ?? unproven.get(carrier) ?? CALLER.defaultValue;
  };
  const serve = connectNodeAdapter({
    routes: tunnelRoutes(options.handler, events),
    contextValues: (request) =>
      createContextValues().set(CALLER, callerOf(request)).set(
        FROM,
        known.get(carrierOf(request))?.address,
      ).set(ARRIVED, () => void arrived.add(request)),
    requestGate: callerGate(events),
    readMaxBytes: options.maxMessageBytes,
    writeMaxBytes: options.maxMessageBytes,
    maxTimeoutMs: 3_600_000,
    // Keys do not compress, and compression beside secrets is a bad habit.
    acceptCompression: [],
    fallback: (request, response) => refuseCall(request, response as Response, UNKNOWN_CALL),
  });
  const listener = await listen({
    listen: options.listen,
    key: "rpc.listen",
    handler(request, response) {
      watch(request, response);
      cutTimeouts(request);
      try {
        serve(request, response);
      } catch {
        // A request without authority, for instance: there is no protocol to answer in.
        response.statusCode = 400;
        response.end("Its path and authority make no URL\n");
      }
    },
    ...(options.tls
      ? {
        tls: { store: options.tls, clients: "required" as const, ...pick(options, ["requirePq"]) },
      }
      : {}),
    shares: sharesOf(options, options.maxConnections),
    handshakeTimeoutMs: options.handshakeTimeoutMs,
    ...pick(options, [
      "maxMessageBytes",
      "idleMs",
      "firstRequestMs",
      "requestTimeoutMs",
      "admission",
      "descriptors",
      "lookMs",
    ]),
    accept,
    lastWords,
    events,
  });
  const close = (graceMs = 500) => listener.close(graceMs);
  return {
    address: { hostname: listener.hostname, port: listener.port },
    connections: listener.connections,
    accepting: listener.accepting,
    presented: () => presented,
    setLimits({ maxConnections, handshakeTimeoutMs }) {
      listener.setLimits({ shares: sharesOf(options, maxConnections), handshakeTimeoutMs });
    },
    setTrust(next, ids) {
      trust = next;
      const concerned = ids && new Set(ids);
      for (const id of ids ?? [...presented.keys()]) if (!next.peers.has(id)) presented.delete(id);
      for (const entry of known.values()) {
        const { identity } = entry;
        if (identity.ok && concerned?.has(identity.peer) === false) continue;
        entry.identity = identityOf(entry.proof, next);
      }
      return listener.drop((carrier) => {
        const { identity } = known.get(carrier) ?? {};
        return identity?.ok === false
          ? { counter: identity.reason, reason: identity.message }
          : undefined;
      });
    },
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}

function sharesOf({ tls }: Pick<RpcServerOptions, "tls">, total: number): ShareLimits {
  return {
    total,
    reserve: tls === undefined ? 0 : Math.floor(total * RESERVE),
    // Without TLS nobody proves anything, and whole laboratories are one address.
    idlePerAddress: tls === undefined ? total : IDLE_PER_ADDRESS,
    perIdentity: MAX_CONNECTIONS_PER_PEER,
  };
}

function refuseUnsafe(options: RpcServerOptions, events: RpcEvents): void {
  if (options.tls !== undefined) {
    const refusal = runtimeRefusal(Deno.version.deno);
    if (refusal !== undefined) throw new ConfigError(refusal);
    return;
  }
  if (options.insecure !== true) {
    throw new ConfigError(
      'Cannot listen for peers without TLS: set "rpc.tls" (cert, key, ca), or "rpc.insecure": true ' +
        "in a laboratory",
    );
  }
  events.log(
    "warning",
    "INSECURE: keys travel in clear text and anybody may ask for tunnels (rpc.insecure)",
  );
}

function identityOf({ leaf }: Proof, trust: Trust): Identity {
  const identity = identify(leaf, trust);
  if (!isDeniedCertificate(leaf, trust)) return identity;
  if (!identity.ok && identity.reason === "denied-identity") return identity;
  // Whatever else it says.
  const message = "The certificate is denied by the configuration";
  const named = identity.ok ? identity.peer : identity.named;
  return {
    ok: false,
    reason: "denied-identity",
    message,
    ...(named === undefined ? {} : { named }),
  };
}

function insecureCaller(request: Request, trust: Trust): Identity {
  const peer = request.headers[INSECURE_PEER_HEADER];
  if (typeof peer !== "string") {
    return {
      ok: false,
      reason: "no-identity",
      message: `Insecure mode needs the header "${INSECURE_PEER_HEADER}"`,
    };
  }
  return identify(
    { uris: [`spiffe://${trust.domain}/psp/${peer}`], dns: [], fingerprint: "" },
    trust,
  );
}

/** Those of these options that are there. */
function pick<T extends object, K extends keyof T>(
  options: T,
  names: readonly K[],
): { [N in K]: Exclude<T[N], undefined> } {
  const there = names.filter((name) => options[name] !== undefined);
  return Object.fromEntries(there.map((name) => [name, options[name]])) as {
    [N in K]: Exclude<T[N], undefined>;
  };
}

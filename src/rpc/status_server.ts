// SPDX-License-Identifier: Apache-2.0

/**
 * The listener for operators, browsers and curl: StatusService, `/healthz`, `/readyz`, `/metrics`. On loopback it is
 * plain HTTP; beyond that it wants TLS and proof of who asks. Pages of other origins read nothing, but for those that
 * `status.origins` names.
 */
import { timingSafeEqual } from "node:crypto";
import { isLoopback } from "../config/addresses.ts";
import { type Config, ConfigError, EnvironmentError, type TlsFiles } from "../config/config.ts";
import { fileReason } from "../config/reasons.ts";
import type { StatusSource } from "../model/status.ts";
import { type RpcEvents, SILENT } from "./events.ts";
import { isDeniedCertificate, type Trust } from "./identity.ts";
import { applyCors } from "./cors.ts";
import type { Descriptors } from "./descriptors.ts";
import { splitListen } from "./door.ts";
import { carrierOf, listen, type Request, type Response } from "./listener.ts";
import { afterBody, answer, type Caller, metricsAnswers, statusAnswers } from "./status_answers.ts";
import { openStatusSocket, type SocketPlace } from "./status_socket.ts";
import { runtimeRefusal } from "./tls.ts";
import { TlsStore } from "./tls_store.ts";

/** What the status listener needs. */
export interface StatusServerOptions {
  readonly config: Config["status"];
  readonly source: StatusSource;
  /** Who is denied here too. Anybody else with a certificate of the CA may read. */
  readonly trust: Trust;
  /** Whether the control listener accepts connections; `/healthz` fails while one of the two does not. */
  readonly controlAccepts?: () => boolean;
  readonly descriptors?: Descriptors | undefined;
  /** The Unix socket for the command line; undefined: none. */
  readonly socket?: SocketPlace | undefined;
  /** As those of the listener, for tests. */
  readonly limits?: {
    readonly firstRequestMs?: number;
    readonly requestTimeoutMs?: number;
    readonly idleMs?: number;
    readonly lookMs?: number;
  };
  readonly events?: RpcEvents;
}

/** Listening until closed. */
export interface StatusServer extends AsyncDisposable {
  /** Where it listens, for logs and tests. */
  readonly address: { readonly hostname: string; readonly port: number };
  /** A new deny list: connections of those who are on it end at once. */
  setTrust(trust: Trust): void;
  /** Reads the TLS files again (SIGHUP). */
  reload(): void;
  /** Other TLS files: throws `ConfigError` when they cannot be used, else they are in force once the result is called. */
  follow(files: TlsFiles): () => void;
  /** Pages of these origins may call from now on. */
  setOrigins(origins: readonly string[]): void;
  /** Ends streams after `graceMs` (default 200). */
  close(graceMs?: number): Promise<void>;
}

/** Connections of a status listener, at most. */
export const STATUS_CONNECTIONS = 128;
/** Of these, what is kept for who has shown a certificate or the token, where there is such a thing. */
const RESERVE = 32;
/** Connections that ask for nothing, of one address. */
const IDLE_PER_ADDRESS = 32;
/** Connections of one certificate. */
const PER_IDENTITY = 32;
/** Requests whose answer has no end. */
const WATCH: ReadonlySet<string | undefined> = new Set([
  "/psp.v1.StatusService/WatchEvents",
  "/psp.v1.StatusService/WatchSamples",
  "/grpc.health.v1.Health/Watch",
]);
/** Connections of the listener for metrics and probes. */
const METRICS_SHARES = { total: 32, reserve: 0, idlePerAddress: 8, perIdentity: 8 };
/** A quiet stream of these is not idle. */
const IDLE_MS = 3_600_000;
/** Shorter ones can be guessed. */
const MIN_TOKEN_OCTETS = 16;

/** Starts listening. Throws `ConfigError`: unprotected beyond loopback, files unusable, address in use. */
export async function startStatusServer(options: StatusServerOptions): Promise<StatusServer> {
  const { config, source } = options;
  let { trust } = options;
  let { origins } = config;
  const events = options.events ?? SILENT;
  const { hostname } = splitListen(config.listen);
  const loopback = isLoopback(hostname);
  if (!loopback && config.tls === undefined) {
    throw new ConfigError(
      `Cannot listen for status on "${config.listen}" without TLS: set "status.tls", or listen on loopback`,
    );
  }
  if (config.tls !== undefined) {
    const refusal = runtimeRefusal(Deno.version.deno);
    if (refusal !== undefined) throw new ConfigError(refusal);
  }
  const token = config.tokenFile === undefined ? undefined : readToken(config.tokenFile);
  const store = config.tls && new TlsStore(config.tls, { key: "status.tls", events });
  // With a token the certificate is optional, and either will do: browsers resume sessions, and such a
  // connection counts as one without a certificate.
  const clients = token === undefined ? "required" : "optional";
  const callerOf = (request: Request): Caller => {
    if (token !== undefined && bearer(request, token)) {
      listener.prove(carrierOf(request), "token");
      return "known";
    }
    if (listener.proof(carrierOf(request)) !== undefined) return "known";
    const reading = config.loopback ?? (token === undefined ? "open" : "token");
    const open = loopback && store === undefined && reading === "open";
    return open ? "reader" : "stranger";
  };
  const deaf = (): string | undefined =>
    options.controlAccepts?.() === false
      ? "rpc.listen"
      : listener.accepting()
      ? undefined
      : "status.listen";
  const answers = statusAnswers({ source, admin: config.admin, events, deaf });
  const listener = await listen({
    listen: config.listen,
    key: "status.listen",
    handler: (request, response) => {
      if (loopback && !ourHost(request, hostname)) {
        events.count("status-foreign-host");
        return afterBody(
          request,
          () => answer(response, 421, "This address is not served under that name\n"),
        );
      }
      switch (applyCors(request, response as Response, origins)) {
        case "call":
          break;
        case "allowed":
          response.statusCode = 204;
          return response.end();
        case "refused":
          events.count("status-foreign-origin");
          return answer(response, 403, "Pages of this origin may not call: see status.origins\n");
      }
      answers(request, response, callerOf(request));
    },
    ...(store ? { tls: { store, clients } } : {}),
    shares: {
      total: STATUS_CONNECTIONS,
      reserve: token === undefined ? 0 : RESERVE,
      idlePerAddress: IDLE_PER_ADDRESS,
      perIdentity: PER_IDENTITY,
    },
    handshakeTimeoutMs: 5_000,
    idleMs: IDLE_MS,
    ...options.limits,
    endless: (request) => WATCH.has(request.url?.split("?", 1)[0]),
    descriptors: options.descriptors,
    accept: (_carrier, proof) => {
      if (proof === undefined) return {};
      if (!isDeniedCertificate(proof.leaf, trust)) return { identity: proof.leaf.fingerprint };
      events.count("denied-identity");
      return "refused";
    },
    events,
  }).catch((error) => {
    store?.[Symbol.dispose]();
    throw error;
  });
  const also = new AsyncDisposableStack();
  const close = async (graceMs = 200) => {
    store?.[Symbol.dispose]();
    await Promise.all([listener.close(graceMs), also.disposeAsync()]);
  };
  try {
    if (options.socket !== undefined) {
      const { socketGroup: group } = config;
      const socket = await openStatusSocket({ ...options.socket, group, answers, events });
      if (socket !== undefined) also.use(socket);
    }
    if (config.metricsListen !== undefined) {
      const metrics = await listen({
        listen: config.metricsListen,
        key: "status.metrics_listen",
        handler: metricsAnswers({ source, deaf }),
        shares: METRICS_SHARES,
        handshakeTimeoutMs: 5_000,
        descriptors: options.descriptors,
        events,
      });
      also.defer(() => metrics.close(0));
    }
  } catch (error) {
    await close(0);
    throw error;
  }
  return {
    address: { hostname: listener.hostname, port: listener.port },
    setTrust(next) {
      trust = next;
      listener.drop((carrier) => {
        const proof = listener.proof(carrier);
        if (proof === undefined || !isDeniedCertificate(proof.leaf, next)) return undefined;
        return { counter: "denied-identity", reason: "it is denied by the configuration" };
      });
    },
    reload: () => void store?.reload(),
    follow: (files) => store?.follow(files) ?? (() => {}),
    setOrigins: (next) => void (origins = next),
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}

/**
 * A page of a stranger can make its own name point at 127.0.0.1 and read what answers there; only the
 * name that the browser believes to be talking to gives it away.
 */
function ourHost(request: Request, listenHost: string): boolean {
  const authority = request.headers[":authority"] ?? request.headers.host;
  if (typeof authority !== "string") return false;
  const host = /^(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::\d{1,5})?$/i.exec(authority);
  const name = (host?.[1] ?? host?.[2] ?? "").toLowerCase();
  return name !== "" && (isLoopback(name) || name === listenHost.toLowerCase());
}

function readToken(path: string): Uint8Array {
  let token: Uint8Array;
  try {
    token = new TextEncoder().encode(Deno.readTextFileSync(path).trim());
  } catch (cause) {
    throw new EnvironmentError(
      `Cannot read status.token_file "${path}": ${fileReason(cause)}`,
      [],
      { cause },
    );
  }
  if (token.length < MIN_TOKEN_OCTETS) {
    throw new EnvironmentError(`Cannot use status.token_file "${path}": ${tooShort(token)}`);
  }
  return token;
}

function tooShort({ length }: Uint8Array): string {
  return `a token of at least ${MIN_TOKEN_OCTETS} characters is needed, this one has ${length}`;
}

/** Why no listener takes the token in a file; undefined: one would. The file can be read. */
export function tokenFault(path: string): string | undefined {
  const token = new TextEncoder().encode(Deno.readTextFileSync(path).trim());
  return token.length < MIN_TOKEN_OCTETS ? `cannot use "${path}": ${tooShort(token)}` : undefined;
}

function bearer(request: Request, token: Uint8Array): boolean {
  const given = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (given === undefined) return false;
  const bytes = new TextEncoder().encode(given);
  return bytes.length === token.length && timingSafeEqual(bytes, token);
}

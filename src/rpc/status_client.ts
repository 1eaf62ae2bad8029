// SPDX-License-Identifier: Apache-2.0

/** Asks a running agent: what the commands `status`, `tunnels`, `rotate` and the like stand on. */
import {
  Code,
  ConnectError,
  createClient,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { X509Certificate } from "node:crypto";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { ConfigError, type TlsFiles } from "../config/config.ts";
import { fileReason } from "../config/reasons.ts";
import type { PipeView, RotateView, SampleView, StatusView, TunnelView } from "../status.ts";
import { AdminService, StatusService } from "./gen/psp/v1/status_pb.ts";
import {
  pipeFromProto,
  rotateFromProto,
  sampleFromProto,
  statusFromProto,
  tunnelFromProto,
} from "./status_codec.ts";

/** Where and how to ask. */
export interface StatusClientOptions {
  /** "host:port". */
  readonly address: string;
  /** The files of `status.tls`: on the agent's own host they serve both sides. */
  readonly tls?: TlsFiles | undefined;
  readonly tokenFile?: string | undefined;
  /** For each call but `samples`; default 5 s. */
  readonly timeoutMs?: number;
}

/** All calls reject with `ConnectError`: `unavailable` when nobody answers there. */
export interface StatusClient extends AsyncDisposable {
  status(): Promise<StatusView>;
  /** Page after page; `peer` restricts. */
  tunnels(query?: { readonly peer?: string }): AsyncIterable<TunnelView>;
  pipes(): Promise<readonly PipeView[]>;
  /** Until aborted. */
  samples(signal: AbortSignal): AsyncIterable<SampleView>;
  /** `unimplemented` unless the agent has `status.admin`. */
  rotate(options: { readonly plan: boolean }): Promise<RotateView>;
}

/** Makes a client; it does not connect yet. Throws `ConfigError` when a file cannot be read. */
export function openStatusClient(options: StatusClientOptions): StatusClient {
  return statusClientOver(transportOf(options), {
    timeoutMs: options.timeoutMs ?? 5000,
    address: options.address,
  });
}

/** The same over any transport; `address` is for error texts. */
function statusClientOver(
  transport: Transport,
  { timeoutMs, address }: { readonly timeoutMs: number; readonly address: string },
): StatusClient {
  const status = createClient(StatusService, transport);
  const admin = createClient(AdminService, transport);
  const limits = { timeoutMs };
  const ask = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (error) {
      throw explain(error, address);
    }
  };
  return {
    status: async () => statusFromProto(await ask(status.getStatus({}, limits))),
    async *tunnels({ peer = "" } = {}) {
      let pageToken = "";
      do {
        const page = await ask(status.listTunnels({ peer, pageToken }, limits));
        for (const tunnel of page.tunnels) yield tunnelFromProto(tunnel);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
    },
    pipes: async () => (await ask(status.getPipes({}, limits))).pipes.map(pipeFromProto),
    async *samples(signal) {
      try {
        for await (const sample of status.watchSamples({}, { signal })) {
          yield sampleFromProto(sample);
        }
      } catch (error) {
        if (!signal.aborted) throw explain(error, address);
      }
    },
    rotate: async ({ plan }) => rotateFromProto(await ask(admin.rotate({ plan }, limits))),
    // Nothing is kept open between calls.
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function transportOf({ address, tls, tokenFile }: StatusClientOptions): Transport {
  const files = tls && {
    cert: read(tls.cert, "certificate"),
    key: read(tls.key, "key"),
    ca: read(tls.ca, "CA bundle"),
  };
  return createConnectTransport({
    baseUrl: `${tls ? "https" : "http"}://${address}`,
    // One short-lived connection per call: a command ends when its answer is there.
    httpVersion: "1.1",
    nodeOptions: {
      agent: false,
      ...(files ? { ...files, checkServerIdentity: sameOrNamed(files.cert) } : {}),
    },
    useBinaryFormat: false,
    acceptCompression: [],
    interceptors: tokenFile === undefined ? [] : [withToken(read(tokenFile, "token file").trim())],
  });
}

/** The certificate of our own files is the agent's, whatever address it answers on. */
function sameOrNamed(own: string): (host: string, peer: PeerCertificate) => Error | undefined {
  const { fingerprint256 } = new X509Certificate(own);
  return (host, peer) =>
    peer.fingerprint256 === fingerprint256 ? undefined : checkServerIdentity(host, peer);
}

function withToken(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}

function read(path: string, what: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (cause) {
    throw new ConfigError(`Cannot read ${what} "${path}": ${fileReason(cause)}`, [], { cause });
  }
}

/** What the runtime and its TLS say, and what it means here. */
const WHY_NOT: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, "nobody answers there: is the agent running, and is that its status.listen?"],
  [/ENOTFOUND|EAI_AGAIN/, "no address is known for that name"],
  [/EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/, "it cannot be reached"],
  [
    /certificate|UnknownIssuer|self.signed|issuer/i,
    "its certificate is not signed by the CA of status.tls (--config names the files)",
  ],
  [
    /EPIPE|ECONNRESET|hang up|disconnected|closed|EPROTO|wrong version|InvalidContentType|corrupt message/i,
    "it hangs up: it is ending, or one side speaks TLS and the other does not (status.tls, --config)",
  ],
];

function explain(error: unknown, address: string): ConnectError {
  const found = ConnectError.from(error);
  if (found.code === Code.Unauthenticated) {
    return new ConnectError(
      `The agent at "${address}" does not know this caller: it wants a bearer token (--token-file) or a ` +
        "certificate of status.tls (--config)",
      found.code,
    );
  }
  // What the agent answered carries its headers; anything else happened on the way.
  if ([...found.metadata.keys()].length > 0) return found;
  const why = found.code === Code.DeadlineExceeded
    ? "it does not answer in time"
    : WHY_NOT.find(([said]) => said.test(found.rawMessage))?.[1] ?? found.rawMessage;
  return new ConnectError(`Cannot ask the agent at "${address}": ${why}`, found.code);
}

// SPDX-License-Identifier: Apache-2.0

/** Asks a running agent: what the commands `status`, `tunnels`, `rotate` and the like stand on. */
import { ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { X509Certificate } from "node:crypto";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { ConfigError, type TlsFiles } from "../config/config.ts";
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
export function statusClientOver(
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
  const files = tls && { cert: read(tls.cert), key: read(tls.key), ca: read(tls.ca) };
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
    interceptors: tokenFile === undefined ? [] : [withToken(read(tokenFile).trim())],
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

function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (cause) {
    throw new ConfigError(`Cannot read "${path}"`, [], { cause });
  }
}

function explain(error: unknown, address: string): ConnectError {
  const found = ConnectError.from(error);
  // What the agent answered carries its headers; anything else happened on the way.
  if ([...found.metadata.keys()].length > 0) return found;
  return new ConnectError(
    `Cannot ask the agent at "${address}": ${found.rawMessage}`,
    found.code,
  );
}

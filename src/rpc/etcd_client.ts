// SPDX-License-Identifier: Apache-2.0

/** `KvStore` over etcd's own gRPC interface: several endpoints, TLS with or without a client certificate, or a user. */
import { create } from "@bufbuild/protobuf";
import {
  type CallOptions,
  type Client,
  Code,
  ConnectError,
  createClient,
  type Interceptor,
} from "@connectrpc/connect";
import { createTransport } from "@connectrpc/connect/protocol-grpc";
import { X509Certificate } from "node:crypto";
import * as net from "node:net";
import { createSecureContext, type TLSSocket } from "node:tls";
import { fileReason } from "../config/reasons.ts";
import { type KvBatch, KvError, type KvFailure, type KvPage, type KvStore } from "../model/kv.ts";
import { ChainJudge } from "./chain.ts";
import {
  Auth,
  Event_EventType,
  KV,
  Lease,
  type ResponseHeader,
  Watch,
  WatchRequestSchema,
} from "./gen/etcd/rpc_pb.ts";
import { H2Streams } from "./h2_streams.ts";
import { prove } from "./proof.ts";
import { certificateRefusal } from "./tls_alerts.ts";

/** Where etcd is, and who asks. */
export interface EtcdOptions {
  /** "https://192.0.2.10:2379", tried in this order, from the one that served last. */
  readonly endpoints: readonly string[];
  /** PEM files, read for each connection. `cert` and `key`: this client's own, both or none. */
  readonly tls?: {
    readonly ca?: string | undefined;
    readonly cert?: string | undefined;
    readonly key?: string | undefined;
  } | undefined;
  readonly user?: string | undefined;
  /** A file with the user's password. */
  readonly passwordFile?: string | undefined;
  /** Of each call but a watch; default 5 s. */
  readonly timeoutMs?: number;
  /** A connection that heard nothing for this long is asked; default 10 s. */
  readonly pingIntervalMs?: number;
  /** Wall clock. */
  readonly wallMs?: () => number;
}

const TIMEOUT_MS = 5_000;
const PING_INTERVAL_MS = 10_000;
const PING_TIMEOUT_MS = 5_000;
/** Of one answer: a page of records, or a batch of changes. */
const MAX_BYTES = 64 * 2 ** 20;
const TLS_VERSION = "TLSv1.2";

interface Calls {
  readonly kv: Client<typeof KV>;
  readonly watch: Client<typeof Watch>;
  readonly lease: Client<typeof Lease>;
  readonly auth: Client<typeof Auth>;
}

/** Makes a client; it connects when it is first used. */
export function openEtcd(options: EtcdOptions): KvStore {
  return new Etcd(options);
}

class Etcd implements KvStore {
  readonly #options: EtcdOptions;
  readonly #connections: readonly H2Streams[];
  readonly #calls: readonly Calls[];
  /** The endpoint in use. */
  #at = 0;
  #token: string | undefined;

  constructor(options: EtcdOptions) {
    this.#options = options;
    this.#connections = options.endpoints.map((endpoint) => connectionTo(endpoint, options));
    this.#calls = options.endpoints.map((endpoint, i) =>
      callsOver(this.#connections[i] as H2Streams, endpoint, () => this.#token)
    );
  }

  async range(
    { prefix, after, limit, revision = 0n }: Parameters<KvStore["range"]>[0],
  ): Promise<KvPage> {
    const request = {
      // The first key behind another is that one with a zero octet at its end.
      key: after === undefined ? octets(prefix) : octets(`${after}\0`),
      rangeEnd: endOf(prefix),
      limit: BigInt(limit),
      revision,
    };
    const { kvs, more, header } = await this.#call(({ kv }, how) => kv.range(request, how));
    return {
      items: kvs.map(({ key, value, createRevision }) => ({
        key: text(key),
        value: text(value),
        createRevision,
      })),
      more,
      ...of(header),
    };
  }

  async *watch(
    { prefix, fromRevision }: Parameters<KvStore["watch"]>[0],
    signal: AbortSignal,
  ): AsyncGenerator<KvBatch> {
    await this.#login();
    const asked = create(WatchRequestSchema, {
      requestUnion: {
        case: "createRequest",
        value: {
          key: octets(prefix),
          rangeEnd: endOf(prefix),
          startRevision: fromRevision,
          progressNotify: true,
        },
      },
    });
    const at = this.#at;
    try {
      const answers = this.#callsAt(at).watch.watch(one(asked), { signal });
      for await (const answer of answers) {
        if (answer.canceled) throw canceled(answer);
        yield {
          changes: answer.events.flatMap(({ type, kv }) =>
            kv === undefined ? [] : [{
              key: text(kv.key),
              value: type === Event_EventType.DELETE ? undefined : text(kv.value),
              createRevision: kv.createRevision,
            }]
          ),
          ...of(answer.header),
        };
      }
    } catch (error) {
      if (signal.aborted) return;
      throw this.#failed(error, at);
    }
    if (!signal.aborted) throw new KvError("unavailable", "the watch ended");
  }

  async put({ key, value, lease }: Parameters<KvStore["put"]>[0]): Promise<void> {
    const request = { key: octets(key), value: octets(value), lease };
    await this.#call(({ kv }, how) => kv.put(request, how));
  }

  async grantLease(seconds: number): Promise<bigint> {
    const { ID, error } = await this.#call(({ lease }, how) =>
      lease.leaseGrant({ TTL: BigInt(seconds) }, how)
    );
    if (error !== "") throw new KvError("other", error);
    return ID;
  }

  async keepLease(id: bigint): Promise<number> {
    return await this.#call(async ({ lease }, how) => {
      for await (const { TTL } of lease.leaseKeepAlive(one({ ID: id }), how)) return Number(TTL);
      throw new ConnectError("no answer to a lease's renewal", Code.Unavailable);
    });
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
  }

  /** Each endpoint in its turn, and once more where the token has ended. */
  async #call<T>(run: (calls: Calls, how: CallOptions) => Promise<T>): Promise<T> {
    let renewed = false;
    for (let tries = 1;; tries++) {
      const at = this.#at;
      try {
        await this.#login();
        return await run(this.#callsAt(at), { timeoutMs: this.#timeoutMs });
      } catch (error) {
        const failed = this.#failed(error, at);
        if (failed.failure === "refused" && this.#token !== undefined && !renewed) {
          renewed = true;
          this.#token = undefined;
        } else if (failed.failure !== "unavailable" || tries >= this.#calls.length) throw failed;
      }
    }
  }

  async #login(): Promise<void> {
    const { user, passwordFile } = this.#options;
    if (user === undefined || this.#token !== undefined) return;
    const at = this.#at;
    try {
      const password = passwordFile === undefined ? "" : secret(passwordFile);
      const how = { timeoutMs: this.#timeoutMs };
      const { token } = await this.#callsAt(at).auth.authenticate({ name: user, password }, how);
      this.#token = token;
    } catch (error) {
      throw this.#failed(error, at);
    }
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? TIMEOUT_MS;
  }

  #callsAt(at: number): Calls {
    return this.#calls[at] as Calls;
  }

  /** The same failure in our words; the next call asks another endpoint where this one was of no use. */
  #failed(error: unknown, at: number): KvError {
    if (error instanceof KvError) return error;
    const found = ConnectError.from(error);
    const failure = FAILURES[found.code] ?? "other";
    const endpoint = this.#options.endpoints[at] ?? "";
    if (failure === "unavailable") {
      this.#connections[at]?.close();
      if (this.#at === at) this.#at = (at + 1) % this.#calls.length;
    }
    // A server that wants another certificate, or one at all, says so after the handshake: by an alert, or by hanging up.
    const alert = certificateRefusal(found.rawMessage);
    const why = alert !== undefined
      ? `the server refuses this host's certificate: ${alert}`
      : /\b(EPIPE|ECONNRESET)\b/.test(found.rawMessage)
      ? `the server has ended the connection, as one does that does not take this certificate ` +
        `(${found.rawMessage})`
      : found.rawMessage;
    return new KvError(failure, `${endpoint}: ${why}`, { cause: error });
  }
}

const FAILURES: { readonly [C in Code]?: KvFailure } = {
  [Code.Unavailable]: "unavailable",
  [Code.DeadlineExceeded]: "unavailable",
  [Code.Aborted]: "unavailable",
  [Code.Canceled]: "unavailable",
  [Code.ResourceExhausted]: "unavailable",
  // What etcd says while it has no leader, or has just been started.
  [Code.Unknown]: "unavailable",
  [Code.Internal]: "unavailable",
  [Code.PermissionDenied]: "refused",
  [Code.Unauthenticated]: "refused",
  // A wrong password is an argument to etcd.
  [Code.InvalidArgument]: "refused",
  [Code.OutOfRange]: "compacted",
};

function canceled(
  { compactRevision, cancelReason }: {
    readonly compactRevision: bigint;
    readonly cancelReason: string;
  },
): KvError {
  if (compactRevision > 0n) {
    return new KvError("compacted", `what came before revision ${compactRevision} is gone`);
  }
  const failure = /permission|auth|token/.test(cancelReason) ? "refused" : "unavailable";
  return new KvError(failure, cancelReason || "the watch was canceled");
}

function of(header: ResponseHeader | undefined): Pick<KvPage, "revision" | "cluster"> {
  return { revision: header?.revision ?? 0n, cluster: header?.clusterId ?? 0n };
}

function callsOver(
  connection: H2Streams,
  endpoint: string,
  token: () => string | undefined,
): Calls {
  const authorized: Interceptor = (next) => (request) => {
    const value = token();
    if (value !== undefined) request.header.set("token", value);
    return next(request);
  };
  const transport = createTransport({
    baseUrl: endpoint,
    httpClient: (request) => connection.request(request),
    useBinaryFormat: true,
    interceptors: [authorized],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes: MAX_BYTES,
    writeMaxBytes: MAX_BYTES,
  });
  return {
    kv: createClient(KV, transport),
    watch: createClient(Watch, transport),
    lease: createClient(Lease, transport),
    auth: createClient(Auth, transport),
  };
}

function connectionTo(endpoint: string, options: EtcdOptions): H2Streams {
  const { hostname, protocol } = new URL(endpoint);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const { wallMs = Date.now, pingIntervalMs = PING_INTERVAL_MS } = options;
  const kept = {
    authority: endpoint,
    connectTimeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    pingIntervalMs,
    pingTimeoutMs: PING_TIMEOUT_MS,
  };
  if (protocol !== "https:") return new H2Streams(kept);
  let judge = new ChainJudge([]);
  return new H2Streams({
    ...kept,
    tls: () => {
      const { ca, cert, key } = options.tls ?? {};
      const authorities = ca === undefined ? [] : certificates(pem(ca));
      judge = new ChainJudge(authorities);
      return {
        secureContext: createSecureContext({
          ca: authorities,
          minVersion: TLS_VERSION,
          ...cert === undefined || key === undefined ? {} : { cert: pem(cert), key: pem(key) },
        }),
        minVersion: TLS_VERSION,
        // Written out: left out, environment variables could decide it.
        rejectUnauthorized: true,
        checkServerIdentity: () => undefined,
      };
    },
    admit: (socket) => refusal(socket, { judge, host, nowMs: wallMs() }),
  });
}

/** Why the other end is not the server that was meant: by its chain, and by its name. */
function refusal(
  socket: TLSSocket,
  { judge, host, nowMs }: {
    readonly judge: ChainJudge;
    readonly host: string;
    readonly nowMs: number;
  },
): string | undefined {
  const proven = prove(socket, { judge, purpose: "server", nowMs });
  if (!proven.ok) return `its certificate cannot be trusted: ${proven.message}`;
  const [der] = proven.proof.sent;
  const certificate = new X509Certificate(der as Uint8Array<ArrayBuffer>);
  const named = net.isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host);
  return named === undefined ? `its certificate is not that of "${host}"` : undefined;
}

/** The first key beyond all that begin with a prefix. */
function endOf(prefix: string): Uint8Array<ArrayBuffer> {
  const end = octets(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    const octet = end[i] ?? 0;
    if (octet === 0xff) continue;
    end[i] = octet + 1;
    return end.slice(0, i + 1);
  }
  return new Uint8Array([0]);
}

function octets(value: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(value);
}

function text(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}

async function* one<T>(item: T): AsyncGenerator<T> {
  yield await Promise.resolve(item);
}

function pem(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (cause) {
    throw new KvError("refused", `cannot read "${path}": ${fileReason(cause)}`, { cause });
  }
}

function certificates(bundle: string): string[] {
  return bundle.match(/-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/g) ?? [];
}

function secret(path: string): string {
  return pem(path).replace(/\r?\n$/, "");
}

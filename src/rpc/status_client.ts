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
import { createHash, X509Certificate } from "node:crypto";
import { Buffer } from "node:buffer";
import * as http from "node:http";
import * as https from "node:https";
import * as net from "node:net";
import type { Duplex } from "node:stream";
import * as tls from "node:tls";
import { ConfigError, type TlsFiles } from "../config/config.ts";
import { fileReason } from "../config/reasons.ts";
import type { AgentEvent, EventQuery } from "../model/events.ts";
import type { DropQuery, DropView, NetworkView, SaEntry } from "../model/lists.ts";
import type { PingQuery, PingView } from "../model/ping.ts";
import type { OrderView, TunnelSelector } from "../model/orders.ts";
import type {
  ExplainView,
  PacketQuery,
  PeerState,
  PeerView,
  PipeView,
  PortView,
  ReloadView,
  RotateView,
  SampleView,
  StatusQuery,
  StatusView,
  TunnelView,
} from "../model/status.ts";
import { ChainJudge } from "./chain.ts";
import {
  AdminService,
  type ListPeersResponse,
  type ListSasResponse,
  type ListTunnelsResponse,
  StatusService,
} from "./gen/psp/v1/status_pb.ts";
import { dropFromProto, networkFromProto, pingFromProto, saEntryFromProto } from "./lists_codec.ts";
import { prove } from "./proof.ts";
import {
  eventFromProto,
  explainFromProto,
  peerFromProto,
  pipeFromProto,
  portFromProto,
  queryToProto,
  reloadFromProto,
  rotateFromProto,
  sampleFromProto,
  statusFromProto,
  tunnelFromProto,
} from "./status_codec.ts";
import { clientOptions, contextOptions } from "./tls.ts";

/** Where and how to ask. */
export interface StatusClientOptions {
  /** "host:port", or the path of a Unix socket: with a slash in it. */
  readonly address: string;
  /** The files of `status.tls`: on the agent's own host they serve both sides. */
  readonly tls?: TlsFiles | undefined;
  readonly tokenFile?: string | undefined;
  /** For each call but `samples`; default 5 s. */
  readonly timeoutMs?: number;
}

/** All calls reject with `ConnectError`: `unavailable` when nobody answers there. */
export interface StatusClient extends AsyncDisposable {
  status(query?: StatusQuery): Promise<StatusView>;
  /** Page after page, the next one asked for while one is looked at; `peer` restricts. */
  tunnels(query?: { readonly peer?: string }): AsyncIterable<readonly TunnelView[]>;
  /** Page after page. */
  peers(query?: {
    readonly contains?: string | undefined;
    readonly states?: readonly PeerState[] | undefined;
  }): AsyncIterable<readonly PeerView[]>;
  /** Page after page; `unimplemented` of an agent of before, as the next ones. */
  sas(query?: {
    readonly peer?: string | undefined;
    readonly direction?: "tx" | "rx" | undefined;
    readonly spi?: number | undefined;
  }): AsyncIterable<readonly SaEntry[]>;
  drops(query: Omit<DropQuery, "limit">): Promise<{
    /** All since the start, by reason. */
    readonly packets: Readonly<Record<string, bigint>>;
    /** The latest first. */
    readonly drops: readonly DropView[];
  }>;
  ports(): Promise<readonly PortView[]>;
  networks(): Promise<readonly NetworkView[]>;
  pipes(): Promise<readonly PipeView[]>;
  /** Until aborted. */
  samples(signal: AbortSignal): AsyncIterable<SampleView>;
  /** `unimplemented` unless the agent has `status.admin`, but for a plan. */
  rotate(options: { readonly plan: boolean }): Promise<RotateView>;
  /** What Prometheus reads. */
  metrics(): Promise<string>;
  explain(packet: PacketQuery): Promise<ExplainView>;
  /** Of the last hour, page after page, oldest first. */
  events(query: EventQuery): AsyncIterable<AgentEvent>;
  /** The same, and then those to come, until aborted. */
  watchEvents(query: EventQuery, signal: AbortSignal): AsyncIterable<AgentEvent>;
  /** The same. Waits until it is done. */
  reload(options: { readonly plan: boolean }): Promise<ReloadView>;
  /** Waits for each leg as long as the query says. */
  ping(query: PingQuery): Promise<PingView>;
  /** As `rotate`. */
  rekey(which: TunnelSelector): Promise<OrderView>;
  /** As `rotate`. */
  closeTunnels(which: TunnelSelector): Promise<OrderView>;
  /** By category. */
  logLevels(): Promise<Readonly<Record<string, string>>>;
  /** The last ones, oldest first; undefined: an agent of before keeps none. */
  logLines(): Promise<readonly string[] | undefined>;
  /** As `rotate`. The result is what is in force then. */
  setLogLevel(
    category: string | undefined,
    level: string,
  ): Promise<Readonly<Record<string, string>>>;
}

/** A file of very many peers takes its time. */
const RELOAD_LIMITS = { timeoutMs: 60_000 };
/** Tunnels in a page: what an agent tells of without a stall. */
const PAGE_SIZE = 1000;

/** Makes a client; it does not connect yet. Throws `ConfigError` when a file cannot be read. */
export function openStatusClient(options: StatusClientOptions): StatusClient {
  const channel = channelOf(options);
  return statusClientOver(createConnectTransport({ ...channel, useBinaryFormat: false }), {
    bulk: createConnectTransport({ ...channel, useBinaryFormat: true }),
    timeoutMs: options.timeoutMs ?? 5000,
    address: options.address,
    text: (path) => textOf(channel, path, options.timeoutMs ?? 5000),
  });
}

/** What a plain GET answers. */
function textOf(
  { baseUrl, nodeOptions, token }: ReturnType<typeof channelOf>,
  path: string,
  timeoutMs: number,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const { request } = baseUrl.startsWith("https:") ? https : http;
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const sent = request(
    baseUrl + path,
    { ...nodeOptions, headers, timeout: timeoutMs },
    (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("error", reject);
      answer.on("end", () => {
        const body = Buffer.concat(parts).toString();
        if (answer.statusCode === 200) return resolve(body);
        const code = answer.statusCode === 401 ? Code.Unauthenticated : Code.Unknown;
        reject(new ConnectError(body.trim(), code));
      });
    },
  );
  sent.on("timeout", () => sent.destroy(new ConnectError("no answer", Code.DeadlineExceeded)));
  sent.on("error", (error) => reject(ConnectError.from(error, Code.Unavailable)));
  sent.end();
  return promise;
}

/** The same over any transport; `address` is for error texts. */
function statusClientOver(
  transport: Transport,
  { bulk, timeoutMs, address, text }: {
    /**
     * For long answers, in the binary form. Requests that say nothing are empty in that form, and the runtime fails
     * to write an empty body over TLS.
     */
    readonly bulk: Transport;
    readonly timeoutMs: number;
    readonly address: string;
    readonly text: (path: string) => Promise<string>;
  },
): StatusClient {
  const status = createClient(StatusService, transport);
  const lists = createClient(StatusService, bulk);
  const admin = createClient(AdminService, transport);
  const limits = { timeoutMs };
  /** undefined: an agent of before does not know this call. */
  const known = <T>(call: Promise<T>): Promise<T | undefined> =>
    call.catch((error: ConnectError) => {
      if (error.code === Code.Unimplemented) return undefined;
      throw error;
    });
  const ask = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (error) {
      throw explain(error, address);
    }
  };
  const answers = () => ask(status.listLogLevels({}, limits));
  return {
    status: async ({ maxPeers } = {}) =>
      statusFromProto(
        await ask(status.getStatus(maxPeers === undefined ? {} : { maxPeers }, limits)),
      ),
    async *tunnels({ peer = "" } = {}) {
      const list = (pageToken: string) => {
        const page = ask(lists.listTunnels({ peer, pageToken, pageSize: PAGE_SIZE }, limits));
        // Whoever stops reading does not wait for it.
        page.catch(() => {});
        return page;
      };
      for (let next: ReturnType<typeof list> | undefined = list(""); next !== undefined;) {
        const { tunnels, nextPageToken }: ListTunnelsResponse = await next;
        next = nextPageToken === "" ? undefined : list(nextPageToken);
        yield tunnels.map(tunnelFromProto);
      }
    },
    async *peers({ contains = "", states = [] } = {}) {
      const query = { contains, states: [...states], pageSize: PAGE_SIZE };
      for (let pageToken: string | undefined = ""; pageToken !== undefined;) {
        const page: ListPeersResponse | undefined = await known(
          ask(lists.listPeers({ ...query, pageToken }, limits)),
        );
        if (page === undefined) {
          const { peers } = await ask(status.getStatus({}, limits));
          const all = peers.map(peerFromProto);
          return yield all.filter(({ id, state }) =>
            id.includes(contains) && (states.length === 0 || states.includes(state))
          );
        }
        pageToken = page.nextPageToken || undefined;
        yield page.peers.map(peerFromProto);
      }
    },
    async *sas({ peer = "", direction = "", spi } = {}) {
      const one = spi === undefined ? {} : { spi };
      const query = { peer, direction, ...one, pageSize: PAGE_SIZE };
      for (let pageToken: string | undefined = ""; pageToken !== undefined;) {
        const page: ListSasResponse = await ask(lists.listSas({ ...query, pageToken }, limits));
        pageToken = page.nextPageToken || undefined;
        yield page.sas.map(saEntryFromProto);
      }
    },
    drops: async ({ reason = "", peer = "", vip = "" }) => {
      const drops: DropView[] = [];
      for (let pageToken = "";;) {
        const page = await ask(status.listDrops({ reason, peer, vip, pageToken }, limits));
        drops.push(...page.drops.map(dropFromProto));
        pageToken = page.nextPageToken;
        if (pageToken === "") return { packets: page.packets, drops };
      }
    },
    ports: async () => (await ask(status.listPorts({}, limits))).ports.map(portFromProto),
    networks: async () =>
      (await ask(status.listNetworks({}, limits))).networks.map(networkFromProto),
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
    metrics: () => ask(text("/metrics")),
    explain: async ({ src, dst, length = 0, ttl = 0, port = "" }) =>
      explainFromProto(await ask(status.explain({ src, dst, length, ttl, port }, limits))),
    async *events(query) {
      for (let after = query.after;;) {
        const filter = queryToProto({ ...query, after });
        const { events } = await ask(lists.listEvents({ filter, pageSize: PAGE_SIZE }, limits));
        yield* events.map(eventFromProto);
        const last = events.at(-1);
        if (last === undefined) return;
        after = Number(last.cursor);
      }
    },
    async *watchEvents(query, signal) {
      // A stream says nothing until something happens, and one of an agent that hangs says just as little.
      await answers();
      try {
        for await (const event of status.watchEvents({ filter: queryToProto(query) }, { signal })) {
          yield eventFromProto(event);
        }
      } catch (error) {
        if (!signal.aborted) throw explain(error, address);
      }
    },
    rotate: async ({ plan }) => {
      const order = () => ask(admin.rotate({ plan }, limits));
      if (!plan) return rotateFromProto(await order());
      return rotateFromProto(
        // An agent of before has plans among its orders.
        await known(ask(status.planRotation({}, limits))) ?? await order(),
      );
    },
    reload: async ({ plan }) => {
      // Nobody waits so long for an agent that answers nothing.
      await answers();
      return reloadFromProto(await ask(admin.reload({ plan }, RELOAD_LIMITS)));
    },
    ping: async ({ src = "", dst, timeoutMs }) =>
      pingFromProto(
        // Three legs, each with its time.
        await ask(
          status.ping({ src, dst, timeoutMs }, { timeoutMs: limits.timeoutMs + 3 * timeoutMs }),
        ),
      ),
    rekey: async (which) => await ask(admin.rekey({ tunnels: selectorToProto(which) }, limits)),
    closeTunnels: async (which) =>
      await ask(admin.closeTunnel({ tunnels: selectorToProto(which) }, limits)),
    logLevels: async () => (await ask(status.listLogLevels({}, limits))).levels,
    logLines: async () => (await known(ask(status.listLogLines({}, limits))))?.lines,
    setLogLevel: async (category = "", level) =>
      (await ask(admin.setLogLevel({ category, level }, limits))).levels,
    // Nothing is kept open between calls.
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function selectorToProto({ peer = "", vips, spi }: TunnelSelector) {
  return { peer, vips: [...vips], ...spi === undefined ? {} : { spi } };
}

/** What both transports have in common; the files are read here. */
function channelOf({ address, tls, tokenFile, timeoutMs = 5000 }: StatusClientOptions) {
  const token = tokenFile === undefined ? undefined : read(tokenFile, "token file").trim();
  const isSocket = address.includes("/");
  const files = !isSocket && tls && {
    cert: read(tls.cert, "certificate"),
    key: read(tls.key, "key"),
    ca: certificates(read(tls.ca, "CA bundle")),
  };
  return {
    baseUrl: isSocket ? "http://localhost" : `${tls ? "https" : "http"}://${address}`,
    // One short-lived connection per call: a command ends when its answer is there.
    httpVersion: "1.1" as const,
    nodeOptions: isSocket
      ? { agent: false as const, socketPath: address }
      : { agent: files ? new Judging(files, timeoutMs) : false as const },
    acceptCompression: [],
    interceptors: token === undefined ? [] : [withToken(token)],
    token,
  };
}

/** Connections to an agent whose certificate was judged before anything, a token above all, is sent there. */
class Judging extends https.Agent {
  readonly #options: ReturnType<typeof clientOptions>;
  readonly #judge: ChainJudge;
  /** The certificate of our own files is the agent's, whatever address it answers on. */
  readonly #own: string;
  readonly #timeoutMs: number;

  constructor(files: Parameters<typeof contextOptions>[0], timeoutMs: number) {
    super({ keepAlive: false });
    this.#options = clientOptions(tls.createSecureContext(contextOptions(files)));
    this.#judge = new ChainJudge(files.ca);
    this.#own = createHash("sha256").update(new X509Certificate(files.cert).raw).digest("hex");
    this.#timeoutMs = timeoutMs;
  }

  override createConnection(
    { host, port }: https.RequestOptions,
    callback: (error: Error | null, stream: Duplex) => void = () => {},
  ): Duplex {
    const name = (host ?? "").replace(/^\[(.*)\]$/, "$1");
    const socket = tls.connect({
      host: name,
      port: Number(port),
      ...(net.isIP(name) === 0 ? { servername: name } : {}),
      ...this.#options,
    });
    socket.setTimeout(this.#timeoutMs, () => socket.destroy(new Error("ETIMEDOUT")));
    const failed = (error: Error) => callback(error, socket);
    socket.once("error", failed);
    socket.once("secureConnect", () => {
      socket.off("error", failed);
      socket.setTimeout(0);
      const why = this.#refusal(socket, name);
      if (why === undefined) return callback(null, socket);
      socket.destroy();
      callback(new Error(`${REFUSED}${why}`), socket);
    });
    // A socket that is returned is used at once; the types do not know that it may come by `callback` alone.
    return undefined as unknown as Duplex;
  }

  #refusal(socket: tls.TLSSocket, host: string): string | undefined {
    const proven = prove(socket, { judge: this.#judge, purpose: "server", nowMs: Date.now() });
    if (!proven.ok) return proven.message;
    if (proven.proof.leaf.fingerprint === this.#own) return undefined;
    return tls.checkServerIdentity(host, socket.getPeerCertificate())?.message;
  }
}

/** Each PEM block of a bundle. */
function certificates(bundle: string): string[] {
  return bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
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

/** How the sentence of our own judgement begins. */
const REFUSED = "its certificate is refused: ";

/** What the runtime and its TLS say, and what it means here. */
const WHY_NOT: readonly (readonly [RegExp, string])[] = [
  [
    /EACCES|EPERM|Permission denied|PermissionDenied/i,
    "that socket is another user's: ask as root or as the agent's user, or let a group use it (status.socket_group)",
  ],
  [
    /ENOENT|No such file/i,
    "there is no such socket: is the agent running, and is that its status.socket?",
  ],
  [/ENOTSOCK|EPROTOTYPE|not a socket/i, "that is no socket"],
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
        "certificate of status.tls (--config); its Unix socket wants neither",
      found.code,
    );
  }
  // What the agent answered carries its headers; anything else happened on the way.
  if ([...found.metadata.keys()].length > 0) return found;
  const judged = found.rawMessage.indexOf(REFUSED);
  const why = found.code === Code.DeadlineExceeded
    ? "it does not answer in time"
    : judged >= 0
    ? found.rawMessage.slice(judged)
    : WHY_NOT.find(([said]) => said.test(found.rawMessage))?.[1]
      .replace("status.listen", address.includes("/") ? "status.socket" : "status.listen") ??
      found.rawMessage;
  // The transport knows of few errors that nobody was there; of a socket there is nothing else.
  const isSocket = address.includes("/") && found.code !== Code.DeadlineExceeded;
  const code = isSocket ? Code.Unavailable : found.code;
  return new ConnectError(`Cannot ask the agent at "${address}": ${why}`, code);
}

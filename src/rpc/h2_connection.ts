// SPDX-License-Identifier: Apache-2.0

/**
 * One HTTP/2 connection, opened when needed and opened again when it died, and the unary calls of the Connect protocol over
 * it, in the binary format and without compression. connect-node has a connection of its own, which on Deno lets calls hang
 * and timers throw after a connection was lost; here every call ends with its connection, its deadline or its answer, and
 * nothing throws outside of a call. Connect's own transport makes a dozen objects that wait for each other for what is one
 * request and one answer here.
 */
import * as http2 from "node:http2";
import type * as net from "node:net";
import * as tls from "node:tls";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  errorFromJsonBytes,
  validateResponseWithCompression,
} from "@connectrpc/connect/protocol-connect";
import { messageOf } from "../model/errors.ts";
import { joined } from "../model/octets.ts";
import { type Flood, guardSession, MAX_FIELDS, MAX_UNPACKED } from "./h2_meter.ts";
import {
  endNow,
  type From,
  headersFrom,
  pingsOf,
  preventReentry,
  sayRefused,
  socketTo,
  unavailable,
} from "./h2_session.ts";
import { selectedGroup, Tap } from "./key_exchange.ts";

/** How a connection is made and kept. */
export interface H2Options {
  /** "https://192.0.2.1:7443". */
  readonly authority: string;
  /** How TLS is spoken, asked for each new connection; absent: it is not. */
  readonly tls?: () => tls.ConnectionOptions;
  /**
   * Looks at the other side of a new TLS connection before any request goes there, and at the group of the key
   * exchange; the result says why not.
   */
  readonly admit?: (
    socket: tls.TLSSocket,
    keyExchange: string | undefined,
  ) => Promise<string | undefined>;
  readonly from?: From | undefined;
  /** The other side floods the connection, which is ended. */
  readonly flooded: (flood: Flood) => void;
  /** Largest response body. */
  readonly maxBytes: number;
  /** A connection that was asked and says nothing for so long is given up. */
  readonly pingTimeoutMs: number;
  /** A connection stands (with TLS: the other side has proved who it is): the address that it goes to. */
  readonly onOpen?: (address: string) => void;
  /** A connection has ended with an error, in the runtime's words. */
  readonly onFailed?: (error: string) => void;
  /** The last connection has gone; the next call opens a new one. */
  readonly onGone?: () => void;
}

/** One request. */
export interface H2Request {
  readonly path: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called before the first octet leaves. */
  readonly onSent?: (() => void) | undefined;
}

/** Its whole answer. */
export interface H2Answer {
  readonly status: number;
  readonly fields: Readonly<http2.IncomingHttpHeaders>;
  readonly body: Uint8Array;
}

interface Live {
  readonly session: http2.ClientHttp2Session;
  /** Rejects the calls on this connection. */
  readonly calls: Set<(error: ConnectError) => void>;
  /** Settles when the handshake is over. */
  readonly opened: Promise<void>;
  /** Asks the other side whether it is there; drops the connection when it says nothing. */
  readonly ping: () => void;
  connected: boolean;
  /** The other side takes no new calls on it. */
  leaving: boolean;
}

/** Closed by `close`; calls that fail because of the connection reject with `unavailable`. */
export class H2Connection {
  readonly #options: H2Options;
  readonly #host: string;
  #live: Live | undefined;
  /** Those that end with their last call. */
  readonly #retired = new Set<Live>();

  constructor(options: H2Options) {
    this.#options = options;
    this.#host = new URL(options.authority).host;
  }

  /** Whether a connection stands that a call would use. */
  get warm(): boolean {
    return this.#live !== undefined && this.#live.connected && usable(this.#live);
  }

  /** Whether there is a connection, or one is being made. */
  get isOpen(): boolean {
    return this.#live !== undefined || this.#retired.size > 0;
  }

  /** One request, its whole answer. */
  async request(request: H2Request): Promise<H2Answer> {
    const live = this.#live !== undefined && usable(this.#live) ? this.#live : this.#open();
    const { promise, resolve, reject } = Promise.withResolvers<H2Answer>();
    const { path, fields, body, timeoutMs, signal, onSent } = request;
    let stream: http2.ClientHttp2Stream | undefined;
    const cancel = (why: ConnectError) => {
      reject(why);
      if (stream !== undefined && !stream.destroyed) stream.close(http2.constants.NGHTTP2_CANCEL);
      live.ping();
    };
    const abort = () => cancel(ConnectError.from(signal?.reason, Code.Canceled));
    const deadline = setTimeout(
      () => cancel(new ConnectError("the operation timed out", Code.DeadlineExceeded)),
      timeoutMs,
    );
    live.calls.add(reject);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      if (signal?.aborted) abort();
      if (!live.connected || signal?.aborted) await Promise.race([live.opened, promise]);
      onSent?.();
      stream = live.session.request({
        ...fields,
        ":method": "POST",
        // Deno writes an IPv6 authority without its brackets; a server then cannot read it.
        ":authority": this.#host,
        ":path": path,
        // So that a message cut short by an abort cannot pass for a shorter one.
        "content-length": body.length,
      });
      receive(stream, { resolve, reject, maxBytes: this.#options.maxBytes });
      stream.end(body);
      return await promise;
    } catch (error) {
      // What node throws when the session went away between two lines of ours.
      throw error instanceof ConnectError ? error : unavailable(error);
    } finally {
      clearTimeout(deadline);
      signal?.removeEventListener("abort", abort);
      live.calls.delete(reject);
      if (live.leaving && live.calls.size === 0) live.session.close();
      // Nobody waits for this handshake any more (what is left is `opened`): the next call tries afresh
      // instead of waiting for TCP's ever slower repetitions.
      if (!live.connected && live.calls.size <= 1) this.#drop(live, "no answer");
    }
  }

  /**
   * Ends the connection; calls under way reject. A later call opens a new one. With `isRefused` the other side is told
   * that `why` is what is wrong with it.
   */
  close(why = "connection closed", isRefused = false): void {
    for (const { session } of isRefused ? this.#all() : []) {
      sayRefused(session, why);
    }
    if (this.#live !== undefined) this.#drop(this.#live, why);
    for (const live of this.#retired) this.#drop(live, why);
  }

  /** Asks the other side whether it is there, if a connection stands; without an answer it is given up. */
  ping(): void {
    this.#live?.ping();
  }

  /** Calls under way may end; later ones open a new connection. */
  retire(): void {
    const live = this.#live;
    this.#live = undefined;
    if (live === undefined) return;
    live.leaving = true;
    if (live.calls.size === 0) live.session.close();
    else this.#retired.add(live);
  }

  #all(): readonly Live[] {
    return [...this.#live === undefined ? [] : [this.#live], ...this.#retired];
  }

  #open(): Live {
    const wire = this.#dial((flood) => {
      this.#options.flooded(flood);
      endNow(session, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
      this.#drop(live, `the peer floods the connection (${flood})`);
    });
    const session = http2.connect(this.#options.authority, {
      createConnection: () => wire.socket,
      // What the runtime would refuse it would never free: guardSession refuses it before.
      maxHeaderListPairs: 2 * MAX_FIELDS,
      settings: { enablePush: false, maxHeaderListSize: MAX_UNPACKED },
    });
    preventReentry(session);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(ignore);
    const pings = pingsOf(session, {
      timeoutMs: this.#options.pingTimeoutMs,
      silent: () => this.#drop(live, "the peer is silent"),
      lost: () => this.#drop(live, "the connection was lost"),
    });
    const live: Live = {
      session,
      calls: new Set(),
      opened: promise,
      ping: () => {
        if (live.connected) pings.ping();
      },
      connected: false,
      leaving: false,
    };
    live.calls.add(reject);
    this.#live = live;
    const connected = async () => {
      const why = await this.#options.admit?.(
        session.socket as tls.TLSSocket,
        wire.keyExchange(),
      );
      if (why !== undefined) {
        sayRefused(session, why);
        return this.#drop(live, why);
      }
      // It may have been given up meanwhile.
      if (this.#live !== live && !this.#retired.has(live)) return;
      live.connected = true;
      this.#options.onOpen?.(wire.address());
      live.calls.delete(reject);
      resolve();
    };
    session.on("connect", () => {
      connected().catch((error) => this.#drop(live, String(error)));
    });
    session.on("goaway", () => {
      live.leaving = true;
      if (live.calls.size === 0) this.#drop(live, "the peer closed the connection");
    });
    session.on("error", (error) => {
      this.#options.onFailed?.(error.message);
      this.#drop(live, error.message);
    });
    session.on("close", () => {
      pings.stop();
      this.#drop(live, "the connection was lost");
    });
    return live;
  }

  /** A socket that a session can take over; watched from its first octet on. */
  #dial(flooded: (flood: Flood) => void): {
    readonly socket: net.Socket;
    /** Of the other side; empty before the connection stands. */
    readonly address: () => string;
    /** The group, as the server has said; undefined: it said none that is known. */
    readonly keyExchange: () => string | undefined;
  } {
    const { raw, tlsBeside } = socketTo(this.#options.authority, this.#options.from);
    const address = () => raw.remoteAddress ?? "";
    const options = this.#options.tls?.();
    if (options === undefined) {
      raw.once("connect", () => guardSession(raw, { of: "server", flooded }));
      return { socket: raw, address, keyExchange: () => undefined };
    }
    let said: Uint8Array[] = [];
    let group: string | false | undefined = false;
    const wire = new Tap(raw, (chunk) => {
      if (group !== false) return;
      said.push(chunk);
      group = selectedGroup(joined(said));
      if (group !== false) said = [];
    });
    const socket = tls.connect({ ...options, socket: wire, ...tlsBeside });
    // For `checkServerIdentity`, which looks at nothing, the runtime would take the whole certificate apart.
    socket.getPeerCertificate = () => ({}) as tls.DetailedPeerCertificate;
    socket.once("secureConnect", () => guardSession(socket, { of: "server", flooded }));
    return { socket, address, keyExchange: () => group === false ? undefined : group };
  }

  #drop(live: Live, why: string): void {
    if (this.#live === live) this.#live = undefined;
    this.#retired.delete(live);
    for (const reject of live.calls) reject(unavailable(why));
    live.calls.clear();
    if (!live.session.destroyed) live.session.destroy();
    if (!this.isOpen) this.#options.onGone?.();
  }
}

function usable({ session, leaving }: Live): boolean {
  return !leaving && !session.closed && !session.destroyed;
}

function receive(
  stream: http2.ClientHttp2Stream,
  { resolve, reject, maxBytes }: {
    readonly resolve: (answer: H2Answer) => void;
    readonly reject: (error: ConnectError) => void;
    readonly maxBytes: number;
  },
): void {
  let fields: http2.IncomingHttpHeaders | undefined;
  const chunks: Uint8Array[] = [];
  let size = 0;
  let over = false;
  stream.on("response", (received) => fields = received);
  stream.on("data", (chunk: Uint8Array) => {
    size += chunk.length;
    if (size > maxBytes) {
      reject(
        new ConnectError(`response is larger than ${maxBytes} octets`, Code.ResourceExhausted),
      );
      stream.close(http2.constants.NGHTTP2_CANCEL);
    } else {
      chunks.push(chunk);
    }
  });
  stream.on("end", () => {
    if (fields === undefined) return;
    over = true;
    const promised = fields["content-length"];
    if (promised !== undefined && Number(promised) !== size) {
      const why = `protocol error: promised ${promised} bytes, received ${size}`;
      return reject(new ConnectError(why, Code.InvalidArgument));
    }
    resolve({ status: Number(fields[":status"]), fields, body: joined(chunks) });
  });
  stream.on("error", (error) => reject(unavailable(error)));
  // The last word: without an answer by now there will be none.
  stream.on("close", () => {
    if (!over) reject(unavailable(`stream ended without an answer (${stream.rstCode})`));
  });
}

function ignore(): void {}

// ---- calls --------------------------------------------------------------------------------------

const BINARY = "application/proto";

/** How a call is made. */
export interface UnaryOptions {
  /** The peer is told of it, too. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called before the first octet leaves. */
  readonly onSent?: (() => void) | undefined;
}

/** Over one connection. */
export interface UnaryOver {
  readonly connection: Pick<H2Connection, "request">;
  /** Sent with every call. */
  readonly fields: Readonly<Record<string, string>>;
  /** Octets of a request. */
  readonly maxBytes: number;
}

/** Makes a call. Rejects with `ConnectError`: what came over the wire has the headers of the answer as its metadata. */
export async function callUnary<I extends DescMessage, O extends DescMessage>(
  { connection, fields, maxBytes }: UnaryOver,
  { method, message, ...options }: UnaryOptions & {
    readonly method: DescMethodUnary<I, O>;
    readonly message: MessageInitShape<I>;
  },
): Promise<MessageShape<O>> {
  const body = encoded(method.input, message);
  if (body.length > maxBytes) {
    const why = `message size ${body.length} is larger than configured writeMaxBytes ${maxBytes}`;
    throw new ConnectError(why, Code.ResourceExhausted);
  }
  let answer: H2Answer;
  try {
    answer = await connection.request({
      path: `/${method.parent.typeName}/${method.name}`,
      fields: {
        ...fields,
        "content-type": BINARY,
        "connect-protocol-version": "1",
        "connect-timeout-ms": `${options.timeoutMs}`,
      },
      body,
      ...options,
    });
  } finally {
    // It may hold keys.
    body.fill(0);
  }
  const { status, fields: { "content-type": type, "content-encoding": encoding } } = answer;
  if (status !== 200 || type !== BINARY || encoding !== undefined) refuse(answer);
  try {
    return fromBinary(method.output, answer.body);
  } catch (cause) {
    throw new ConnectError(`parse binary: ${messageOf(cause)}`, Code.Internal);
  }
}

function encoded<I extends DescMessage>(input: I, message: MessageInitShape<I>): Uint8Array {
  try {
    return toBinary(input, create(input, message));
  } catch (cause) {
    throw new ConnectError(`serialize binary: ${messageOf(cause)}`, Code.Internal);
  }
}

/** Throws what an answer says that is no plain success; returns when it is one all the same. */
function refuse({ status, fields, body }: H2Answer): void {
  const header = headersFrom(fields);
  const valid = validateResponseWithCompression("unary", [], true, status, header);
  if (valid.isUnaryError) throw errorFromJsonBytes(body, header, valid.unaryError);
}

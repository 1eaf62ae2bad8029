// SPDX-License-Identifier: Apache-2.0

/**
 * One HTTP/2 connection for calls whose answers come in parts and may have no end; the HTTP client below Connect's gRPC
 * code, for a server of another project. As h2_connection.ts, which is for whole answers of other agents: every call
 * ends with its connection, its signal or its answer, and nothing throws outside of a call.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalClientRequest, UniversalClientResponse } from "@connectrpc/connect/protocol";
import * as http2 from "node:http2";
import type * as net from "node:net";
import * as tls from "node:tls";
import {
  headersFrom,
  headersOf,
  pingsOf,
  preventReentry,
  socketTo,
  unavailable,
} from "./h2_session.ts";
import { afterTurns } from "./patience.ts";

/** How a connection is made and kept. */
export interface H2StreamsOptions {
  /** "https://192.0.2.1:2379". */
  readonly authority: string;
  /** How TLS is spoken, asked for each new connection; absent: it is not. */
  readonly tls?: () => tls.ConnectionOptions;
  /** Looks at the other side of a new TLS connection before any request goes there; the result says why not. */
  readonly admit?: (socket: tls.TLSSocket) => string | undefined;
  /** How long a connection may take until it stands. */
  readonly connectTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
}

interface Live {
  readonly session: http2.ClientHttp2Session;
  /** Settles when the handshake is over. */
  readonly opened: Promise<void>;
  /** Fails every call on it. */
  readonly lost: AbortController;
}

/** Octets of an answer that wait for their reader before the other side is told to wait. */
const WAITING_BYTES = 4 * 2 ** 20;

/** Opened when needed, and opened again when it died. */
export class H2Streams implements Disposable {
  readonly #options: H2StreamsOptions;
  #live: Live | undefined;

  constructor(options: H2StreamsOptions) {
    this.#options = options;
  }

  /** One request; its answer begins. Rejects with `ConnectError`. */
  async request(request: UniversalClientRequest): Promise<UniversalClientResponse> {
    const body: Uint8Array[] = [];
    for await (const chunk of request.body ?? []) body.push(chunk);
    const live = this.#live ?? this.#open();
    const signal = request.signal === undefined
      ? live.lost.signal
      : AbortSignal.any([request.signal, live.lost.signal]);
    const why = () =>
      live.lost.signal.aborted
        ? unavailable(live.lost.signal.reason)
        : ConnectError.from(request.signal?.reason, Code.Canceled);
    const ended = Promise.withResolvers<never>();
    ended.promise.catch(ignore);
    const end = () => ended.reject(why());
    if (signal.aborted) throw why();
    signal.addEventListener("abort", end, { once: true });
    try {
      await Promise.race([live.opened, ended.promise]);
      const stream = live.session.request(headersOf(request));
      for (const chunk of body) stream.write(chunk);
      stream.end();
      const close = () => stream.close(http2.constants.NGHTTP2_CANCEL);
      signal.addEventListener("abort", close, { once: true });
      const answer = new Answer(stream, why, () => {
        signal.removeEventListener("abort", close);
      });
      return await Promise.race([answer.begun, ended.promise]);
    } catch (error) {
      throw error instanceof ConnectError ? error : unavailable(error);
    } finally {
      signal.removeEventListener("abort", end);
    }
  }

  /** Ends the connection, and every call on it. A later call opens a new one. */
  close(reason = "the connection is closed"): void {
    if (this.#live !== undefined) this.#drop(this.#live, reason);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(): Live {
    const { connectTimeoutMs, pingIntervalMs, pingTimeoutMs, admit } = this.#options;
    const session = http2.connect(this.#options.authority, {
      createConnection: () => this.#dial(),
      settings: { enablePush: false },
    });
    preventReentry(session);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(ignore);
    const live: Live = { session, opened: promise, lost: new AbortController() };
    this.#live = live;
    const inTime = afterTurns(connectTimeoutMs, () => this.#drop(live, "no connection in time"));
    const pings = pingsOf(session, {
      timeoutMs: pingTimeoutMs,
      silent: () => this.#drop(live, "the server is silent"),
      lost: () => this.#drop(live, "the connection was lost"),
    });
    const ping = setInterval(pings.ping, pingIntervalMs);
    Deno.unrefTimer(ping);
    live.lost.signal.addEventListener("abort", () => {
      inTime();
      pings.stop();
      clearInterval(ping);
      reject(unavailable(live.lost.signal.reason));
      if (!session.destroyed) session.destroy();
    }, { once: true });
    session.on("connect", () => {
      const why = this.#options.tls === undefined
        ? undefined
        : admit?.(session.socket as tls.TLSSocket);
      if (why !== undefined) return this.#drop(live, why);
      inTime();
      resolve();
    });
    session.on("goaway", () => this.#drop(live, "the server closes the connection"));
    session.on("error", (error) => this.#drop(live, error.message));
    session.on("close", () => this.#drop(live, "the connection was lost"));
    return live;
  }

  #dial(): net.Socket {
    const { raw, tlsBeside } = socketTo(this.#options.authority);
    const options = this.#options.tls?.();
    return options === undefined ? raw : tls.connect({ ...options, socket: raw, ...tlsBeside });
  }

  #drop(live: Live, reason: string): void {
    if (this.#live === live) this.#live = undefined;
    if (!live.lost.signal.aborted) live.lost.abort(reason);
  }
}

/** An answer while it comes. */
class Answer {
  /** Status and header are there. */
  readonly begun: Promise<UniversalClientResponse>;
  readonly #chunks: Uint8Array[] = [];
  readonly #trailer = new Headers();
  #waiting = 0;
  #over = false;
  #failure: ConnectError | undefined;
  #more: () => void = ignore;

  constructor(
    readonly stream: http2.ClientHttp2Stream,
    readonly why: () => ConnectError,
    over: () => void,
  ) {
    const { promise, resolve, reject } = Promise.withResolvers<UniversalClientResponse>();
    promise.catch(ignore);
    this.begun = promise;
    const fail = (error: ConnectError) => {
      this.#failure ??= error;
      reject(error);
      this.#more();
    };
    stream.on("response", (fields) => {
      resolve({
        status: Number(fields[":status"]),
        header: headersFrom(fields),
        body: this.#read(),
        trailer: this.#trailer,
      });
    });
    stream.on("trailers", (fields) => {
      for (const [name, value] of headersFrom(fields)) this.#trailer.set(name, value);
    });
    stream.on("data", (chunk: Uint8Array) => {
      this.#chunks.push(chunk);
      this.#waiting += chunk.length;
      if (this.#waiting > WAITING_BYTES) stream.pause();
      this.#more();
    });
    stream.on("end", () => {
      this.#over = true;
      this.#more();
    });
    stream.on("error", (error) => fail(unavailable(error)));
    stream.on("close", () => {
      over();
      if (!this.#over) {
        const isCanceled = stream.rstCode === http2.constants.NGHTTP2_CANCEL;
        fail(isCanceled ? this.why() : unavailable(`the stream ended early (${stream.rstCode})`));
      }
      this.#more();
    });
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    try {
      while (true) {
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) {
          this.#waiting -= chunk.length;
          if (this.#waiting <= WAITING_BYTES / 2) this.stream.resume();
          yield chunk;
        } else if (this.#failure !== undefined) throw this.#failure;
        else if (this.#over) return;
        else await new Promise<void>((resolve) => this.#more = resolve);
      }
    } finally {
      if (!this.stream.destroyed) this.stream.close(http2.constants.NGHTTP2_CANCEL);
    }
  }
}

function ignore(): void {}

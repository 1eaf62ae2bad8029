// SPDX-License-Identifier: Apache-2.0

/** HTTP/1.1 and HTTP/2 on sockets that the listener's front door let in, with TLS or without. */
import * as http from "node:http";
import * as http2 from "node:http2";
import type * as net from "node:net";
import type * as tls from "node:tls";
import type { RpcEvents } from "./events.ts";
import { endNow, preventReentry } from "./h2_session.ts";
import { guardSocket, type H1Flood, H1Meter, mostOctets } from "./h1_meter.ts";
import { type Flood as H2Flood, guardSession, MAX_FIELDS, MAX_UNPACKED } from "./h2_meter.ts";
import type { ListenerOptions } from "./listener.ts";
import type { Signed } from "./chain.ts";
import { foresee } from "./proof.ts";
import { contextOptions, type TlsMaterial } from "./tls.ts";
import { certificateRefusal, isOfCertificate } from "./tls_alerts.ts";

/** Of either HTTP version. */
export type Request = http.IncomingMessage | http2.Http2ServerRequest;
/** Of either HTTP version. */
export type Response = http.ServerResponse | http2.Http2ServerResponse;

/** What carries requests: an HTTP/2 session, or the socket of an HTTP/1.1 connection. */
export type Carrier = http2.Http2Session | net.Socket;

const HTTP2_PREFACE = "PRI";
/** Content type of the first TLS record, RFC 8446, 5.1. */
const TLS_HANDSHAKE = 0x16;

/** What speaks the protocol on sockets that the front door let in. */
export interface Inner {
  /** Whether these first octets can be of it. */
  speaks(first: Uint8Array): boolean;
  /** Takes the socket over; `settled` is called when its handshake is over and good. */
  take(socket: net.Socket, first: Uint8Array, settled: () => void): void;
  /** New TLS files: new handshakes use them. */
  renew?(material: TlsMaterial): void;
  /** HTTP/1.1 connections end with the answer that they wait for. */
  close(): void;
}

/** Back to the front door. */
export interface Doors {
  /** `signed`: what was found out of its certificate beside this thread. */
  readonly open: (carrier: Carrier, socket: net.Socket, signed?: Signed) => void;
  /** The other side floods this connection; it is ended. */
  readonly flooded: (carrier: Carrier, socket: net.Socket, flood: Flood) => void;
  /** What came on this connection is not HTTP, or breaks its rules; it ends. `why`: in words. */
  readonly broken: (carrier: Carrier | undefined, socket: net.Socket, why: string) => void;
}

/** What there was too much of. */
export type Flood = H1Flood | H2Flood;

/** How long an HTTP/1.1 connection is told that it may wait for its next request. */
export const KEEP_ALIVE_MS = 60_000;

/** One that has no address of its own any more. */
type ClosedTlsSocket = tls.TLSSocket & { readonly _parent?: net.Socket };

/** HTTP/2 and HTTP/1.1 over TLS, chosen by ALPN. */
export function secureServer(
  options: ListenerOptions,
  { store, clients }: NonNullable<ListenerOptions["tls"]>,
  { events, ...doors }: Doors & { readonly events: RpcEvents },
): Inner {
  /** Of connections whose certificates have been looked at. */
  const found = new WeakMap<net.Socket, Signed>();
  const open: Doors["open"] = (carrier, socket) => doors.open(carrier, socket, found.get(socket));
  const http1 = guardHttp1(options, doors);
  const server = http2.createSecureServer({
    ...contextOptions(store.current),
    ...http2Options(options),
    requestCert: true,
    // What the library finds is judged again, and whoever is refused is told why: proof.ts.
    rejectUnauthorized: false,
    allowHTTP1: true,
    handshakeTimeout: options.handshakeTimeoutMs,
  }, http1.handler);
  const close = keepAlive(server as unknown as KeepsAlive);
  // By both ends of the TCP connection: the TLS socket does not say which socket it came from.
  const settle = new Map<string, () => void>();
  server.on("secureConnection", (socket: tls.TLSSocket) => {
    if (socket.alpnProtocol === "h2") return;
    http1.enter(socket);
    open(socket, socket);
  });
  guardSessions(server, "secureConnection", { ...doors, open }, events);
  // Nobody reads of a connection, HTTP does not begin, before its certificate has been looked at beside this thread.
  const take = server.listeners("secureConnection");
  server.removeAllListeners("secureConnection");
  server.on("secureConnection", async (socket: tls.TLSSocket) => {
    // One that is refused for its certificate, or its resumed session, has cost a handshake for nothing.
    const isGood = socket.authorized && !socket.isSessionReused();
    if (clients === "optional" || isGood) settle.get(ends(socket))?.();
    socket.on("error", ignore);
    const signed = await foresee(socket, { judge: store.judge, purpose: "client" }).catch(ignore);
    if (socket.destroyed) return;
    if (signed !== undefined) found.set(socket, signed);
    for (const listener of take) listener.call(server, socket);
  });
  server.on("sessionError", ignore);
  server.on("clientError", (error: Error, socket: net.Socket) => refuseHttp1(error, socket, doors));
  server.on("tlsClientError", (error: Error & { code?: string }, socket: ClosedTlsSocket) => {
    events.count("handshakes-failed");
    const address = socket._parent?.remoteAddress;
    const reason = certificateRefusal(error.message);
    if (reason !== undefined) {
      events.count("certificate-refused");
      events.log("warning", "A caller refuses this host's certificate", { address, reason });
    } else if (isOfCertificate(error)) {
      events.count("certificate-untrusted");
      events.log("warning", "A connection is refused for want of a good certificate", {
        address,
        counter: "certificate-untrusted",
        reason: error.message,
      });
    }
    socket.destroy();
  });
  server.on("timeout", ignore);
  return {
    speaks: (first) => first[0] === TLS_HANDSHAKE,
    take(socket, _first, settled) {
      const key = ends(socket);
      settle.set(key, settled);
      socket.on("close", () => settle.delete(key));
      server.emit("connection", socket);
    },
    renew: (material) => server.setSecureContext(contextOptions(material)),
    close,
  };
}

/** HTTP/2 with prior knowledge and HTTP/1.1, told apart by the first octets. */
export function plainServers(
  options: ListenerOptions,
  { events, ...doors }: Doors & { readonly events: RpcEvents },
): Inner {
  const { open } = doors;
  const http2Server = http2.createServer(http2Options(options), options.handler);
  guardSessions(http2Server, "connection", doors, events);
  http2Server.on("sessionError", ignore);
  const http1 = guardHttp1(options, doors);
  const http1Server = http.createServer(http1.handler);
  http1Server.on("clientError", (error, socket) => refuseHttp1(error, socket as net.Socket, doors));
  const close = keepAlive(http1Server);
  return {
    speaks: () => true,
    take(socket, first, settled) {
      settled();
      const preface = new TextDecoder().decode(first.subarray(0, HTTP2_PREFACE.length));
      if (preface === HTTP2_PREFACE) {
        http2Server.emit("connection", socket);
      } else {
        http1.enter(socket);
        open(socket, socket);
        if (!socket.destroyed) http1Server.emit("connection", socket);
      }
    },
    close,
  };
}

/** Each session is watched from its first octet on: `event` is what the server makes it of. */
function guardSessions(
  server: http2.Http2Server | http2.Http2SecureServer,
  event: "connection" | "secureConnection",
  { open, flooded, broken }: Doors,
  events: RpcEvents,
): void {
  let isTold = false;
  // The server makes the session of a socket within the event that brings the socket.
  let made = (_session: http2.Http2Session): net.Socket | undefined => undefined;
  server.prependListener(event, (socket: net.Socket & { alpnProtocol?: string }) => {
    if (event === "secureConnection" && socket.alpnProtocol !== "h2") return;
    let session: http2.Http2Session | undefined;
    made = (own) => {
      session = own;
      return socket;
    };
    let isFlooded = false;
    guardSession(socket, {
      of: "client",
      broken: (error) => {
        // With that one a refusal goes that is counted by its own name.
        const isOurs = isFlooded || error === http2.constants.NGHTTP2_INADEQUATE_SECURITY;
        if (!isOurs) broken(session, socket, `HTTP/2 error ${error}`);
      },
      flooded: (flood) => {
        if (session === undefined) return socket.destroy();
        isFlooded = true;
        flooded(session, socket, flood);
        endNow(session, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
      },
    });
  });
  server.on("session", (session: http2.Http2Session) => {
    const socket = made(session) ?? session.socket as net.Socket;
    if (!preventReentry(session) && !isTold) {
      isTold = true;
      events.log("warning", "Callers can end this process: its runtime is unknown", {
        version: Deno.version.deno,
      });
    }
    open(session, socket);
  });
}

/** HTTP/1.1 connections are watched from their first octet on, and each of their requests. */
function guardHttp1(
  { handler, maxMessageBytes = 0 }: ListenerOptions,
  { flooded }: Pick<Doors, "flooded">,
): { readonly enter: (socket: net.Socket) => void; readonly handler: ListenerOptions["handler"] } {
  /** Of each connection, with the answers that are under way. */
  const watched = new WeakMap<net.Socket, { meter: H1Meter; answers: Set<http.ServerResponse> }>();
  const end = (socket: net.Socket, flood: H1Flood) => {
    if (socket.destroyed) return;
    flooded(socket, socket, flood);
    socket.destroy();
  };
  return {
    enter(socket) {
      const meter = new H1Meter(mostOctets(maxMessageBytes));
      const answers = new Set<http.ServerResponse>();
      watched.set(socket, { meter, answers });
      // Deno says of the first one only that it is over.
      socket.once("close", () => setImmediate(() => answers.forEach((each) => each.emit("close"))));
      guardSocket(socket, { meter, flooded: (flood) => end(socket, flood) });
    },
    handler(request, response) {
      if ("stream" in request) return handler(request, response);
      const { socket } = request;
      const { meter, answers } = watched.get(socket) ?? {};
      if (meter === undefined || answers === undefined) return;
      const judge = (flood: H1Flood | undefined) => flood === undefined || end(socket, flood);
      judge(meter.begin());
      // What came with the same octets is not begun.
      if (socket.destroyed) return;
      const answer = response as http.ServerResponse;
      answers.add(answer);
      answer.once("close", () => {
        if (answers.delete(answer)) meter.end();
      });
      const push = request.push;
      request.push = (part: Uint8Array | null, ...more) => {
        if (part !== null) judge(meter.body(part));
        return !socket.destroyed && push.call(request, part, ...more);
      };
      handler(request, response);
    },
  };
}

/** By the code of llhttp's error; whatever is not here is a bad request. */
const REFUSED_HEADS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
};

/** Answers what is no request, and ends its connection. */
function refuseHttp1(
  error: Error & { readonly code?: string; readonly reason?: string },
  socket: net.Socket,
  { broken }: Pick<Doors, "broken">,
): void {
  // Of a connection that the other side has cut nothing is to be said.
  if (!socket.writable || error.code === "ECONNRESET") return void socket.destroy();
  const why = error.reason ?? error.message;
  broken(socket, socket, why);
  // What does not even begin as HTTP/1.1, such as TLS or another preface of HTTP/2, comes from nobody who would read it.
  if (error.code === "HPE_INVALID_METHOD") return void socket.destroy();
  const status = REFUSED_HEADS[error.code ?? ""] ?? "400 Bad Request";
  const sentence = `This is no request: ${why}\n`;
  const head = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\n`;
  socket.end(`${head}Content-Length: ${sentence.length}\r\n\r\n${sentence}`);
  socket.resume();
}

/** What Deno asks of a server about its HTTP/1.1 connections. */
interface KeepsAlive {
  keepAliveTimeout: number;
}

/**
 * Lets HTTP/1.1 connections have more than one request. A server to which sockets are given does not listen, and
 * Deno closes the connections of such a one after the first answer, having promised the opposite. The result ends it.
 */
function keepAlive(server: KeepsAlive): () => void {
  let open = true;
  Object.defineProperty(server, "listening", { get: () => open });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  return () => open = false;
}

function ends(socket: net.Socket): string {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

function http2Options(options: ListenerOptions) {
  return {
    settings: {
      maxConcurrentStreams: options.maxStreams ?? 64,
      enablePush: false,
      // The runtime never frees a header block that it refuses: what could make it do so is refused before (h2_meter.ts).
      maxHeaderListSize: MAX_UNPACKED,
    },
    maxHeaderListPairs: 2 * MAX_FIELDS,
  };
}

/** What carries this request: the key under which the front door knows the connection. */
export function carrierOf(request: Request): Carrier {
  const session = "stream" in request ? request.stream.session : undefined;
  return session ?? request.socket;
}

/** Ends one request, whatever it waits for. */
export function cancel(request: Request): void {
  if ("stream" in request) request.stream.close(http2.constants.NGHTTP2_CANCEL);
  else request.destroy();
}

/**
 * Once its answer is complete, who still sends the body of a request is told not to go on (RFC 9113, 8.1): it would wait
 * for room that nobody makes, and the request for its end. HTTP/1.1 cannot say so, and behind a body that Deno leaves
 * unread the connection's next request would never be seen: what is left of it is thrown away. Of a request that its
 * reader has given up nothing is read any more: its connection ends with the answer, which says so where it still can.
 */
export function endWithAnswer(request: Request, response: Response): void {
  if (!("stream" in request)) return endWithAnswer1(request, response as http.ServerResponse);
  const { stream } = request;
  stream.once("finish", () => {
    // What was written leaves first.
    setImmediate(() => {
      if (!stream.destroyed && !request.complete) stream.close(http2.constants.NGHTTP2_NO_ERROR);
    });
  });
}

function endWithAnswer1(request: http.IncomingMessage, response: http.ServerResponse): void {
  const { socket } = request;
  request.once("aborted", () => {
    if (!response.headersSent) response.shouldKeepAlive = false;
    // Who is cut off while it sends may not read what it was answered: its end comes first, or the idle time is over.
    socket.destroySoon = () => socket.end();
  });
  response.once("finish", () => {
    if (request.complete) return;
    if (!request.destroyed) return request.resume();
    socket.end();
    socket.resume();
  });
}

/** Lets what is under way end. */
export function finish(carrier: Carrier): void {
  if ("settings" in carrier) carrier.close();
  else carrier.end();
}

/** Ends one that has only just come, before anything is read from it. */
export function refuse(carrier: Carrier): void {
  if ("settings" in carrier) endNow(carrier);
  else destroy(carrier);
}

/** Ends it now. */
export function destroy(carrier: Carrier): void {
  if (!carrier.destroyed) carrier.destroy();
}

/** For errors that a closed connection has already said. */
export function ignore(): void {}

// SPDX-License-Identifier: Apache-2.0

/** HTTP/1.1 and HTTP/2 on sockets that the listener's front door let in, with TLS or without. */
import * as http from "node:http";
import * as http2 from "node:http2";
import type * as net from "node:net";
import type * as tls from "node:tls";
import type { RpcEvents } from "./events.ts";
import { endLater, endNow } from "./h2_ending.ts";
import type { ListenerOptions } from "./listener.ts";
import { contextOptions, type TlsMaterial } from "./tls.ts";

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
}

/** Back to the front door. */
export interface Doors {
  readonly open: (carrier: Carrier, socket: net.Socket) => void;
}

/** HTTP/2 and HTTP/1.1 over TLS, chosen by ALPN. */
export function secureServer(
  options: ListenerOptions,
  { store, clients }: NonNullable<ListenerOptions["tls"]>,
  { open, events }: Doors & { readonly events: RpcEvents },
): Inner {
  const server = http2.createSecureServer({
    ...contextOptions(store.current),
    ...http2Options(options),
    requestCert: true,
    // What the library lets pass is judged again: proof.ts.
    rejectUnauthorized: clients === "required",
    allowHTTP1: true,
    handshakeTimeout: options.handshakeTimeoutMs,
  }, options.handler);
  // By both ends of the TCP connection: the TLS socket does not say which socket it came from.
  const settle = new Map<string, () => void>();
  server.on("secureConnection", (socket: tls.TLSSocket) => {
    // One that is refused for its resumed session has cost a handshake for nothing.
    if (clients === "optional" || !socket.isSessionReused()) settle.get(ends(socket))?.();
    socket.on("error", ignore);
    if (socket.alpnProtocol !== "h2") open(socket, socket);
  });
  server.on("session", (session) => {
    endLater(session);
    open(session, session.socket as net.Socket);
  });
  server.on("sessionError", ignore);
  server.on("tlsClientError", (_error, socket) => {
    events.count("handshakes-failed");
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
  };
}

/** HTTP/2 with prior knowledge and HTTP/1.1, told apart by the first octets. */
export function plainServers(options: ListenerOptions, { open }: Doors): Inner {
  const http2Server = http2.createServer(http2Options(options), options.handler);
  http2Server.on("session", (session) => {
    endLater(session);
    open(session, session.socket as net.Socket);
  });
  http2Server.on("sessionError", ignore);
  const http1Server = http.createServer(options.handler);
  http1Server.on("clientError", (_error, socket) => socket.destroy());
  return {
    speaks: () => true,
    take(socket, first, settled) {
      settled();
      const preface = new TextDecoder().decode(first.subarray(0, HTTP2_PREFACE.length));
      if (preface === HTTP2_PREFACE) {
        http2Server.emit("connection", socket);
      } else {
        open(socket, socket);
        if (!socket.destroyed) http1Server.emit("connection", socket);
      }
    },
  };
}

function ends(socket: net.Socket): string {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

function http2Options(options: ListenerOptions) {
  return {
    settings: { maxConcurrentStreams: options.maxStreams ?? 64, enablePush: false },
    // Megabytes, by node:http2's measure.
    maxSessionMemory: 4,
    maxHeaderListPairs: 64,
  };
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

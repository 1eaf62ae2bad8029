// SPDX-License-Identifier: Apache-2.0

/**
 * What every HTTP/2 session here needs: an end that the runtime survives, and, for those that this host opens, a socket,
 * pings that must be answered, and headers as Deno can carry them.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalClientRequest } from "@connectrpc/connect/protocol";
import {
  type ClientHttp2Session,
  constants,
  type Http2Session,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import * as net from "node:net";
import { setImmediate } from "node:timers";
import { afterTurns } from "./patience.ts";

/** What drives nghttp2 below a session: the runtime's own, which Node's API does not name. */
interface Handle {
  receive(octets: Uint8Array): void;
  getOutgoingChunk(): Uint8Array;
}

/**
 * To be called for every session before its first frame. nghttp2 must not be entered from one of its own callbacks, and
 * node:http2 runs JavaScript within them: a stream that is reset or a GOAWAY that comes makes it send at once, or frees the
 * session, while nghttp2 still reads the frame that said so. Deno 2.9 has a flag against that (`is_sending`), which does not
 * hold while it receives: freed streams are then freed again or found in a list, and the process aborts
 * (`find_stream_on_goaway_func: Assertion`, denoland/deno#36788). Two segments of anybody who may connect do that to a
 * server, and a GOAWAY to a client. So what is sent waits until what came has been read, and the session ends after the
 * event, not within it. False: this runtime keeps what drives nghttp2 elsewhere, and only the end is put off.
 */
export function preventReentry(session: Http2Session): boolean {
  const { close, destroy } = session;
  session.close = (...args) => void setImmediate(() => close.apply(session, args));
  session.destroy = (...args) => void setImmediate(() => destroy.apply(session, args));
  const sessions = session as unknown as Record<symbol, Handle | undefined>;
  const key = Object.getOwnPropertySymbols(session).find(({ description }) =>
    description === "kHandle"
  );
  if (key === undefined) return false;
  const keep = (handle: Handle | undefined) => {
    if (handle !== undefined) enterOnce(handle);
    const property = { value: handle, writable: true, configurable: true, enumerable: true };
    Object.defineProperty(session, key, property);
  };
  const handle = sessions[key];
  // That of a connection which does not stand yet is made with it.
  if (handle === undefined) {
    Object.defineProperty(session, key, { get: () => undefined, set: keep, configurable: true });
  } else enterOnce(handle);
  return true;
}

/** Whoever calls `receive` asks for what is to be sent when it is over. */
function enterOnce(handle: Handle): void {
  const { receive, getOutgoingChunk } = handle;
  let within = false;
  const enter = <T>(run: () => T): T => {
    within = true;
    try {
      return run();
    } finally {
      within = false;
    }
  };
  handle.receive = (octets) => enter(() => receive.call(handle, octets));
  handle.getOutgoingChunk = () =>
    within ? new Uint8Array() : enter(() => getOutgoingChunk.call(handle));
}

/** Ends it at once, with a GOAWAY of `code`. Never from within an event that a frame of it brought. */
export function endNow(session: Http2Session, code = constants.NGHTTP2_NO_ERROR): void {
  if (!session.destroyed) Object.getPrototypeOf(session).destroy.call(session, code);
}

/** Octets of a reason that travels with a GOAWAY. */
const MAX_REASON = 400;

/**
 * Tells a server why nothing will be asked of it: its certificate is not believed (RFC 9113, 7 and 6.8). It would
 * else see a connection that ends, and no more.
 */
export function sayRefused(session: Http2Session, why: string): void {
  if (session.destroyed) return;
  const { NGHTTP2_INADEQUATE_SECURITY } = constants;
  session.goaway(
    NGHTTP2_INADEQUATE_SECURITY,
    0,
    new TextEncoder().encode(why).slice(0, MAX_REASON),
  );
}

/** What the other side of a session that was accepted says so; "": it says nothing that can be read. */
export function onRefused(session: Http2Session, then: (why: string) => void): void {
  session.on("goaway", (code: number, _stream: number, data?: Uint8Array) => {
    if (code !== constants.NGHTTP2_INADEQUATE_SECURITY) return;
    const text = new TextDecoder().decode(data?.slice(0, MAX_REASON));
    then(text.replaceAll(/[^ -~]/g, "").trim());
  });
}

/** Which of this host's addresses a connection to a host leaves with; undefined: the kernel chooses. */
export type From = (host: string) => string | undefined;

/** A socket towards "https://192.0.2.1:2379", and how TLS is spoken on it besides. */
export function socketTo(authority: string, from: From = () => undefined): {
  readonly raw: net.Socket;
  readonly tlsBeside: { readonly ALPNProtocols: string[]; readonly servername?: string };
} {
  const { hostname, port, protocol } = new URL(authority);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const localAddress = from(host);
  const raw = net.connect({
    host,
    port: Number(port) || (protocol === "https:" ? 443 : 80),
    ...localAddress === undefined ? {} : { localAddress },
  });
  raw.setNoDelay(true);
  const named = net.isIP(host) === 0 ? { servername: host.replace(/\.$/, "") } : {};
  return { raw, tlsBeside: { ALPNProtocols: ["h2"], ...named } };
}

/** Pings of a session, one at a time. */
export interface Pings {
  /** Asks the other side whether it is there. */
  readonly ping: () => void;
  /** No answer is waited for any more. */
  readonly stop: () => void;
}

/** `silent`: a ping had no answer within `timeoutMs`; `lost`: none could be sent. */
export function pingsOf(
  session: ClientHttp2Session,
  { timeoutMs, silent, lost }: {
    readonly timeoutMs: number;
    readonly silent: () => void;
    readonly lost: () => void;
  },
): Pings {
  let overdue: (() => void) | undefined;
  const stop = () => {
    overdue?.();
    overdue = undefined;
  };
  const ping = () => {
    if (session.destroyed || overdue !== undefined) return;
    overdue = afterTurns(timeoutMs, silent);
    try {
      session.ping(stop);
    } catch {
      lost();
    }
  };
  return { ping, stop };
}

/** A request's headers as HTTP/2 sends them. */
export function headersOf(request: UniversalClientRequest): OutgoingHttpHeaders {
  const url = new URL(request.url);
  return {
    ...Object.fromEntries(request.header),
    ":method": request.method,
    // Deno writes an IPv6 authority without its brackets; a server then cannot read it.
    ":authority": url.host,
    ":path": url.pathname + url.search,
  };
}

/** Those of an answer, without HTTP/2's own. */
export function headersFrom(fields: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(fields)) {
    if (!name.startsWith(":") && value !== undefined) headers.set(name, String(value));
  }
  return headers;
}

/** The other side did not answer. */
export function unavailable(reason: unknown): ConnectError {
  const text = reason instanceof Error ? reason.message : String(reason);
  return new ConnectError(text, Code.Unavailable);
}

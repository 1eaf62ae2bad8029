// SPDX-License-Identifier: Apache-2.0

/**
 * Keeps an HTTP/2 session from being freed while it is at work. When a GOAWAY arrives, node:http2 destroys the
 * session at once, from within the receipt of that frame; Deno 2.9 then frees what nghttp2 is still reading and
 * the process dies, now and then (denoland/deno#36788). Anybody who may connect could do that to an agent.
 */
import { constants, type Http2Session } from "node:http2";
import { setImmediate } from "node:timers";

/** To be called for every session before its first frame: it then ends after the event, not within it. */
export function endLater(session: Http2Session): void {
  const { close, destroy } = session;
  session.close = (...args) => void setImmediate(() => close.apply(session, args));
  session.destroy = (...args) => void setImmediate(() => destroy.apply(session, args));
}

/** Ends it at once, with a GOAWAY of `code`. Never from within an event that a frame of it brought. */
export function endNow(session: Http2Session, code = constants.NGHTTP2_NO_ERROR): void {
  if (!session.destroyed) Object.getPrototypeOf(session).destroy.call(session, code);
}

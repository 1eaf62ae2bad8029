// SPDX-License-Identifier: Apache-2.0

/**
 * Which pages of other origins may call (https://fetch.spec.whatwg.org/#http-cors-protocol). A browser asks before it
 * sends a call, without credentials, and keeps from the page whatever is answered without these headers.
 */
import { cors } from "@connectrpc/connect";
import type { Request, Response } from "./protocols.ts";

/** How long a browser may remember a permission, in seconds; what is taken out of the configuration goes so long on. */
const MAX_AGE_S = 600;
/** What a page may send beside what the protocols want: the token. */
const HEADERS = [...cors.allowedHeaders, "Authorization"];

/** What became of it. */
export type CorsVerdict =
  /** A call, or no page of another origin: go on. */
  | "call"
  /** A browser's question, answered by the headers that are set: 204. */
  | "allowed"
  /** A browser's question for an origin that is not configured. */
  | "refused";

/** Sets the headers that the origin of this request may have. `origins` is `status.origins`. */
export function applyCors(
  request: Request,
  response: Response,
  origins: readonly string[],
): CorsVerdict {
  const { origin } = request.headers;
  const asks = request.method === "OPTIONS" &&
    request.headers["access-control-request-method"] !== undefined;
  if (typeof origin !== "string") return "call";
  if (origins.length > 0) response.setHeader("vary", "Origin");
  if (!origins.includes(origin)) return asks ? "refused" : "call";
  response.setHeader("access-control-allow-origin", origin);
  if (!asks) {
    response.setHeader("access-control-expose-headers", cors.exposedHeaders.join(", "));
    return "call";
  }
  response.setHeader("access-control-allow-methods", cors.allowedMethods.join(", "));
  response.setHeader("access-control-allow-headers", HEADERS.join(", "));
  response.setHeader("access-control-max-age", String(MAX_AGE_S));
  return "allowed";
}

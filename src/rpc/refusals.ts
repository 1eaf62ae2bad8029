// SPDX-License-Identifier: Apache-2.0

/**
 * A refusal before any call is reached, in the words of the protocol that the caller speaks: a gRPC client looks for
 * its status among headers or trailers, one of Connect for an error in JSON, and curl for a sentence.
 */
import { Code } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { codeToString, endStreamFlag } from "@connectrpc/connect/protocol-connect";
import type { Request, Response } from "./protocols.ts";

/** What is said. */
export interface Refusal {
  readonly code: Code;
  /** Of HTTP, where the protocol leaves it to that. */
  readonly status: number;
  /** A sentence, without its full stop. */
  readonly message: string;
}

/** Of a call that is not there. */
export const UNKNOWN_CALL: Refusal = {
  code: Code.Unimplemented,
  status: 404,
  message: "Not found",
};

const WAITS = "The agent waits: ";

/** Of every call, while the agent cannot start for this reason. */
export function waitsFor(reason: string): Refusal {
  return { code: Code.Unavailable, status: 503, message: `${WAITS}${reason}` };
}

/** The sentence of such a refusal in what an error says; undefined: it is another one. */
export function saidToWait(message: string): string | undefined {
  return new RegExp(`${WAITS}.*`).exec(message)?.[0];
}

/** Answers; headers that were set before go with it. */
export function refuseCall(request: Request, response: Response, refusal: Refusal): void {
  const { code, status, message } = refusal;
  const type = String(request.headers["content-type"] ?? "").split(";")[0]?.trim() ?? "";
  response.setHeader("cache-control", "no-store");
  response.setHeader("x-content-type-options", "nosniff");
  const end = (httpStatus: number, contentType: string, body: string | Uint8Array) => {
    response.statusCode = httpStatus;
    response.setHeader("content-type", contentType);
    response.end(body);
  };
  const error = { code: codeToString(code), message };
  if (/^application\/grpc\b/.test(type)) {
    const outcome = { "grpc-status": String(code), "grpc-message": encodeURIComponent(message) };
    // Deno sends an empty part behind headers that end a message: they are no trailers to those who look for such.
    if ("stream" in response && !type.startsWith("application/grpc-web")) {
      response.addTrailers(outcome);
    } else for (const [name, value] of Object.entries(outcome)) response.setHeader(name, value);
    return end(200, type, "");
  }
  if (type.startsWith("application/connect+")) {
    const text = new TextEncoder().encode(JSON.stringify({ error }));
    return end(200, type, encodeEnvelope(endStreamFlag, text));
  }
  if (isConnect(request, type)) return end(status, "application/json", JSON.stringify(error));
  end(status, "text/plain; charset=utf-8", `${message}\n`);
}

/** A call of one message, by POST or by GET. */
function isConnect(request: Request, type: string): boolean {
  if (!/^\/[\w.]+\/\w+$/.test(request.url?.split("?", 1)[0] ?? "")) return false;
  return request.method === "GET" || type === "application/json" || type === "application/proto";
}

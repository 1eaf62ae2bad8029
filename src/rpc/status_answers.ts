// SPDX-License-Identifier: Apache-2.0

/**
 * What status requests are answered with, by whichever door they came: the page, calls, `/metrics`, `/healthz`,
 * `/readyz`. Who asks was judged at the door, and is judged here only for what not every reader may do.
 */
import { Code } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { StatusSource } from "../model/status.ts";
import type { RpcEvents } from "./events.ts";
import { Health } from "./gen/grpc/health/v1/health_pb.ts";
import { AdminService, StatusService } from "./gen/psp/v1/status_pb.ts";
import { healthRoutes } from "./health_service.ts";
import { METRICS_PEERS, METRICS_TYPES, metricsFormat, metricsText } from "./metrics.ts";
import { openPage, type Page } from "./page.ts";
import type { Request, Response } from "./protocols.ts";
import { refuseCall, UNKNOWN_CALL } from "./refusals.ts";
import { reflectionRoutes } from "./reflection_service.ts";
import { statusRoutes } from "./status_service.ts";
import { cutTimeouts } from "./timeouts.ts";

/** What the answers come from. */
export interface AnswerOptions {
  readonly source: StatusSource;
  /** AdminService is there. */
  readonly admin: boolean;
  readonly events: RpcEvents;
  /** The listener that accepts no connections, by its key; undefined: all do. */
  readonly deaf: () => string | undefined;
}

/** Who asks, as the door found out. */
export type Caller =
  /** Shown a token or a certificate, or come by the Unix socket. */
  | "known"
  /** On loopback, where reading is open. */
  | "reader"
  /** Anybody. */
  | "stranger";

/** A request body of StatusService is a few octets. */
const MAX_REQUEST_BYTES = 4096;
/** How long a body may take that nobody wants. */
const BODY_MS = 500;

/**
 * What only those who are known may do: see what tenants send, have tunnels opened, read the log. Calls of AdminService
 * change something.
 */
const KNOWN_ONLY: ReadonlySet<string> = new Set([
  "/psp.v1.StatusService/WatchSamples",
  "/psp.v1.StatusService/Ping",
  "/psp.v1.StatusService/ListLogLines",
]);
const ADMIN = "/psp.v1.AdminService/";

/** Answers every request. Never throws. */
export function statusAnswers(
  options: AnswerOptions,
): (request: Request, response: Response, caller: Caller) => void {
  const { source, events, deaf } = options;
  let page: Page | undefined;
  const serve = connectNodeAdapter({
    routes: (router) => {
      statusRoutes(source, { admin: options.admin, events })(router);
      healthRoutes(source, deaf)(router);
      reflectionRoutes([StatusService, ...options.admin ? [AdminService] : [], Health])(router);
    },
    readMaxBytes: MAX_REQUEST_BYTES,
    acceptCompression: [],
    fallback: (request, response) => other(request, response as Response, { source, deaf }),
  });
  return (request, response, caller) => {
    if (isForPage(request)) return servePage(response, page ??= openPage());
    cutTimeouts(request);
    const path = pathOf(request);
    const guarded = KNOWN_ONLY.has(path) || options.admin && path.startsWith(ADMIN);
    if (caller === "stranger" || guarded && caller === "reader") {
      events.count("status-unauthorized");
      response.setHeader("www-authenticate", "Bearer");
      const message = caller === "stranger"
        ? "A bearer token or a client certificate is needed"
        : "This call needs the token of status.token_file, or the agent's Unix socket";
      const refusal = { code: Code.Unauthenticated, status: 401, message };
      return afterBody(request, () => refuseCall(request, response, refusal));
    }
    bareGet(request);
    try {
      serve(request, response);
    } catch {
      answer(response, 400, "Bad request\n");
    }
  };
}

/** Answers `/metrics`, `/healthz` and `/readyz` to anybody, and nothing else. */
export function metricsAnswers(
  options: Pick<AnswerOptions, "source" | "deaf">,
): (request: Request, response: Response) => void {
  return (request, response) => other(request, response, options);
}

function pathOf(request: Request): string {
  return request.url?.split("?", 1)[0] ?? "";
}

/** What a GET of a call says when it says nothing: an empty request, to be answered in JSON. */
const BARE = "?connect=v1&encoding=json&message=%7B%7D";

/** `GET /psp.v1.StatusService/GetStatus`, as people type it, is a call. */
function bareGet(request: Request): void {
  if (request.method === "GET" && /^\/psp\.v1\.\w+\/\w+$/.test(request.url ?? "")) {
    request.url += BARE;
  }
}

/** Files of the page need no credentials: there is nothing in them that the program itself does not show. */
function isForPage(request: Request): boolean {
  return (request.method === "GET" || request.method === "HEAD") &&
    pathOf(request) === "/";
}

function servePage(response: Response, page: Page | undefined): void {
  if (page === undefined) {
    return answer(response, 404, "The page is not built: run make page\n");
  }
  for (const [name, value] of Object.entries(page.headers)) response.setHeader(name, value);
  answer(response, 200, page.body, "text/html; charset=utf-8");
}

function other(
  request: Request,
  response: Response,
  { source, deaf }: {
    readonly source: StatusSource;
    /** The listener that accepts no connections, by its key. */
    readonly deaf: () => string | undefined;
  },
): void {
  const path = pathOf(request);
  if (request.method !== "GET" && request.method !== "HEAD") {
    return afterBody(request, () => refuseCall(request, response, UNKNOWN_CALL));
  }
  if (path === "/healthz" || path === "/readyz") {
    const { draining, faults } = source.status({ maxPeers: 0 });
    const closed = deaf();
    const wrong = draining
      ? "draining"
      : [...closed === undefined ? [] : [`${closed} accepts no connections`], ...faults].join("; ");
    return answer(response, wrong ? 503 : 200, `${wrong || "ok"}\n`);
  }
  if (path === "/metrics") {
    const format = metricsFormat(request.headers.accept);
    const text = metricsText({
      status: source.status({ maxPeers: METRICS_PEERS }),
      pipes: source.pipes(),
      metrics: source.metrics(),
      format,
    });
    return answer(response, 200, text, METRICS_TYPES[format]);
  }
  refuseCall(request, response, UNKNOWN_CALL);
}

/**
 * A connection that is closed under a client that still writes gives it an error instead of the answer. So its body
 * is read first, and thrown away; not for long.
 */
export function afterBody(request: Request, act: () => void): void {
  // The rest of a slow body may come after the answer, which is given once.
  const now = () => {
    clearTimeout(timer);
    request.off("end", now);
    act();
  };
  const timer = setTimeout(now, BODY_MS);
  request.once("end", now);
  request.once("close", () => clearTimeout(timer));
  request.resume();
}

/** A short text, or a page. */
export function answer(
  response: Response,
  status: number,
  body: string,
  type = "text/plain; charset=utf-8",
): void {
  response.statusCode = status;
  response.setHeader("content-type", type);
  response.setHeader("x-content-type-options", "nosniff");
  response.setHeader("cache-control", "no-store");
  response.end(body);
}

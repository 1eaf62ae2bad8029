// SPDX-License-Identifier: Apache-2.0

/**
 * What an agent says while it waits for its machine: in the log, to the service manager, and to whoever asks whether it is
 * ready. Nothing is encrypted meanwhile, and nothing passes.
 */
import { createServer, type Server } from "node:http";
import { notifyManager, openLibrary } from "../../ffi/library.ts";
import type { Config } from "../config/config.ts";
import { defaultSocket } from "../config/places.ts";
import { splitListen } from "../rpc/door.ts";
import { SILENT } from "../rpc/events.ts";
import type { Request, Response } from "../rpc/protocols.ts";
import { refuseCall, waitsFor } from "../rpc/refusals.ts";
import { afterBody, answer } from "../rpc/status_answers.ts";
import { openStatusSocket } from "../rpc/status_socket.ts";
import type { Log } from "../model/log.ts";

/** Between two attempts to start. */
export const RETRY_MS = 1000;
/** The same reason is logged again after this long. */
const REPEAT_MS = 60_000;
/** The service manager gives a start so much more time with each attempt. */
const EXTEND_USEC = 30_000_000;

/** A wait. Disposing of it frees the status address and the socket, as `release` does. */
export class Waiting implements AsyncDisposable {
  readonly #log: Log;
  readonly #now: () => number;
  #reason = "";
  #saidAt = -Infinity;
  #server: Server | undefined;
  #socket: AsyncDisposable | undefined;

  constructor(options: { readonly log: Log; readonly now: () => number }) {
    this.#log = options.log;
    this.#now = options.now;
  }

  /**
   * Says what is waited for, in one line. From now on whoever asks is told: on the Unix socket, and on the status listener
   * where it has no TLS, every path answers 503 and every call `unavailable`, with the reason. `config` undefined: the file
   * names something that cannot be read.
   */
  async say(reason: string, config: Config | undefined): Promise<void> {
    const now = this.#now();
    if (reason !== this.#reason || now - this.#saidAt >= REPEAT_MS) {
      this.#saidAt = now;
      this.#log.warn("The agent waits: it starts by itself once it can", { reason });
    }
    this.#reason = reason;
    tellManager(reason, config?.plane.library);
    if (config === undefined) return;
    await this.release();
    if (config.status.tls === undefined) await this.#listen(config.status.listen);
    this.#socket = await openStatusSocket({
      path: config.status.socket ?? defaultSocket(),
      // It may be this path that is waited for, and whoever answers there knows better.
      optional: true,
      group: config.status.socketGroup,
      answers: (request, response) => this.#answer(request, response),
      events: SILENT,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  /** It starts, or tries to: the status address and the socket are the agent's own. */
  async release(): Promise<void> {
    const [server, socket] = [this.#server, this.#socket];
    this.#server = this.#socket = undefined;
    await socket?.[Symbol.asyncDispose]();
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  async #listen(listen: string): Promise<void> {
    const server = createServer((request, response) => this.#answer(request, response));
    const { hostname, port } = splitListen(listen);
    await new Promise<void>((resolve) => {
      // It may be this address that is waited for.
      server.once("error", () => resolve());
      server.listen({ host: hostname, port }, () => {
        this.#server = server;
        resolve();
      });
    });
  }

  #answer(request: Request, response: Response): void {
    const reason = this.#reason;
    response.setHeader("connection", "close");
    if (!request.url?.startsWith("/psp.v1.")) return answer(response, 503, `waiting: ${reason}\n`);
    afterBody(request, () => refuseCall(request, response, waitsFor(reason)));
  }
}

/** systemd, where it started this process; the socket can only be spoken to through the shim. */
function tellManager(reason: string, path: string | undefined): void {
  const socket = Deno.env.get("NOTIFY_SOCKET");
  if (!socket || path === undefined) return;
  const text = `STATUS=waiting: ${reason}\nEXTEND_TIMEOUT_USEC=${EXTEND_USEC}`;
  try {
    using library = openLibrary(path);
    notifyManager(library, socket, text);
  } catch {
    // The log has it, and the start itself says what is wrong with the library.
  }
}

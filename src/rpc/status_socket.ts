// SPDX-License-Identifier: Apache-2.0

/**
 * The status API on a Unix socket: whoever may open it (the agent's own user, root, one group) needs no token. It
 * answers whatever address and TLS the network listener has.
 */
import * as http from "node:http";
import * as net from "node:net";
import { dirname } from "node:path";
import { EnvironmentError } from "../config/config.ts";
import { fileReason } from "../config/reasons.ts";
import { messageOf } from "../model/errors.ts";
import type { RpcEvents } from "./events.ts";
import type { Request, Response } from "./protocols.ts";
import type { Caller } from "./status_answers.ts";

/** Where it goes. */
export interface SocketPlace {
  readonly path: string;
  /** Nobody asked for it by name: an agent that cannot make it goes on, and says so. */
  readonly optional: boolean;
}

/** What it needs besides. */
export interface SocketOptions extends SocketPlace {
  /** May use it too. */
  readonly group?: string | undefined;
  readonly answers: (request: Request, response: Response, caller: Caller) => void;
  readonly events: RpcEvents;
}

const MAX_CONNECTIONS = 64;
/** sockaddr_un's sun_path, which ends in a zero. */
const MAX_PATH = 107;
const GROUPS = "/etc/group";

/** Why no socket can have this path; undefined: one can. */
export function socketFault(path: string): string | undefined {
  const length = new TextEncoder().encode(path).length;
  return length <= MAX_PATH
    ? undefined
    : `"${path}" has ${length} octets: the path of a socket has at most ${MAX_PATH}`;
}

/** Listens; undefined: it is optional and cannot be. Throws `EnvironmentError`. */
export async function openStatusSocket(
  options: SocketOptions,
): Promise<AsyncDisposable | undefined> {
  const { path, optional, answers, events } = options;
  const server = http.createServer((request, response) => answers(request, response, "known"));
  server.maxConnections = MAX_CONNECTIONS;
  try {
    makeDirectory(dirname(path));
    await removeStale(path);
    await listening(server, path);
    Deno.chmodSync(path, options.group === undefined ? 0o600 : 0o660);
    if (options.group !== undefined) Deno.chownSync(path, null, groupId(options.group));
  } catch (cause) {
    server.close();
    const why = cause instanceof Error && "code" in cause || cause instanceof Deno.errors.NotCapable
      ? fileReason(cause)
      : messageOf(cause);
    if (!optional) {
      throw new EnvironmentError(`Cannot listen on "${path}" (status.socket): ${why}`, [], {
        cause,
      });
    }
    events.log("info", "There is no Unix socket for the command line", { path, reason: why });
    return undefined;
  }
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Everybody may look for the socket there, and nobody else may put one. */
function makeDirectory(path: string): void {
  try {
    Deno.mkdirSync(path, { mode: 0o755, recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/** What an agent left that ended without a word. Throws when somebody answers there, or when it is no socket. */
async function removeStale(path: string): Promise<void> {
  try {
    if (Deno.lstatSync(path).isSocket !== true) throw new Error("something else is there");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (await answersAt(path)) throw new Error("another agent answers there");
  Deno.removeSync(path);
}

function answersAt(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function listening(server: http.Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function groupId(name: string): number {
  const line = Deno.readTextFileSync(GROUPS).split("\n").find((row) => row.startsWith(`${name}:`));
  const id = line?.split(":")[2];
  if (id === undefined) throw new Error(`this host has no group "${name}" (status.socket_group)`);
  return Number(id);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The listening socket, and whether it accepts. Deno's listener stops for good, and silently, when accepting fails
 * once (EMFILE), so it is tried: a listener to which nobody came for a while is called by the agent itself, and
 * opened again when nobody opens.
 */
import * as net from "node:net";
import { EnvironmentError } from "../config/config.ts";
import type { RpcEvents } from "./events.ts";
import { afterTurns } from "./patience.ts";

/** How a listening socket is kept. */
export interface DoorOptions {
  /** "host:port", IPv6 in brackets; port 0: any. */
  readonly listen: string;
  /** Its key in the configuration, for the error sentence: "rpc.listen". */
  readonly key: string;
  /** Connections that the kernel may keep waiting: Deno accepts all of them before it lets any be refused. */
  readonly backlog: number;
  readonly enter: (socket: net.Socket) => void;
  readonly events: RpcEvents;
  /** How often a quiet listener is called; default 5 s. */
  readonly lookMs?: number;
}

/** Open until closed. */
export interface Door {
  readonly hostname: string;
  readonly port: number;
  /** Whether connections were accepted when it was last looked at. */
  accepting(): boolean;
  /** No new connections. */
  close(): Promise<void>;
}

const LOOK_MS = 5_000;
/** ... while it accepts nothing. */
const RETRY_MS = 500;
/** How long a call of our own may wait to be accepted. */
const ANSWER_MS = 1_000;

/** Listens. Throws `EnvironmentError` when the address cannot be used. */
export async function openDoor(options: DoorOptions): Promise<Door> {
  const { events } = options;
  const { hostname, port } = splitListen(options.listen);
  let accepted = 0;
  let accepting = true;
  let closed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const serve = () =>
    net.createServer((socket) => {
      accepted += 1;
      options.enter(socket);
    });
  let server = serve();
  try {
    await bind(server, { hostname, port, backlog: options.backlog });
  } catch (cause) {
    const why = listenReason(cause);
    const message = `Cannot listen on "${options.listen}" (${options.key}): ${why}`;
    throw new EnvironmentError(message, [], { cause });
  }
  const address = server.address() as net.AddressInfo;
  const at = { hostname: address.address, port: address.port };
  /** Why nobody could come, or undefined when somebody could. */
  const tried = async (): Promise<string | undefined> => {
    const before = accepted;
    return await call(at, () => accepted !== before);
  };
  const openAgain = async () => {
    server.close(ignore);
    server = serve();
    await bind(server, { ...at, backlog: options.backlog }).catch(ignore);
  };
  const look = async (since: number): Promise<void> => {
    const why = accepted === since ? await tried() : undefined;
    if (closed) return;
    if (why !== undefined) {
      if (accepting) {
        events.log("error", "A listener accepts no connections; it is opened again", {
          address: options.listen,
          reason: why,
        });
      }
      accepting = false;
      events.count("listeners-reopened");
      await openAgain();
    } else if (!accepting) {
      accepting = true;
      events.log("info", "A listener accepts connections again", { address: options.listen });
    }
    if (!closed) later();
  };
  let looking = Promise.resolve();
  const later = () => {
    const since = accepted;
    timer = setTimeout(
      () => looking = look(since),
      accepting ? options.lookMs ?? LOOK_MS : RETRY_MS,
    );
    Deno.unrefTimer(timer);
  };
  later();
  return {
    ...at,
    accepting: () => accepting,
    async close() {
      closed = true;
      clearTimeout(timer);
      server.close(ignore);
      await looking;
      server.close(ignore);
    },
  };
}

/** Calls the listener at its own address. The result is why nobody opened; undefined: somebody did. */
function call(
  { hostname, port }: { readonly hostname: string; readonly port: number },
  opened: () => boolean,
): Promise<string | undefined> {
  const host = hostname === "0.0.0.0" ? "127.0.0.1" : hostname === "::" ? "::1" : hostname;
  return new Promise((resolve) => {
    const socket = net.connect({ host, port });
    const end = (why: string | undefined) => {
      clearInterval(looks);
      stop();
      socket.destroy();
      resolve(why);
    };
    const looks = setInterval(() => opened() && end(undefined), 10);
    const stop = afterTurns(
      ANSWER_MS,
      () => end(opened() ? undefined : `no connection was accepted for ${ANSWER_MS} ms`),
    );
    socket.on("error", (error) => end(error.message));
  });
}

/** "host:port" in its parts, the brackets of IPv6 removed. */
export function splitListen(listen: string): { readonly hostname: string; readonly port: number } {
  const at = listen.lastIndexOf(":");
  return {
    hostname: listen.slice(0, at).replace(/^\[(.*)\]$/, "$1"),
    port: Number(listen.slice(at + 1)),
  };
}

/** By the name of the error. Deno says EINVAL where Linux says EADDRNOTAVAIL. */
const WHY_NOT: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program listens there",
  EADDRNOTAVAIL: "this host has no such address (see ip address)",
  EINVAL: "this host has no such address (see ip address)",
  EACCES: "this user may not use that port",
  ENOTFOUND: "no address is known for that name",
  EAI_AGAIN: "no address is known for that name",
  EAFNOSUPPORT: "this host does not have that address family",
};

/** Why an address cannot be listened on, in words that go at the end of a sentence. */
export function listenReason(cause: unknown): string {
  const { code = "", message = String(cause) } = cause as { code?: string; message?: string };
  return WHY_NOT[code] ?? message;
}

async function bind(
  server: net.Server,
  { hostname, port, backlog }: {
    readonly hostname: string;
    readonly port: number;
    readonly backlog: number;
  },
): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ port, host: hostname, backlog }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (error) {
    server.close(ignore);
    throw error;
  }
  // What it can report is that accepting failed; look() finds out.
  server.on("error", ignore);
}

function ignore(): void {}

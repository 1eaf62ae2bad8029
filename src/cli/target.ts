// SPDX-License-Identifier: Apache-2.0

/** Finds the running agent: as the command line says, as its configuration says, or on this machine. */
import { Code, ConnectError } from "@connectrpc/connect";
import { loadConfig } from "../config/load.ts";
import { defaultSocket } from "../config/places.ts";
import { openStatusClient, type StatusClient } from "../rpc/status_client.ts";
import { CommandError, EXIT, sentence } from "./io.ts";
import type { Target } from "./options.ts";

const DEFAULT_ADDRESS = "127.0.0.1:7480";

/**
 * A client for the agent; each call rejects with `CommandError`, one sentence, after `timeoutMs` at the latest where that
 * is given. Throws `ConfigError` for a configuration that cannot be used.
 */
export async function connect(
  target: Target,
  { timeoutMs }: { readonly timeoutMs?: number } = {},
): Promise<StatusClient> {
  const limit = timeoutMs === undefined ? {} : { timeoutMs };
  const status = target.config === undefined
    ? undefined
    : (await loadConfig(target.config, { files: "told" })).config.status;
  // Nobody named another way: by the socket, when there is one that this user may open.
  const socket = status?.socket ?? defaultSocket();
  if (target.address === undefined && target.token === undefined && await isOpen(socket)) {
    return explained(openStatusClient({ address: socket, ...limit }));
  }
  return explained(openStatusClient({
    address: target.address ?? reachable(status?.listen ?? DEFAULT_ADDRESS),
    tls: status?.tls,
    tokenFile: target.token ?? status?.tokenFile,
    ...limit,
  }));
}

/** Whether an agent answers at a Unix socket. */
async function isOpen(path: string): Promise<boolean> {
  try {
    using _socket = await Deno.connect({ transport: "unix", path });
    return true;
  } catch {
    return false;
  }
}

/** An agent that listens everywhere answers on this machine too. */
function reachable(listen: string): string {
  return listen.replace(/^0\.0\.0\.0:/, "127.0.0.1:").replace(/^\[::\]:/, "[::1]:");
}

/** The same client, its errors as sentences for people. */
function explained(client: StatusClient): StatusClient {
  const fail = (cause: unknown): never => {
    const { code } = ConnectError.from(cause);
    const nobody = code === Code.Unavailable || code === Code.DeadlineExceeded;
    throw new CommandError(why(cause), nobody ? EXIT.unreachable : EXIT.failure, { cause });
  };
  async function* each<T>(items: AsyncIterable<T>): AsyncIterable<T> {
    try {
      yield* items;
    } catch (error) {
      fail(error);
    }
  }
  return {
    status: (query) => client.status(query).catch(fail),
    tunnels: (query) => each(client.tunnels(query)),
    peers: (query) => each(client.peers(query)),
    sas: (query) => each(client.sas(query)),
    drops: (query) => client.drops(query).catch(fail),
    ports: () => client.ports().catch(fail),
    networks: () => client.networks().catch(fail),
    pipes: () => client.pipes().catch(fail),
    samples: (signal) => each(client.samples(signal)),
    metrics: () => client.metrics().catch(fail),
    explain: (packet) => client.explain(packet).catch(fail),
    events: (query) => each(client.events(query)),
    watchEvents: (query, signal) => each(client.watchEvents(query, signal)),
    rotate: (options) => client.rotate(options).catch(fail),
    reload: (options) => client.reload(options).catch(fail),
    ping: (query) => client.ping(query).catch(fail),
    rekey: (which) => client.rekey(which).catch(fail),
    closeTunnels: (which) => client.closeTunnels(which).catch(fail),
    logLevels: () => client.logLevels().catch(fail),
    logLines: () => client.logLines().catch(fail),
    setLogLevel: (category, level) => client.setLogLevel(category, level).catch(fail),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

function why(error: unknown): string {
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.Unimplemented) return "The agent does not allow this: status.admin is not set";
  return sentence(rawMessage || Code[code]);
}

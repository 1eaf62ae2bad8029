// SPDX-License-Identifier: Apache-2.0

/**
 * A TCP address inside a namespace, reachable from outside: a helper in there accepts on a Unix socket and connects to
 * the address, this process accepts on loopback and connects to the socket. This file is both ends.
 */
import { spawnHelper } from "./netns.ts";
import { eventually } from "./wait.ts";

/** Relays until it is disposed of. */
export interface Relay extends AsyncDisposable {
  /** "127.0.0.1:port" in this process's namespace. */
  readonly address: string;
}

/** `to` is "host:port" in the namespace; `socket` a path for the Unix socket. */
export async function openRelay(
  { ns, to, socket, port = 0 }: {
    readonly ns: string;
    readonly to: string;
    readonly socket: string;
    readonly port?: number;
  },
): Promise<Relay> {
  const child = spawnHelper(new URL(import.meta.url).pathname, { ns, args: [socket, to] });
  const quiet = Promise.allSettled([child.stdout.cancel(), child.stderr.cancel()]);
  await eventually(() => Deno.stat(socket).then(() => true, () => false), { what: socket });
  const listener = Deno.listen({ hostname: "127.0.0.1", port });
  const accepting = accept(listener, () => Deno.connect({ transport: "unix", path: socket }));
  return {
    address: `127.0.0.1:${listener.addr.port}`,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      // It ends when nobody holds its stdin any more.
      await child.stdin.close().catch(() => {});
      await child.status;
      await quiet;
    },
  };
}

/** Both ways, until the listener closes; then what is open is cut. */
async function accept(
  listener: AsyncIterable<Deno.Conn>,
  connect: () => Promise<Deno.Conn>,
): Promise<void> {
  const open = new Set<Promise<unknown>>();
  const cut = new AbortController();
  for await (const near of listener) {
    const relaying = relay(near, connect, cut.signal).finally(() => open.delete(relaying));
    open.add(relaying);
  }
  cut.abort();
  await Promise.all(open);
}

async function relay(
  near: Deno.Conn,
  connect: () => Promise<Deno.Conn>,
  signal: AbortSignal,
): Promise<void> {
  let far: Deno.Conn;
  try {
    far = await connect();
  } catch {
    return near.close();
  }
  await Promise.allSettled([
    near.readable.pipeTo(far.writable, { signal }),
    far.readable.pipeTo(near.writable, { signal }),
  ]);
}

if (import.meta.main) {
  const [path = "", to = ""] = Deno.args;
  const { hostname, port } = new URL(`tcp://${to}`);
  const connect = () => Deno.connect({ hostname, port: Number(port) });
  accept(Deno.listen({ transport: "unix", path }), connect);
  for await (const _ of Deno.stdin.readable) { /* Nothing is said: only its end counts. */ }
  Deno.exit(0);
}

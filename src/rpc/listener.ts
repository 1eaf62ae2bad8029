// SPDX-License-Identifier: Apache-2.0

/**
 * The front door of a listening port: lets connections in, with every bound that a stranger could otherwise
 * outgrow. TLS begins when the first octets look like it, so that silence and garbage cost a socket only.
 */
import * as net from "node:net";
import { ConfigError } from "../config/config.ts";
import type { TLSSocket } from "node:tls";
import { Admission, ADMISSION_LIMITS, type AdmissionLimits } from "./admission.ts";
import { type RpcEvents, SILENT } from "./events.ts";
import {
  type Carrier,
  destroy,
  finish,
  ignore,
  plainServers,
  refuse,
  type Request,
  type Response,
  secureServer,
} from "./protocols.ts";
import { type Ending, type Proof, Proofs, REVIEW_MS } from "./proof.ts";
import type { TlsStore } from "./tls_store.ts";

export type { Carrier, Request, Response };

/** What a listener needs. */
export interface ListenerOptions {
  /** "host:port", IPv6 in brackets; port 0: any. */
  readonly listen: string;
  /** Its key in the configuration, for the error sentence: "rpc.listen". */
  readonly key: string;
  readonly handler: (request: Request, response: Response) => void;
  readonly tls?: {
    readonly store: TlsStore;
    /** "optional": a connection without a good certificate is let in all the same, as one without. */
    readonly clients: "required" | "optional";
  };
  readonly maxConnections: number;
  readonly handshakeTimeoutMs: number;
  /** Connections without a request for this long are closed; default 10 min. */
  readonly idleMs?: number;
  /** HTTP/2 streams per connection; default 64. */
  readonly maxStreams?: number;
  readonly admission?: AdmissionLimits;
  /**
   * Called for each connection that may send requests, before its first one, with what it has proved and the
   * address that it comes from; false: it is closed.
   */
  readonly accept?: (carrier: Carrier, proof: Proof | undefined, address: string) => boolean;
  readonly events?: RpcEvents;
}

/** Listening until closed. */
export interface Listener {
  readonly hostname: string;
  readonly port: number;
  /** Connections beyond the handshake. */
  connections(): number;
  /** What a connection has proved; undefined: it has shown no certificate that is good now. */
  proof(carrier: Carrier): Proof | undefined;
  /** Closes those connections at once, each counted and logged as `why` says; undefined: it stays. */
  drop(why: (carrier: Carrier) => Ending | undefined): number;
  /** No new connections; open ones may finish what they do, at most `graceMs`. */
  close(graceMs: number): Promise<void>;
}

const DEFAULT_IDLE_MS = 600_000;

/** Listens. Throws `ConfigError` when the address cannot be used. */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const events = options.events ?? SILENT;
  const admission = new Admission<net.Socket>(
    options.admission ?? ADMISSION_LIMITS,
    () => performance.now(),
  );
  const carriers = new Set<Carrier>();
  const proofs = options.tls && new Proofs<Carrier>({ ...options.tls, events });
  /** Every socket with what ends its probation. */
  const raw = new Map<net.Socket, (good: boolean) => void>();
  const open = (carrier: Carrier, socket: net.Socket) => {
    if (carriers.size >= options.maxConnections) {
      events.count("connections-exceeded");
      return refuse(carrier);
    }
    carriers.add(carrier);
    carrier.on("close", () => {
      carriers.delete(carrier);
      proofs?.leave(carrier);
    });
    carrier.on("error", ignore);
    carrier.setTimeout(options.idleMs ?? DEFAULT_IDLE_MS, () => finish(carrier));
    const address = socket.remoteAddress ?? "";
    if (proofs?.enter(carrier, socket as TLSSocket) === false) refuse(carrier);
    else if (options.accept?.(carrier, proofs?.of(carrier), address) === false) refuse(carrier);
  };
  /** Ends a connection whose certificate was good once. */
  const end = (carrier: Carrier, { counter, reason }: Ending) => {
    events.count(counter);
    events.log("warning", "A connection is closed: its certificate is not good any more", {
      fingerprint: proofs?.of(carrier)?.leaf.fingerprint,
      counter,
      reason,
    });
    destroy(carrier);
  };
  const review = (all: boolean) => {
    for (const [carrier, ending] of proofs?.review(all) ?? []) end(carrier, ending);
  };
  const inner = options.tls
    ? secureServer(options, options.tls, { open, events })
    : plainServers(options, { open });
  const server = net.createServer((socket) => {
    socket.on("error", ignore);
    const evict = admission.enter(socket, socket.remoteAddress ?? "");
    if (evict !== undefined) {
      events.count("handshakes-evicted");
      evict.destroy();
    }
    // From the first octet to the end of the handshake, however slowly they drip.
    let taken = false;
    const fail = () => {
      // Once it has the socket, the TLS layer counts what becomes of it.
      if (!taken) events.count("handshakes-failed");
      socket.destroy();
    };
    const late = setTimeout(fail, options.handshakeTimeoutMs);
    raw.set(socket, (good) => {
      clearTimeout(late);
      admission.leave(socket, good);
    });
    socket.on("close", () => {
      raw.get(socket)?.(false);
      raw.delete(socket);
    });
    socket.once("readable", () => {
      const first: Uint8Array | null = socket.read();
      if (first === null) return socket.destroy();
      if (!inner.speaks(first)) return fail();
      if (!admission.start(socket)) {
        events.count("handshakes-limited");
        return socket.destroy();
      }
      taken = true;
      socket.unshift(first);
      inner.take(socket, first, () => raw.get(socket)?.(true));
    });
  });
  const { hostname, port } = await bind(server, options);
  // Before the review: it judges by what is in force then.
  const stopFollowing = options.tls?.store.onChange((now) => {
    inner.renew?.(now);
    review(true);
  });
  const reviews = proofs && setInterval(() => review(false), REVIEW_MS);
  if (reviews !== undefined) Deno.unrefTimer(reviews);
  return {
    hostname,
    port,
    connections: () => carriers.size,
    proof: (carrier) => proofs?.of(carrier),
    drop(why) {
      let dropped = 0;
      for (const carrier of [...carriers]) {
        const ending = why(carrier);
        if (ending === undefined) continue;
        end(carrier, ending);
        dropped++;
      }
      return dropped;
    },
    async close(graceMs) {
      stopFollowing?.();
      clearInterval(reviews);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const carrier of carriers) finish(carrier);
      const timer = setTimeout(() => {
        for (const carrier of carriers) destroy(carrier);
        for (const socket of raw.keys()) socket.destroy();
      }, graceMs);
      // A connection that nobody counts could hold `closed` back: not beyond a second more.
      const late = Promise.withResolvers<void>();
      const limit = setTimeout(late.resolve, graceMs + 1000);
      await Promise.race([closed, late.promise]);
      clearTimeout(timer);
      clearTimeout(limit);
      for (const socket of raw.keys()) socket.destroy();
    },
  };
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
  options: ListenerOptions,
): Promise<{ hostname: string; port: number }> {
  const { hostname, port } = splitListen(options.listen);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, hostname, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (cause) {
    server.close(ignore);
    const why = listenReason(cause);
    throw new ConfigError(`Cannot listen on "${options.listen}" (${options.key}): ${why}`, [], {
      cause,
    });
  }
  server.on(
    "error",
    (error) =>
      options.events?.log("error", "A listener reported an error", { reason: error.message }),
  );
  const address = server.address() as net.AddressInfo;
  return { hostname: address.address, port: address.port };
}

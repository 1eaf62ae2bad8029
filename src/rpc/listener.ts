// SPDX-License-Identifier: Apache-2.0

/**
 * What happens to a connection of a listening port, from its first octet to its end, with every bound that a stranger
 * or a peer could otherwise outgrow. TLS begins when the first octets look like it, so that silence and garbage cost a
 * socket only.
 */
import type * as net from "node:net";
import type { TLSSocket } from "node:tls";
import { addressOf, Admission, ADMISSION_LIMITS, type AdmissionLimits } from "./admission.ts";
import { joined } from "../model/octets.ts";
import { HYBRID, INSUFFICIENT_SECURITY, preferredGroup } from "./key_exchange.ts";
import type { Signed } from "./chain.ts";
import { ConnectionShares, type ShareLimits } from "./connection_shares.ts";
import type { Descriptors } from "./descriptors.ts";
import { openDoor } from "./door.ts";
import { type RpcCounter, type RpcEvents, SILENT } from "./events.ts";
import {
  cancel,
  type Carrier,
  carrierOf,
  destroy,
  endWithAnswer,
  finish,
  type Flood,
  ignore,
  KEEP_ALIVE_MS,
  plainServers,
  refuse,
  type Request,
  type Response,
  secureServer,
} from "./protocols.ts";
import { afterTurns } from "./patience.ts";
import { type Ending, type Proof, Proofs, REVIEW_MS, type Unproven } from "./proof.ts";
import type { TlsStore } from "./tls_store.ts";

export { type Carrier, carrierOf, type Request, type Response };

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
    /** Only with a post-quantum key exchange. */
    readonly requirePq?: boolean;
  };
  readonly shares: ShareLimits;
  readonly handshakeTimeoutMs: number;
  /** Connections without a request for this long are closed; default 10 min, a minute if they have proved nothing. */
  readonly idleMs?: number;
  /** ... that never had one; default 10 s. */
  readonly firstRequestMs?: number;
  /** A request must be over by then, its body come and its answer taken; default 30 s. */
  readonly requestTimeoutMs?: number;
  /** Whether the answer of this request may take as long as it likes, once its body has come. */
  readonly endless?: (request: Request) => boolean;
  /** Octets of a request's message, at most; default: it has none. */
  readonly maxMessageBytes?: number;
  /** HTTP/2 streams per connection; default 64. */
  readonly maxStreams?: number;
  readonly admission?: AdmissionLimits;
  /** Shared by all listeners of the process; default: no limit. */
  readonly descriptors?: Descriptors | undefined;
  /** How often a quiet listener is tried (door.ts). */
  readonly lookMs?: number;
  /**
   * Called for each connection that may send requests, before its first one, with what it has proved and the address
   * that it comes from. The result is the identity whose share it takes; undefined: none, "refused": it is closed.
   */
  readonly accept?: (carrier: Carrier, proof: Proof | undefined, address: string) => Accepted;
  /** The same for a connection that has proved too little. Default: it is closed. */
  readonly lastWords?: (carrier: Carrier, lack: Unproven) => Accepted;
  readonly events?: RpcEvents;
}

/** What becomes of a connection. `leaves`: its first answers, which say why, are its last; it ends soon without. */
export type Accepted =
  | { readonly identity?: string | undefined; readonly leaves?: boolean }
  | "refused";

/** Listening until closed. */
export interface Listener {
  readonly hostname: string;
  readonly port: number;
  /** Connections beyond the handshake. */
  connections(): number;
  /** Whether it accepts connections, as far as was seen. */
  accepting(): boolean;
  /** What a connection has proved; undefined: it has shown no certificate that is good now. */
  proof(carrier: Carrier): Proof | undefined;
  /** The connection has proved in a request that it is `identity`. */
  prove(carrier: Carrier, identity: string): void;
  /** Closes those connections at once, each counted and logged as `why` says; undefined: it stays. */
  drop(why: (carrier: Carrier) => Ending | undefined): number;
  /** For connections that come from now on. */
  setLimits(limits: Pick<ListenerOptions, "shares" | "handshakeTimeoutMs">): void;
  /** No new connections; open ones may finish what they do, at most `graceMs`. */
  close(graceMs: number): Promise<void>;
}

const DEFAULT_IDLE_MS = 600_000;
/** A little longer than HTTP/1.1 clients are told. */
const UNPROVEN_IDLE_MS = KEEP_ALIVE_MS + 5_000;
const FIRST_REQUEST_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** A connection that is told to go does so, or is cut. */
const LAST_WORDS_MS = 1_000;
/** Between two lines that say that there is no room. */
const FULL_SAID_MS = 60_000;
const BACKLOG = 511;

/** Listens. Throws `ConfigError` when the address cannot be used. */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const events = options.events ?? SILENT;
  const { descriptors } = options;
  const admission = new Admission<net.Socket>(
    options.admission ?? ADMISSION_LIMITS,
    () => performance.now(),
  );
  const shares = new ConnectionShares<Carrier>(options.shares);
  let { handshakeTimeoutMs } = options;
  /** Every connection beyond the handshake, with what closes it when it asks for nothing. */
  const carriers = new Map<Carrier, ReturnType<typeof setTimeout> | undefined>();
  const proofs = options.tls && new Proofs<Carrier>({ ...options.tls, events });
  /** Every socket with what ends its probation. */
  const raw = new Map<net.Socket, (good: boolean) => void>();
  const dismissed = new WeakSet<Carrier>();
  /** Those that are to go with their first answers. */
  const leaving = new WeakSet<Carrier>();
  let [refused, saidAt] = [0, -Infinity];
  /** Somebody is refused for want of room: that is said, and not more often than once in a while. */
  const full = (counter: RpcCounter) => {
    events.count(counter);
    refused++;
    const now = performance.now();
    if (now - saidAt < FULL_SAID_MS) return;
    events.log("warning", "Connections are refused: as many are open as may be", {
      address: options.listen,
      counter,
      count: refused,
    });
    [refused, saidAt] = [0, now];
  };
  /** Lets an idle connection go: soon, whatever its other side does. */
  const dismiss = (carrier: Carrier) => {
    if (dismissed.has(carrier)) return;
    dismissed.add(carrier);
    events.count("connections-idle");
    finish(carrier);
    rest(carrier, LAST_WORDS_MS, () => destroy(carrier));
  };
  /** Until its next request. */
  const rest = (carrier: Carrier, ms: number, then: () => void) => {
    if (!carriers.has(carrier)) return;
    clearTimeout(carriers.get(carrier));
    carriers.set(carrier, setTimeout(then, ms));
  };
  const open = (carrier: Carrier, socket: net.Socket, signed?: Signed) => {
    carriers.set(carrier, undefined);
    carrier.on("close", () => {
      clearTimeout(carriers.get(carrier));
      carriers.delete(carrier);
      shares.leave(carrier);
      proofs?.leave(carrier);
    });
    carrier.on("error", ignore);
    // The last resort, for answers without an end whose reader is gone.
    carrier.setTimeout(options.idleMs ?? DEFAULT_IDLE_MS, () => dismiss(carrier));
    const lack = proofs?.enter(carrier, socket as TLSSocket, signed);
    const accepted = lack === undefined
      ? options.accept?.(carrier, proofs?.of(carrier), socket.remoteAddress ?? "") ?? {}
      : options.lastWords?.(carrier, lack) ?? "refused";
    if (accepted === "refused") return refuse(carrier);
    const room = shares.enter(carrier, addressOf(socket), accepted.identity);
    if (room === "full") {
      full("connections-exceeded");
      return refuse(carrier);
    }
    if (room !== undefined) {
      events.count(room.why === "share" ? "connections-evicted" : "connections-crowded");
      destroy(room.evict);
    }
    if (accepted.leaves) {
      leaving.add(carrier);
      return rest(carrier, LAST_WORDS_MS, () => destroy(carrier));
    }
    rest(carrier, options.firstRequestMs ?? FIRST_REQUEST_MS, () => dismiss(carrier));
  };
  /** Each request counts for its connection, and has an end. */
  const handler = (request: Request, response: Response) => {
    const carrier = carrierOf(request);
    request.on("error", ignore);
    response.on("error", ignore);
    shares.begin(carrier);
    clearTimeout(carriers.get(carrier));
    const late = setTimeout(() => {
      events.count("requests-late");
      cancel(request);
    }, options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS);
    if (options.endless?.(request)) request.once("end", () => clearTimeout(late));
    endWithAnswer(request, response);
    response.once("close", () => {
      clearTimeout(late);
      if (!shares.end(carrier)) return;
      if (leaving.has(carrier)) {
        finish(carrier);
        return rest(carrier, LAST_WORDS_MS, () => destroy(carrier));
      }
      const idleMs = options.idleMs ?? DEFAULT_IDLE_MS;
      const ms = shares.isProven(carrier) ? idleMs : Math.min(idleMs, UNPROVEN_IDLE_MS);
      rest(carrier, ms, () => dismiss(carrier));
    });
    options.handler(request, response);
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
  const doors = {
    open,
    flooded(carrier: Carrier, socket: net.Socket, counter: Flood) {
      events.count(counter);
      events.log("warning", "A connection is closed: it was flooded", {
        address: socket.remoteAddress,
        fingerprint: proofs?.of(carrier)?.leaf.fingerprint,
        counter,
      });
      admission.slow(addressOf(socket));
    },
    broken(carrier: Carrier | undefined, socket: net.Socket, why: string) {
      events.count("protocol-errors");
      events.log("warning", "A connection is closed: what came on it breaks the rules of HTTP", {
        address: socket.remoteAddress,
        fingerprint: carrier && proofs?.of(carrier)?.leaf.fingerprint,
        reason: why,
      });
    },
  };
  const served = { ...options, handler };
  const inner = options.tls
    ? secureServer(served, options.tls, { ...doors, events })
    : plainServers(served, { ...doors, events });
  const enter = (socket: net.Socket) => {
    socket.on("error", ignore);
    if (descriptors?.take() === false) {
      full("connections-no-descriptor");
      return socket.destroy();
    }
    socket.on("close", () => descriptors?.give());
    const evict = admission.enter(socket, addressOf(socket));
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
    const inTime = afterTurns(handshakeTimeoutMs, fail);
    let paced: ReturnType<typeof setTimeout> | undefined;
    raw.set(socket, (good) => {
      inTime();
      admission.leave(socket, good);
    });
    socket.on("close", () => {
      clearTimeout(paced);
      raw.get(socket)?.(false);
      raw.delete(socket);
    });
    const begin = (first: Uint8Array) => {
      if (!admission.start(socket)) {
        events.count("handshakes-limited");
        return socket.destroy();
      }
      taken = true;
      socket.unshift(first);
      inner.take(socket, first, () => raw.get(socket)?.(true));
    };
    const proceed = (first: Uint8Array) => {
      const waitMs = admission.waitMs(socket);
      if (waitMs === 0) return begin(first);
      paced = setTimeout(() => begin(first), waitMs);
    };
    const said: Uint8Array[] = [];
    const read = () => {
      const chunk: Uint8Array | null = socket.read();
      if (chunk === null) return socket.destroy();
      said.push(chunk);
      const first = joined(said);
      if (!inner.speaks(first)) return fail();
      if (!options.tls?.requirePq) return proceed(first);
      const group = preferredGroup(first);
      if (group === false) return socket.once("readable", read);
      if (group === HYBRID) return proceed(first);
      events.count("key-exchange-refused");
      events.log("warning", "A connection is refused: its key exchange would not be post-quantum", {
        address: socket.remoteAddress,
        reason: group === undefined ? "it cannot be read" : `it would be ${group}`,
      });
      taken = true;
      socket.end(INSUFFICIENT_SECURITY, () => socket.destroy());
    };
    socket.once("readable", read);
  };
  const door = await openDoor({
    listen: options.listen,
    key: options.key,
    // What waits is accepted all at once, and may not be more than there is room for. Who comes beyond waits a second.
    backlog: Math.min(BACKLOG, Math.max(2, Math.floor((descriptors?.left ?? Infinity) / 2))),
    enter,
    events,
    ...(options.lookMs === undefined ? {} : { lookMs: options.lookMs }),
  });
  // Before the review: it judges by what is in force then.
  const stopFollowing = options.tls?.store.onChange((now) => {
    inner.renew?.(now);
    review(true);
  });
  const reviews = proofs && setInterval(() => review(false), REVIEW_MS);
  if (reviews !== undefined) Deno.unrefTimer(reviews);
  return {
    hostname: door.hostname,
    port: door.port,
    connections: () => shares.size,
    accepting: () => door.accepting(),
    proof: (carrier) => proofs?.of(carrier),
    prove: (carrier, identity) => shares.prove(carrier, identity),
    setLimits(limits) {
      shares.limits = limits.shares;
      ({ handshakeTimeoutMs } = limits);
    },
    drop(why) {
      let dropped = 0;
      for (const carrier of [...carriers.keys()]) {
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
      inner.close();
      const closed = door.close();
      for (const carrier of carriers.keys()) finish(carrier);
      const gone = Promise.withResolvers<void>();
      const nobodyLeft = () => raw.size === 0 && gone.resolve();
      for (const socket of raw.keys()) socket.on("close", nobodyLeft);
      nobodyLeft();
      const timer = setTimeout(() => {
        for (const carrier of carriers.keys()) destroy(carrier);
        for (const socket of raw.keys()) socket.destroy();
      }, graceMs);
      // A connection that nobody counts could hold it back: not beyond a second more.
      const limit = setTimeout(gone.resolve, graceMs + 1000);
      await Promise.all([closed, gone.promise]);
      clearTimeout(timer);
      clearTimeout(limit);
      for (const socket of raw.keys()) socket.destroy();
      for (const timer of carriers.values()) clearTimeout(timer);
    },
  };
}

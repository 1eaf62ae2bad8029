// SPDX-License-Identifier: Apache-2.0

/**
 * What the other side of an HTTP/1.1 connection may send. The runtime (Deno 2.9) takes all that comes, into memory: requests
 * behind one that is not answered yet, and octets of a body that nobody reads, of chunk extensions and of trailers.
 */
import type * as net from "node:net";

/** Names of counters: what there was too much of. */
export type H1Flood = "h1-octets" | "h1-pipelined" | "h1-small-chunks";

/** Requests under way on one connection. Nobody whom we know sends a second one before the first is answered. */
export const MAX_PIPELINED = 16;
/** Beside a message: a head, which the runtime ends at 16 kB, chunks and their sizes, trailers. */
const BESIDE = 2 ** 19;
/** A body may come in chunks that are no longer than their sizes are. */
const CHUNKED = 2;

/** Most octets from one request's head to the next one's, where its message may have so many. */
export function mostOctets(maxMessageBytes: number): number {
  return CHUNKED * maxMessageBytes + BESIDE;
}

/** Chunks below this cost more than they carry, a kilobyte or so of memory each; a request may have so many of them. */
const SMALL = 64;
const MAX_SMALL = 4096;

/** What comes on one connection. */
export class H1Meter {
  readonly #most: number;
  #octets = 0;
  #requests = 0;
  #small = 0;

  /** `most`: see `mostOctets`. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Octets that came. The result says what they are too many of; the connection must end then. */
  received({ length }: Uint8Array): H1Flood | undefined {
    this.#octets += length;
    return this.#octets > this.#most ? "h1-octets" : undefined;
  }

  /** The head of a request has come: likewise. */
  begin(): H1Flood | undefined {
    this.#octets = 0;
    this.#small = 0;
    return ++this.#requests > MAX_PIPELINED ? "h1-pipelined" : undefined;
  }

  /** A part of a body has come: likewise. */
  body({ length }: Uint8Array): H1Flood | undefined {
    if (length >= SMALL) return undefined;
    return ++this.#small > MAX_SMALL ? "h1-small-chunks" : undefined;
  }

  /** A request has been answered. */
  end(): void {
    this.#requests--;
  }
}

/** To be called before HTTP begins on the socket. `flooded` is called once, and must end it. */
export function guardSocket(
  socket: net.Socket,
  { meter, flooded }: { readonly meter: H1Meter; readonly flooded: (flood: H1Flood) => void },
): void {
  const onData = (chunk: Uint8Array) => {
    // The runtime parses what a closed connection had sent before: thousands of requests, one after the other.
    if (socket.destroyed) return void socket.removeAllListeners("data");
    const flood = meter.received(chunk);
    if (flood !== undefined) flooded(flood);
  };
  socket.prependListener("data", onData);
}

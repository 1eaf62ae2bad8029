// SPDX-License-Identifier: Apache-2.0

/**
 * File descriptors for connections, in and out. At the limit of the process Deno's runtime aborts, so what is accepted
 * and what is opened stay below it together, and neither can take all. Pure.
 */

/**
 * What an agent needs beside connections and the plane's ports: libraries, the database, the event loop, threads
 * that start, files that are read meanwhile. At rest some 40 are open.
 */
const OWN = 52;
/** Of each port, for each worker: one socket receives, another one sends. */
const OF_PORT = 2;

/** The plane's ports, its uplink among them, and how many workers each has sockets for; none in hardware. */
export interface Ports {
  readonly ports: number;
  readonly workers: number;
}
/** Enough to say what is wrong, whatever the limit. */
const LEAST = 4;

/** Connections that one process may have, all together. */
export class Descriptors {
  readonly #max: number;
  /** Connections outward that nobody who comes can keep from being opened. */
  readonly #kept: number;
  #in = 0;
  #out = 0;

  /** `max`: all of them; `peers`: who may be called. */
  constructor(max: number, peers = 0) {
    this.#max = max;
    this.#kept = Math.min(peers, Math.floor(max / 2));
  }

  /** For a connection that has come. False: there is none to spare. */
  take(): boolean {
    if (this.left <= 0) return false;
    this.#in += 1;
    return true;
  }

  /** That connection is closed. */
  give(): void {
    this.#in -= 1;
  }

  /** For a connection to a peer. False: there is none to spare. */
  takeOutward(): boolean {
    // Who comes has the other half.
    const kept = Math.max(0, Math.floor(this.#max / 2) - this.#in);
    if (this.#in + this.#out + kept >= this.#max) return false;
    this.#out += 1;
    return true;
  }

  giveOutward(): void {
    this.#out -= 1;
  }

  /** For connections that come. */
  get left(): number {
    return this.#max - this.#in - Math.max(this.#out, this.#kept);
  }
}

function own({ ports, workers }: Ports): number {
  return OWN + OF_PORT * ports * workers;
}

/** The connections that `limit` descriptors (RLIMIT_NOFILE) leave room for, in and out. */
export function forConnections(limit: number, plane: Ports): number {
  return Math.max(LEAST, limit - own(plane));
}

/** What is left of them for those that come when every one of `peers` is called. */
export function forListeners(limit: number, peers: number, plane: Ports): number {
  return new Descriptors(forConnections(limit, plane), peers).left;
}

/** The limit that is needed for so many connections that come, and for one to each of `peers` as far as `outward`. */
export function limitFor(
  { inward, outward, peers, plane }: {
    readonly inward: number;
    readonly outward: number;
    readonly peers: number;
    readonly plane: Ports;
  },
): number {
  return own(plane) + inward + Math.min(peers, outward);
}

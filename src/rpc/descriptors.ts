// SPDX-License-Identifier: Apache-2.0

/**
 * File descriptors for connections. At the limit of the process Deno's runtime aborts, so what is accepted stays
 * below it. Pure.
 */

/**
 * What an agent needs beside connections: libraries, the database, sockets of the plane, the event loop, threads
 * that start, files that are read meanwhile. At rest some 40 are open.
 */
const OWN = 52;
/** One for each peer that is called, as far as this. */
const MAX_CALLS = 1024;
/** Enough to say what is wrong, whatever the limit. */
const LEAST = 4;

/** Connections that the listeners of one process may have, all together. */
export class Descriptors {
  #left: number;

  constructor(max: number) {
    this.#left = max;
  }

  /** For one connection. False: there is none to spare. */
  take(): boolean {
    if (this.#left <= 0) return false;
    this.#left -= 1;
    return true;
  }

  /** That connection is closed. */
  give(): void {
    this.#left += 1;
  }

  get left(): number {
    return this.#left;
  }
}

/** What the listeners may have of `limit` descriptors (RLIMIT_NOFILE) when `peers` are called. */
export function forListeners(limit: number, peers: number): number {
  return Math.max(LEAST, limit - OWN - Math.min(peers, MAX_CALLS));
}

/** The limit that `connections` need: all that the configuration allows, at one time. */
export function limitFor(connections: number, peers: number): number {
  return OWN + Math.min(peers, MAX_CALLS) + connections;
}

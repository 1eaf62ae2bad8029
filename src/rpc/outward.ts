// SPDX-License-Identifier: Apache-2.0

/**
 * Which connections to peers are kept. They are opened on need; at most so many are there, and the one that was not
 * used for longest makes room; one that nobody needs is closed after a while; and those that are quiet are asked,
 * a few in each look, whether the other side is there. No look goes through all of them. Pure bookkeeping.
 */

import type { Descriptors } from "./descriptors.ts";

/** Its bounds. Times are of one clock that never steps. */
export interface OutwardOptions {
  /** Connections at most. */
  readonly max: number;
  /** Where they take their descriptors from; undefined: there is no limit. */
  readonly descriptors?: Pick<Descriptors, "takeOutward" | "giveOutward"> | undefined;
  /** How long one stays after its last call. */
  readonly keepMs: number;
  /** Between two questions whether the other side is there. */
  readonly pingMs: number;
  /** Whether packets pass between this host and the peer: its connection stays while there is room. */
  readonly inUse: (peer: string) => boolean;
}

/** What is to be done now. */
export interface Due {
  readonly close: readonly string[];
  readonly ping: readonly string[];
}

interface Guest {
  calls: number;
  usedAt: number;
}

/** Connections that one look considers to close, and those that it asks. */
const LOOKS = 24;
const PINGS = 1;

/** The connections to peers, by peer. */
export class Outward {
  readonly #options: OutwardOptions;
  #max: number;
  /** The one whose last call is longest ago first. */
  readonly #guests = new Map<string, Guest>();
  /** When each was asked last, the earliest first. */
  readonly #asked = new Map<string, number>();

  constructor(options: OutwardOptions) {
    this.#options = options;
    this.#max = options.max;
  }

  get size(): number {
    return this.#guests.size;
  }

  /**
   * A connection to `peer` is wanted, and there is none. The result is the peer whose connection has to go for it;
   * "full": all are in the middle of calls, and it was not let in.
   */
  enter(peer: string, now: number): string | "full" | undefined {
    const { descriptors } = this.#options;
    let evict: string | undefined;
    if (this.#guests.size >= this.#max || descriptors?.takeOutward() === false) {
      evict = this.#leastUsed();
      if (evict === undefined) return "full";
      this.leave(evict);
      // The one that has just become free.
      if (descriptors?.takeOutward() === false) return "full";
    }
    this.#guests.set(peer, { calls: 0, usedAt: now });
    this.#asked.set(peer, now);
    return evict;
  }

  /** From now on; those beyond it stay until their places are wanted. */
  setMax(max: number): void {
    this.#max = max;
  }

  leave(peer: string): void {
    if (this.#guests.delete(peer)) this.#options.descriptors?.giveOutward();
    this.#asked.delete(peer);
  }

  /** A call begins on it. */
  begin(peer: string, now: number): void {
    this.#used(peer, now, 1);
  }

  /** A call is over. */
  end(peer: string, now: number): void {
    this.#used(peer, now, -1);
  }

  isIdle(peer: string): boolean {
    return this.#guests.get(peer)?.calls === 0;
  }

  /** Those whose time has come; whoever is closed has left. */
  due(now: number): Due {
    const close: string[] = [];
    let looks = LOOKS;
    for (const [peer, { calls, usedAt }] of this.#guests) {
      if (now - usedAt < this.#options.keepMs || looks-- === 0) break;
      if (calls > 0 || this.#options.inUse(peer)) this.#used(peer, now, 0);
      else close.push(peer);
    }
    for (const peer of close) this.leave(peer);
    const ping: string[] = [];
    for (const [peer, at] of this.#asked) {
      if (now - at < this.#options.pingMs || ping.length === PINGS) break;
      ping.push(peer);
    }
    for (const peer of ping) {
      this.#asked.delete(peer);
      this.#asked.set(peer, now);
    }
    return { close, ping };
  }

  #used(peer: string, now: number, calls: number): void {
    const guest = this.#guests.get(peer);
    if (guest === undefined) return;
    // Taken out and put back: the map's order is that of the last use.
    this.#guests.delete(peer);
    this.#guests.set(peer, { calls: Math.max(0, guest.calls + calls), usedAt: now });
  }

  #leastUsed(): string | undefined {
    for (const [peer, { calls }] of this.#guests) if (calls === 0) return peer;
    return undefined;
  }
}

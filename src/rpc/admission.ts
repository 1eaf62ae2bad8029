// SPDX-License-Identifier: Apache-2.0

/**
 * Who may occupy the listener before having proved anything. Bounds the connections under way, in all and
 * by address, and by address the rate at which they begin handshakes, which is what costs. A full house evicts its oldest guest instead of refusing the new
 * one: a good handshake lasts milliseconds, a silent connection as long as it may.
 */
import ipaddr from "ipaddr.js";

/** The bounds. */
export interface AdmissionLimits {
  /** Handshakes under way, all addresses together. */
  readonly pending: number;
  readonly pendingPerAddress: number;
  /** Unfinished handshakes by address: tokens a second, and most at once. */
  readonly ratePerS: number;
  readonly burst: number;
}

/** Enough for a fleet that restarts at once, too little to hurt. */
export const ADMISSION_LIMITS: AdmissionLimits = {
  pending: 256,
  pendingPerAddress: 64,
  ratePerS: 200,
  burst: 400,
};

/** Addresses remembered for the rate; the one not seen for longest is forgotten first. */
const MAX_ADDRESSES = 4096;

/** After a flood the connections of that address begin one after the other, this far apart, for so long. */
const GAP_MS = 100;
const SLOW_MS = 10_000;

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Pure bookkeeping over connections of any type. */
export class Admission<T extends object> {
  readonly #limits: AdmissionLimits;
  readonly #now: () => number;
  readonly #pending = new Map<T, string>();
  readonly #byAddress = new Map<string, Set<T>>();
  readonly #buckets = new Map<string, Bucket>();
  readonly #slow = new Map<string, { readonly untilMs: number; nextAtMs: number }>();

  constructor(limits: AdmissionLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Connections under way. */
  get pending(): number {
    return this.#pending.size;
  }

  /** A new connection of `address`, as `addressOf` says. The result, if any, must make room: destroy it. */
  enter(connection: T, address: string): T | undefined {
    const same = this.#byAddress.get(address) ?? new Set<T>();
    let evict: T | undefined;
    if (same.size >= this.#limits.pendingPerAddress) [evict] = same;
    else if (this.#pending.size >= this.#limits.pending) evict = this.#fromTheMost();
    if (evict !== undefined) this.leave(evict);
    this.#pending.set(connection, address);
    same.add(connection);
    this.#byAddress.set(address, same);
    return evict;
  }

  /** It begins a handshake. False: its address began too many that came to nothing. */
  start(connection: T): boolean {
    const address = this.#pending.get(connection);
    return address !== undefined && this.#take(address);
  }

  /** A connection of this address was ended for a flood. */
  slow(address: string): void {
    const now = this.#now();
    const { nextAtMs = now } = this.#slow.get(address) ?? {};
    this.#slow.delete(address);
    this.#slow.set(address, { untilMs: now + SLOW_MS, nextAtMs });
    if (this.#slow.size > MAX_ADDRESSES) {
      const [oldest] = this.#slow.keys();
      if (oldest !== undefined) this.#slow.delete(oldest);
    }
  }

  /** How long this connection has to wait before it may begin, in ms. */
  waitMs(connection: T): number {
    const address = this.#pending.get(connection) ?? "";
    const slow = this.#slow.get(address);
    if (slow === undefined) return 0;
    const now = this.#now();
    const at = Math.max(now, slow.nextAtMs);
    if (now >= slow.untilMs && at === now) {
      this.#slow.delete(address);
      return 0;
    }
    slow.nextAtMs = at + GAP_MS;
    return at - now;
  }

  /** Its handshake is over, one way or the other. A good one costs its address nothing. */
  leave(connection: T, good = false): void {
    const address = this.#pending.get(connection);
    if (address === undefined) return;
    this.#pending.delete(connection);
    const same = this.#byAddress.get(address);
    same?.delete(connection);
    if (same?.size === 0) this.#byAddress.delete(address);
    const bucket = this.#buckets.get(address);
    if (good && bucket !== undefined) {
      bucket.tokens = Math.min(this.#limits.burst, bucket.tokens + 1);
    }
  }

  /** The oldest of the address with the most: whoever crowds makes room, not the peer with its one handshake. */
  #fromTheMost(): T | undefined {
    let most: ReadonlySet<T> = new Set();
    for (const guests of this.#byAddress.values()) if (guests.size > most.size) most = guests;
    const [oldest] = most;
    return oldest;
  }

  #take(address: string): boolean {
    const { ratePerS, burst } = this.#limits;
    const now = this.#now();
    const bucket = this.#buckets.get(address) ?? { tokens: burst, atMs: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.atMs) / 1000) * ratePerS);
    bucket.atMs = now;
    // Taken out and put back: the map's order is that of the last visit.
    this.#buckets.delete(address);
    this.#buckets.set(address, bucket);
    if (this.#buckets.size > MAX_ADDRESSES) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}

/**
 * Whose connection it is before it has proved anything: one IPv4 address, or the /64 that one IPv6 host can use as it
 * likes. The one place that says so: a listener on a Unix socket, where nobody has an address, would name the user
 * at the other end here.
 */
export function addressOf(
  { remoteAddress: remote = "" }: { readonly remoteAddress?: string | undefined },
): string {
  if (!ipaddr.isValid(remote)) return remote;
  const parsed = ipaddr.process(remote);
  if (parsed instanceof ipaddr.IPv4) return parsed.toString();
  return parsed.parts.slice(0, 4).map((part) => part.toString(16)).join(":");
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Which address a workload's MAC is given, and until when. An offer reserves an address for seconds; a lease ends when its
 * time is over, when the workload gives it back, or when it finds somebody else there; then the address is given to the
 * next one. A workload that asks again gets the same one, after a restart too (`LeaseBook`).
 */
import type { LocalVip } from "../config/config.ts";
import type { LeaseBook } from "../model/lease.ts";
import type { Lease } from "./context.ts";
import { type Pool, Pools } from "./pools.ts";

/** What a workload is told: it asks again after half of it. */
export const LEASE_S = 3600;
/** A workload may come late: its address is kept a little longer than it was told. */
const GRACE_MS = 60_000;
/** How long an offer keeps its address from others. */
const OFFER_MS = 10_000;
/** How long an address is left alone on which a workload found somebody else. */
const DECLINED_MS = 600_000;
export interface LeasesOptions {
  /** Of the wall clock: a lease outlives the process. Default: the clock stands still. */
  readonly wallMs?: () => number;
  readonly book?: LeaseBook | undefined;
}

/** An address that is not free. */
interface Taken {
  /** "": nobody may have it. */
  readonly mac: string;
  /** Infinity: as long as somebody uses it without having asked for it. */
  readonly until: number;
}

/** Leases from the configured IPv4 vips: the one with this MAC, the one that it had or asks for, else the first free one. */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #pools: Pools;
  readonly #taken = new Map<string, Taken>();
  readonly #byMac = new Map<string, string>();

  constructor(vips: readonly LocalVip[], options: LeasesOptions = {}) {
    this.#options = options;
    this.#pools = new Pools(vips.filter((vip) => !vip.vip.includes(":")));
    const now = this.#now();
    for (const { address, mac, untilMs } of options.book?.all() ?? []) {
      // What nobody could have told ahead of its time was told by a clock that has been set since.
      const until = Math.min(untilMs, now + LEASE_S * 1000 + GRACE_MS);
      if (until > now && this.#poolOf(address) !== undefined) this.#take(address, { mac, until });
      else options.book?.remove(address);
    }
  }

  /** For other vips: whoever has an address that they hold too keeps it. */
  renewed(vips: readonly LocalVip[]): Leases {
    const next = new Leases(vips, this.#options);
    for (const [address, taken] of this.#taken) {
      if (next.#poolOf(address) === undefined) this.#options.book?.remove(address);
      else if (taken.mac === "") next.#taken.set(address, taken);
      else next.#take(address, taken);
    }
    return next;
  }

  /** An address for a workload, kept for it for seconds. `fits`: where it is. Undefined: none is free. */
  offer(
    mac: string,
    { asked, fits = () => true }: {
      readonly asked?: string | undefined;
      readonly fits?: (address: string) => boolean;
    } = {},
  ): Lease | undefined {
    const known = this.of(mac);
    if (known !== undefined && fits(known.address)) return known;
    const reserved = this.#pools.ofMac(mac);
    const pool = reserved ?? (asked === undefined ? undefined : this.#poolFor(mac, asked));
    const free = reserved !== undefined
      ? leaseOf(reserved, reserved.first)
      : pool !== undefined && asked !== undefined && this.#isFree(asked, mac) && fits(asked)
      ? leaseOf(pool, asked)
      : this.#firstFree(mac, fits);
    if (free !== undefined) this.#take(free.address, { mac, until: this.#now() + OFFER_MS });
    return free;
  }

  /** A workload takes an address: it has it from now on. Undefined: it may not, somebody else has it. */
  accept(mac: string, address: string): Lease | undefined {
    const pool = this.#poolFor(mac, address);
    if (pool === undefined || !this.#isFree(address, mac)) return undefined;
    const until = this.#now() + LEASE_S * 1000 + GRACE_MS;
    this.#take(address, { mac, until });
    this.#options.book?.put({ address, mac, untilMs: until });
    return leaseOf(pool, address);
  }

  /** What a workload has. */
  of(mac: string): Lease | undefined {
    const address = this.#byMac.get(mac);
    const pool = address === undefined ? undefined : this.#poolOf(address);
    if (address === undefined || pool === undefined || !this.#isFree(address, mac)) {
      return undefined;
    }
    return leaseOf(pool, address);
  }

  /** What a workload with an address of its own is told. */
  about(address: string): Lease | undefined {
    const pool = this.#poolOf(address);
    return pool === undefined ? undefined : leaseOf(pool, address);
  }

  /** A workload gives its address back, or (`declined`) found somebody else there. */
  release(mac: string, address: string, { declined = false } = {}): boolean {
    if (this.#taken.get(address)?.mac !== mac) return false;
    this.#free(address);
    this.#byMac.delete(mac);
    this.#options.book?.remove(address);
    if (declined) this.#taken.set(address, { mac: "", until: this.#now() + DECLINED_MS });
    return true;
  }

  /** An address that a workload uses without having asked for it: it is given to no other, and to this one. */
  use(address: string, mac: string): void {
    if (!this.#isFree(address, mac) || this.#byMac.get(mac) === address) return;
    if (this.#poolOf(address) === undefined) return;
    if (this.#byMac.has(mac)) this.#taken.set(address, { mac, until: Infinity });
    else this.#take(address, { mac, until: Infinity });
  }

  /** Nobody is at this address any more: what was only used is free; what was leased stays leased. */
  unuse(address: string): void {
    const taken = this.#taken.get(address);
    if (taken === undefined || taken.until !== Infinity) return;
    this.#free(address);
    if (this.#byMac.get(taken.mac) === address) this.#byMac.delete(taken.mac);
  }

  #firstFree(mac: string, fits: (address: string) => boolean): Lease | undefined {
    const now = this.#now();
    const takenUntil = (address: string) =>
      this.#isFree(address, mac, now) ? undefined : this.#taken.get(address)?.until;
    for (const pool of this.#pools.open) {
      const address = pool.firstFree(now, { takenUntil, fits });
      if (address !== undefined) return leaseOf(pool, address);
    }
    return undefined;
  }

  /** Nobody has an address any more, before its time. */
  #free(address: string): void {
    this.#taken.delete(address);
    for (const pool of this.#pools.of(address)) pool.given();
  }

  #take(address: string, taken: Taken): void {
    const before = this.#byMac.get(taken.mac);
    // An offer that was not taken up gives its address back.
    if (before !== undefined && before !== address) {
      this.#free(before);
      this.#options.book?.remove(before);
    }
    const other = this.#taken.get(address)?.mac;
    if (other !== undefined && other !== taken.mac) this.#byMac.delete(other);
    this.#taken.set(address, taken);
    this.#byMac.set(taken.mac, address);
  }

  /** Whether an address can be this MAC's: nobody else has it. What is over is over. */
  #isFree(address: string, mac: string, now = this.#now()): boolean {
    const taken = this.#taken.get(address);
    return taken === undefined || taken.mac === mac || taken.until <= now;
  }

  /** The vip that an address is of, as this MAC may have it: one that is reserved for another is not. */
  #poolFor(mac: string, address: string): Pool | undefined {
    const pools = this.#pools.of(address).filter((pool) => pool.gives(address));
    return pools.find(({ vip }) => vip.mac === mac) ??
      (pools.some(({ vip }) => vip.mac !== undefined) ? undefined : pools[0]);
  }

  #poolOf(address: string): Pool | undefined {
    const pools = this.#pools.of(address);
    return pools.find(({ vip }) => vip.mac !== undefined) ?? pools[0];
  }

  #now(): number {
    return this.#options.wallMs?.() ?? 0;
  }
}

function leaseOf({ vip, length, gateway }: Pool, address: string): Lease {
  return { address, prefixLength: length, gateway, dns: vip.dns };
}

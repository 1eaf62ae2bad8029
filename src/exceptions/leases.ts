// SPDX-License-Identifier: Apache-2.0

/**
 * Which address a workload's MAC is given, and until when. An offer reserves an address for seconds; a lease ends when its
 * time is over, when the workload gives it back, or when it finds somebody else there; then the address is given to the
 * next one. A workload that asks again gets the same one, after a restart too (`LeaseBook`).
 */
import ipaddr from "ipaddr.js";
import type { LocalVip } from "../config/config.ts";
import type { LeaseBook } from "../model/lease.ts";
import type { Lease } from "./context.ts";

/** The gateway where none is configured: link-local, so that no workload can own it. */
export const DEFAULT_GATEWAY = "169.254.1.1";
/** What a workload is told: it asks again after half of it. */
export const LEASE_S = 3600;
/** A workload may come late: its address is kept a little longer than it was told. */
const GRACE_MS = 60_000;
/** How long an offer keeps its address from others. */
const OFFER_MS = 10_000;
/** How long an address is left alone on which a workload found somebody else. */
const DECLINED_MS = 600_000;
/** Most addresses tried in one prefix. */
const POOL_MAX = 4096;

/** The gateway that workloads of an IPv4 vip are told, and for which we answer ARP. */
export function gatewayOf(vip: LocalVip): string {
  return vip.gateway ?? DEFAULT_GATEWAY;
}

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
  readonly #vips: readonly LocalVip[];
  readonly #taken = new Map<string, Taken>();
  readonly #byMac = new Map<string, string>();

  constructor(vips: readonly LocalVip[], options: LeasesOptions = {}) {
    this.#options = options;
    this.#vips = vips.filter((vip) => !vip.vip.includes(":"));
    const now = this.#now();
    for (const { address, mac, untilMs } of options.book?.all() ?? []) {
      // What nobody could have told ahead of its time was told by a clock that has been set since.
      const until = Math.min(untilMs, now + LEASE_S * 1000 + GRACE_MS);
      if (until > now && this.#vipOf(address) !== undefined) this.#take(address, { mac, until });
      else options.book?.remove(address);
    }
  }

  /** For other vips: whoever has an address that they hold too keeps it. */
  renewed(vips: readonly LocalVip[]): Leases {
    const next = new Leases(vips, this.#options);
    for (const [address, taken] of this.#taken) {
      if (next.#vipOf(address) === undefined) this.#options.book?.remove(address);
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
    const reserved = this.#vips.find((vip) => vip.mac === mac);
    const vip = reserved ?? (asked === undefined ? undefined : this.#vipFor(mac, asked));
    const free = reserved !== undefined
      ? leaseOf(reserved, addressIn(reserved))
      : vip !== undefined && asked !== undefined && this.#isFree(asked, mac) && fits(asked)
      ? leaseOf(vip, asked)
      : this.#firstFree(mac, fits);
    if (free !== undefined) this.#take(free.address, { mac, until: this.#now() + OFFER_MS });
    return free;
  }

  /** A workload takes an address: it has it from now on. Undefined: it may not, somebody else has it. */
  accept(mac: string, address: string): Lease | undefined {
    const vip = this.#vipFor(mac, address);
    if (vip === undefined || !this.#isFree(address, mac)) return undefined;
    const until = this.#now() + LEASE_S * 1000 + GRACE_MS;
    this.#take(address, { mac, until });
    this.#options.book?.put({ address, mac, untilMs: until });
    return leaseOf(vip, address);
  }

  /** What a workload has. */
  of(mac: string): Lease | undefined {
    const address = this.#byMac.get(mac);
    const vip = address === undefined ? undefined : this.#vipOf(address);
    if (address === undefined || vip === undefined || !this.#isFree(address, mac)) return undefined;
    return leaseOf(vip, address);
  }

  /** What a workload with an address of its own is told. */
  about(address: string): Lease | undefined {
    const vip = this.#vipOf(address);
    return vip === undefined ? undefined : leaseOf(vip, address);
  }

  /** A workload gives its address back, or (`declined`) found somebody else there. */
  release(mac: string, address: string, { declined = false } = {}): boolean {
    if (this.#taken.get(address)?.mac !== mac) return false;
    this.#taken.delete(address);
    this.#byMac.delete(mac);
    this.#options.book?.remove(address);
    if (declined) this.#taken.set(address, { mac: "", until: this.#now() + DECLINED_MS });
    return true;
  }

  /** An address that a workload uses without having asked for it: it is given to no other, and to this one. */
  use(address: string, mac: string): void {
    if (!this.#isFree(address, mac) || this.#byMac.get(mac) === address) return;
    if (this.#vipOf(address) === undefined) return;
    if (this.#byMac.has(mac)) this.#taken.set(address, { mac, until: Infinity });
    else this.#take(address, { mac, until: Infinity });
  }

  /** Nobody is at this address any more: what was only used is free; what was leased stays leased. */
  unuse(address: string): void {
    const taken = this.#taken.get(address);
    if (taken === undefined || taken.until !== Infinity) return;
    this.#taken.delete(address);
    if (this.#byMac.get(taken.mac) === address) this.#byMac.delete(taken.mac);
  }

  #firstFree(mac: string, fits: (address: string) => boolean): Lease | undefined {
    for (const vip of this.#vips) {
      if (vip.mac !== undefined) continue;
      for (const address of pool(vip)) {
        if (this.#isFree(address, mac) && fits(address)) return leaseOf(vip, address);
      }
    }
    return undefined;
  }

  #take(address: string, taken: Taken): void {
    const before = this.#byMac.get(taken.mac);
    // An offer that was not taken up gives its address back.
    if (before !== undefined && before !== address) {
      this.#taken.delete(before);
      this.#options.book?.remove(before);
    }
    const other = this.#taken.get(address)?.mac;
    if (other !== undefined && other !== taken.mac) this.#byMac.delete(other);
    this.#taken.set(address, taken);
    this.#byMac.set(taken.mac, address);
  }

  /** Whether an address can be this MAC's: nobody else has it. What is over is over. */
  #isFree(address: string, mac: string): boolean {
    const taken = this.#taken.get(address);
    return taken === undefined || taken.mac === mac || taken.until <= this.#now();
  }

  /** The vip that an address is of, as this MAC may have it: one that is reserved for another is not. */
  #vipFor(mac: string, address: string): LocalVip | undefined {
    const vips = this.#vips.filter((vip) => isGiven(vip, address));
    return vips.find((vip) => vip.mac === mac) ??
      (vips.some((vip) => vip.mac !== undefined) ? undefined : vips[0]);
  }

  #vipOf(address: string): LocalVip | undefined {
    const vips = this.#vips.filter((vip) => holds(vip, address));
    return vips.find((vip) => vip.mac !== undefined) ?? vips[0];
  }

  #now(): number {
    return this.#options.wallMs?.() ?? 0;
  }
}

function* pool(vip: LocalVip): Generator<string> {
  const length = prefixLength(vip);
  if (length >= 31) {
    yield addressIn(vip);
    return;
  }
  const gateway = gatewayOf(vip);
  const last = Math.min(2 ** (32 - length) - 2, POOL_MAX);
  for (let i = 1; i <= last; i++) {
    const address = offset(vip.vip, i);
    if (address !== gateway) yield address;
  }
}

function holds(vip: LocalVip, address: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(address) &&
    ipaddr.IPv4.parse(address).match(ipaddr.IPv4.parseCIDR(vip.vip));
}

/** Whether a workload can be given an address of a prefix: neither its first, nor its last, nor the gateway's. */
function isGiven(vip: LocalVip, address: string): boolean {
  const length = prefixLength(vip);
  if (!holds(vip, address) || address === gatewayOf(vip)) return false;
  return length >= 31 ||
    (address !== offset(vip.vip, 0) && address !== offset(vip.vip, 2 ** (32 - length) - 1));
}

function leaseOf(vip: LocalVip, address: string): Lease {
  return { address, prefixLength: prefixLength(vip), gateway: gatewayOf(vip), dns: vip.dns };
}

function prefixLength(vip: LocalVip): number {
  return ipaddr.parseCIDR(vip.vip)[1];
}

function addressIn(vip: LocalVip): string {
  return ipaddr.parseCIDR(vip.vip)[0].toString();
}

function offset(cidr: string, n: number): string {
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv4.networkAddressFromCIDR(cidr).toByteArray();
  const value = (((a << 24) | (b << 16) | (c << 8) | d) + n) >>> 0;
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join(".");
}

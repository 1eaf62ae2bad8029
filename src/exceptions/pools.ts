// SPDX-License-Identifier: Apache-2.0

/**
 * The IPv4 vips of a segment as pools of addresses to give away: which of them an address is of, and which address is
 * free. Guests ask with MACs as they like, so that neither may take longer the more vips there are or the more was given.
 */
import type { LocalVip } from "../config/config.ts";

/** The gateway where none is configured: link-local, so that no workload can own it. */
export const DEFAULT_GATEWAY = "169.254.1.1";
/** Most addresses tried in one prefix. */
const POOL_MAX = 4096;

/** The gateway that workloads of an IPv4 vip are told, and for which we answer ARP. */
export function gatewayOf(vip: LocalVip): string {
  return vip.gateway ?? DEFAULT_GATEWAY;
}

/** Until when an address is taken; undefined: it is free. */
export type TakenUntil = (address: string) => number | undefined;

/** One vip: an address, or a prefix. */
export class Pool {
  readonly vip: LocalVip;
  readonly length: number;
  readonly gateway: string;
  /** Its first address as a number. */
  readonly base: number;
  /** Its place among the vips of the segment. */
  readonly order: number;
  /** All addresses before this one were taken ... */
  #from = 1;
  /** ... and stay so until then. */
  #until = Infinity;

  constructor(vip: LocalVip, order: number) {
    const [address = "", length = "32"] = vip.vip.split("/");
    this.vip = vip;
    this.order = order;
    this.length = Number(length);
    this.gateway = gatewayOf(vip);
    this.base = networkOf(bitsOf(address) ?? 0, this.length);
  }

  /** The first address: of a single address, itself. */
  get first(): string {
    return textOf(this.base);
  }

  /** Whether a workload can be given an address of it: neither its first, nor its last, nor the gateway's. */
  gives(address: string): boolean {
    if (address === this.gateway) return false;
    const i = (bitsOf(address) ?? 0) - this.base;
    return this.length >= 31 || (i !== 0 && i !== 2 ** (32 - this.length) - 1);
  }

  /** The first free address that fits; each address is looked at once for as long as it is known to be taken. */
  firstFree(
    now: number,
    { takenUntil, fits }: {
      readonly takenUntil: TakenUntil;
      readonly fits: (address: string) => boolean;
    },
  ): string | undefined {
    const isFree = (address: string) => takenUntil(address) === undefined && fits(address);
    if (this.length >= 31) return isFree(this.first) ? this.first : undefined;
    if (now >= this.#until) this.given();
    const last = Math.min(2 ** (32 - this.length) - 2, POOL_MAX);
    // What is free and does not fit may fit the next one who asks.
    let passing = true;
    for (let i = this.#from; i <= last; i++) {
      const address = textOf(this.base + i);
      const until = address === this.gateway ? Infinity : takenUntil(address);
      if (until === undefined) {
        if (fits(address)) return address;
        passing = false;
      } else if (passing) {
        this.#from = i + 1;
        this.#until = Math.min(this.#until, until);
      }
    }
    return undefined;
  }

  /** An address was given back before its time. */
  given(): void {
    this.#from = 1;
    this.#until = Infinity;
  }
}

/** All of a segment. */
export class Pools {
  readonly #byLength = new Map<number, Map<number, Pool[]>>();
  readonly #byMac = new Map<string, Pool>();
  /** Those that are nobody's by configuration. */
  readonly open: readonly Pool[];

  /** IPv4 alone. */
  constructor(vips: readonly LocalVip[]) {
    const pools = vips.map((vip, order) => new Pool(vip, order));
    for (const pool of pools) {
      let same = this.#byLength.get(pool.length);
      if (same === undefined) this.#byLength.set(pool.length, same = new Map());
      const there = same.get(pool.base);
      if (there === undefined) same.set(pool.base, [pool]);
      else there.push(pool);
      const { mac } = pool.vip;
      if (mac !== undefined && !this.#byMac.has(mac)) this.#byMac.set(mac, pool);
    }
    this.open = pools.filter(({ vip }) => vip.mac === undefined);
  }

  /** The one that the configuration gives a MAC. */
  ofMac(mac: string): Pool | undefined {
    return this.#byMac.get(mac);
  }

  /** Those that an address is of, in the order of the vips. */
  of(address: string): readonly Pool[] {
    const bits = bitsOf(address);
    if (bits === undefined) return [];
    const found: Pool[] = [];
    for (const [length, same] of this.#byLength) {
      found.push(...same.get(networkOf(bits, length)) ?? []);
    }
    return found.sort((a, b) => a.order - b.order);
  }
}

/** An IPv4 address in its one spelling as a number; undefined: it is none. */
function bitsOf(address: string): number | undefined {
  const parts = address.split(".");
  let bits = 0;
  for (const part of parts) {
    const octet = Number(part);
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || octet > 255) return undefined;
    bits = bits * 256 + octet;
  }
  return parts.length === 4 ? bits : undefined;
}

function networkOf(bits: number, length: number): number {
  return length === 0 ? 0 : (bits >>> (32 - length) << (32 - length)) >>> 0;
}

function textOf(bits: number): string {
  return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}

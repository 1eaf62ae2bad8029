// SPDX-License-Identifier: Apache-2.0

/** Which address a workload's MAC is given. In memory: a workload that asks again gets the same one. */
import ipaddr from "ipaddr.js";
import type { LocalVip } from "../config/config.ts";
import type { Lease } from "./context.ts";

/** The gateway where none is configured: link-local, so that no workload can own it. */
export const DEFAULT_GATEWAY = "169.254.1.1";
/** Most addresses tried in one prefix. */
const POOL_MAX = 4096;

/** The gateway that workloads of an IPv4 vip are told, and for which we answer ARP. */
export function gatewayOf(vip: LocalVip): string {
  return vip.gateway ?? DEFAULT_GATEWAY;
}

/** Leases from the configured IPv4 vips: the one with this MAC, else the first that is free. */
export class Leases {
  readonly #byMac = new Map<string, Lease>();
  readonly #taken = new Set<string>();
  readonly #vips: readonly LocalVip[];

  constructor(vips: readonly LocalVip[]) {
    this.#vips = vips.filter((vip) => !vip.vip.includes(":"));
  }

  /** For other vips: whoever has an address that they hold too keeps it. */
  renewed(vips: readonly LocalVip[]): Leases {
    const next = new Leases(vips);
    for (const [mac, { address }] of this.#byMac) next.use(address, mac);
    return next;
  }

  /** Undefined when every address is given away. */
  leaseFor(mac: string): Lease | undefined {
    const known = this.#byMac.get(mac);
    if (known !== undefined) return known;
    const reserved = this.#vips.find((vip) => vip.mac === mac);
    const lease = reserved === undefined
      ? this.#firstFree()
      : leaseOf(reserved, addressOf(reserved));
    if (lease === undefined) return undefined;
    this.#byMac.set(mac, lease);
    this.#taken.add(lease.address);
    return lease;
  }

  /** An address that a workload uses without having asked for it: it is given to no other, and to this one. */
  use(address: string, mac: string): void {
    if (this.#taken.has(address)) return;
    const vip = this.#vips.find((vip) => vip.mac === undefined && holds(vip, address));
    if (vip === undefined) return;
    this.#taken.add(address);
    if (!this.#byMac.has(mac)) this.#byMac.set(mac, leaseOf(vip, address));
  }

  #firstFree(): Lease | undefined {
    for (const vip of this.#vips) {
      if (vip.mac !== undefined) continue;
      for (const address of pool(vip)) {
        if (!this.#taken.has(address)) return leaseOf(vip, address);
      }
    }
    return undefined;
  }
}

function* pool(vip: LocalVip): Generator<string> {
  const length = prefixLength(vip);
  if (length >= 31) {
    yield addressOf(vip);
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

function leaseOf(vip: LocalVip, address: string): Lease {
  return { address, prefixLength: prefixLength(vip), gateway: gatewayOf(vip), dns: vip.dns };
}

function prefixLength(vip: LocalVip): number {
  return ipaddr.parseCIDR(vip.vip)[1];
}

function addressOf(vip: LocalVip): string {
  return ipaddr.parseCIDR(vip.vip)[0].toString();
}

function offset(cidr: string, n: number): string {
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv4.networkAddressFromCIDR(cidr).toByteArray();
  const value = (((a << 24) | (b << 16) | (c << 8) | d) + n) >>> 0;
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join(".");
}

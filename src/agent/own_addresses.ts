// SPDX-License-Identifier: Apache-2.0

/** Which addresses are this host's own, or those of everybody on one of its links: no peer is there. */
import type { Clock } from "../model/clock.ts";
import { parsePrefix, PrefixTable } from "../model/vip.ts";

/** An address of an interface, "192.0.2.1/24", as the system lists them. */
export type Interfaces = () => readonly { readonly cidr: string; readonly address: string }[];

/** How long a list is good: addresses come and go while the agent runs. */
const FRESH_MS = 1000;

/** What an address of one of this host's interfaces is. */
export const OWN = "this host's own";

/** What an address is on this host's links, as half a sentence; undefined: a host's, as far as is known here. */
export class OwnAddresses {
  readonly #list: Interfaces;
  readonly #clock: Pick<Clock, "now">;
  #known: ReadonlyMap<string, string> = new Map();
  #links = new PrefixTable<true>();
  #readAt = -Infinity;

  constructor(clock: Pick<Clock, "now">, list: Interfaces = Deno.networkInterfaces) {
    this.#clock = clock;
    this.#list = list;
  }

  /** `address` in canonical text. */
  what(address: string): string | undefined {
    this.#refresh();
    return this.#known.get(address);
  }

  /** Is it on a link of this host, or its own? `address` in canonical text. */
  isOnLink(address: string): boolean {
    this.#refresh();
    return this.#links.lookup(address) ?? false;
  }

  #refresh(): void {
    if (this.#clock.now() - this.#readAt >= FRESH_MS) this.#read();
  }

  #read(): void {
    this.#readAt = this.#clock.now();
    const known = new Map<string, string>();
    const links = new PrefixTable<true>();
    try {
      for (const { cidr, address } of this.#list()) {
        const link = parsePrefix(cidr);
        if (link !== undefined) links.add(link, true);
        for (const all of groupsOf(cidr)) known.set(all, "that of a whole network");
        known.set(address, OWN);
      }
    } catch {
      // Where the system does not say, what the configuration says is all that is known.
    }
    this.#known = known;
    this.#links = links;
  }
}

/** The first and the last address of an IPv4 network; none of one that has two hosts at most. */
function groupsOf(cidr: string): readonly string[] {
  const prefix = parsePrefix(cidr);
  if (prefix === undefined || prefix.family !== 4 || prefix.length > 30) return [];
  const last = prefix.bits | ((1n << BigInt(32 - prefix.length)) - 1n);
  return [prefix.bits, last].map(dotted);
}

function dotted(bits: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (bits >> shift) & 255n).join(".");
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Where each address of this host is: at which port, under which MAC. From the configuration, or learned from what a
 * workload sends. A port may have addresses of its own, which nobody else can take; of the others the newest claim
 * counts, so a workload that moves is followed at once. What is learned is bounded by port, and the longest unheard
 * goes first.
 */
import type { LocalVip } from "../config/config.ts";
import type { Log } from "../model/log.ts";
import type { Clock } from "../model/clock.ts";
import { networkOf } from "../model/network.ts";
import { matchesName } from "../model/patterns.ts";
import { addressIn, parsePrefix, PrefixTable } from "../model/vip.ts";
import type { NamedPort } from "./links.ts";

/** Counted here, and what one count of each means. */
export const WORKLOAD_COUNTERS = {
  "vip-conflicts": "claims to an address that another port had claimed less than 10 s before",
  "source-guard":
    "packets and claims with an address that belongs to another port, by configuration",
  "claims-refused":
    "claims to an address by a MAC that no workload has: a group's, the gateway's, or none",
  "refused-policy": "packets to prefixes that their network's policy denies",
  "workload-moves": "addresses that were found at another port or under another MAC",
  "workload-unknown": "packets dropped because the workload of their address was not found in time",
  "unreachable-sent": "ICMP errors that say that nobody gets a packet",
  "time-exceeded-sent": "ICMP errors that say that a packet's TTL is used up",
  "workloads-forgotten": "learned addresses that went: unheard, or to make room",
} as const;

/** Name of a counter of the workloads. */
export type WorkloadCounter = keyof typeof WORKLOAD_COUNTERS;

/** A claim is contested when the one before it is younger. */
const CONTEST_MS = 10_000;

/** Where frames to an address go. */
export interface Place {
  readonly mac: string;
  /** Handle of the port. */
  readonly port: number;
}

/** What the configuration says of a port. */
export interface PortRule {
  readonly name: string;
  readonly vips: readonly string[];
  readonly mac?: string;
}

export interface WorkloadTableOptions {
  readonly vips: readonly LocalVip[];
  readonly rules: readonly PortRule[];
  /** Ports as they are now. */
  readonly ports: { all(): readonly NamedPort[]; get(handle: number): NamedPort | undefined };
  readonly clock: Pick<Clock, "now">;
  readonly log: Pick<Log, "debug" | "info" | "warn">;
  /** Most addresses that are learned of one port. */
  readonly perPort: number;
  /** Where the address is now; undefined: nobody knows. */
  readonly moved: (vip: string, place: Place | undefined) => void;
}

interface Learned extends Place {
  /** When it was last claimed. */
  heardAt: number;
}

/** One address, one place. */
export class WorkloadTable {
  readonly #options: WorkloadTableOptions;
  /** The longest unheard first. */
  readonly #learned = new Map<string, Learned>();
  readonly #countByPort = new Map<number, number>();
  #macs: ReadonlyMap<string, string>;
  #rules: readonly PortRule[];
  #byVip: PrefixTable<PortRule>;
  readonly #counts = new Map<WorkloadCounter, bigint>();

  constructor(options: WorkloadTableOptions) {
    this.#options = options;
    this.#macs = macsOf(options.vips);
    this.#rules = options.rules;
    this.#byVip = byVip(options.rules);
  }

  /**
   * Other vips or rules are configured: what was learned of addresses that are not this host's any more goes, and so does
   * what was learned at a port that may not have it any more; a MAC, or a port, that is another now is told of.
   */
  follow(
    { vips, rules, isLocal }: {
      readonly vips: readonly LocalVip[];
      readonly rules: readonly PortRule[];
      readonly isLocal: (vip: string) => boolean;
    },
  ): void {
    const before = new Map(this.#fixed().map((vip) => [vip, this.find(vip)]));
    this.#macs = macsOf(vips);
    this.#rules = rules;
    this.#byVip = byVip(rules);
    for (const [vip, learned] of [...this.#learned]) {
      if (!isLocal(vip) || !this.mayUse(vip, learned.port)) {
        this.forget(vip);
        continue;
      }
      const mac = this.#macOf(vip) ?? learned.mac;
      if (mac === learned.mac) continue;
      this.#learned.set(vip, { ...learned, mac });
      this.#options.moved(vip, this.find(vip));
    }
    for (const vip of new Set([...before.keys(), ...this.#fixed()])) {
      if (this.#learned.has(vip) || !isLocal(vip)) continue;
      const [was, is] = [before.get(vip), this.find(vip)];
      if (was?.mac !== is?.mac || was?.port !== is?.port) this.#options.moved(vip, is);
    }
  }

  /** Single addresses whose MAC is configured. */
  #fixed(): readonly string[] {
    const ruled = this.#rules.flatMap(({ mac, vips }) =>
      mac === undefined ? [] : vips.flatMap((vip) => addressIn(vip) ?? [])
    );
    return [...this.#macs.keys(), ...ruled];
  }

  /** Where an address is, as far as anybody knows. */
  find(vip: string): Place | undefined {
    const learned = this.#learned.get(vip);
    if (learned !== undefined) return learned;
    const mac = this.#macOf(vip);
    const port = mac === undefined ? undefined : this.#portOf(vip);
    return mac === undefined || port === undefined ? undefined : { mac, port };
  }

  /** Ports where an address that is not found may be. */
  candidates(vip: string): readonly NamedPort[] {
    return this.#options.ports.all().filter((port) => this.#allows(vip, port));
  }

  /** Whether a port may have an address of this host: no rule gives it to another. */
  mayUse(vip: string, port: number): boolean {
    const named = this.#options.ports.get(port);
    return named !== undefined && this.#allows(vip, named);
  }

  /** Single addresses that the configuration gives to a port, and to no other. */
  ownOf(port: number): readonly string[] {
    const name = this.#options.ports.get(port)?.interface;
    const rule = this.#rules.find((rule) => rule.name === name);
    return rule?.vips.flatMap((vip) => addressIn(vip) ?? []) ?? [];
  }

  /**
   * A workload says, or shows by what it sends, that it has an address of this host. False: the address belongs to
   * another port, and the claim is counted.
   */
  claim(vip: string, { mac, port }: Place): boolean {
    const { clock } = this.#options;
    if (!this.mayUse(vip, port)) {
      this.count("source-guard");
      return false;
    }
    const now = clock.now();
    const fixed = this.#macOf(vip);
    const place = { mac: fixed ?? mac, port };
    const known = this.#learned.get(vip);
    this.#learned.delete(vip);
    this.#learned.set(vip, { ...place, heardAt: now });
    if (known?.port !== port) {
      this.#add(port, 1);
      if (known !== undefined) this.#add(known.port, -1);
    }
    if (known?.port !== port || known.mac !== place.mac) this.#say(vip, { place, known, now });
    this.#makeRoom(port);
    return true;
  }

  /** The port is no more, and whoever was behind it. */
  dropPort(port: number): void {
    for (const [vip, learned] of this.#learned) {
      if (learned.port === port) this.forget(vip);
    }
    this.#countByPort.delete(port);
  }

  /** Nobody is at this address any more, as far as was learned. */
  forget(vip: string): void {
    const known = this.#learned.get(vip);
    if (known === undefined) return;
    this.#learned.delete(vip);
    this.#add(known.port, -1);
    this.count("workloads-forgotten");
    this.#options.moved(vip, this.find(vip));
  }

  /** Learned addresses that were last heard before `at`, the longest unheard first. */
  *heardBefore(at: number): Generator<readonly [string, Place]> {
    for (const [vip, learned] of this.#learned) {
      if (learned.heardAt >= at) return;
      yield [vip, learned];
    }
  }

  /** When an address was last claimed; undefined: never. */
  heardAt(vip: string): number | undefined {
    return this.#learned.get(vip)?.heardAt;
  }

  /** How many addresses were learned of a port. */
  countOf(port: number): number {
    return this.#countByPort.get(port) ?? 0;
  }

  count(name: WorkloadCounter): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0n) + 1n);
  }

  counters(): Readonly<Record<string, bigint>> {
    const names = Object.keys(WORKLOAD_COUNTERS) as WorkloadCounter[];
    return Object.fromEntries(names.map((name) => [name, this.#counts.get(name) ?? 0n]));
  }

  #say(
    vip: string,
    { place, known, now }: { place: Place; known: Learned | undefined; now: number },
  ): void {
    const { log, moved, ports } = this.#options;
    const fields = { vip, mac: place.mac, interface: ports.get(place.port)?.interface };
    if (known === undefined) log.debug("Workload found", fields);
    else {
      this.count("workload-moves");
      const contested = known.port !== place.port && now - known.heardAt < CONTEST_MS;
      if (contested) {
        this.count("vip-conflicts");
        log.warn("Two ports claim an address: the newest claim counts", {
          ...fields,
          reason: `it was claimed on ${ports.get(known.port)?.interface ?? "another port"} ${
            now - known.heardAt
          } ms before`,
        });
      } else log.info("A workload has moved", fields);
    }
    moved(vip, place);
  }

  #makeRoom(port: number): void {
    if (this.countOf(port) <= this.#options.perPort) return;
    for (const [vip, learned] of this.#learned) {
      if (learned.port !== port) continue;
      this.forget(vip);
      return;
    }
  }

  #add(port: number, n: number): void {
    this.#countByPort.set(port, this.countOf(port) + n);
  }

  #macOf(vip: string): string | undefined {
    return this.#macs.get(vip) ?? this.#byVip.lookup(vip)?.mac;
  }

  /** The one port where it can be. */
  #portOf(vip: string): number | undefined {
    const [first, ...others] = this.candidates(vip);
    return others.length === 0 ? first?.handle : undefined;
  }

  #allows(vip: string, { interface: name, network = "" }: NamedPort): boolean {
    if (networkOf(vip) !== network) return false;
    const rule = this.#byVip.lookup(vip);
    return rule === undefined || matchesName(rule.name, name);
  }
}

/** The MACs of single addresses, by these. */
function macsOf(vips: readonly LocalVip[]): ReadonlyMap<string, string> {
  return new Map(
    vips.flatMap(({ vip, mac }) => {
      const single = addressIn(vip);
      return mac === undefined || single === undefined ? [] : [[single, mac] as const];
    }),
  );
}

/** To which port the configuration gives an address. */
function byVip(rules: readonly PortRule[]): PrefixTable<PortRule> {
  const table = new PrefixTable<PortRule>();
  for (const rule of rules) {
    for (const vip of rule.vips) {
      const prefix = parsePrefix(vip);
      if (prefix !== undefined) table.add(prefix, rule);
    }
  }
  return table;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * One deterministic world: hosts with the real core on planes in memory, a wire, an underlay, one clock. The explorer
 * chooses what happens in it, the simulation draws it from a seed, a story of tests/core tells it; everything else is
 * the same for all three.
 */
import type { PlaneEvent } from "../../ffi/plane.ts";
import type { Config } from "../../src/config/config.ts";
import type { TunnelClient } from "../../src/model/exchange.ts";
import type { Log, LogFields } from "../../src/model/log.ts";
import type { Random } from "../../src/model/random.ts";
import { pairKey } from "../../src/model/sa.ts";
import { type Life, WorldClock } from "./clock.ts";
import { WorldHost } from "./host.ts";
import type { CoreModules } from "./load.ts";
import { drain } from "./promise.ts";
import type { Sealed } from "./plane.ts";
import { type Body, type Message, type Station, Wire } from "./wire.ts";

/** A line of a host's log. */
export interface Said {
  readonly host: string;
  /** Which of its processes: starts before it. */
  readonly start: number;
  readonly atMs: number;
  readonly level: keyof Log;
  readonly message: string;
  readonly fields: LogFields;
}

/** How a world is made. */
export interface WorldOptions {
  readonly modules: CoreModules;
  /** One for each host; absent: they come later. */
  readonly configs?: readonly Config[];
  /** Of a host and its start; absent: jitter is always in the middle, and ids are counted. */
  readonly random?: (host: number, start: number) => Random;
  readonly onLog?: (said: Said) => void;
  /** Who gets which packet is not counted: there are too many. */
  readonly countless?: boolean;
  /** A message was sent; absent: it lies on the wire until somebody takes it. */
  readonly onSent?: (world: World, message: Message) => void;
  readonly onArrival?: (world: World, message: Message) => void;
  readonly onAnswer?: (world: World, message: Message, answer: Body) => void;
  /** A packet reached its workload. */
  readonly onDelivered?: (to: WorldHost, packet: Sealed) => void;
  /** Absent: one of its own, by which everybody waits with promises that lie open. */
  readonly clock?: WorldClock;
  /** The control channels and who uses them; absent: of its own, with what is said above. */
  readonly network?: Network;
  /** Has what planes report told soon; absent: whoever settles the world has it told. */
  readonly soon?: (tell: () => void) => void;
}

/** Control channels that others look after. Hosts are at their outer addresses on them. */
export interface Network {
  readonly wire: Wire;
  client(from: string, life: Life): TunnelClient;
}

/** A sealed packet under way. */
export interface Flying {
  readonly n: number;
  readonly from: WorldHost;
  readonly packet: Sealed;
  /** How often time has gone on since. */
  ticks: number;
}

/** Something a plane reports, and to whom. */
interface Report {
  readonly host: WorldHost;
  readonly life: Life;
  readonly event: PlaneEvent;
}

/** Hosts, wire, underlay and clock. */
export class World {
  readonly clock: WorldClock;
  readonly wire: Wire;
  readonly hosts: WorldHost[];
  /** What must never happen, and did. */
  readonly violations: string[] = [];
  /** Packets that reached their workload, by "src dst"; nothing is counted when `countless`. */
  readonly delivered = new Map<string, number>();
  /** Sealed packets that nobody accepted. */
  lost = 0;
  /** Sealed packets that were held back on the way. */
  readonly flying = new Map<number, Flying>();
  /** Whether the underlay, or the control network, carries from one host to another. */
  reaches: (from: WorldHost, to: WorldHost) => boolean = () => true;
  /** The next packet is held back. */
  slow = false;
  /** Since when a host has not been reachable for another, for the bound of a rotation. */
  isGone: (host: WorldHost, peer: string) => boolean = () => false;
  private readonly _byPip = new Map<string, WorldHost>();
  private readonly _byId = new Map<string, WorldHost>();
  private _reports: Report[] = [];
  private _ids = 0;
  private _flights = 0;

  constructor(readonly options: WorldOptions) {
    const { onSent, onArrival, onAnswer, clock, network } = options;
    this.clock = clock ?? new WorldClock();
    this.wire = network?.wire ?? new Wire({
      now: () => this.clock.now(),
      onSent: (message) => onSent?.(this, message),
      onArrival: (message) => onArrival?.(this, message),
      onAnswer: (message, answer) => onAnswer?.(this, message, answer),
    });
    this.clock.onSettled = () => this.#act();
    this.hosts = (options.configs ?? []).map((config, i) => new WorldHost(this, i, config));
    for (const host of this.hosts) {
      this._byPip.set(host.config.pip, host);
      this._byId.set(host.id, host);
    }
  }

  get modules(): CoreModules {
    return this.options.modules;
  }

  /** The client of a process. */
  client(from: string, life: Life): TunnelClient {
    return (this.options.network ?? this.wire).client(from, life);
  }

  /** Joins a host's process to the control network; undefined: there is none. */
  attach({ id, config: { pip } }: WorldHost, station: Station | undefined): void {
    this.wire.attach(id, station, this.options.network && pip);
  }

  /** Starts every host. */
  begin(): void {
    for (const host of this.hosts) host.begin();
  }

  /** Host `i`, from 0. */
  host(i: number): WorldHost {
    const host = this.hosts[i];
    if (host === undefined) throw new RangeError(`There is no host ${i}`);
    return host;
  }

  byId(id: string): WorldHost {
    const host = this._byId.get(id);
    if (host === undefined) throw new RangeError(`There is no host "${id}"`);
    return host;
  }

  /** Everything that can happen at this moment happens: what is awaited, and what planes report. */
  settle(): void {
    drain();
    this.#act();
  }

  /** Time goes on. */
  advance(ms: number): void {
    this.clock.run(this.clock.now() + ms);
  }

  /** A message arrives. */
  deliver(n: number): void {
    this.wire.deliver(n);
    this.settle();
  }

  /** A packet leaves a host. */
  carry(from: WorldHost, { sa, key }: Sealed): void {
    const packet = { sa, key };
    if (this.slow) {
      const n = ++this._flights;
      this.flying.set(n, { n, from, packet, ticks: 0 });
      return;
    }
    this.#arrive(from, packet);
  }

  /** A packet that was held back arrives; false: nobody accepts it. */
  land(n: number): boolean {
    const flight = this.flying.get(n);
    if (flight === undefined) throw new RangeError(`There is no packet ${n} under way`);
    this.flying.delete(n);
    const arrived = this.#arrive(flight.from, flight.packet);
    this.settle();
    return arrived;
  }

  wrong(what: string): void {
    this.violations.push(what);
  }

  report(report: Report): void {
    this._reports.push(report);
    this.options.soon?.(() => this.#act());
  }

  /** For request ids where nothing is random. */
  nextId(): number {
    return ++this._ids;
  }

  #arrive(from: WorldHost, packet: Sealed): boolean {
    const { pip } = packet.sa;
    // One that came later has no place among those by address.
    const to = this._byPip.get(pip) ?? this.hosts.find((host) => host.config.pip === pip);
    if (!to?.alive || !this.reaches(from, to)) return false;
    if (!to.plane.receive(packet, from.config.pip)) {
      this.lost++;
      return false;
    }
    this.options.onDelivered?.(to, packet);
    if (this.options.countless) return true;
    const way = pairKey(packet.sa);
    this.delivered.set(way, (this.delivered.get(way) ?? 0) + 1);
    return true;
  }

  #act(): void {
    while (this._reports.length > 0) {
      const reports = this._reports;
      this._reports = [];
      for (const { host, life, event } of reports) if (life.alive) host.core.onEvent(event);
      drain();
    }
  }
}

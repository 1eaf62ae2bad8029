// SPDX-License-Identifier: Apache-2.0

/**
 * What leaves a workload for an address that no peer owns: to another workload of this host, by an entry of LOCAL for
 * each pair and direction; to nobody, by one that hands packets to the agent for a while, which says so to the sender.
 * Entries go with the places of their workloads, and when nothing passes.
 */
import {
  DataPlaneError,
  type EntryDescriptor,
  type Plane,
  type PlaneEvent,
} from "../../ffi/plane.ts";
import type { Clock } from "../model/clock.ts";
import type { Log } from "../model/log.ts";
import { addressOf } from "../model/network.ts";
import type { InstalledTopology } from "../pipes/install.ts";
import { localEntry, type LocalPair, tellEntry } from "../pipes/local.ts";
import type { Place } from "./workload_table.ts";

/** Counted here, and what one count of each means. */
export const LOCAL_COUNTERS = {
  "local-flows-opened": "pairs of workloads of this host, in one direction, that began to talk",
  "local-refused": "packets between workloads of this host that found no room or no workload",
} as const;

/** Most pairs of this host, in one direction; the longest in place makes room. */
const PAIRS_MAX = 65_536;
/** Most pairs whose sender is told that nobody gets its packets; the others' packets are dropped in silence. */
const TOLD_MAX = 1024;
/** How long a sender is told before it is judged again. */
const TELL_MS = 10_000;
/** A pair on which nothing passes for so long goes. */
const IDLE_MS = 300_000;
/** Pairs that are looked at in one tick: all of them in a minute or so. */
const LOOK_BATCH = 1024;
/** How long packets wait until the workload that they are for is found, and how many flows. */
const FIND_MS = 2_000;
const FINDING_MAX = 1024;
/** How long a flow is dropped without being asked about again. */
const HOLD_OFF_MS = 1000;

/** A packet that is held, and has no entry. */
export type Miss = Pick<
  Extract<PlaneEvent, { type: "miss" }>,
  "flow" | "port" | "srcVip" | "dstVip"
>;

export interface LocalFlowsOptions {
  readonly plane: Pick<
    Plane,
    "addEntry" | "updateEntry" | "removeEntry" | "queryEntry" | "releaseHeld" | "dropHeld"
  >;
  readonly installed: InstalledTopology;
  /** Where a workload is; undefined: not known yet, and it is looked for. */
  readonly placeOf: (vip: string) => Place | undefined;
  readonly gatewayMac: string;
  readonly clock: Pick<Clock, "now">;
  readonly log: Pick<Log, "debug">;
}

interface Flow extends LocalPair {
  readonly entry: number;
  /** Undefined: the sender is told until `until`. */
  to: Place | undefined;
  until: number;
  packets: bigint;
}

/** One for each installed topology. */
export class LocalFlows {
  readonly #o: LocalFlowsOptions;
  readonly #pipe: number;
  readonly #ports: boolean;
  readonly #flows = new Map<string, Flow>();
  readonly #byVip = new Map<string, Set<string>>();
  /** Keys of those whose sender is told. */
  readonly #told = new Set<string>();
  /** By vip, held flows that wait until its workload is found. */
  readonly #finding = new Map<string, { readonly misses: Miss[]; readonly since: number }>();
  #looked: Iterator<string> | undefined;
  #opened = 0n;
  #refused = 0n;

  constructor(options: LocalFlowsOptions) {
    this.#o = options;
    this.#pipe = options.installed.pipeId("LOCAL");
    const local = options.installed.topology.pipes.find(({ name }) => name === "LOCAL");
    this.#ports = local?.match_mask?.parser_meta?.port_id !== undefined;
  }

  /** A packet from one workload to another is held: it is let through, or waits until the other is found. */
  open(miss: Miss): void {
    const place = this.#o.placeOf(miss.dstVip);
    if (place !== undefined) return this.#forward(miss, place);
    const finding = this.#finding.get(miss.dstVip) ?? { misses: [], since: this.#o.clock.now() };
    if (this.#findingTotal() >= FINDING_MAX) return this.#drop(miss);
    finding.misses.push(miss);
    this.#finding.set(miss.dstVip, finding);
  }

  /** Nobody gets a packet that is held: its sender is told from now on. False: not now, drop it. */
  tell(miss: Miss): boolean {
    if (this.#told.size >= TOLD_MAX) return false;
    try {
      const key = this.#key(miss);
      if (!this.#flows.has(key)) this.#keep(miss, undefined);
      this.#o.plane.releaseHeld(miss.flow);
      return true;
    } catch (cause) {
      this.#note(cause);
      return false;
    }
  }

  /** A workload has another place, or none that is known. */
  moved(vip: string, place: Place | undefined): void {
    for (const key of [...this.#byVip.get(vip) ?? []]) {
      const flow = this.#flows.get(key);
      if (flow === undefined) continue;
      if (flow.src === vip && this.#ports && flow.port !== place?.port) this.#remove(key);
      if (flow.dst === vip) this.#redirect(key, place);
    }
    const finding = this.#finding.get(vip);
    if (finding === undefined || place === undefined) return;
    this.#finding.delete(vip);
    for (const miss of finding.misses) this.#forward(miss, place);
  }

  /**
   * Addresses have other owners. Whoever was told that nobody has one is judged anew by his next packet, where somebody
   * has it now; with `local`, what is let through between workloads ends where one of them is this host's no more.
   */
  follow(
    owners: { byVip(vip: string): unknown; isLocal(vip: string): boolean },
    { local }: { readonly local: boolean },
  ): void {
    for (const key of [...this.#told]) {
      const flow = this.#flows.get(key);
      if (flow === undefined) continue;
      if (owners.byVip(flow.dst) !== undefined || owners.isLocal(flow.dst)) this.#remove(key);
    }
    if (!local) return;
    for (const [key, { src, dst, to }] of this.#flows) {
      if (to !== undefined && !(owners.isLocal(src) && owners.isLocal(dst))) this.#remove(key);
    }
  }

  /** What was begun for a port that goes. */
  dropPort(port: number): void {
    for (const [key, flow] of this.#flows) {
      if (flow.port === port || flow.to?.port === port) this.#remove(key);
    }
  }

  /** Ends what is over. Call it every second. */
  tick(): void {
    const now = this.#o.clock.now();
    for (const [vip, { misses, since }] of this.#finding) {
      if (now - since < FIND_MS) {
        this.#o.placeOf(vip);
        continue;
      }
      this.#finding.delete(vip);
      for (const miss of misses) if (!this.tell(miss)) this.#drop(miss);
    }
    // One that stands still would hold on to every flow that has gone since.
    if (this.#flows.size === 0) this.#looked = undefined;
    for (let n = Math.min(LOOK_BATCH, this.#flows.size); n > 0; n--) {
      const next = (this.#looked ??= this.#flows.keys()).next();
      if (next.done) this.#looked = undefined;
      else this.#look(next.value, now);
    }
  }

  counters(): Readonly<Record<string, bigint>> {
    return { "local-flows-opened": this.#opened, "local-refused": this.#refused };
  }

  #look(key: string, now: number): void {
    const flow = this.#flows.get(key);
    if (flow === undefined) return;
    if (flow.to !== undefined) {
      const { packets } = this.#o.plane.queryEntry(flow.entry);
      if (packets !== flow.packets) flow.until = now + IDLE_MS;
      flow.packets = packets;
    }
    if (now >= flow.until) this.#remove(key);
  }

  #forward(miss: Miss, place: Place): void {
    try {
      const key = this.#key(miss);
      const there = this.#flows.get(key);
      if (there !== undefined && there.to === undefined) this.#remove(key);
      if (!this.#flows.has(key)) {
        this.#keep(miss, place);
        this.#opened++;
      }
      this.#o.plane.releaseHeld(miss.flow);
    } catch (cause) {
      this.#note(cause);
      this.#drop(miss);
    }
  }

  #keep({ srcVip: src, dstVip: dst, port }: Miss, to: Place | undefined): void {
    const pair: LocalPair = this.#ports ? { src, dst, port } : { src, dst };
    if (this.#flows.size >= PAIRS_MAX) {
      const oldest = this.#flows.keys().next();
      if (!oldest.done) this.#remove(oldest.value);
    }
    const entry = this.#o.plane.addEntry(this.#pipe, this.#entry(pair, to));
    const until = this.#o.clock.now() + (to === undefined ? TELL_MS : IDLE_MS);
    const key = this.#key({ srcVip: src, dstVip: dst, port });
    this.#flows.set(key, { ...pair, entry, to, until, packets: 0n });
    if (to === undefined) this.#told.add(key);
    for (const vip of [src, dst]) {
      const keys = this.#byVip.get(vip) ?? new Set();
      this.#byVip.set(vip, keys.add(key));
    }
  }

  #redirect(key: string, place: Place | undefined): void {
    const flow = this.#flows.get(key);
    if (flow === undefined) return;
    // Whoever was told that nobody is there, or talks to somebody who has gone, is judged anew.
    if (flow.to === undefined || place === undefined) return this.#remove(key);
    try {
      this.#o.plane.updateEntry(flow.entry, this.#entry(flow, place));
      flow.to = place;
    } catch (cause) {
      this.#note(cause);
      this.#remove(key);
    }
  }

  #entry(pair: LocalPair, to: Place | undefined): EntryDescriptor {
    const bare = { ...pair, src: addressOf(pair.src), dst: addressOf(pair.dst) };
    if (to === undefined) return tellEntry(bare);
    return localEntry(bare, { ethDst: to.mac, ethSrc: this.#o.gatewayMac, port: to.port });
  }

  #remove(key: string): void {
    const flow = this.#flows.get(key);
    if (flow === undefined) return;
    this.#flows.delete(key);
    this.#told.delete(key);
    for (const vip of [flow.src, flow.dst]) {
      const keys = this.#byVip.get(vip);
      keys?.delete(key);
      if (keys?.size === 0) this.#byVip.delete(vip);
    }
    try {
      this.#o.plane.removeEntry(flow.entry);
    } catch (cause) {
      this.#note(cause);
    }
  }

  #drop({ flow }: Miss): void {
    this.#refused++;
    try {
      this.#o.plane.dropHeld(flow, "no_peer", HOLD_OFF_MS);
    } catch (cause) {
      // It has gone with its port.
      this.#note(cause);
    }
  }

  #note(cause: unknown): void {
    if (!(cause instanceof DataPlaneError)) throw cause;
    this.#o.log.debug("The plane refused a local flow", { cause: cause.message });
  }

  #findingTotal(): number {
    return [...this.#finding.values()].reduce((sum, { misses }) => sum + misses.length, 0);
  }

  #key({ srcVip, dstVip, port }: Pick<Miss, "srcVip" | "dstVip" | "port">): string {
    return `${this.#ports ? port : 0} ${srcVip} ${dstVip}`;
  }
}

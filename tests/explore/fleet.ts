// SPDX-License-Identifier: Apache-2.0

/**
 * A fleet in one process: thousands of hosts with the real core, each with some peers, on a network that loses and delays by
 * a seed. The same seed is the same run, message by message. Every second all flows are looked at: who has no tunnel, who
 * sends into nothing; what must never happen is looked for all the time.
 */
import type { PeerConfig } from "../../src/config/config.ts";
import type { PeerLines } from "../../src/core/peer.ts";
import { GONE_MS } from "../../src/core/limits.ts";
import { seededRandom } from "../support/seeded_random.ts";
import { FOREVER } from "../sim/clock.ts";
import { peerOf, prefixOf, worldConfig } from "../sim/config.ts";
import { pipOf, vipOf, type WorldHost } from "../sim/host.ts";
import { type CoreModules, partsOf } from "../sim/load.ts";
import type { Message } from "../sim/wire.ts";
import { World } from "../sim/world.ts";

/** What a fleet is. */
export interface FleetOptions {
  readonly modules: CoreModules;
  readonly seed: number;
  readonly hosts: number;
  /** Of each host: its neighbours on a ring. Even. */
  readonly peers: number;
  /** Share of the messages that are lost. */
  readonly loss: number;
  /** Least and most. */
  readonly delayMs: readonly [number, number];
  /** Each flow has a packet this often. */
  readonly packetEveryMs: number;
}

/** Figures of a run. */
export interface Figures {
  readonly virtualS: number;
  readonly messages: number;
  readonly requests: number;
  /** The most requests that one host answered in a second, and the most that all did. */
  readonly peakPerHost: number;
  readonly peakOfAll: number;
  /** Seconds of flows between living hosts that can reach each other: without a tunnel, and sent into nothing. */
  readonly waitingFlowS: number;
  readonly blackHoledFlowS: number;
  /** The longest that one flow was sent into nothing, in seconds. */
  readonly longestHoleS: number;
  /** The same for the same seed. */
  readonly digest: string;
}

/** All flows at one moment. */
export interface Sample {
  readonly flows: number;
  readonly served: number;
  readonly waiting: number;
  readonly holes: number;
}

/** One direction between two workloads. */
interface Flow {
  readonly from: string;
  readonly to: string;
  readonly key: string;
  holeS: number;
}

const SAMPLE_MS = 1000;

/** Hosts, their flows and what befalls them. */
export class Fleet {
  readonly world: World;
  readonly random: ReturnType<typeof seededRandom>;
  /** What must never happen, and did; the first few. */
  readonly violations: string[] = [];
  /** The host on which a workload is. */
  readonly #owner = new Map<string, number>();
  readonly #flows: Flow[] = [];
  readonly #flowsOf: Flow[][] = [];
  readonly #answered: Uint32Array;
  #messages = 0;
  #requests = 0;
  #thisSecond = 0;
  #peakPerHost = 0;
  #peakOfAll = 0;
  #waitingS = 0;
  #holeS = 0;
  #longest = 0;
  #digest = 0x811c9dc5;
  #violated = 0;

  constructor(readonly options: FleetOptions) {
    const { modules, seed, hosts: n, peers } = options;
    this.random = seededRandom(seed);
    this.#answered = new Uint32Array(n);
    const all = Array.from({ length: n }, (_, i) => peerOf(i));
    const configs = all.map((_, i) => ({
      ...worldConfig(i, { peers: [], changes: { rpc: { peerRate: 50, peerBurst: 200 } } }),
      peers: neighbours(i, { n, peers }).flatMap((k) => all[k] ?? []),
    }));
    this.world = new World({
      modules,
      configs,
      countless: true,
      random: (host, start) => seededRandom(seed * 7919 + host * 131 + start),
      onSent: (_, message) => this.#sent(message),
      onArrival: (_, message) => this.#arrives(message),
    });
    this.world.isGone = (host, peer) => {
      const { failingSince } = (partsOf(host.core).lines as PeerLines).of(peer);
      return failingSince !== undefined && this.now - failingSince >= GONE_MS;
    };
    for (let i = 0; i < n; i++) {
      this.#owner.set(vipOf(i), i);
      this.#flowsOf.push([]);
    }
    for (let i = 0; i < n; i++) {
      for (const k of neighbours(i, { n, peers })) {
        const [from, to] = [vipOf(i), vipOf(k)];
        const flow = { from, to, key: `${from} ${to}`, holeS: 0 };
        this.#flows.push(flow);
        this.#flowsOf[i]?.push(flow);
      }
    }
    this.world.clock.at(SAMPLE_MS, FOREVER, () => this.#second());
  }

  get now(): number {
    return this.world.clock.now();
  }

  get flows(): number {
    return this.#flows.length;
  }

  /** Starts hosts, and their workloads: each flow sends its first packet within `spreadMs`, and then now and then. */
  start(hosts: Iterable<WorldHost>, spreadMs: number): void {
    for (const host of hosts) {
      if (host.epochs.length === 0) host.begin();
      for (const flow of this.#flowsOf[host.index] ?? []) {
        this.#sendLater(flow, this.random.uniform() * spreadMs);
      }
    }
  }

  /** Something happens at a time of its own. */
  at(ms: number, act: () => void): void {
    this.world.clock.at(ms, FOREVER, act);
  }

  /** Time goes on until `until` holds, looked at each second: when that was; undefined: not within `limitMs`. */
  run(limitMs: number, until: () => boolean = () => false): number | undefined {
    const end = this.now + limitMs;
    while (this.now < end) {
      this.world.advance(Math.min(SAMPLE_MS, end - this.now));
      if (until()) return this.now;
    }
    return undefined;
  }

  /** Whether every flow that can have a tunnel has one that is received. */
  isServed(): boolean {
    const { served, flows } = this.sample();
    return served === flows;
  }

  /** Looks at every flow between hosts that live and reach each other. */
  sample(perSecond = false): Sample {
    let [flows, served, holes] = [0, 0, 0];
    for (const flow of this.#flows) {
      const [from, to] = [this.#hostOf(flow.from), this.#hostOf(flow.to)];
      if (from === to || !from.alive || !to.alive) continue;
      if (!this.world.reaches(from, to) || !this.world.reaches(to, from)) continue;
      flows++;
      const entry = from.plane.tx.get(flow.key);
      if (entry === undefined) {
        flow.holeS = 0;
        continue;
      }
      if (entry.sa.pip === pipOf(to.index) && to.plane.accepts(entry)) {
        served++;
        flow.holeS = 0;
        continue;
      }
      holes++;
      if (!perSecond) continue;
      flow.holeS++;
      this.#longest = Math.max(this.#longest, flow.holeS);
    }
    return { flows, served, waiting: flows - served - holes, holes };
  }

  /** Packets are accepted only from who owns their source, and SAs are of the start that was heard of. */
  check(): void {
    for (const host of this.world.hosts) {
      if (!host.alive) continue;
      for (const { sa } of host.plane.rx.values()) {
        if (host.peers.owns(sa.peer, sa.remoteVip)) continue;
        this.wrong(`${host.id}: SPI ${sa.spi} of ${sa.remoteVip} is accepted from ${sa.peer}`);
      }
    }
    for (const what of this.world.violations.splice(0)) this.wrong(what);
  }

  wrong(what: string): void {
    this.#violated++;
    if (this.violations.length < 20) this.violations.push(`${Math.round(this.now)} ms: ${what}`);
  }

  figures(): Figures {
    return {
      virtualS: this.now / 1000,
      messages: this.#messages,
      requests: this.#requests,
      peakPerHost: this.#peakPerHost,
      peakOfAll: this.#peakOfAll,
      waitingFlowS: this.#waitingS,
      blackHoledFlowS: this.#holeS,
      longestHoleS: this.#longest,
      digest: this.#digest.toString(16).padStart(8, "0"),
    };
  }

  /** A workload, and the addresses that go with it, moves; `heardMs`: how long after that a host learns of it. */
  move(
    from: number,
    { to, heardMs }: { readonly to: number; readonly heardMs: (host: number) => number },
  ): void {
    const { hosts: n, peers } = this.options;
    const moved = prefixOf(from);
    const [loser, winner]: [PeerConfig, PeerConfig] = [
      { ...peerOf(from), vips: [] },
      { ...peerOf(to), vips: [prefixOf(to), moved] },
    ];
    this.#owner.set(vipOf(from), to);
    const flows = this.#flowsOf[from] ?? [];
    this.#flowsOf[to]?.push(...flows);
    this.#flowsOf[from] = [];
    const concerned = new Set([...neighbours(from, { n, peers }), ...neighbours(to, { n, peers })]);
    for (const i of new Set([from, to, ...concerned])) {
      this.at(this.now + heardMs(i), () => {
        const host = this.world.host(i);
        if (!host.alive) return;
        const vips = i === from ? [] : i === to ? [prefixOf(to), moved] : undefined;
        const changed = [loser, winner].filter(({ id }) => id !== host.id);
        // The new owner has to know everybody whom the old one knew.
        if (i === to) {
          for (const k of neighbours(from, { n, peers })) {
            if (k !== to && !host.peers.has(this.world.host(k).id)) changed.push(peerOf(k));
          }
        }
        host.core.change({ changed, removed: [], vips });
      });
    }
  }

  #hostOf(vip: string): WorldHost {
    return this.world.host(this.#owner.get(vip) ?? 0);
  }

  #sendLater(flow: Flow, inMs: number): void {
    this.at(this.now + inMs, () => {
      const host = this.#hostOf(flow.from);
      if (host.alive && host !== this.#hostOf(flow.to)) {
        host.plane.packet({ localVip: flow.from, remoteVip: flow.to });
      }
      this.#sendLater(flow, this.options.packetEveryMs * (0.5 + this.random.uniform()));
    });
  }

  #sent({ n, from, to }: Message): void {
    const { world, random, options: { loss, delayMs: [least, most] } } = this;
    const lost = random.uniform() < loss || !world.reaches(world.byId(from), world.byId(to));
    const inMs = least + random.uniform() * (most - least);
    this.at(this.now + inMs, () => {
      if (!world.wire.messages.has(n)) return;
      if (lost) world.wire.lose(n);
      else world.wire.deliver(n);
    });
  }

  #arrives({ n, to, body: { kind } }: Message): void {
    this.#messages++;
    const { index } = this.world.byId(to);
    this.#digest = Math.imul(this.#digest ^ n, 0x01000193) >>> 0;
    this.#digest = Math.imul(this.#digest ^ (this.now * 1000), 0x01000193) >>> 0;
    if (kind !== "request") return;
    this.#requests++;
    this.#thisSecond++;
    const answered = (this.#answered[index] ?? 0) + 1;
    this.#answered[index] = answered;
    this.#peakPerHost = Math.max(this.#peakPerHost, answered);
  }

  #second(): void {
    this.#answered.fill(0);
    this.#peakOfAll = Math.max(this.#peakOfAll, this.#thisSecond);
    this.#thisSecond = 0;
    const { waiting, holes } = this.sample(true);
    this.#waitingS += waiting;
    this.#holeS += holes;
    this.check();
    this.at(this.now + SAMPLE_MS, () => this.#second());
  }
}

/** Hosts beside host `i` on a ring, as many on either side. */
export function neighbours(
  i: number,
  { n, peers }: { readonly n: number; readonly peers: number },
): number[] {
  const half = Math.floor(Math.min(peers, n - 1) / 2);
  return Array.from({ length: half }, (_, d) => [(i + d + 1) % n, (i - d - 1 + n) % n]).flat();
}

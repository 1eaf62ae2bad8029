// SPDX-License-Identifier: Apache-2.0

/** A story's world: hosts with a core and a database each, and weather on the control channels between them. */
import type { Feature, PlaneEvent } from "../../ffi/plane.ts";
import { limitWarnings } from "../../src/agent/logging.ts";
import type { Config } from "../../src/config/config.ts";
import { createCore } from "../../src/core/core.ts";
import { Peers } from "../../src/core/directory.ts";
import type { EventFacts, EventKind } from "../../src/model/events.ts";
import type { Log, LogFields } from "../../src/model/log.ts";
import { pairKey, type VipPair } from "../../src/model/sa.ts";
import { openSaStore, type SaStore } from "../../src/store/sa_store.ts";
import { WorldClock } from "../sim/clock.ts";
import { type HostRecord, WorldHost } from "../sim/host.ts";
import type { Sealed, WorldPlane } from "../sim/plane.ts";
import { VirtualClock } from "../sim/virtual_clock.ts";
import { Weather } from "../sim/weather.ts";
import { World as Sim } from "../sim/world.ts";
import { type Changes, configOf } from "./core_config.ts";
import { seededRandom } from "./seeded_random.ts";

/** A line of the log. */
export interface Line {
  readonly level: keyof Log;
  readonly message: string;
  readonly fields: LogFields;
}

/** A database that is closed with its process. */
type StoryRecord = SaStore & HostRecord;

/** A host of a story. What it told, in all of its lives, stays. */
export class Host extends WorldHost {
  readonly world: World;
  /** From 1. */
  readonly n: number;
  readonly lines: Line[];
  readonly events: (EventFacts & { readonly kind: EventKind })[];
  /** Packets that reached a workload here, by "src dst". */
  readonly delivered = new Map<string, number>();

  /** `starts`: how often it was started before. */
  constructor(
    world: World,
    n: number,
    { config, features }: {
      readonly config: Config;
      readonly features: ReadonlySet<Feature> | undefined;
    },
    starts = 0,
  ) {
    const lines: Line[] = [];
    const events: Host["events"] = [];
    const { maxEntries } = config.plane;
    super(world.sim, n - 1, config, {
      starts,
      record: () => openRecord(world, config.id, logInto(world, lines)),
      plane: { maxEntries, features, countsPairs: true, keepsCalls: true },
      events: { add: (kind, facts) => void events.push({ kind, ...facts }) },
      log: () => logInto(world, lines),
    });
    this.world = world;
    this.n = n;
    this.lines = lines;
    this.events = events;
  }

  get flows(): WorldPlane {
    return this.plane;
  }

  get store(): SaStore {
    return this.record as StoryRecord;
  }

  /** Workload address `i` on this host. */
  vip(i = 1): string {
    return `10.${this.n}.${i >> 8}.${i & 255}`;
  }

  counter(name: string): bigint {
    return this.core.status().counters[name] ?? 0n;
  }

  /** A workload's packet. */
  send(to: Host, { from = 1, dst = 1 }: { from?: number; dst?: number } = {}): string {
    return this.flows.packet({ localVip: this.vip(from), remoteVip: to.vip(dst) });
  }

  /** Packets from `from` that reached the workload. */
  got(from: Host, { src = 1, dst = 1 }: { src?: number; dst?: number } = {}): number {
    return this.delivered.get(`${from.vip(src)} ${this.vip(dst)}`) ?? 0;
  }

  /** The database as another process would open it. */
  openStore(): SaStore {
    return openStore(this.world, this.id, logInto(this.world, this.lines));
  }

  /** In good order: peers are told, and the database is closed. */
  async stop(): Promise<void> {
    if (!this.alive) return;
    await this.world.clock.run(this.core.stop());
    this.life.alive = false;
    this.sim.attach(this, undefined);
    this.store.close();
  }
}

function openStore({ dir, clock }: World, id: string, log: Log): SaStore {
  return openSaStore({
    path: dir === undefined ? ":memory:" : `${dir}/${id}.db`,
    log,
    wallMs: () => clock.wallMs(),
  });
}

function openRecord(world: World, id: string, log: Log): StoryRecord {
  const store = openStore(world, id, log);
  const crash = () => {
    store.flush();
    store.close();
  };
  return Object.assign(store, { crash });
}

/** The log of one process. */
function logInto({ clock }: World, lines: Line[]): Log {
  const at = (level: keyof Log) => (message: string, fields: LogFields = {}) => {
    lines.push({ level, message, fields });
  };
  const all = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  return limitWarnings(all, { now: () => clock.now() });
}

/** How a world begins. */
export interface WorldOptions {
  readonly seed?: number;
  readonly hosts?: number;
  /** For all hosts, or one for each. */
  readonly changes?: Changes | readonly Changes[];
  /** What the plane of each host can do; absent: the IVs of all count. */
  readonly features?: readonly ReadonlySet<Feature>[];
  /** Databases in a temporary directory (default), or in memory: faster, but no restart finds them. */
  readonly files?: boolean;
}

/** The hosts of a test. Dispose of it: it has files. */
export class World implements AsyncDisposable {
  readonly sim: Sim;
  readonly clock: VirtualClock;
  readonly network: Weather;
  /** Where databases lie; undefined: in memory. */
  readonly dir: string | undefined;
  /** The underlay carries packets; false: it loses them all. */
  underlay = true;

  constructor(readonly seed: number, options: WorldOptions) {
    const { hosts: n = 2, changes = {}, features, files = true } = options;
    this.dir = files ? Deno.makeTempDirSync({ prefix: "psp-core-" }) : undefined;
    const clock = new WorldClock(Promise);
    this.clock = new VirtualClock(clock);
    this.network = new Weather(clock, seededRandom(seed));
    this.sim = new Sim({
      modules: { createCore, Peers },
      clock,
      network: this.network,
      soon: queueMicrotask,
      random: (host, start) => seededRandom(seed * 100 + (host + 1) * 10 + start),
      countless: true,
      onDelivered: (to, { sa }) => count((to as Host).delivered, pairKey(sa)),
    });
    this.sim.reaches = () => this.underlay;
    for (let i = 0; i < n; i++) {
      const own = Array.isArray(changes) ? changes[i] ?? {} : changes as Changes;
      const config = configOf(i + 1, { hosts: n, changes: own });
      this.hosts.push(new Host(this, i + 1, { config, features: features?.[i] }));
    }
  }

  get hosts(): Host[] {
    return this.sim.hosts as Host[];
  }

  /** Host `n`, from 1. */
  host(n: number): Host {
    const host = this.hosts[n - 1];
    if (host === undefined) throw new RangeError(`There is no host ${n}`);
    return host;
  }

  /** A packet leaves a host. */
  carry(from: Host, packet: Sealed): void {
    this.sim.carry(from, packet);
  }

  /** Ends everything and removes the files. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.network.fate = () => "pass";
    for (const host of this.hosts) await host.stop();
    if (this.dir !== undefined) Deno.removeSync(this.dir, { recursive: true });
  }
}

function count(all: Map<string, number>, what: string): void {
  all.set(what, (all.get(what) ?? 0) + 1);
}

/** A world whose hosts all run. */
export function world(options: WorldOptions = {}): World {
  const made = new World(options.seed ?? 1, options);
  for (const host of made.hosts) host.begin();
  return made;
}

/** Both directions of a pair work: each transmit SA is accepted at the other end with the same key. */
export function joined(a: Host, b: Host, pair: VipPair): boolean {
  return oneWay(a, b, pair) &&
    oneWay(b, a, { localVip: pair.remoteVip, remoteVip: pair.localVip });
}

function oneWay(a: Host, b: Host, pair: VipPair): boolean {
  const tx = a.flows.tx.get(pairKey(pair));
  return tx !== undefined && b.flows.accepts(tx);
}

/** Events that are no packets'. */
export type { PlaneEvent };

// SPDX-License-Identifier: Apache-2.0

/** Hosts with a core each, tables in memory, a control channel and an underlay between them, one virtual clock. */
import type { Feature, PlaneEvent } from "../../ffi/plane.ts";
import { limitWarnings } from "../../src/agent/logging.ts";
import type { Config } from "../../src/config/config.ts";
import { type Core, createCore } from "../../src/core/core.ts";
import type { EventFacts, EventKind } from "../../src/model/events.ts";
import type { Log, LogFields } from "../../src/model/log.ts";
import { Peers } from "../../src/core/directory.ts";
import { seededRandom } from "./seeded_random.ts";
import type { VipPair } from "../../src/model/sa.ts";
import { openSaStore, type SaStore } from "../../src/store/sa_store.ts";
import { type Changes, configOf } from "./core_config.ts";
import { FakeNetwork } from "./fake_network.ts";
import { MemoryFlows } from "./memory_flows.ts";
import { VirtualClock } from "./virtual_clock.ts";

/** A line of the log. */
export interface Line {
  readonly level: keyof Log;
  readonly message: string;
  readonly fields: LogFields;
}

/** A host that can be started, killed and started again. */
export class Host {
  readonly lines: Line[] = [];
  readonly events: (EventFacts & { readonly kind: EventKind })[] = [];
  /** Packets that reached a workload here, by "src dst". */
  readonly delivered = new Map<string, number>();
  flows: MemoryFlows;
  core: Core;
  store: SaStore;
  #alive = true;
  #starts: number;

  readonly config: Config;
  readonly features: ReadonlySet<Feature> | undefined;

  /** `starts`: how often it was started before: with it no two derive the same keys. */
  constructor(
    readonly world: World,
    readonly n: number,
    { config, features }: {
      readonly config: Config;
      readonly features: ReadonlySet<Feature> | undefined;
    },
    starts = 0,
  ) {
    this.#starts = starts;
    this.config = config;
    this.features = features;
    this.store = this.openStore();
    this.flows = this.#plane();
    this.core = this.#assemble();
  }

  get alive(): boolean {
    return this.#alive;
  }

  get id(): string {
    return this.config.id;
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

  begin(): void {
    this.world.network.attach(this.id, this.core.handler, this.config.pip);
    this.core.start();
  }

  /** As by kill -9: nothing is said, nothing is removed; the plane and its keys are gone. */
  kill(): void {
    this.#alive = false;
    this.world.network.attach(this.id, undefined);
    this.store.flush();
    this.store.close();
  }

  /** A new process on the same state directory. */
  restart(): void {
    this.#alive = true;
    this.#starts++;
    this.store = this.openStore();
    this.flows = this.#plane();
    this.core = this.#assemble();
    this.begin();
  }

  async stop(): Promise<void> {
    if (!this.#alive) return;
    await this.world.clock.run(this.core.stop());
    this.#alive = false;
    this.world.network.attach(this.id, undefined);
    this.store.close();
  }

  openStore(): SaStore {
    const { clock } = this.world;
    return openSaStore({
      path: this.world.dir === undefined ? ":memory:" : `${this.world.dir}/${this.config.id}.db`,
      log: this.#log(),
      wallMs: () => clock.wallMs(),
    });
  }

  #plane(): MemoryFlows {
    const starts = this.#starts;
    const { maxEntries } = this.config.plane;
    return new MemoryFlows({
      clock: this.world.clock,
      seed: this.n * 1000 + starts,
      ...maxEntries === undefined ? {} : { maxEntries },
      ...this.features === undefined ? {} : { features: this.features },
      transmit: ({ sa, key }) => this.world.carry(this, { sa, key }),
      event: (event) => {
        const { core } = this;
        queueMicrotask(() => {
          if (this.#alive && starts === this.#starts) (core ?? this.core).onEvent(event);
        });
      },
    });
  }

  #assemble(): Core {
    const starts = this.#starts;
    // What a dead process waits for never comes.
    const living = async <T>(promise: Promise<T>): Promise<T> => {
      const end = (outcome: T | Promise<never>) =>
        this.#alive && starts === this.#starts ? outcome : new Promise<never>(() => {});
      return await promise.then(end, (error) => end(Promise.reject(error)));
    };
    const { clock } = this.world;
    const client = this.world.network.client(this.id);
    return createCore({
      config: this.config,
      peers: new Peers(this.config),
      plane: this.flows,
      flows: this.flows,
      client: {
        newTunnel: (...args) => living(client.newTunnel(...args)),
        notify: (...args) => living(client.notify(...args)),
        notifyAt: (...args) => living(client.notifyAt(...args)),
        explain: (...args) => living(client.explain(...args)),
      },
      store: this.store,
      clock: {
        now: () => clock.now(),
        wallMs: () => clock.wallMs(),
        sleep: (...args) => living(clock.sleep(...args)),
      },
      random: seededRandom(this.world.seed * 100 + this.n * 10 + this.#starts),
      events: { add: (kind, facts) => void this.events.push({ kind, ...facts }) },
      log: this.#log(),
    });
  }

  #log(): Log {
    const at = (level: keyof Log) => (message: string, fields: LogFields = {}) => {
      this.lines.push({ level, message, fields });
    };
    const all = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
    return limitWarnings(all, { now: () => this.world.clock.now() });
  }
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
  readonly clock = new VirtualClock();
  readonly network: FakeNetwork;
  readonly hosts: Host[];
  /** Where databases lie; undefined: in memory. */
  readonly dir: string | undefined;
  /** The underlay carries packets; false: it loses them all. */
  underlay = true;

  constructor(readonly seed: number, options: WorldOptions) {
    const { hosts: n = 2, changes = {}, features, files = true } = options;
    this.dir = files ? Deno.makeTempDirSync({ prefix: "psp-core-" }) : undefined;
    this.network = new FakeNetwork(this.clock, seededRandom(seed));
    this.hosts = Array.from({ length: n }, (_, i) => {
      const own = Array.isArray(changes) ? changes[i] ?? {} : changes as Changes;
      const config = configOf(i + 1, { hosts: n, changes: own });
      return new Host(this, i + 1, { config, features: features?.[i] });
    });
  }

  /** Host `n`, from 1. */
  host(n: number): Host {
    const host = this.hosts[n - 1];
    if (host === undefined) throw new RangeError(`There is no host ${n}`);
    return host;
  }

  /** The underlay. */
  carry(from: Host, packet: Pick<Parameters<MemoryFlows["receive"]>[0], "sa" | "key">): void {
    const to = this.hosts.find(({ config }) => config.pip === packet.sa.pip);
    if (!this.underlay || !to?.alive) return;
    if (!to.flows.receive({ ...packet, srcPip: from.config.pip })) return;
    const pair = `${packet.sa.localVip} ${packet.sa.remoteVip}`;
    to.delivered.set(pair, (to.delivered.get(pair) ?? 0) + 1);
  }

  /** Ends everything and removes the files. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.network.fate = () => "pass";
    for (const host of this.hosts) await host.stop();
    if (this.dir !== undefined) Deno.removeSync(this.dir, { recursive: true });
  }
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

function oneWay(a: Host, b: Host, { localVip, remoteVip }: VipPair): boolean {
  const tx = a.flows.tx.get(`${localVip} ${remoteVip}`);
  if (tx === undefined) return false;
  const rx = b.flows.rx.get(tx.sa.spi);
  return rx !== undefined && rx.sa.localVip === remoteVip && rx.sa.remoteVip === localVip &&
    b.flows.keyHex(tx.sa.spi) === tx.key;
}

/** Events that are no packets'. */
export type { PlaneEvent };

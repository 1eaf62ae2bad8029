// SPDX-License-Identifier: Apache-2.0

/** One host of a world: the core as it is, on a plane in memory, with a record. It can be killed and started again. */
import type { PlaneEvent } from "../../ffi/plane.ts";
import type { Config } from "../../src/config/config.ts";
import type { Core } from "../../src/core/core.ts";
import type { Peers } from "../../src/core/directory.ts";
import type { TunnelTable } from "../../src/core/tunnel_table.ts";
import type { EventSink } from "../../src/model/events.ts";
import type { Log } from "../../src/model/log.ts";
import type { Random } from "../../src/model/random.ts";
import type { VipPair } from "../../src/model/sa.ts";
import type { SaRecords } from "../../src/model/sa_record.ts";
import type { Life } from "./clock.ts";
import { partsOf } from "./load.ts";
import { type PlaneOptions, WorldPlane } from "./plane.ts";
import { WorldRecord } from "./record.ts";
import type { World } from "./world.ts";

/** Addresses of host `i`, from 0. */
export function idOf(i: number): string {
  return `h${i + 1}`;
}
export function pipOf(i: number): string {
  return `172.${16 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
}
/** Workload `v`, from 1. */
export function vipOf(i: number, v = 1): string {
  return `10.${i >> 8}.${i & 255}.${v}`;
}

/** Between the wall clocks of two hosts. */
const AHEAD_MS = 10;
/** Between the SPIs of two agents that take themselves for the same host. */
const SPIS_APART = 1000;

/** A state directory, as a host keeps it. */
export interface HostRecord extends SaRecords {
  /** The process was killed. */
  crash(): void;
}

/** What a host has of its own; absent: as explorations and fleets have it. */
export interface HostOptions {
  /** Opens its state directory for a process; absent: it is in memory, and outlives each. */
  readonly record?: () => HostRecord;
  readonly plane?: PlaneOptions;
  readonly events?: EventSink;
  /** Of one process; absent: the world's. */
  readonly log?: () => Log;
  /** How often it was started before: with it no two derive the same keys. */
  readonly starts?: number;
}

/** A host and the process on it. */
export class WorldHost {
  readonly id: string;
  record: HostRecord;
  plane: WorldPlane;
  core: Core;
  /** Who owns what, as this host sees it. */
  peers: Peers;
  life: Life & { alive: boolean };
  /** Boot epochs of its starts, the latest last. */
  readonly epochs: bigint[] = [];
  /** When its present process began. */
  startedAt = 0;

  private _starts: number;

  constructor(
    readonly sim: World,
    readonly index: number,
    public config: Config,
    readonly options: HostOptions = {},
  ) {
    const { record, starts = 0 } = options;
    this.id = config.id;
    this._starts = starts;
    this.record = record?.() ?? new WorldRecord(AHEAD_MS * index);
    this.life = { alive: true };
    this.plane = this.#plane(starts * SPIS_APART);
    this.peers = new sim.modules.Peers(config);
    this.core = this.#assemble();
  }

  get alive(): boolean {
    return this.life.alive;
  }

  /** Starts of it so far, less one. */
  get restarts(): number {
    return this._starts;
  }

  /** The tunnels of its core; only of one that was loaded to be looked into. */
  get table(): TunnelTable {
    return partsOf(this.core).table as TunnelTable;
  }

  begin(): void {
    const { sim } = this;
    this.startedAt = sim.clock.now();
    this.epochs.push(this.core.bootEpoch);
    sim.attach(this, { life: this.life, handler: this.core.handler });
    this.core.start();
    sim.settle();
  }

  /** As by kill -9: nothing is said, and plane and keys are gone. */
  kill(): void {
    this.life.alive = false;
    this.sim.attach(this, undefined);
    this.sim.wire.reset(this.id);
    this.record.crash();
    this.sim.settle();
  }

  /** A new process on the same state directory; `wiped`: on an empty one. */
  restart({ wiped = false, config = this.config } = {}): void {
    this.config = config;
    this._starts++;
    const { record } = this.options;
    if (record !== undefined) this.record = record();
    // Without a record the wall clock alone says which start is the later one, and a start takes time.
    else if (wiped) this.record = new WorldRecord(AHEAD_MS * this.index + this._starts);
    this.life = { alive: true };
    this.plane = this.#plane(this.plane.spis);
    this.peers = new this.sim.modules.Peers(this.config);
    this.core = this.#assemble();
    this.begin();
  }

  /** A workload's packet. */
  packet(pair: VipPair): "sent" | "held" | "dropped" {
    const fate = this.plane.packet(pair);
    this.sim.settle();
    return fate;
  }

  #plane(spisBefore: number): WorldPlane {
    const { life, sim: world } = this;
    return new WorldPlane({
      options: this.options.plane ?? {},
      host: this.index,
      spisBefore,
      now: () => world.clock.now(),
      transmit: (packet) => world.carry(this, packet),
      event: (event: PlaneEvent) => world.report({ host: this, life, event }),
      wrong: (what) => world.wrong(`${this.id}: ${what}`),
      isGone: (peer) => world.isGone(this, peer),
    });
  }

  #assemble(): Core {
    const { sim, options: { events, log } } = this;
    return sim.modules.createCore({
      config: this.config,
      peers: this.peers,
      plane: this.plane,
      flows: this.plane,
      client: sim.client(this.id, this.life),
      store: this.record,
      clock: sim.clock.of(this.life),
      random: this.#random(),
      events: events ?? { add() {} },
      log: log?.() ?? this.#log(),
    });
  }

  #random(): Random {
    const { sim: world, index } = this;
    return world.options.random?.(index, this._starts) ?? {
      uniform: () => 0.5,
      hex: (n) => world.nextId().toString(16).padStart(2 * n, "0"),
    };
  }

  #log(): Log {
    const { id: host, sim: { options: { onLog }, clock }, restarts: start } = this;
    const at = (level: keyof Log): Log[keyof Log] =>
      onLog === undefined
        ? () => {}
        : (message, fields) =>
          onLog({ host, start, atMs: clock.now(), level, message, fields: fields ?? {} });
    return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  }
}

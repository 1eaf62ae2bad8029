// SPDX-License-Identifier: Apache-2.0

/** One host of a world: the core as it is, on a plane and a record in memory. It can be killed and started again. */
import type { PlaneEvent } from "../../../ffi/plane.ts";
import type { Config } from "../../../src/config/config.ts";
import type { Core } from "../../../src/core/core.ts";
import type { Peers } from "../../../src/core/directory.ts";
import type { TunnelTable } from "../../../src/core/tunnel_table.ts";
import type { Log } from "../../../src/model/log.ts";
import type { Random } from "../../../src/model/random.ts";
import type { VipPair } from "../../../src/model/sa.ts";
import type { Life } from "./clock.ts";
import { partsOf } from "./load.ts";
import { WorldPlane } from "./plane.ts";
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

/** A host and the process on it. */
export class WorldHost {
  readonly id: string;
  record: WorldRecord;
  plane: WorldPlane;
  core: Core;
  /** Who owns what, as this host sees it. */
  peers: Peers;
  life: Life & { alive: boolean };
  /** Boot epochs of its starts, the latest last. */
  readonly epochs: bigint[] = [];
  /** When its present process began. */
  startedAt = 0;
  private readonly _clock: ReturnType<World["clock"]["of"]>;
  private _starts = 0;

  constructor(readonly world: World, readonly index: number, public config: Config) {
    this.id = config.id;
    this.record = new WorldRecord(AHEAD_MS * index);
    this.life = { alive: true };
    this._clock = world.clock.of(this.life);
    this.plane = this.#plane(0);
    this.peers = new world.modules.Peers(config);
    this.core = this.#assemble(this._clock);
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
    this.startedAt = this.world.clock.now();
    this.epochs.push(this.core.bootEpoch);
    this.world.wire.attach(this.id, { life: this.life, handler: this.core.handler });
    this.core.start();
    this.world.settle();
  }

  /** As by kill -9: nothing is said, and plane and keys are gone. */
  kill(): void {
    this.life.alive = false;
    this.world.wire.attach(this.id, undefined);
    this.world.wire.reset(this.id);
    this.record.crash();
    this.world.settle();
  }

  /** A new process on the same state directory; `wiped`: on an empty one. */
  restart({ wiped = false, config = this.config } = {}): void {
    this.config = config;
    this._starts++;
    // Without a record the wall clock alone says which start is the later one, and a start takes time.
    if (wiped) this.record = new WorldRecord(AHEAD_MS * this.index + this._starts);
    this.life = { alive: true };
    this.plane = this.#plane(this.plane.spis);
    this.peers = new this.world.modules.Peers(this.config);
    this.core = this.#assemble(this.world.clock.of(this.life));
    this.begin();
  }

  /** A workload's packet. */
  send(pair: VipPair): "sent" | "held" | "dropped" {
    const fate = this.plane.packet(pair);
    this.world.settle();
    return fate;
  }

  #plane(spisBefore: number): WorldPlane {
    const { life, world } = this;
    return new WorldPlane({
      host: this.index,
      spisBefore,
      now: () => world.clock.now(),
      transmit: (packet) => world.carry(this, packet),
      event: (event: PlaneEvent) => world.report({ host: this, life, event }),
      wrong: (what) => world.wrong(`${this.id}: ${what}`),
      isGone: (peer) => world.isGone(this, peer),
    });
  }

  #assemble(clock: ReturnType<World["clock"]["of"]>): Core {
    const { modules } = this.world;
    return modules.createCore({
      config: this.config,
      peers: this.peers,
      plane: this.plane,
      flows: this.plane,
      client: this.world.wire.client(this.id, this.life),
      store: this.record,
      clock,
      random: this.#random(),
      events: { add() {} },
      log: this.#log(),
    });
  }

  #random(): Random {
    const { world, index } = this;
    return world.options.random?.(index, this._starts) ?? {
      uniform: () => 0.5,
      hex: (n) => world.nextId().toString(16).padStart(2 * n, "0"),
    };
  }

  #log(): Log {
    const { onLog } = this.world.options;
    const at = (level: keyof Log): Log[keyof Log] =>
      onLog === undefined
        ? () => {}
        : (message, fields) => onLog({ host: this.id, level, message, fields: fields ?? {} });
    return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  }
}

// SPDX-License-Identifier: Apache-2.0

/** Rotations of the master key: never another before every live peer has left the key before. */
import type { Plane } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import type { EventSink } from "../model/events.ts";
import type { Log } from "../model/log.ts";
import type { Random } from "../model/random.ts";
import type { RotateView, RotationView } from "../model/status.ts";
import {
  GONE_MS,
  RECHECK_MS,
  ROTATED_AT_ONCE,
  ROTATION_JITTER_MS,
  ROTATION_SETTLES_MS,
  SPIS_LOW,
} from "./limits.ts";
import type { PeerLines } from "./peer.ts";
import { isLive } from "./tunnel.ts";
import type { TunnelTable } from "./tunnel_table.ts";

/** What the keeper of the master key works on. */
export interface RotationOptions {
  readonly config: Pick<Config, "rotation">;
  readonly plane: Pick<Plane, "masterKey" | "rotateMasterKey">;
  readonly table: TunnelTable;
  readonly lines: PeerLines;
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: Counters;
  readonly events: EventSink;
  readonly log: Log;
}

/** The master key's keeper. */
export class Rotation {
  readonly #options: RotationOptions;
  readonly #table: TunnelTable;
  readonly #rekeyAt = new Map<string, number>();
  #generation: bigint;
  #spisLow: bigint;
  /** When the interval began that ends with the next one. */
  #lastAt: number;
  #recheckAt = 0;
  /** SAs under the key before by peer, as counted last; undefined: there are none and can be none. */
  #old: ReadonlyMap<string, number> | undefined = new Map();
  #noticedAt = 0;
  #urgent = false;
  #postponed = false;

  constructor(options: RotationOptions) {
    this.#options = options;
    this.#table = options.table;
    const { rotations, spisLeft } = options.plane.masterKey();
    this.#generation = rotations;
    this.#spisLow = lowOf(spisLeft);
    this.#lastAt = options.clock.now();
  }

  /** By the interval that is configured now. */
  get #nextAt(): number {
    return this.#lastAt + this.#options.config.rotation.intervalMs;
  }

  /** Rotations that the plane has made so far. */
  get generation(): bigint {
    return this.#generation;
  }

  /** The active key has no SPI left: rotate as soon as it may be. */
  need(): void {
    this.#urgent = true;
  }

  /** Notices rotations (anybody's), asks peers whose time has come, rotates when it is due. */
  tick(): void {
    const { clock, plane } = this.#options;
    const now = clock.now();
    const { rotations, spisLeft } = plane.masterKey();
    if (rotations !== this.#generation) this.#noticed(rotations);
    this.#rekeyDue(now);
    if (this.#old !== undefined && now >= this.#recheckAt) {
      this.#recheckAt = now + RECHECK_MS;
      this.#count();
      for (const peer of this.#onOldKey(true).peers) {
        if (!this.#rekeyAt.has(peer)) this.#rekeyAt.set(peer, now);
      }
      this.#rekeyDue(now);
    }
    if (now < this.#nextAt && !this.#urgent && spisLeft >= this.#spisLow) return;
    // Not by the last count: what was under way then may have come.
    if (this.#old !== undefined) this.#count();
    const old = this.#onOldKey();
    if (old.sas === 0) {
      this.#rotate();
      this.#lastAt = now;
    } else if (!this.#postponed) {
      this.#postponed = true;
      this.#options.counters.add("rotations-postponed");
      this.#options.log.warn("A rotation waits: SAs are still on the key before", {
        count: old.sas,
        peer: [...old.peers].join(" "),
      });
    }
  }

  /** The peer is gone. */
  forget(peer: string): void {
    this.#rekeyAt.delete(peer);
  }

  /** By command. With `plan`: only says what would happen. */
  command({ plan }: { readonly plan: boolean }): RotateView {
    this.#count();
    const old = this.#onOldKey();
    const tunnels = [...this.#table.all()].filter(({ state }) => isLive(state));
    const peers = [...new Set(tunnels.map(({ peer }) => peer))].sort();
    const started = !plan && old.sas === 0;
    if (started) {
      this.#rotate();
      this.#lastAt = this.#options.clock.now();
    }
    const what = `${tunnels.length} tunnels with ${peers.length} peers`;
    const message = old.sas > 0
      ? `Cannot rotate: ${old.sas} SAs are still on the key before, with ${
        [...old.peers].join(", ")
      }`
      : started
      ? `Rotated; rekeying ${what}`
      : `Would rotate and rekey ${what}`;
    return { started, message, rotation: this.view(), peers, tunnels: tunnels.length };
  }

  view(): RotationView {
    const { plane, clock } = this.#options;
    const { rotations, spisLeft } = plane.masterKey();
    const nextAtMs = clock.wallMs() + Math.max(0, this.#nextAt - clock.now());
    return { rotations, sasOnOldKey: this.#onOldKey(true).sas, nextAtMs, spisLeft };
  }

  #rotate(): void {
    const { plane, counters, events, log } = this.#options;
    plane.rotateMasterKey();
    this.#urgent = false;
    this.#postponed = false;
    counters.add("rotations");
    log.info("The master key was rotated", { tunnels: this.#table.size });
    events.add("rotated");
    const { rotations, spisLeft } = plane.masterKey();
    this.#spisLow = lowOf(spisLeft);
    this.#noticed(rotations);
  }

  #noticed(rotations: bigint): void {
    const { clock, random } = this.#options;
    this.#old = new Map();
    this.#noticedAt = clock.now();
    this.#count();
    const forced = rotations - this.#generation > 1n || this.#onOldKey(true).sas > 0;
    this.#generation = rotations;
    const now = clock.now();
    for (const peer of new Set([...this.#table.all()].map((tunnel) => tunnel.peer))) {
      // Dead SPIs cannot wait for a pleasant moment.
      this.#rekeyAt.set(peer, forced ? now : now + random.uniform() * ROTATION_JITTER_MS);
    }
    this.#count();
    this.#rekeyDue(now);
  }

  /** Asks peers whose time has come, as many as fit a tick. */
  #rekeyDue(now: number): void {
    let room = ROTATED_AT_ONCE;
    for (const [peer, at] of this.#rekeyAt) {
      if (now < at) continue;
      this.#rekeyAt.delete(peer);
      room -= this.#rekey(peer);
      if (room <= 0) return;
    }
  }

  /** Returns how many tunnels it has. */
  #rekey(peer: string): number {
    const tunnels = this.#table.ofPeer(peer);
    for (const tunnel of tunnels) {
      this.#table.apply(tunnel, { type: "rotated", generation: this.#generation });
    }
    return tunnels.length;
  }

  /** Looks through all tunnels; not again once a rotation has settled, for no SA goes back to an older key. */
  #count(): void {
    const old = new Map<string, number>();
    for (const { peer, state } of this.#table.all()) {
      let sas = 0;
      for (const { generation } of state.rx) if (generation < this.#generation) sas++;
      if (sas > 0) old.set(peer, (old.get(peer) ?? 0) + sas);
    }
    const settled = this.#options.clock.now() - this.#noticedAt >= ROTATION_SETTLES_MS;
    this.#old = old.size === 0 && settled ? undefined : old;
  }

  /** Receive SAs that the next rotation would kill, of peers that are there, as counted last. */
  #onOldKey(all = false): { sas: number; peers: ReadonlySet<string> } {
    const now = this.#options.clock.now();
    const peers = new Set<string>();
    let sas = 0;
    for (const [peer, n] of this.#old ?? []) {
      const since = this.#options.lines.of(peer).failingSince;
      if (!all && since !== undefined && now - since >= GONE_MS) continue;
      sas += n;
      peers.add(peer);
    }
    return { sas, peers };
  }
}

function lowOf(fresh: bigint): bigint {
  return fresh / 8n < SPIS_LOW ? fresh / 8n : SPIS_LOW;
}

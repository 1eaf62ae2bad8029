// SPDX-License-Identifier: Apache-2.0

/** Rotations of the master key: never another before every live peer has left the key before. */
import type { Plane } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import type { EventSink } from "../model/events.ts";
import { MAX_TUNNELS_PER_REQUEST } from "../model/exchange.ts";
import type { Log } from "../model/log.ts";
import type { Random } from "../model/random.ts";
import type { RotateView, RotationView } from "../model/status.ts";
import {
  GONE_MS,
  RECHECK_MS,
  RECHECKED_AT_ONCE,
  ROTATION_JITTER_MS,
  ROTATION_JITTER_PER_PEER_MS,
  SLICE_MS,
  SLICE_WAITING,
  SPIS_LOW,
} from "./limits.ts";
import type { PeerLines } from "./peer.ts";
import type { Scheduler } from "./scheduler.ts";
import { staysBehind } from "./tunnel.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

/** Peers that a refusal names. */
const NAMED = 8;

/** What the keeper of the master key works on. */
export interface RotationOptions {
  readonly config: Pick<Config, "rotation">;
  readonly plane: Pick<Plane, "masterKey" | "rotateMasterKey">;
  readonly table: TunnelTable;
  readonly lines: PeerLines;
  /** Where those that were asked for wait: no more are, while many do. */
  readonly scheduler: Pick<Scheduler, "waiting">;
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: Counters;
  readonly events: EventSink;
  readonly log: Log;
}

/** How far a rotation has come. */
interface Sweep {
  /** The tunnels that it has not come to yet, peer by peer. */
  readonly rest: Iterator<Tunnel, undefined>;
  next: Tunnel | undefined;
  /** It comes to the peers evenly within so much time from then on. */
  readonly from: number;
  readonly ms: number;
  /** The peer that it came to last, and how many these are. */
  peer: string;
  peers: number;
}

/** The master key's keeper. */
export class Rotation {
  readonly #options: RotationOptions;
  readonly #table: TunnelTable;
  #generation: bigint;
  #spisLow: bigint;
  #nextAt: number;
  #sweep: Sweep | undefined;
  /** Peers whose SAs are looked at again: they were under way during the rotation, or nobody answered. */
  #recheck: Iterator<string> | undefined;
  #recheckAt = 0;
  /** A live peer with SAs on the key before, as was seen last. */
  #holder = "";
  #urgent = false;
  #postponed = false;

  constructor(options: RotationOptions) {
    this.#options = options;
    this.#table = options.table;
    const { rotations, spisLeft } = options.plane.masterKey();
    this.#generation = rotations;
    this.#spisLow = lowOf(spisLeft);
    this.#nextAt = options.clock.now() + options.config.rotation.intervalMs;
  }

  /** Rotations that the plane has made so far. */
  get generation(): bigint {
    return this.#generation;
  }

  /** The active key has no SPI left: rotate as soon as it may be. */
  need(): void {
    this.#urgent = true;
  }

  /** Notices rotations (anybody's), asks again where SAs stay behind, rotates when it is due. */
  tick(): void {
    const { clock, plane, config } = this.#options;
    const now = clock.now();
    const { rotations, spisLeft } = plane.masterKey();
    if (rotations !== this.#generation) this.#noticed(rotations);
    this.#askAgain(now);
    if (now < this.#nextAt && !this.#urgent && spisLeft >= this.#spisLow) return;
    const holder = this.#held(now);
    if (holder === undefined) {
      this.#rotate();
      this.#nextAt = now + config.rotation.intervalMs;
    } else if (!this.#postponed) {
      this.#postponed = true;
      this.#options.counters.add("rotations-postponed");
      this.#options.log.warn("A rotation waits: SAs are still on the key before", {
        count: this.#old(),
        peer: holder,
      });
    }
  }

  /** Asks for some of the tunnels that a rotation concerns, whole peers at a time. True: there are more. */
  slice(): boolean {
    const { clock, scheduler } = this.#options;
    const sweep = this.#sweep;
    if (sweep === undefined) return false;
    if (scheduler.waiting >= SLICE_WAITING) return true;
    const begun = clock.now();
    // Each peer has its moment within the time: many hosts would otherwise ask one peer at once.
    const due = sweep.ms === 0 ? Infinity : this.#table.peers * (begun - sweep.from) / sweep.ms;
    let looked = 0;
    while (sweep.next !== undefined) {
      const { peer } = sweep.next;
      if (peer !== sweep.peer) {
        sweep.peer = peer;
        sweep.peers++;
      }
      this.#move(sweep.next);
      sweep.next = sweep.rest.next().value;
      looked++;
      // A request has room for so many of a peer: fewer would be one request more.
      if (looked % MAX_TUNNELS_PER_REQUEST !== 0 && sweep.next?.peer === peer) continue;
      if (sweep.peers > due || scheduler.waiting >= SLICE_WAITING) break;
      if (clock.now() - begun >= SLICE_MS) break;
    }
    if (sweep.next === undefined) this.#sweep = undefined;
    return this.#sweep !== undefined;
  }

  /** By command. With `plan`: only says what would happen. */
  command({ plan }: { readonly plan: boolean }): RotateView {
    const { clock, config } = this.#options;
    const { census } = this.#table;
    const old = this.#holding(clock.now());
    const tunnels = census.live;
    const peers = [...census.livePeers()].sort();
    const started = !plan && old.sas === 0;
    if (started) {
      this.#rotate();
      this.#nextAt = clock.now() + config.rotation.intervalMs;
    }
    const what = `${tunnels} tunnels with ${peers.length} peers`;
    const named = old.peers.slice(0, NAMED).join(", ");
    const more = old.peers.length > NAMED ? ` and ${old.peers.length - NAMED} more` : "";
    const message = old.sas > 0
      ? `Cannot rotate: ${old.sas} SAs are still on the key before, with ${named}${more}`
      : started
      ? `Rotated; rekeying ${what}`
      : `Would rotate and rekey ${what}`;
    return { started, message, rotation: this.view(), peers, tunnels };
  }

  view(): RotationView {
    const { plane, clock } = this.#options;
    const { rotations, spisLeft } = plane.masterKey();
    const nextAtMs = clock.wallMs() + Math.max(0, this.#nextAt - clock.now());
    return { rotations, sasOnOldKey: this.#old(), nextAtMs, spisLeft };
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
    const { clock } = this.#options;
    const now = clock.now();
    // Dead SPIs cannot wait for a pleasant moment.
    const forced = rotations - this.#generation > 1n || this.#old() > 0;
    this.#generation = rotations;
    const ms = Math.max(ROTATION_JITTER_MS, this.#table.peers * ROTATION_JITTER_PER_PEER_MS);
    const phase = this.#options.random.uniform() * ROTATION_JITTER_MS;
    const rest = this.#table.byPeers();
    this.#sweep = {
      rest,
      next: rest.next().value,
      from: forced ? now : now + phase - ROTATION_JITTER_MS / 2,
      ms: forced ? 0 : ms,
      peer: "",
      peers: 0,
    };
    this.#recheck = undefined;
    this.#recheckAt = now + RECHECK_MS;
    this.slice();
  }

  /** Once a rotation has come to all: looks again at some of those that are on the key before. */
  #askAgain(now: number): void {
    if (this.#sweep !== undefined) return;
    if (this.#recheck === undefined) {
      if (now < this.#recheckAt) return;
      this.#recheckAt = now + RECHECK_MS;
      if (this.#old() === 0) return;
      this.#recheck = this.#table.census.peersBefore(this.#generation);
    }
    for (let looks = RECHECKED_AT_ONCE; looks > 0;) {
      const { value: peer } = this.#recheck.next();
      if (peer === undefined) {
        this.#recheck = undefined;
        return;
      }
      looks--;
      for (const tunnel of this.#table.ofPeer(peer)) {
        this.#move(tunnel);
        looks--;
      }
    }
  }

  #move(tunnel: Tunnel): void {
    if (!staysBehind(tunnel.state, this.#generation)) return;
    this.#table.apply(tunnel, { type: "rotated", generation: this.#generation });
  }

  /** Receive SAs under earlier keys. */
  #old(): number {
    return this.#table.census.sasBefore(this.#generation);
  }

  /** A live peer whose SAs the next rotation would kill; undefined: there is none. */
  #held(now: number): string | undefined {
    const { census } = this.#table;
    const holds = (peer: string) =>
      census.sasOfPeerBefore(this.#generation, peer) > 0 && !this.#isGone(peer, now);
    if (holds(this.#holder)) return this.#holder;
    for (const peer of census.peersBefore(this.#generation)) {
      if (!holds(peer)) continue;
      this.#holder = peer;
      return peer;
    }
    return undefined;
  }

  /** All of them. */
  #holding(now: number): { readonly sas: number; readonly peers: readonly string[] } {
    const { census } = this.#table;
    const peers = new Set<string>();
    let sas = 0;
    for (const peer of census.peersBefore(this.#generation)) {
      if (peers.has(peer) || this.#isGone(peer, now)) continue;
      peers.add(peer);
      sas += census.sasOfPeerBefore(this.#generation, peer);
    }
    return { sas, peers: [...peers] };
  }

  #isGone(peer: string, now: number): boolean {
    const since = this.#options.lines.of(peer).failingSince;
    return since !== undefined && now - since >= GONE_MS;
  }
}

function lowOf(fresh: bigint): bigint {
  return fresh / 8n < SPIS_LOW ? fresh / 8n : SPIS_LOW;
}

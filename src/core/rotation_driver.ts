// SPDX-License-Identifier: Apache-2.0

/** The master key's keeper: brings time and the plane's rotations to `rotation.ts`, and carries out what it says. */
import type { Plane } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import type { EventSink } from "../model/events.ts";
import type { Log } from "../model/log.ts";
import type { Random } from "../model/random.ts";
import type { RotateView, RotationView } from "../model/status.ts";
import { SLICE_MS } from "./limits.ts";
import type { PeerLines } from "./peer.ts";
import { ProgressWatch } from "./progress.ts";
import {
  firstRotation,
  holding,
  phaseOf,
  type RotationContext,
  type RotationEvent,
  type RotationState,
  stepRotation,
} from "./rotation.ts";
import type { Scheduler } from "./scheduler.ts";
import type { TunnelTable } from "./tunnel_table.ts";

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

/** The master key's keeper. */
export class RotationDriver {
  readonly #options: RotationOptions;
  readonly #table: TunnelTable;
  readonly #progress = new ProgressWatch();
  #state: RotationState;

  constructor(options: RotationOptions) {
    this.#options = options;
    this.#table = options.table;
    const dueAt = options.clock.now() + options.config.rotation.intervalMs;
    this.#state = firstRotation(options.plane.masterKey(), dueAt);
  }

  /** Rotations that the plane has made so far. */
  get generation(): bigint {
    return this.#state.generation;
  }

  /** The active key has no SPI left: rotate as soon as it may be. */
  need(): void {
    this.#take({ type: "needed" });
  }

  /** Notices rotations (anybody's), asks again where SAs stay behind, rotates when it is due. */
  tick(): void {
    const masterKey = this.#options.plane.masterKey();
    if (masterKey.rotations !== this.#state.generation) this.#rotated(false);
    this.#take({ type: "recheck" });
    this.#take({ type: "tick", spisLeft: masterKey.spisLeft });
    this.#sayProgress();
  }

  #sayProgress(): void {
    const { clock, log } = this.#options;
    const old = this.#table.census.sasBefore(this.#state.generation);
    const found = this.#progress.look(clock.now(), old);
    if (found === undefined) return;
    const facts = { timeMs: Math.round(found.afterMs) };
    if (found.left === 0) log.info("Every SA is on the new master key", facts);
    else log.info("SAs are still on the master key before", { ...facts, count: found.left });
  }

  /** Asks for some of the tunnels that a rotation concerns, whole peers at a time. True: there are more. */
  slice(): boolean {
    const { clock, scheduler } = this.#options;
    const begun = clock.now();
    let isMore = this.#state.sweep !== undefined;
    while (isMore) {
      isMore = this.#take({ type: "slice", waiting: scheduler.waiting }) &&
        clock.now() - begun < SLICE_MS;
    }
    return this.#state.sweep !== undefined;
  }

  /** By command. With `plan`: only says what would happen. */
  command({ plan }: { readonly plan: boolean }): RotateView {
    const { census } = this.#table;
    const old = holding(this.#state, this.#context());
    const tunnels = census.live;
    const peers = [...census.livePeers()].sort();
    const before = this.#state.generation;
    if (!plan) this.#take({ type: "commanded" });
    const started = this.#state.generation !== before;
    const what = `${some(tunnels, "tunnel")} with ${some(peers.length, "peer")}`;
    const named = old.peers.slice(0, NAMED).join(", ");
    const more = old.peers.length > NAMED ? ` and ${old.peers.length - NAMED} more` : "";
    const message = started
      ? `Rotated; rekeying ${what}`
      : old.sas > 0
      ? `Cannot rotate: ${old.sas} SAs are still on the key before, with ${named}${more}`
      : `Would rotate and rekey ${what}`;
    return { started, message, rotation: this.view(), peers, tunnels };
  }

  view(): RotationView {
    const { plane, clock } = this.#options;
    const { rotations, spisLeft } = plane.masterKey();
    const nextAtMs = clock.wallMs() + Math.max(0, this.#state.dueAt - clock.now());
    const sasOnOldKey = this.#table.census.sasBefore(this.#state.generation);
    return { rotations, sasOnOldKey, nextAtMs, spisLeft };
  }

  /** Takes a step and carries it out. True: another slice may follow at once. Throws when the plane does not rotate. */
  #take(event: RotationEvent): boolean {
    const before = phaseOf(this.#state);
    const { state, effects } = stepRotation(this.#state, event, this.#context());
    this.#state = state;
    const phase = phaseOf(state);
    if (phase !== before || effects.length > 0) {
      const facts = { kind: event.type, state: phase, rotations: state.generation };
      this.#options.log.debug("The master key's keeper takes a step", facts);
    }
    let goesOn = false;
    for (const effect of effects) {
      switch (effect.do) {
        case "rotate":
          this.#rotate();
          break;
        case "move": {
          const { tunnel, generation } = effect;
          this.#table.apply(tunnel, { type: "rotated", generation });
          break;
        }
        case "go_on":
          goesOn = true;
          break;
        case "postpone": {
          const { count, peer } = effect;
          this.#options.counters.add("rotations-postponed");
          this.#options.log.warn("A rotation waits: SAs are still on the key before", {
            count,
            peer,
          });
          break;
        }
        default:
          return effect satisfies never;
      }
    }
    return goesOn;
  }

  #rotate(): void {
    const { plane, counters, events, log } = this.#options;
    plane.rotateMasterKey();
    counters.add("rotations");
    log.info("The master key was rotated", { tunnels: this.#table.size });
    events.add("rotated");
    this.#rotated(true);
  }

  #rotated(own: boolean): void {
    const { plane, random } = this.#options;
    this.#take({ type: "rotated", masterKey: plane.masterKey(), own, phase: random.uniform() });
    this.slice();
  }

  #context(): RotationContext {
    const { clock, config, lines } = this.#options;
    return {
      now: clock.now(),
      intervalMs: config.rotation.intervalMs,
      tunnels: this.#table,
      failingSince: (peer) => lines.of(peer).failingSince,
    };
  }
}

function some(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

// SPDX-License-Identifier: Apache-2.0

/** Rotations of the master key: never another before every live peer has left the key before. */
import type { Initiator } from "./initiator.ts";
import type { Parts } from "./parts.ts";
import type { RotateView, RotationView } from "../model/status.ts";
import type { TunnelTable } from "./tunnel_table.ts";

/** Fewer SPIs left than this, or than an eighth of a fresh key's: rotate, whatever the schedule says. */
const SPIS_LOW = 1n << 24n;
/** A peer that failed for so long is gone: its SAs do not hold up a rotation. */
const GONE_MS = 60_000;
/** SAs that were under way during a rotation are found within this time. */
const RECHECK_MS = 1000;
/** Peers are asked within this time after a rotation, each at its random moment. */
const JITTER_MS = 500;

/** The master key's keeper. */
export class Rotation {
  readonly #parts: Parts;
  readonly #table: TunnelTable;
  readonly #initiator: Initiator;
  readonly #rekeyAt = new Map<string, number>();
  #generation: bigint;
  #spisLow: bigint;
  #nextAt: number;
  #recheckAt = 0;
  #urgent = false;
  #postponed = false;

  constructor(
    parts: Parts,
    others: { readonly table: TunnelTable; readonly initiator: Initiator },
  ) {
    this.#parts = parts;
    this.#table = others.table;
    this.#initiator = others.initiator;
    const { rotations, spisLeft } = parts.plane.masterKey();
    this.#generation = rotations;
    this.#spisLow = lowOf(spisLeft);
    this.#nextAt = parts.clock.now() + parts.config.rotation.intervalMs;
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
    const { clock, plane, config } = this.#parts;
    const now = clock.now();
    const { rotations, spisLeft } = plane.masterKey();
    if (rotations !== this.#generation) this.#noticed(rotations);
    for (const [peer, at] of this.#rekeyAt) {
      if (now < at) continue;
      this.#rekeyAt.delete(peer);
      this.#rekey(peer);
    }
    if (now >= this.#recheckAt) {
      this.#recheckAt = now + RECHECK_MS;
      for (const peer of this.#onOldKey(true).peers) {
        if (!this.#rekeyAt.has(peer)) this.#rekey(peer);
      }
    }
    if (now < this.#nextAt && !this.#urgent && spisLeft >= this.#spisLow) return;
    const old = this.#onOldKey();
    if (old.sas === 0) {
      this.#rotate();
      this.#nextAt = now + config.rotation.intervalMs;
    } else if (!this.#postponed) {
      this.#postponed = true;
      this.#parts.counters.add("rotations-postponed");
      this.#parts.log.warn("A rotation waits: SAs are still on the key before", {
        count: old.sas,
        peer: [...old.peers].join(" "),
      });
    }
  }

  /** By command. With `plan`: only says what would happen. */
  command({ plan }: { readonly plan: boolean }): RotateView {
    const old = this.#onOldKey();
    const tunnels = [...this.#table.all()].filter(({ state }) =>
      state.kind === "up" || state.kind === "rekeying"
    );
    const peers = [...new Set(tunnels.map(({ peer }) => peer))].sort();
    const started = !plan && old.sas === 0;
    if (started) {
      this.#rotate();
      this.#nextAt = this.#parts.clock.now() + this.#parts.config.rotation.intervalMs;
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
    const { plane, clock } = this.#parts;
    const { rotations, spisLeft } = plane.masterKey();
    const nextAtMs = clock.wallMs() + Math.max(0, this.#nextAt - clock.now());
    return { rotations, sasOnOldKey: this.#onOldKey(true).sas, nextAtMs, spisLeft };
  }

  #rotate(): void {
    const { plane, counters, log } = this.#parts;
    plane.rotateMasterKey();
    this.#urgent = false;
    this.#postponed = false;
    counters.add("rotations");
    log.info("The master key was rotated", { tunnels: this.#table.size });
    const { rotations, spisLeft } = plane.masterKey();
    this.#spisLow = lowOf(spisLeft);
    this.#noticed(rotations);
  }

  #noticed(rotations: bigint): void {
    const { clock, random } = this.#parts;
    const forced = rotations - this.#generation > 1n || this.#onOldKey(true).sas > 0;
    this.#generation = rotations;
    const now = clock.now();
    for (const peer of new Set([...this.#table.all()].map((tunnel) => tunnel.peer))) {
      // Dead SPIs cannot wait for a pleasant moment.
      this.#rekeyAt.set(peer, forced ? now : now + random.uniform() * JITTER_MS);
    }
    for (const [peer, at] of this.#rekeyAt) {
      if (at > now) continue;
      this.#rekeyAt.delete(peer);
      this.#rekey(peer);
    }
  }

  #rekey(peer: string): void {
    for (const tunnel of this.#table.ofPeer(peer)) {
      this.#table.apply(tunnel, { type: "rotated", generation: this.#generation });
    }
  }

  /** Receive SAs that the next rotation would kill, of peers that are there. */
  #onOldKey(all = false): { sas: number; peers: ReadonlySet<string> } {
    const now = this.#parts.clock.now();
    const peers = new Set<string>();
    let sas = 0;
    for (const { peer, state } of this.#table.all()) {
      const old = state.rx.filter(({ generation }) => generation < this.#generation).length;
      if (old === 0) continue;
      const since = this.#initiator.line(peer).failingSince;
      if (!all && since !== undefined && now - since >= GONE_MS) continue;
      sas += old;
      peers.add(peer);
    }
    return { sas, peers };
  }
}

function lowOf(fresh: bigint): bigint {
  return fresh / 8n < SPIS_LOW ? fresh / 8n : SPIS_LOW;
}

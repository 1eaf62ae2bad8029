// SPDX-License-Identifier: Apache-2.0

/** Fresh SPIs and keys for receive SAs: accounted for, derived in one call, numbered, wiped when nobody needs them. */
import type { Key } from "../../ffi/key.ts";
import { DataPlaneError, type Plane } from "../../ffi/plane.ts";
import type { PeerConfig } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import { type PspParams, type PspVersion, versionNumber, type VipPair } from "../model/sa.ts";
import type { SaRecords } from "../model/sa_record.ts";
import { rxFrom, type SaDefaults } from "./params.ts";
import type { Rx } from "./tunnel.ts";

/** A receive SA that is wanted. */
export interface Wanted {
  readonly pair: VipPair;
  readonly peer: PeerConfig;
  /** The peer says that its IVs count, or is asked and expected to. */
  readonly ivCounts: boolean;
}

/** A receive SA that was derived, and what the peer is to be told. */
export interface Derived {
  readonly rx: Rx;
  readonly params: PspParams;
}

/** What SPIs are made with. */
export interface SpiSourceOptions {
  readonly plane: Pick<Plane, "generateSpis" | "masterKey">;
  readonly store: Pick<SaRecords, "reserveSpis">;
  readonly clock: Clock;
  readonly defaults: SaDefaults;
}

/** The one place that asks the plane for SPIs. */
export class SpiSource {
  readonly #options: SpiSourceOptions;
  #serial = 0n;
  /** Called when the master key has no SPI left. */
  onExhausted: () => void = () => {};

  constructor(options: SpiSourceOptions) {
    this.#options = options;
  }

  /** One for each wish, in order. Throws `DataPlaneError` or `ConfigError`, and then nothing was derived. */
  derive(version: PspVersion, wishes: readonly Wanted[]): Derived[] {
    if (wishes.length === 0) return [];
    const { plane, store, clock, defaults } = this.#options;
    store.reserveSpis(wishes.length);
    const at = { now: clock.now(), wallMs: clock.wallMs() };
    try {
      const keys = plane.generateSpis(versionNumber(version), wishes.length);
      const masterKey = plane.masterKey();
      return wishes.flatMap(({ pair, peer, ivCounts }, i) => {
        const spiKey = keys[i];
        if (spiKey === undefined) return [];
        const serial = ++this.#serial;
        return [
          rxFrom(defaults, { spiKey, version, pair, peer, ivCounts, serial, masterKey, at }),
        ];
      });
    } catch (error) {
      if (error instanceof DataPlaneError && error.code === "EKEY") this.onExhausted();
      throw error;
    }
  }
}

/** Counts who holds a key that more than one place has to keep: it is wiped when the last of them lets go. */
export class KeyShares {
  readonly #holders = new Map<Key, number>();

  /** Keys that somebody holds. */
  get size(): number {
    return this.#holders.size;
  }

  hold(key: Key): void {
    this.#holders.set(key, (this.#holders.get(key) ?? 0) + 1);
  }

  /** Wipes when this was the last holder. */
  release(key: Key): void {
    const left = (this.#holders.get(key) ?? 1) - 1;
    if (left > 0) {
      this.#holders.set(key, left);
      return;
    }
    this.#holders.delete(key);
    key.wipe();
  }

  /** Wipes all that is left. */
  wipe(): void {
    for (const key of this.#holders.keys()) key.wipe();
    this.#holders.clear();
  }
}

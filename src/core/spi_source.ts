// SPDX-License-Identifier: Apache-2.0

/** Fresh SPIs and keys for receive SAs: accounted for, derived in one call, numbered. */
import { DataPlaneError } from "../../ffi/plane.ts";
import type { PeerConfig } from "../config/config.ts";
import type { Parts } from "./parts.ts";
import { rxFrom, type SaDefaults } from "./sa_params.ts";
import { type PspParams, type PspVersion, versionNumber, type VipPair } from "../model/sa.ts";
import type { Rx } from "./sa_state.ts";

/** A receive SA that is wanted. */
export interface Wanted {
  readonly pair: VipPair;
  readonly peer: PeerConfig;
}

/** A receive SA that was derived, and what the peer is to be told. */
export interface Derived {
  readonly rx: Rx;
  readonly params: PspParams;
}

/** The one place that asks the plane for SPIs. */
export class SpiSource {
  readonly #parts: Parts;
  readonly #defaults: SaDefaults;
  #serial = 0n;
  /** Called when the master key has no SPI left. */
  onExhausted: () => void = () => {};

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#defaults = defaultsOf(parts);
  }

  /** One for each wish, in order. Throws `DataPlaneError` or `ConfigError`, and then nothing was derived. */
  derive(version: PspVersion, wishes: readonly Wanted[]): Derived[] {
    if (wishes.length === 0) return [];
    const { plane, store, clock } = this.#parts;
    store.reserveSpis(wishes.length);
    const at = { now: clock.now(), wallMs: clock.wallMs() };
    try {
      const keys = plane.generateSpis(versionNumber(version), wishes.length);
      const masterKey = plane.masterKey();
      return wishes.flatMap(({ pair, peer }, i) => {
        const spiKey = keys[i];
        if (spiKey === undefined) return [];
        const serial = ++this.#serial;
        return [rxFrom(this.#defaults, { spiKey, version, pair, peer, serial, masterKey, at })];
      });
    } catch (error) {
      if (error instanceof DataPlaneError && error.code === "EKEY") this.onExhausted();
      throw error;
    }
  }
}

/** What all SAs of this host have in common. */
export function defaultsOf({ config, plane, random }: Parts): SaDefaults {
  return { config, mac: plane.port("uplink").mac, random };
}

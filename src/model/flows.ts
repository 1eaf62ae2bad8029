// SPDX-License-Identifier: Apache-2.0

/** SAs as entries of the installed pipes: what the initiator and the responder program. */
import type { Stats, TxKey } from "../../ffi/plane.ts";
import type { RxSa, TxSa, VipPair } from "./sa.ts";

/** Every method throws `DataPlaneError` when the plane refuses; what it had done is undone then. */
export interface Flows {
  /** INGR_ACL. Idempotent by SPI. */
  addRx(sa: RxSa): void;
  /** Nothing happens when there is none. */
  removeRx(spi: number): void;
  /** The sender of this SPI has not said that its IVs count: nothing is refused by its IV. Nothing happens when there is none. */
  ignoreReplays(spi: number): void;
  /** Crypto, then PSP_ENCRYPT, then EGR_ACL; replaces the pair's transmit SA in place, no packet between. */
  setTx(sa: TxSa, key: TxKey): void;
  /** The pair's transmit SA goes to the outer address `sa.pip`; key and counters stay. Nothing happens when there is none. */
  readdressTx(sa: TxSa): void;
  /** Nothing happens when there is none. */
  removeTx(pair: VipPair): void;
  /** Makes packets of the pair fail closed, counted as tx-key-expired; the entry stays. */
  expireTx(pair: VipPair): void;
  // Octets are of inner IP packets everywhere here, in both directions.
  /** Of the pair's present transmit SA alone: it starts at 0 with each. undefined: none, or expired. */
  txStats(pair: VipPair): Stats | undefined;
  rxStats(spi: number): Stats | undefined;
  /** Packets that have passed in all, when that is cheap to ask: as long as it stays nothing of an SA has changed. */
  carried(): bigint | undefined;
  /** Of the pair, over all SAs that it has had since it last had none. undefined: it has none. */
  traffic(pair: VipPair): Traffic | undefined;
  /**
   * What is removed within goes in as few calls of the plane as can be, at the end. Throws `DataPlaneError` for the first
   * that the plane did not remove, having tried all. `ahead`: what `work` adds, where that is known: it goes in before, in
   * few calls too. What the plane refuses of it is thrown where `work` adds it, and what `work` does not add is undone.
   */
  together<T>(work: () => T, ahead?: Ahead): T;
}

/** SAs for `addRx` and `setTx`, which get the very objects. At most one of each for a pair. */
export interface Ahead {
  readonly rx: readonly RxSa[];
  readonly tx: readonly { readonly sa: TxSa; readonly key: TxKey }[];
}

/** What a tunnel has carried. */
export interface Traffic {
  readonly tx: { readonly packets: bigint; readonly bytes: bigint };
  readonly rx: { readonly packets: bigint; readonly bytes: bigint };
}

/** How many of everything there are, for tests that look for leaks. */
export interface FlowTotals {
  readonly tx: number;
  readonly rx: number;
  /** Those retired and not yet free again included. */
  readonly cryptoIds: number;
  readonly retiring: number;
  /** Entries of PSP_ENCRYPT: they stay and are reused. */
  readonly pspEncrypt: number;
}

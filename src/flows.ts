// SPDX-License-Identifier: Apache-2.0

/** SAs as entries of the installed pipes: what the initiator and the responder program. */
import type { TxKey } from "../ffi/plane.ts";
import type { Stats } from "../ffi/plane.ts";
import type { RxSa, TxSa, VipPair } from "./sa.ts";

export interface Flows {
  /** INGR_ACL. Idempotent by SPI. */
  addRx(sa: RxSa): void;
  removeRx(spi: number): void;
  /** Crypto, then PSP_ENCRYPT, then EGR_ACL; replaces the pair's transmit SA in place, no packet between. */
  setTx(sa: TxSa, key: TxKey): void;
  removeTx(pair: VipPair): void;
  /** Makes packets of the pair fail closed, counted as tx-key-expired; the entry stays. */
  expireTx(pair: VipPair): void;
  txStats(pair: VipPair): Stats | undefined;
  rxStats(spi: number): Stats | undefined;
}

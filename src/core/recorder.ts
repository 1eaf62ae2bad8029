// SPDX-License-Identifier: Apache-2.0

/** From the live tunnels to the record: what is up is written, what ended is taken out. */
import type { Clock } from "../model/clock.ts";
import type { SaRecord, SaRecords } from "../model/sa_record.ts";
import { longEnough } from "./rows.ts";
import type { Rx, Tx } from "./tunnel.ts";
import { newestRx } from "./tunnel.ts";
import type { Tunnel } from "./tunnel_table.ts";
import { RECORD_COUNTERS_MS } from "./limits.ts";

/** Keeps the record in step with the tunnels. */
export class Recorder {
  /** By the tunnel's row: when it was written, a millisecond later than that; 0: it is not in the record. */
  #at = new Float64Array(0);
  /** The SAs that it had then, and the packets that both had carried: a hundred thousand tunnels have no more room. */
  #txSpi = new Uint32Array(0);
  #rxSpi = new Uint32Array(0);
  #packets = new Float64Array(0);
  /** The tunnels end because the agent stops: the record stays, to be restored from. */
  frozen = false;

  constructor(
    readonly store: Pick<SaRecords, "put" | "remove">,
    readonly clock: Clock,
    readonly bootEpoch: bigint,
  ) {}

  /** The tunnel changed, or was looked at. */
  changed({ row, pair, peer, state }: Tunnel): void {
    if (this.frozen) return;
    switch (state.kind) {
      case "opening":
        return;
      case "closed":
      case "failed":
        if ((this.#at[row] ?? 0) > 0) this.store.remove(pair);
        if (row < this.#at.length) this.#at[row] = 0;
        return;
      case "up":
      case "rekeying":
        break;
      default:
        return state satisfies never;
    }
    const rx = newestRx(state.rx);
    if (rx === undefined) return;
    const { tx } = state;
    const now = this.clock.now();
    const packets = Number(tx.packets + rx.packets);
    const at = this.#at[row] ?? 0;
    const isSame = this.#txSpi[row] === tx.sa.spi && this.#rxSpi[row] === rx.sa.spi;
    if (at > 0 && isSame) {
      if (this.#packets[row] === packets || now + 1 - at < RECORD_COUNTERS_MS) return;
    }
    this.#at = longEnough(this.#at, row);
    this.#txSpi = longEnough(this.#txSpi, row);
    this.#rxSpi = longEnough(this.#rxSpi, row);
    this.#packets = longEnough(this.#packets, row);
    this.#at[row] = now + 1;
    this.#txSpi[row] = tx.sa.spi;
    this.#rxSpi[row] = rx.sa.spi;
    this.#packets[row] = packets;
    const wall = this.clock.wallMs() - now;
    const txRecord = recordOf(tx, tx.sa);
    const expiresAtMs = rx.expiresAt === Infinity ? 0 : wall + rx.expiresAt;
    const rxRecord = recordOf(rx, { epoch: this.bootEpoch, expiresAtMs });
    const { localVip, remoteVip } = pair;
    const openedAtMs = wall + state.openedAt;
    this.store.put({
      localVip,
      remoteVip,
      peer,
      state: "up",
      openedAtMs,
      tx: txRecord,
      rx: rxRecord,
    });
  }
}

function recordOf(
  { sa: { spi, version, serial, createdAtMs }, packets, bytes }: Rx | Tx,
  { epoch, expiresAtMs }: Pick<SaRecord, "epoch" | "expiresAtMs">,
): SaRecord {
  return { spi, version, epoch, serial, createdAtMs, expiresAtMs, packets, bytes };
}

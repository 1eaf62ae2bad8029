// SPDX-License-Identifier: Apache-2.0

/** From the live tunnels to the record: what is up is written, what ended is taken out. */
import type { Clock } from "../model/clock.ts";
import type { SaRecord, SaRecords } from "../model/sa_record.ts";
import type { Rx, Tx } from "./tunnel.ts";
import { newestRx } from "./tunnel.ts";
import type { Tunnel } from "./tunnel_table.ts";
import { RECORD_COUNTERS_MS } from "./limits.ts";

/** As it was written. No state of the tunnel is held on to: it would live on beside those that come after it. */
interface Written {
  readonly txSa: Tx["sa"];
  readonly rxSa: Rx["sa"];
  readonly txPackets: bigint;
  readonly rxPackets: bigint;
  readonly at: number;
}

/** Keeps the record in step with the tunnels. */
export class Recorder {
  readonly #written = new Map<string, Written>();
  /** The tunnels end because the agent stops: the record stays, to be restored from. */
  frozen = false;

  constructor(
    readonly store: Pick<SaRecords, "put" | "remove">,
    readonly clock: Clock,
    readonly bootEpoch: bigint,
  ) {}

  /** The tunnel changed, or was looked at. */
  changed({ key, pair, peer, state }: Tunnel): void {
    if (this.frozen) return;
    switch (state.kind) {
      case "opening":
        return;
      case "closed":
      case "failed":
        if (this.#written.delete(key)) this.store.remove(pair);
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
    const last = this.#written.get(key);
    if (last !== undefined && last.txSa === tx.sa && last.rxSa === rx.sa) {
      const same = last.txPackets === tx.packets && last.rxPackets === rx.packets;
      if (same || now - last.at < RECORD_COUNTERS_MS) return;
    }
    this.#written.set(key, {
      txSa: tx.sa,
      rxSa: rx.sa,
      txPackets: tx.packets,
      rxPackets: rx.packets,
      at: now,
    });
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

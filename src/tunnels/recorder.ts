// SPDX-License-Identifier: Apache-2.0

/** From the live tunnels to the record: what is up is written, what ended is taken out. */
import type { Clock, RxSa, TxSa } from "../sa/sa.ts";
import type { SaRecord, SaStore } from "../sa/sa_store.ts";
import { newestRx } from "../sa/sa_upkeep.ts";
import type { Tunnel } from "./tunnel_table.ts";

/** Counters of a tunnel are written this often at most. */
const COUNTERS_MS = 60_000;

interface Written {
  readonly tx: TxSa;
  readonly rx: RxSa;
  readonly at: number;
}

/** Keeps the record in step with the tunnels. */
export class Recorder {
  readonly #written = new Map<string, Written>();
  /** The tunnels end because the agent stops: the record stays, to be restored from. */
  frozen = false;

  constructor(
    readonly store: SaStore,
    readonly clock: Clock,
    readonly bootEpoch: bigint,
  ) {}

  /** The tunnel changed. */
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
    if (last?.tx === tx.sa && last.rx === rx.sa && now - last.at < COUNTERS_MS) return;
    this.#written.set(key, { tx: tx.sa, rx: rx.sa, at: now });
    const wall = this.clock.wallMs() - now;
    const txRecord: SaRecord = {
      ...pick(tx.sa),
      epoch: tx.sa.epoch,
      expiresAtMs: tx.sa.expiresAtMs,
      packets: tx.packets,
      bytes: tx.bytes,
    };
    const rxRecord: SaRecord = {
      ...pick(rx.sa),
      epoch: this.bootEpoch,
      expiresAtMs: rx.expiresAt === Infinity ? 0 : wall + rx.expiresAt,
      packets: rx.packets,
      bytes: rx.bytes,
    };
    const openedAtMs = wall + state.openedAt;
    this.store.put({ ...pair, peer, state: "up", openedAtMs, tx: txRecord, rx: rxRecord });
  }
}

function pick({ spi, version, serial, createdAtMs }: TxSa | RxSa) {
  return { spi, version, serial, createdAtMs };
}

// SPDX-License-Identifier: Apache-2.0

/** What this host does when a peer tells it something: rekey, hold, or wait for it to come back. */
import type { Notice } from "../model/exchange.ts";
import type { Initiator } from "./initiator.ts";
import type { Parts } from "./parts.ts";
import type { PeerGate } from "./peer_gate.ts";
import { pairKey, type TunnelTable } from "./tunnel_table.ts";
import { canonicalVip } from "../model/vip.ts";

/** The peer goes on receiving for about 400 ms after it said that it stops: hold a little before. */
const HOLD_AFTER_MS = 250;
/** How long held packets wait for a peer that stopped to come back. */
const PATIENCE_MS = 15_000;

/** Takes notices in. */
export class NoticeHandler {
  readonly #parts: Parts;
  readonly #table: TunnelTable;
  readonly #gate: PeerGate;
  readonly #initiator: Initiator;

  constructor(
    parts: Parts,
    others: {
      readonly table: TunnelTable;
      readonly gate: PeerGate;
      readonly initiator: Initiator;
    },
  ) {
    this.#parts = parts;
    this.#table = others.table;
    this.#gate = others.gate;
    this.#initiator = others.initiator;
  }

  /** Acts upon a notice. Throws `ExchangeError`. */
  notify(peer: string, notice: Notice): { readonly bootEpoch: bigint } {
    const { counters, log } = this.#parts;
    this.#gate.admit(peer);
    this.#gate.checkEpoch(peer, notice.bootEpoch);
    counters.add("notices-received");
    this.#lose(peer, notice.unknownSpis);
    for (const spi of notice.confirmedSpis ?? []) {
      const tunnel = this.#table.byRxSpi(spi);
      if (tunnel?.peer === peer) this.#table.apply(tunnel, { type: "confirmed", spi });
    }
    for (const { localVip, remoteVip } of notice.closed) {
      const pair = {
        localVip: canonicalVip(remoteVip) ?? remoteVip,
        remoteVip: canonicalVip(localVip) ?? localVip,
      };
      const tunnel = this.#table.get(pairKey(pair));
      if (tunnel?.peer === peer) this.#table.apply(tunnel, { type: "closed_by_peer" });
    }
    if (notice.draining) {
      log.info("A peer is about to stop", { peer });
      this.#parts.tasks.add(this.#hold(peer));
    }
    return { bootEpoch: this.#parts.bootEpoch };
  }

  #lose(peer: string, spis: readonly number[]): void {
    if (spis.length === 0) return;
    const unknown = new Set(spis);
    for (const tunnel of this.#table.ofPeer(peer)) {
      const { state } = tunnel;
      if ((state.kind === "up" || state.kind === "rekeying") && unknown.has(state.tx.sa.spi)) {
        this.#table.apply(tunnel, { type: "lost", spi: state.tx.sa.spi });
      }
    }
  }

  /** Sends until the peer's plane is about to close, then holds, and is patient. */
  async #hold(peer: string): Promise<void> {
    const { clock, tasks, epochs } = this.#parts;
    const epoch = epochs.of(peer);
    const line = this.#initiator.line(peer);
    if (line.patientUntil > clock.now()) return;
    line.patientUntil = clock.now() + PATIENCE_MS;
    await clock.sleep(HOLD_AFTER_MS, tasks.signal);
    if (epochs.of(peer) !== epoch) return;
    for (const tunnel of this.#table.ofPeer(peer)) {
      this.#table.apply(tunnel, { type: "closed_by_peer" });
    }
  }
}

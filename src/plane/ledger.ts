// SPDX-License-Identifier: Apache-2.0

/**
 * What went to each peer and came from it, in each network, over all tunnels since the start. Nothing is counted here: of
 * each SA what its entry has counted is booked whenever somebody asks it, and for the last time when it goes. So a sum
 * never falls, and lags by no more than a round of looks.
 */
import type { Carried, PeerTraffic } from "../model/status.ts";

interface Totals {
  readonly peer: string;
  readonly network: string;
  readonly sent: Sum;
  readonly received: Sum;
  /** SAs that are there. */
  open: number;
}

interface Sum {
  packets: bigint;
  bytes: bigint;
}

/** Peers and networks without an SA whose sums are kept, at most: those that were there last. */
const CLOSED_KEPT = 4096;

/** The sums. */
export class Ledger {
  readonly #totals = new Map<string, Totals>();
  /** Keys of those without an SA, the longest closed first. */
  readonly #closed = new Set<string>();

  /** An SA is there: what it carries is booked by the result. */
  open(
    { peer, network, direction }: {
      readonly peer: string;
      readonly network: string;
      readonly direction: "sent" | "received";
    },
  ): Line {
    const key = `${peer}@${network}`;
    let totals = this.#totals.get(key);
    if (totals === undefined) {
      const none = () => ({ packets: 0n, bytes: 0n });
      totals = { peer, network, sent: none(), received: none(), open: 0 };
      this.#totals.set(key, totals);
    }
    this.#closed.delete(key);
    totals.open++;
    return new Line(totals[direction], () => this.#close(key));
  }

  views(): readonly PeerTraffic[] {
    return [...this.#totals.values()].map(({ peer, network, sent, received }) => ({
      peer,
      network,
      sent: { ...sent },
      received: { ...received },
    }));
  }

  #close(key: string): void {
    const totals = this.#totals.get(key);
    if (totals === undefined || --totals.open > 0) return;
    this.#closed.add(key);
    for (const oldest of this.#closed) {
      if (this.#closed.size <= CLOSED_KEPT) break;
      this.#closed.delete(oldest);
      this.#totals.delete(oldest);
    }
  }
}

/** Of one SA. */
export class Line {
  readonly #sum: Sum;
  readonly #onClose: () => void;
  #packets = 0n;
  #bytes = 0n;
  #isOpen = true;

  constructor(sum: Sum, onClose: () => void) {
    this.#sum = sum;
    this.#onClose = onClose;
  }

  /** All that the SA has carried so far; less than before is no news. */
  book({ packets, bytes }: Carried): void {
    if (packets > this.#packets) {
      this.#sum.packets += packets - this.#packets;
      this.#packets = packets;
    }
    if (bytes > this.#bytes) {
      this.#sum.bytes += bytes - this.#bytes;
      this.#bytes = bytes;
    }
  }

  /** The SA has gone. A second time does nothing. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#onClose();
  }
}

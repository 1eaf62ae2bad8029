// SPDX-License-Identifier: Apache-2.0

/**
 * What went to each peer and came from it, in each network, over all tunnels since the start. Nothing is counted here: of
 * each SA what its entry has counted is booked whenever somebody asks it, and for the last time when it goes. So a sum
 * never falls, and lags by no more than a round of looks.
 */
import { type Carried, NOTHING_CARRIED, type PeerTraffic } from "../model/status.ts";

/** Of a peer in one network. */
class Totals {
  readonly sent: Sum = { of: this, ...NOTHING_CARRIED };
  readonly received: Sum = { of: this, ...NOTHING_CARRIED };
  /** SAs that are there. */
  open = 0;

  constructor(readonly peer: string, readonly network: string) {}
}

/** Of one direction. */
export interface Sum {
  readonly of: Totals;
  packets: bigint;
  bytes: bigint;
}

/** What of an SA is in the sums: a part of whatever is known of it, for there are a hundred thousand. */
export interface Line {
  /** undefined: the SA has gone. */
  sum: Sum | undefined;
  /** `NOTHING_CARRIED` at first. */
  booked: Carried;
}

/** Peers and networks without an SA whose sums are kept, at most: those that were there last. */
const CLOSED_KEPT = 4096;

/** The sums. */
export class Ledger {
  /** By peer, then by network. */
  readonly #totals = new Map<string, Map<string, Totals>>();
  /** Those without an SA, the longest closed first. */
  readonly #closed = new Set<Totals>();

  /** An SA is there: its line has the result as its `sum`. */
  open(
    { peer, network, direction }: {
      readonly peer: string;
      readonly network: string;
      readonly direction: "sent" | "received";
    },
  ): Sum {
    let networks = this.#totals.get(peer);
    if (networks === undefined) this.#totals.set(peer, networks = new Map());
    let totals = networks.get(network);
    if (totals === undefined) networks.set(network, totals = new Totals(peer, network));
    this.#closed.delete(totals);
    totals.open++;
    return totals[direction];
  }

  /** All that the SA has carried so far; less than before is no news. */
  book(line: Line, { packets, bytes }: Carried): void {
    const { sum, booked } = line;
    if (sum === undefined || packets <= booked.packets && bytes <= booked.bytes) return;
    const now = {
      packets: packets > booked.packets ? packets : booked.packets,
      bytes: bytes > booked.bytes ? bytes : booked.bytes,
    };
    sum.packets += now.packets - booked.packets;
    sum.bytes += now.bytes - booked.bytes;
    line.booked = now;
  }

  /** The SA has gone. A second time does nothing. */
  close(line: Line): void {
    const totals = line.sum?.of;
    line.sum = undefined;
    if (totals === undefined || --totals.open > 0) return;
    this.#closed.add(totals);
    for (const oldest of this.#closed) {
      if (this.#closed.size <= CLOSED_KEPT) break;
      this.#closed.delete(oldest);
      const networks = this.#totals.get(oldest.peer);
      networks?.delete(oldest.network);
      if (networks?.size === 0) this.#totals.delete(oldest.peer);
    }
  }

  views(): readonly PeerTraffic[] {
    const all = [...this.#totals.values()].flatMap((networks) => [...networks.values()]);
    return all.map(({ peer, network, sent, received }) => ({
      peer,
      network,
      sent: { packets: sent.packets, bytes: sent.bytes },
      received: { packets: received.packets, bytes: received.bytes },
    }));
  }
}

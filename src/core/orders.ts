// SPDX-License-Identifier: Apache-2.0

/** What an operator orders about tunnels: new SAs for them, or their end. */
import type { Clock } from "../model/clock.ts";
import type { OrderView, TunnelSelector } from "../model/orders.ts";
import { pairKey, type VipPair } from "../model/sa.ts";
import { isLive, type State } from "./tunnel.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

/** What orders act upon. */
export interface OrdersOptions {
  readonly table: TunnelTable;
  readonly clock: Clock;
  /** The peer is told that this side has closed a tunnel. */
  readonly closed: (peer: string, pair: VipPair) => void;
}

/** Carries orders out. */
export class Orders {
  readonly #options: OrdersOptions;

  constructor(options: OrdersOptions) {
    this.#options = options;
  }

  /** Their SAs are due now: they are replaced a few at a time, as if their age had come. */
  rekey(which: TunnelSelector): OrderView {
    const { table, clock } = this.#options;
    const found = this.#select(which);
    const live = found.filter(({ state }) => isLive(state));
    table.applyAll(live, { type: "life_shortened", at: clock.now() });
    return {
      tunnels: live.length,
      message: live.length > 0
        ? `Rekeying ${many(live.length)}`
        : found.length > 0
        ? `Nothing to rekey: ${many(found.length)} found, and none of them is up`
        : NOTHING,
    };
  }

  /** They end at once, and the peers are told. */
  close(which: TunnelSelector): OrderView {
    const { table, closed } = this.#options;
    const found = this.#select(which);
    const told = found.filter(({ state }) => isLive(state));
    table.applyAll(found, { type: "close", reason: "refused", by: "operator" });
    for (const { peer, pair } of told) closed(peer, pair);
    return {
      tunnels: found.length,
      message: found.length > 0 ? `Closed ${many(found.length)}` : NOTHING,
    };
  }

  /** Those that are not closed. */
  #select(which: TunnelSelector): readonly Tunnel[] {
    return [...this.#candidates(which)].filter(({ state, peer, pair }) =>
      state.kind !== "closed" &&
      (which.peer === undefined || peer === which.peer) &&
      which.vips.every((vip) => pair.localVip === vip || pair.remoteVip === vip) &&
      (which.spi === undefined || uses(state, which.spi))
    );
  }

  /** Few tunnels among which all are that are meant. */
  #candidates({ peer, vips: [one, other], spi }: TunnelSelector): Iterable<Tunnel> {
    const { table } = this.#options;
    if (one !== undefined && other !== undefined) {
      const pairs = [{ localVip: one, remoteVip: other }, { localVip: other, remoteVip: one }];
      return pairs.flatMap((pair) => table.get(pairKey(pair)) ?? []);
    }
    if (peer !== undefined) return table.ofPeer(peer);
    return one === undefined && spi === undefined ? [] : table.all();
  }
}

const NOTHING = "No such tunnel";

function many(tunnels: number): string {
  return tunnels === 1 ? "1 tunnel" : `${tunnels} tunnels`;
}

function uses(state: State, spi: number): boolean {
  return state.rx.some(({ sa }) => sa.spi === spi) || isLive(state) && state.tx.sa.spi === spi;
}

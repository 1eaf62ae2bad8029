// SPDX-License-Identifier: Apache-2.0

/** The control core as status shows it. No key appears here, nor could it. */
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import type {
  PeerView,
  SaView,
  StatusQuery,
  StatusView,
  TunnelQuery,
  TunnelView,
} from "../model/status.ts";
import type { Peers } from "./directory.ts";
import { STATUS_LOOKS } from "./limits.ts";
import type { Epochs, PeerLines } from "./peer.ts";
import type { Rotation } from "./rotation.ts";
import { type Closed, isUnheard, newestRx, type Rx, type State, type Tx } from "./tunnel.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";
import { pairKey } from "../model/sa.ts";

/** The parts of `StatusView` that the core knows. */
export type CoreStatus = Pick<
  StatusView,
  | "bootEpoch"
  | "startedAtMs"
  | "peers"
  | "peersTotal"
  | "tunnels"
  | "counters"
  | "rotation"
  | "draining"
>;

/** What is looked at. */
export interface CoreViewsOptions {
  readonly bootEpoch: bigint;
  readonly table: TunnelTable;
  readonly lines: PeerLines;
  readonly rotation: Pick<Rotation, "view">;
  readonly peers: Pick<Peers, "all" | "count">;
  readonly epochs: Pick<Epochs, "of">;
  readonly counters: Pick<Counters, "snapshot">;
  readonly clock: Clock;
}

/** Views of the live state. */
export class CoreViews {
  readonly #options: CoreViewsOptions;
  readonly #table: TunnelTable;
  readonly #startedAtMs: number;
  #sorted: { readonly membership: number; readonly keys: readonly string[] } | undefined;
  draining = false;

  constructor(options: CoreViewsOptions) {
    this.#options = options;
    this.#table = options.table;
    this.#startedAtMs = options.clock.wallMs();
  }

  status({ maxPeers = Infinity }: StatusQuery = {}): CoreStatus {
    const tunnels = { opening: 0, up: 0, rekeying: 0, failed: 0, unconfirmed: 0 };
    let looks = STATUS_LOOKS;
    for (const tunnel of this.#table.all()) {
      if (isUnheard(tunnel.state) && looks-- > 0) this.#table.look(tunnel);
      const { state } = tunnel;
      if (state.kind !== "closed") tunnels[shown(state)]++;
    }
    return {
      bootEpoch: this.#options.bootEpoch,
      startedAtMs: this.#startedAtMs,
      peers: this.#peers(maxPeers),
      peersTotal: this.#options.peers.count,
      tunnels,
      counters: this.#options.counters.snapshot(),
      rotation: this.#options.rotation.view(),
      draining: this.draining,
    };
  }

  /** Sorted by (peer, localVip, remoteVip). `after` is the `pageKey` of the last one before. */
  tunnels(query: TunnelQuery): readonly TunnelView[] {
    const page: TunnelView[] = [];
    const keys = this.#keys();
    for (let i = query.after === undefined ? 0 : firstAfter(keys, query.after);; i++) {
      const [peer, localVip = "", remoteVip = ""] = keys[i]?.split(" ") ?? [];
      if (peer === undefined || page.length >= query.limit) return page;
      if (query.peer !== undefined && query.peer !== peer) continue;
      if (query.contains !== undefined && !keys[i]?.includes(query.contains)) continue;
      const tunnel = this.#table.get(pairKey({ localVip, remoteVip }));
      if (tunnel !== undefined && isUnheard(tunnel.state)) this.#table.look(tunnel);
      const view = tunnel && this.#view(tunnel);
      if (view !== undefined) page.push(view);
    }
  }

  /** In the order of the configuration; where not all are wanted, those that fail come first. */
  #peers(most: number): PeerView[] {
    const { peers, epochs, clock, lines } = this.#options;
    if (most === 0) return [];
    const all = peers.all();
    const now = clock.now();
    const shown = all.length <= most ? all : firstOf(
      all,
      most,
      ({ id }) => lines.of(id).backOff.circuit(now) !== "closed",
    );
    return shown.map(({ id, svcAddress, vips }) => {
      const { backOff, lastError } = lines.of(id);
      const at = backOff.nextAttemptAt(now);
      return {
        id,
        svcAddress,
        vips,
        circuit: backOff.circuit(now),
        failures: backOff.failures,
        lastError,
        ...(at === undefined ? {} : { nextAttemptAtMs: this.#wall(at) }),
        bootEpoch: epochs.of(id),
        tunnels: this.#table.ofPeer(id).filter(({ state }) => state.kind !== "closed").length,
      };
    });
  }

  #view({ pair, peer, state, lastError }: Tunnel): TunnelView | undefined {
    if (state.kind === "closed") return undefined;
    const base = { ...pair, peer, state: shown(state), lastError };
    if (state.kind === "opening" || state.kind === "failed") return base;
    const rx = newestRx(state.rx);
    return {
      ...base,
      openedAtMs: this.#wall(state.openedAt),
      tx: this.#sa(state.tx),
      ...(rx === undefined ? {} : { rx: this.#sa(rx) }),
    };
  }

  #sa({ sa: { spi, version, createdAtMs }, packets, bytes, expiresAt }: Rx | Tx): SaView {
    const expires = expiresAt === Infinity ? {} : { expiresAtMs: this.#wall(expiresAt) };
    return { spi, version, createdAtMs, packets, bytes, ...expires };
  }

  #wall(at: number): number {
    const { clock } = this.#options;
    return Math.round(clock.wallMs() + at - clock.now());
  }

  #keys(): readonly string[] {
    const { membership } = this.#table;
    if (this.#sorted?.membership !== membership) {
      this.#sorted = { membership, keys: [...this.#table.all()].map(pageKey).sort() };
    }
    return this.#sorted.keys;
  }
}

/** A tunnel is not up, nor only rekeying, while nobody knows whether its other end is there. */
function shown(state: Exclude<State, Closed>): TunnelView["state"] {
  return isUnheard(state) ? "unconfirmed" : state.kind;
}

/** Where a tunnel stands in the order of pages: "peer localVip remoteVip". */
function pageKey({ peer, pair }: Pick<Tunnel, "peer" | "pair">): string {
  return `${peer} ${pairKey(pair)}`;
}

function firstAfter(keys: readonly string[], after: string): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] ?? "") <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** `most` of these, in their order; those that `matter` go before others. */
function firstOf<T>(all: readonly T[], most: number, matter: (one: T) => boolean): readonly T[] {
  const taken = new Set(all.filter(matter).slice(0, most));
  for (const one of all) {
    if (taken.size === most) break;
    taken.add(one);
  }
  return [...taken];
}

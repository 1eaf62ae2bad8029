// SPDX-License-Identifier: Apache-2.0

/** The control core as status shows it. No key appears here, nor could it. */
import type { Clock } from "../model/clock.ts";
import type { Flows } from "../model/flows.ts";
import type { Counters } from "../model/counters.ts";
import type { PeerPage, PeerQuery, SaEntry, SaPage, SaQuery, SaState } from "../model/lists.ts";
import type {
  Carried,
  PeerView,
  SaView,
  StatusQuery,
  StatusView,
  TunnelQuery,
  TunnelView,
} from "../model/status.ts";
import type { PeerConfig } from "../config/config.ts";
import type { Peers } from "./directory.ts";
import { PEER_UP_MS, PEERS_AT_ONCE, STATUS_LOOKS } from "./limits.ts";
import type { Epochs, PeerLines } from "./peer.ts";
import type { RotationDriver } from "./rotation_driver.ts";
import {
  type Closed,
  isLive,
  isUnheard,
  newestRx,
  offerOf,
  type Rx,
  type State,
  type Tx,
} from "./tunnel.ts";
import { firstWhere } from "./sorted.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

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
  | "nextRekeyAtMs"
>;

/** What is looked at. */
export interface CoreViewsOptions {
  readonly bootEpoch: bigint;
  readonly table: TunnelTable;
  readonly lines: PeerLines;
  readonly rotation: Pick<RotationDriver, "view">;
  readonly peers: Pick<Peers, "all" | "count" | "each" | "from" | "get">;
  readonly epochs: Pick<Epochs, "of" | "heardAt">;
  readonly counters: Pick<Counters, "snapshot">;
  readonly flows: Pick<Flows, "traffic" | "txStats" | "rxStats">;
  readonly clock: Clock;
}

/** Views of the live state. */
export class CoreViews {
  readonly #options: CoreViewsOptions;
  readonly #table: TunnelTable;
  readonly #startedAtMs: number;
  draining = false;

  constructor(options: CoreViewsOptions) {
    this.#options = options;
    this.#table = options.table;
    this.#startedAtMs = options.clock.wallMs();
  }

  status({ maxPeers = Infinity }: StatusQuery = {}): CoreStatus {
    let looks = STATUS_LOOKS;
    for (const tunnel of this.#table.census.unheard()) {
      if (looks-- === 0) break;
      this.#table.look(tunnel);
    }
    const { nextRekeyAt } = this.#table.census;
    return {
      bootEpoch: this.#options.bootEpoch,
      startedAtMs: this.#startedAtMs,
      peers: [...this.peerParts({ maxPeers })].flat(),
      peersTotal: this.#options.peers.count,
      tunnels: this.#table.census.counts,
      counters: this.#options.counters.snapshot(),
      rotation: this.#options.rotation.view(),
      draining: this.draining,
      ...(nextRekeyAt === Infinity ? {} : { nextRekeyAtMs: this.#wall(nextRekeyAt) }),
    };
  }

  /** In the order of the configuration; where not all are wanted, those that fail come first. */
  *peerParts({ maxPeers = Infinity }: StatusQuery = {}): Generator<readonly PeerView[]> {
    const { peers } = this.#options;
    if (maxPeers === 0) return;
    const shown = peers.count <= maxPeers ? peers.all() : this.#first(maxPeers);
    for (let i = 0; i < shown.length; i += PEERS_AT_ONCE) {
      yield shown.slice(i, i + PEERS_AT_ONCE).flatMap(({ id }) => {
        const peer = peers.get(id);
        return peer === undefined ? [] : [this.#peer(peer)];
      });
    }
  }

  /** Sorted by (peer, localVip, remoteVip). `after`: "peer localVip remoteVip" of the last one before. */
  tunnels(query: TunnelQuery): readonly TunnelView[] {
    const page: TunnelView[] = [];
    for (const tunnel of this.#tunnelsFrom(query)) {
      if (page.length >= query.limit) return page;
      if (isUnheard(tunnel.state)) this.#table.look(tunnel);
      const view = this.#view(tunnel);
      if (view !== undefined) page.push(view);
    }
    return page;
  }

  /** Those behind `after` that fit, in order. */
  *#tunnelsFrom(
    { peer: one, contains = "", after = "" }: Pick<TunnelQuery, "peer" | "contains" | "after">,
  ): Generator<Tunnel> {
    const [from = "", ...pair] = after.split(" ");
    const last = pair.join(" ");
    for (const peer of one === undefined ? this.#table.peersFrom(from) : [one]) {
      if (peer < from) continue;
      const tunnels = this.#table.sortedOfPeer(peer);
      let i = peer === from ? firstWhere(tunnels, ({ key }) => key > last) : 0;
      for (; i < tunnels.length; i++) {
        const tunnel = tunnels[i];
        if (tunnel !== undefined && `${peer} ${tunnel.key}`.includes(contains)) yield tunnel;
      }
    }
  }

  /** One page, sorted by id; `total` is of all peers. */
  peersPage({ contains = "", states = [], after = "", limit }: PeerQuery): PeerPage {
    const { peers } = this.#options;
    const page: PeerView[] = [];
    for (const peer of peers.from(after)) {
      if (page.length === limit) break;
      const { id, svcAddress, vips } = peer;
      if (id === after || ![id, svcAddress, ...vips].some((text) => text.includes(contains))) {
        continue;
      }
      const view = this.#peer(peer);
      if (states.length === 0 || states.includes(view.state)) page.push(view);
    }
    return { peers: page, total: peers.count };
  }

  /** One page, by (peer, localVip, remoteVip). */
  sas({ direction, spi, ...query }: SaQuery): SaPage {
    const sas: SaEntry[] = [];
    let next: string | undefined;
    const wants = (way: SaEntry["direction"], of: Rx | Tx) =>
      (direction ?? way) === way && (spi ?? of.sa.spi) === of.sa.spi;
    const tunnels = spi === undefined ? this.#tunnelsFrom(query) : this.#withSpi(spi, query);
    for (const tunnel of tunnels) {
      if (sas.length >= query.limit) return { sas, next };
      next = `${tunnel.peer} ${tunnel.key}`;
      sas.push(...this.#sasOf(tunnel, wants));
    }
    return { sas, next: undefined };
  }

  /** The same of those few with an SPI. */
  #withSpi(
    spi: number,
    { peer, contains = "", after = "" }: Pick<TunnelQuery, "peer" | "contains" | "after">,
  ): readonly Tunnel[] {
    const [from = "", ...pair] = after.split(" ");
    const last = pair.join(" ");
    const isBehind = (tunnel: Tunnel) =>
      tunnel.peer > from || tunnel.peer === from && tunnel.key > last;
    return this.#table.bySpi(spi)
      .filter((each) => (peer ?? each.peer) === each.peer && isBehind(each))
      .filter((each) => `${each.peer} ${each.key}`.includes(contains))
      .sort((a, b) => compared(a.peer, b.peer) || compared(a.key, b.key));
  }

  /** Those that are wanted: the plane is asked about no other. */
  #sasOf(
    { pair, peer, state }: Tunnel,
    wants: (direction: SaEntry["direction"], of: Rx | Tx) => boolean,
  ): readonly SaEntry[] {
    const { flows } = this.#options;
    const common = { ...pair, peer };
    const newest = newestRx(state.rx);
    const offered = offerOf(state);
    const stateOf = (rx: Rx): SaState =>
      rx.sa.spi === offered
        ? "offered"
        : rx.supersededAt !== undefined
        ? "superseded"
        : rx.maybeUntil !== undefined
        ? "maybe"
        : rx === newest || rx.confirmed
        ? "current"
        : "maybe";
    const rx = state.rx.filter((each) => wants("rx", each)).map((each): SaEntry => ({
      ...common,
      direction: "rx",
      state: stateOf(each),
      sa: this.#sa(each, flows.rxStats(each.sa.spi)),
    }));
    if (!isLive(state) || !wants("tx", state.tx)) return rx;
    const sa = this.#sa(state.tx, flows.txStats(pair));
    const tx = { direction: "tx", state: state.tx.expired ? "expired" : "current", sa } as const;
    return [{ ...common, ...tx }, ...rx];
  }

  #peer({ id, svcAddress, vips }: PeerConfig): PeerView {
    const { epochs, clock, lines } = this.#options;
    const now = clock.now();
    const { backOff, lastError, failingSince, unreachedSince } = lines.of(id);
    const at = backOff.nextAttemptAt(now);
    const heardAt = epochs.heardAt(id);
    // A tunnel that is only wanted, or that nothing passes, says nothing of the peer.
    const isUp = now - Math.max(heardAt ?? -Infinity, this.#table.usedAt(id)) < PEER_UP_MS;
    return {
      id,
      svcAddress,
      vips,
      circuit: backOff.circuit(now),
      failures: backOff.failures,
      lastError,
      ...(at === undefined ? {} : { nextAttemptAtMs: this.#wall(at) }),
      bootEpoch: epochs.of(id),
      tunnels: this.#table.countOfPeer(id),
      state: backOff.circuit(now) !== "closed"
        ? "failing"
        : isUp
        ? "up"
        : heardAt === undefined
        ? "unknown"
        : "idle",
      ...(heardAt === undefined ? {} : { heardAtMs: this.#wall(heardAt) }),
      ...(failingSince === undefined ? {} : { failingSinceMs: this.#wall(failingSince) }),
      ...(unreachedSince === undefined ? {} : { unreachedSinceMs: this.#wall(unreachedSince) }),
    };
  }

  /** So many, without a look at the others. */
  #first(most: number): readonly PeerConfig[] {
    const { peers, lines } = this.#options;
    const shown = new Set<PeerConfig>();
    for (const id of [...lines.failing(), ...lines.unreached()]) {
      if (shown.size === most) break;
      const peer = peers.get(id);
      if (peer !== undefined) shown.add(peer);
    }
    for (const peer of peers.each()) {
      if (shown.size === most) break;
      shown.add(peer);
    }
    return [...shown];
  }

  #view({ pair, peer, state, lastError }: Tunnel): TunnelView | undefined {
    if (state.kind === "closed") return undefined;
    const base = { ...pair, peer, state: shown(state), lastError };
    if (state.kind === "opening" || state.kind === "failed") return base;
    const { flows } = this.#options;
    const rx = newestRx(state.rx);
    const traffic = flows.traffic(pair);
    return {
      ...base,
      ...(traffic === undefined ? {} : { sent: traffic.tx, received: traffic.rx }),
      openedAtMs: this.#wall(state.openedAt),
      ...(state.tx.softAt === Infinity ? {} : { nextRekeyAtMs: this.#wall(state.tx.softAt) }),
      tx: this.#sa(state.tx, flows.txStats(pair)),
      ...(rx === undefined ? {} : { rx: this.#sa(rx, flows.rxStats(rx.sa.spi)) }),
    };
  }

  /** `stats`: what the plane says at this moment; undefined: nothing any more. */
  #sa(of: Rx | Tx, stats: Carried | undefined): SaView {
    const { sa: { spi, version, createdAtMs }, expiresAt } = of;
    const { packets, bytes } = stats ?? of;
    const expires = expiresAt === Infinity ? {} : { expiresAtMs: this.#wall(expiresAt) };
    return { spi, version, createdAtMs, packets, bytes, ...expires };
  }

  #wall(at: number): number {
    const { clock } = this.#options;
    return Math.round(clock.wallMs() + at - clock.now());
  }
}

function compared(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** A tunnel is not up, nor only rekeying, while nobody knows whether its other end is there. */
function shown(state: Exclude<State, Closed>): TunnelView["state"] {
  return isUnheard(state) ? "unconfirmed" : state.kind;
}

// SPDX-License-Identifier: Apache-2.0

/** The control core as status shows it. No key appears here, nor could it. */
import type { Initiator } from "./initiator.ts";
import type { Parts } from "./parts.ts";
import type { Rotation } from "./rotation.ts";
import type { Closed, Rx, State, Tx } from "./sa_state.ts";
import { newestRx } from "./sa_upkeep.ts";
import type { PeerView, SaView, StatusView, TunnelView } from "../model/status.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

/** The parts of `StatusView` that the core knows. */
export type CoreStatus = Pick<
  StatusView,
  "bootEpoch" | "startedAtMs" | "peers" | "tunnels" | "counters" | "rotation" | "draining"
>;

/** The packet that confirms a tunnel may have come since the last look: so many are looked at for one answer. */
const MAX_LOOKS = 4096;

/** Views of the live state. */
export class CoreViews {
  readonly #parts: Parts;
  readonly #table: TunnelTable;
  readonly #initiator: Initiator;
  readonly #rotation: Rotation;
  readonly #startedAtMs: number;
  #sorted: { readonly membership: number; readonly keys: readonly string[] } | undefined;
  draining = false;

  constructor(
    parts: Parts,
    others: {
      readonly table: TunnelTable;
      readonly initiator: Initiator;
      readonly rotation: Rotation;
    },
  ) {
    this.#parts = parts;
    this.#table = others.table;
    this.#initiator = others.initiator;
    this.#rotation = others.rotation;
    this.#startedAtMs = parts.clock.wallMs();
  }

  status(): CoreStatus {
    const tunnels = { opening: 0, up: 0, rekeying: 0, failed: 0, unconfirmed: 0 };
    let looks = MAX_LOOKS;
    for (const tunnel of this.#table.all()) {
      if (isUnconfirmed(tunnel.state) && looks-- > 0) this.#table.look(tunnel);
      const { state } = tunnel;
      if (state.kind !== "closed") tunnels[shown(state)]++;
    }
    return {
      bootEpoch: this.#parts.bootEpoch,
      startedAtMs: this.#startedAtMs,
      peers: this.#peers(),
      tunnels,
      counters: this.#parts.counters.snapshot(),
      rotation: this.#rotation.view(),
      draining: this.draining,
    };
  }

  /** Sorted by (peer, localVip, remoteVip). `after` is the `pageKey` of the last one before. */
  tunnels(query: { peer?: string; after?: string; limit: number }): readonly TunnelView[] {
    const page: TunnelView[] = [];
    const keys = this.#keys();
    for (let i = query.after === undefined ? 0 : firstAfter(keys, query.after);; i++) {
      const [peer, localVip, remoteVip] = keys[i]?.split(" ") ?? [];
      if (peer === undefined || page.length >= query.limit) return page;
      if (query.peer !== undefined && query.peer !== peer) continue;
      const tunnel = this.#table.get(`${localVip} ${remoteVip}`);
      if (tunnel !== undefined && isUnconfirmed(tunnel.state)) this.#table.look(tunnel);
      const view = tunnel && this.#view(tunnel);
      if (view !== undefined) page.push(view);
    }
  }

  #peers(): PeerView[] {
    const { peers, epochs, clock } = this.#parts;
    const now = clock.now();
    return peers.all().map(({ id, svcAddress, vips }) => {
      const { backOff, lastError } = this.#initiator.line(id);
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
    const { clock } = this.#parts;
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
  return isUnconfirmed(state) ? "unconfirmed" : state.kind;
}

function isUnconfirmed(state: State): boolean {
  return (state.kind === "up" || state.kind === "rekeying") && state.tx.unconfirmed !== undefined;
}

/** Where a tunnel stands in the order of pages: "peer localVip remoteVip". */
function pageKey({ peer, pair }: Pick<Tunnel, "peer" | "pair">): string {
  return `${peer} ${pair.localVip} ${pair.remoteVip}`;
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

// SPDX-License-Identifier: Apache-2.0

/**
 * What each party may have of the tables that all share, and what is kept for nobody in particular. A peer and a
 * workload's address have a share of the tunnels; entries, crypto ids and SPIs beyond what tunnels take are the reserve,
 * of which only rekeys of what lives draw; and the last part of the table is for peers that have few tunnels.
 */
import type { Granted } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { AgentCounter } from "../model/counters.ts";
import { networkOf, type NetworkSettings } from "../model/network.ts";
import {
  ENTRIES_PER_TUNNEL,
  EVICT_IDLE_MS,
  EVICT_SILENT_MS,
  IDS_PER_TUNNEL,
  MANY_TUNNELS,
  MAX_TUNNELS,
  SAS_BESIDE,
  SAS_PER_TUNNEL,
  SHARE_OF_TABLE,
  SILENT_PACKETS,
} from "./limits.ts";
import { isAsking, isUnheard, type State } from "./tunnel.ts";

/** What a new tunnel, or one more SA of an old one, lacks; each is the name of its counter too. */
export type Shortage = Extract<
  AgentCounter,
  "peer-share" | "network-share" | "source-share" | "peer-sas" | "tunnels-full"
>;

/** Who wished for a tunnel: a workload here, or the peer. */
export type Side = "local" | "peer";

/** Who takes a place. */
export interface Party {
  readonly peer: string;
  /** The workload's address that wanted the tunnel: one of this host, or of the peer when that asked. */
  readonly source: string;
}

/** Places that the same peer, its network and the same address were promised just now and have not taken yet. */
export interface Promised {
  readonly peer: number;
  readonly network: number;
  readonly source: number;
}

const NONE: Promised = { peer: 0, network: 0, source: 0 };

/** Tunnels that a plane of this size has room for, with the reserve of their rekeys beside them. */
export function tunnelsWithin(granted: Pick<Granted, "maxEntries" | "maxCryptoIds">): number {
  const { maxEntries, maxCryptoIds } = granted;
  const fit = Math.min(maxEntries / ENTRIES_PER_TUNNEL, maxCryptoIds / IDS_PER_TUNNEL);
  return Math.max(1, Math.min(MAX_TUNNELS, Math.floor(fit)));
}

/** What the shares are cut from. */
export interface SharesOptions {
  /** Places in the table. */
  readonly tunnels: number;
  /** Read at each question: it may change. */
  readonly config: {
    readonly tunnel: Pick<Config["tunnel"], "peerShare" | "sourceShare">;
    readonly networks?: readonly NetworkSettings[];
  };
  /** How many peers there are, at this moment. */
  readonly peers: () => number;
}

/** Who has how much. The table tells it of every place that is taken or left. */
export class Shares {
  readonly #options: SharesOptions;
  readonly #byPeer = new Map<string, { tunnels: number; sas: number }>();
  readonly #bySource = new Map<string, number>();
  /** By peer and network. */
  readonly #byNetwork = new Map<string, number>();
  #tunnels = 0;

  constructor(options: SharesOptions) {
    this.#options = options;
  }

  /** Places in the table. */
  get places(): number {
    return this.#options.tunnels;
  }

  /** Tunnels that one peer may have: an eighth of the table, or an equal part where there are fewer peers than 8. */
  get peerShare(): number {
    const { tunnels, config: { tunnel: { peerShare } } } = this.#options;
    return peerShare ?? Math.max(this.#equalPart, Math.floor(tunnels / SHARE_OF_TABLE), 1);
  }

  /** Tunnels that one workload's address may open: an eighth of the table, at most half of what is open to one peer. */
  get sourceShare(): number {
    const { tunnels, config: { tunnel: { sourceShare } } } = this.#options;
    const most = Math.min(Math.floor(tunnels / SHARE_OF_TABLE), Math.floor(this.peerShare / 2));
    return sourceShare ?? Math.max(most, 1);
  }

  /** Tunnels with one peer that one network may have, where there are several: half of them. */
  get networkShare(): number {
    const isAlone = (this.#options.config.networks ?? []).length === 0;
    return isAlone ? this.peerShare : Math.max(1, Math.floor(this.peerShare / 2));
  }

  get #equalPart(): number {
    return Math.floor(this.#options.tunnels / Math.max(1, this.#options.peers()));
  }

  /**
   * What keeps a party from one more tunnel. The last part of the table is for peers that have less than an equal part
   * of that: whoever is new finds a place.
   */
  lacks({ peer, source }: Party, promised: Promised = NONE): Shortage | undefined {
    const { tunnels, peers } = this.#options;
    const ahead = promised.peer;
    const has = this.tunnelsOf(peer) + ahead;
    if (has >= this.peerShare) return "peer-share";
    if (this.#tunnelsIn({ peer, source }) + promised.network >= this.networkShare) {
      return "network-share";
    }
    if (this.tunnelsFrom(source) + promised.source >= this.sourceShare) return "source-share";
    const isCrowded = this.peerShare * peers() > tunnels;
    const kept = isCrowded ? Math.floor(tunnels / SHARE_OF_TABLE) : 0;
    const most = has < Math.max(1, Math.floor(kept / Math.max(1, peers())))
      ? tunnels
      : tunnels - kept;
    return this.#tunnels + ahead >= most ? "tunnels-full" : undefined;
  }

  /** What keeps a peer from being given one more receive SA of a tunnel that is there. */
  lacksSa(peer: string, ahead = 0): Shortage | undefined {
    const has = this.#byPeer.get(peer);
    const most = SAS_PER_TUNNEL * (has?.tunnels ?? 0) + SAS_BESIDE;
    return (has?.sas ?? 0) + ahead >= most ? "peer-sas" : undefined;
  }

  /** A place is taken. */
  enter({ peer, source }: Party): void {
    this.#tunnels++;
    this.#of(peer).tunnels++;
    this.#bySource.set(source, this.tunnelsFrom(source) + 1);
    this.#byNetwork.set(networkKey({ peer, source }), this.#tunnelsIn({ peer, source }) + 1);
  }

  /** A place is left. */
  leave({ peer, source }: Party): void {
    this.#tunnels--;
    const has = this.#of(peer);
    has.tunnels--;
    if (has.tunnels === 0 && has.sas === 0) this.#byPeer.delete(peer);
    const left = this.tunnelsFrom(source) - 1;
    if (left > 0) this.#bySource.set(source, left);
    else this.#bySource.delete(source);
    const there = this.#tunnelsIn({ peer, source }) - 1;
    if (there > 0) this.#byNetwork.set(networkKey({ peer, source }), there);
    else this.#byNetwork.delete(networkKey({ peer, source }));
  }

  /** A tunnel of the peer has so many receive SAs more, or fewer. */
  sas(peer: string, by: number): void {
    if (by === 0) return;
    const has = this.#of(peer);
    has.sas += by;
    if (has.tunnels === 0 && has.sas === 0) this.#byPeer.delete(peer);
  }

  /** Tunnels of a peer. */
  tunnelsOf(peer: string): number {
    return this.#byPeer.get(peer)?.tunnels ?? 0;
  }

  /** Whether any other peer has tunnels. */
  hasOthers(peer: string): boolean {
    return this.#byPeer.size > (this.#byPeer.has(peer) ? 1 : 0);
  }

  /** Tunnels that an address wanted. */
  tunnelsFrom(source: string): number {
    return this.#bySource.get(source) ?? 0;
  }

  /** The peer with the most tunnels, when it has more than an equal part. */
  heaviest(): string | undefined {
    let [found, most] = [undefined as string | undefined, this.#equalPart];
    for (const [peer, { tunnels }] of this.#byPeer) {
      if (tunnels > most) [found, most] = [peer, tunnels];
    }
    return found;
  }

  #tunnelsIn(party: Party): number {
    return this.#byNetwork.get(networkKey(party)) ?? 0;
  }

  #of(peer: string): { tunnels: number; sas: number } {
    let has = this.#byPeer.get(peer);
    if (has === undefined) this.#byPeer.set(peer, has = { tunnels: 0, sas: 0 });
    return has;
  }
}

function networkKey({ peer, source }: Party): string {
  return `${peer} ${networkOf(source)}`;
}

/** How long a tunnel stays on which nobody answers: not at all for one who has few, against one who has many. */
export function patienceMs(wants: number, has: number): number {
  return has >= MANY_TUNNELS && 2 * wants < has ? 0 : EVICT_SILENT_MS;
}

/**
 * Whether a tunnel is worth less than a new one: it failed, nothing passed for long, or after `patienceMs` hardly
 * anything passed, and nothing in one of the two directions. One with an exchange under way is never spare.
 */
export function isSpare(
  state: State,
  { now, patienceMs }: { readonly now: number; readonly patienceMs: number },
): boolean {
  switch (state.kind) {
    case "closed":
    case "opening":
      return false;
    case "failed":
      return state.rx.length === 0;
    case "rekeying":
    case "up": {
      // Of those that are being asked for, only what the peer began and was not heard on.
      const isWaiting = isAsking(state);
      if (isWaiting && (state.offered !== undefined || !isUnheard(state))) return false;
      if (now - state.usedAt >= EVICT_IDLE_MS) return true;
      const sent = state.tx.packets;
      const received = state.rx.reduce((sum, { packets }) => sum + packets, 0n);
      const answered = sent > 0n && received > 0n;
      return !answered && sent + received < SILENT_PACKETS && now - state.openedAt >= patienceMs;
    }
    default:
      return state satisfies never;
  }
}

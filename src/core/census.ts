// SPDX-License-Identifier: Apache-2.0

/**
 * What is asked of all tunnels together, kept up to date with every step of one: how many are in which state, whose
 * other end was not heard, which one is rekeyed next, and who still has SAs of an earlier master key. Nobody has to look
 * through the tunnels.
 */
import { DueRows } from "./rows.ts";
import { isLive, isUnheard, type State } from "./tunnel.ts";

/** Tunnels by state; one whose other end was not heard is neither up nor rekeying. */
export interface TunnelCounts {
  readonly opening: number;
  readonly up: number;
  readonly rekeying: number;
  readonly failed: number;
  readonly unconfirmed: number;
}

/** Receive SAs by peer, of one generation of the master key. */
interface Generation {
  total: number;
  readonly peers: Map<string, number>;
}

/** The counts. */
export class Census<T extends { readonly peer: string; readonly row: number }> {
  readonly #counts = { opening: 0, up: 0, rekeying: 0, failed: 0, unconfirmed: 0 };
  readonly #unheard = new Set<T>();
  readonly #live = new Map<string, number>();
  readonly #generations = new Map<bigint, Generation>();
  readonly #rekeys = new DueRows();

  get counts(): TunnelCounts {
    return { ...this.#counts };
  }

  /** Tunnels that pass packets. */
  get live(): number {
    const { up, rekeying, unconfirmed } = this.#counts;
    return up + rekeying + unconfirmed;
  }

  /** Peers with such tunnels. */
  livePeers(): Iterable<string> {
    return this.#live.keys();
  }

  /** When the first of those that are up is rekeyed; Infinity: none will be. */
  get nextRekeyAt(): number {
    return this.#rekeys.next();
  }

  /** Those whose other end was not heard yet. */
  unheard(): Iterable<T> {
    return this.#unheard;
  }

  /** Receive SAs of generations before this one. */
  sasBefore(generation: bigint): number {
    let sum = 0;
    for (const [of, { total }] of this.#generations) if (of < generation) sum += total;
    return sum;
  }

  /** ... of one peer. */
  sasOfPeerBefore(generation: bigint, peer: string): number {
    let sum = 0;
    for (const [of, { peers }] of this.#generations) {
      if (of < generation) sum += peers.get(peer) ?? 0;
    }
    return sum;
  }

  /** Peers with such SAs; one may come twice. It may be gone on with after changes. */
  *peersBefore(generation: bigint): Generator<string, undefined> {
    for (const [of, { peers }] of this.#generations) if (of < generation) yield* peers.keys();
    return undefined;
  }

  /** A step was taken. */
  change(tunnel: T, before: State, after: State): void {
    if (before === after) return;
    this.#move(tunnel, before, after);
    this.#rekeys.set(tunnel.row, after.kind === "up" ? after.tx.softAt : Infinity);
    if (before.rx === after.rx) return;
    for (const { generation } of before.rx) this.#add(generation, tunnel.peer, -1);
    for (const { generation } of after.rx) this.#add(generation, tunnel.peer, 1);
  }

  #move(tunnel: T, before: State, after: State): void {
    const [from, to] = [kindOf(before), kindOf(after)];
    if (from === to) return;
    if (from !== undefined) this.#counts[from]--;
    if (to !== undefined) this.#counts[to]++;
    if (from === "unconfirmed") this.#unheard.delete(tunnel);
    if (to === "unconfirmed") this.#unheard.add(tunnel);
    const by = Number(isLive(after)) - Number(isLive(before));
    if (by !== 0) count(this.#live, tunnel.peer, by);
  }

  #add(generation: bigint, peer: string, by: number): void {
    let of = this.#generations.get(generation);
    if (of === undefined) {
      this.#generations.set(generation, of = { total: 0, peers: new Map() });
    }
    of.total += by;
    count(of.peers, peer, by);
    if (of.total === 0) this.#generations.delete(generation);
  }
}

/** As it is counted; undefined: not at all. */
export function kindOf(state: State): keyof TunnelCounts | undefined {
  if (state.kind === "closed") return undefined;
  return isUnheard(state) ? "unconfirmed" : state.kind;
}

function count(counts: Map<string, number>, key: string, by: number): void {
  const n = (counts.get(key) ?? 0) + by;
  if (n > 0) counts.set(key, n);
  else counts.delete(key);
}

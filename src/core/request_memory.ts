// SPDX-License-Identifier: Apache-2.0

/** Answers that were given: the same request gets the same one. */
import { requestDigest } from "../model/digest.ts";
import type { NewTunnelReply, NewTunnelRequest } from "../model/exchange.ts";
import { MEMORY_MS, MEMORY_TUNNELS, MEMORY_TUNNELS_PER_PEER } from "./limits.ts";
import type { KeyShares } from "./params.ts";

interface Memo {
  readonly reply: NewTunnelReply;
  /** Its digest. */
  readonly asked: string;
  readonly until: number;
}

/** The answers, by peer and (boot epoch, request id). Holds a share of every key in them. */
export class RequestMemory {
  readonly #byPeer = new Map<string, { memos: Map<string, Memo>; tunnels: number }>();
  /** In all of them. */
  #tunnels = 0;
  /** All of them in the order in which they were kept, which is that of their ends. */
  readonly #ages = new Map<Memo, { readonly peer: string; readonly id: string }>();

  constructor(readonly shares: KeyShares) {}

  /** The answer that was given; "different": the id was used for another request. */
  recall(
    peer: string,
    request: NewTunnelRequest,
  ): NewTunnelReply | "different" | undefined {
    const memo = this.#byPeer.get(peer)?.memos.get(idOf(request));
    if (memo === undefined) return undefined;
    return memo.asked === requestDigest(request) ? memo.reply : "different";
  }

  /** Keeps an answer until `now` plus two minutes. */
  remember(
    peer: string,
    request: NewTunnelRequest,
    { reply, now }: { readonly reply: NewTunnelReply; readonly now: number },
  ): void {
    let kept = this.#byPeer.get(peer);
    if (kept === undefined) this.#byPeer.set(peer, kept = { memos: new Map(), tunnels: 0 });
    for (const outcome of reply.outcomes) if (outcome.ok) this.shares.hold(outcome.params.key);
    const id = idOf(request);
    const memo = { reply, asked: requestDigest(request), until: now + MEMORY_MS };
    kept.memos.set(id, memo);
    this.#ages.set(memo, { peer, id });
    kept.tunnels += reply.outcomes.length;
    this.#tunnels += reply.outcomes.length;
    for (const id of kept.memos.keys()) {
      if (kept.tunnels <= MEMORY_TUNNELS_PER_PEER || kept.memos.size === 1) break;
      this.#drop(peer, id);
    }
    while (this.#tunnels > MEMORY_TUNNELS) this.#dropOldestOf(this.#heaviest() ?? peer);
  }

  /** Drops what has had its time. */
  expire(now: number): void {
    for (const [{ until }, { peer, id }] of this.#ages) {
      if (until > now) break;
      this.#drop(peer, id);
    }
  }

  /** Drops everything of a peer: it was started anew, or denied. */
  forget(peer: string): void {
    for (const id of [...this.#byPeer.get(peer)?.memos.keys() ?? []]) this.#drop(peer, id);
  }

  /** Answers that are kept. */
  get size(): number {
    return this.#ages.size;
  }

  /** The peer with the most tunnels in its answers. */
  #heaviest(): string | undefined {
    let [found, most] = [undefined as string | undefined, 0];
    for (const [peer, { tunnels }] of this.#byPeer) {
      if (tunnels > most) [found, most] = [peer, tunnels];
    }
    return found;
  }

  #dropOldestOf(peer: string): void {
    const [oldest] = this.#byPeer.get(peer)?.memos.keys() ?? [];
    if (oldest !== undefined) this.#drop(peer, oldest);
  }

  #drop(peer: string, id: string): void {
    const kept = this.#byPeer.get(peer);
    const memo = kept?.memos.get(id);
    if (kept === undefined || memo === undefined) return;
    kept.memos.delete(id);
    this.#ages.delete(memo);
    kept.tunnels -= memo.reply.outcomes.length;
    this.#tunnels -= memo.reply.outcomes.length;
    for (const outcome of memo.reply.outcomes) {
      if (outcome.ok) this.shares.release(outcome.params.key);
    }
    if (kept.memos.size === 0) this.#byPeer.delete(peer);
  }
}

function idOf(request: NewTunnelRequest): string {
  return `${request.bootEpoch}/${request.requestId}`;
}

// SPDX-License-Identifier: Apache-2.0

/** Requests that were answered, so that a repeated one gets the identical SPIs and keys. */
import type { NewTunnelReply, NewTunnelRequest } from "../model/exchange.ts";
import type { KeyShares } from "./key_shares.ts";

/** How long an answer is kept: longer than any initiator goes on asking. */
export const MEMORY_MS = 120_000;
/** Tunnels in the answers kept for one peer at most; beyond it the oldest answers go. */
export const MEMORY_TUNNELS_PER_PEER = 65_536;

interface Memo {
  readonly reply: NewTunnelReply;
  readonly asked: string;
  readonly until: number;
}

/** The answers, by peer and (boot epoch, request id). Holds a share of every key in them. */
export class RequestMemory {
  readonly #byPeer = new Map<string, { memos: Map<string, Memo>; tunnels: number }>();

  constructor(readonly shares: KeyShares) {}

  /** The answer that was given; "different": the id was used for another request. */
  recall(
    peer: string,
    request: NewTunnelRequest,
  ): NewTunnelReply | "different" | undefined {
    const memo = this.#byPeer.get(peer)?.memos.get(idOf(request));
    if (memo === undefined) return undefined;
    return memo.asked === summary(request) ? memo.reply : "different";
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
    kept.memos.set(idOf(request), { reply, asked: summary(request), until: now + MEMORY_MS });
    kept.tunnels += reply.outcomes.length;
    for (const id of kept.memos.keys()) {
      if (kept.tunnels <= MEMORY_TUNNELS_PER_PEER || kept.memos.size === 1) break;
      this.#drop(peer, id);
    }
  }

  /** Drops what has had its time. */
  expire(now: number): void {
    for (const [peer, { memos }] of this.#byPeer) {
      // In the order in which they were kept, so the first that stays ends it.
      for (const [id, memo] of memos) {
        if (memo.until > now) break;
        this.#drop(peer, id);
      }
    }
  }

  /** Drops everything of a peer: it was started anew, or denied. */
  forget(peer: string): void {
    for (const id of [...this.#byPeer.get(peer)?.memos.keys() ?? []]) this.#drop(peer, id);
  }

  /** Answers that are kept. */
  get size(): number {
    return [...this.#byPeer.values()].reduce((sum, { memos }) => sum + memos.size, 0);
  }

  #drop(peer: string, id: string): void {
    const kept = this.#byPeer.get(peer);
    const memo = kept?.memos.get(id);
    if (kept === undefined || memo === undefined) return;
    kept.memos.delete(id);
    kept.tunnels -= memo.reply.outcomes.length;
    for (const outcome of memo.reply.outcomes) {
      if (outcome.ok) this.shares.release(outcome.params.key);
    }
    if (kept.memos.size === 0) this.#byPeer.delete(peer);
  }
}

function idOf(request: NewTunnelRequest): string {
  return `${request.bootEpoch}/${request.requestId}`;
}

/** What a repeated request has to agree in. */
function summary(request: NewTunnelRequest): string {
  return request.tunnels
    .map(({ localVip, remoteVip, reverse }) => `${localVip} ${remoteVip} ${reverse.spi}`)
    .join(",");
}

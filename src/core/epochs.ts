// SPDX-License-Identifier: Apache-2.0

/** Which start of each peer is the current one. */

/**
 * How long an earlier epoch is refused after a later one was last heard. Beyond it, a lower epoch is a
 * peer that lost both its record and its clock, not a message that was under way.
 */
export const STALE_MS = 10 * 60_000;
/**
 * The same after an epoch that lies in the future: a clock was wrong, so that the order says little, and only what
 * is under way at this moment need be kept out.
 */
export const STALE_FUTURE_MS = 15_000;
/** An epoch is the wall clock of a start or later; clocks of hosts may differ by this much. */
export const CLOCKS_DIFFER_MS = 60 * 60_000;

export type EpochNews = "first" | "same" | "new" | "stale";

/** The boot epochs that peers have told. */
export class Epochs {
  readonly #known = new Map<string, { epoch: bigint; heardAt: number }>();

  /**
   * What a message with `epoch` says about its sender. A stale one changes nothing. `now` never steps, `wallMs` is
   * this host's clock, which may be the wrong one: an epoch of the future is no reason to refuse a peer.
   */
  observe(
    peer: string,
    epoch: bigint,
    { now, wallMs }: { readonly now: number; readonly wallMs: number },
  ): EpochNews {
    const known = this.#known.get(peer);
    if (known !== undefined && epoch < known.epoch) {
      const isFuture = known.epoch > BigInt(Math.floor(wallMs + CLOCKS_DIFFER_MS));
      if (now - known.heardAt < (isFuture ? STALE_FUTURE_MS : STALE_MS)) return "stale";
    }
    this.#known.set(peer, { epoch, heardAt: now });
    if (known === undefined) return "first";
    return known.epoch === epoch ? "same" : "new";
  }

  /** 0n: never heard. */
  of(peer: string): bigint {
    return this.#known.get(peer)?.epoch ?? 0n;
  }
}

// SPDX-License-Identifier: Apache-2.0

/** Which start of each peer is the current one. */

/**
 * How long an earlier epoch is refused after a later one was last heard. Beyond it, a lower epoch is a
 * peer that lost both its record and its clock, not a message that was under way.
 */
export const STALE_MS = 10 * 60_000;

export type EpochNews = "first" | "same" | "new" | "stale";

/** The boot epochs that peers have told. */
export class Epochs {
  readonly #known = new Map<string, { epoch: bigint; heardAt: number }>();

  /** What a message with `epoch` says about its sender. A stale one changes nothing. */
  observe(peer: string, epoch: bigint, now: number): EpochNews {
    const known = this.#known.get(peer);
    if (known !== undefined && epoch < known.epoch && now - known.heardAt < STALE_MS) {
      return "stale";
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

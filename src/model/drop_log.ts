// SPDX-License-Identifier: Apache-2.0

/**
 * The last dropped packets that the agent knows of: one line for each reason, peer and flow. What the plane drops by
 * itself is in its counters alone.
 */
import type { DropPage, DropQuery, DropView } from "./lists.ts";

/** What is told of a drop. */
export interface Drop {
  readonly reason: string;
  readonly detail?: string | undefined;
  readonly peer?: string | undefined;
  readonly src: string;
  readonly dst: string;
  readonly outer?: boolean;
  readonly spi?: number | undefined;
  readonly header?: Uint8Array<ArrayBuffer> | undefined;
  readonly packets: number;
}

/** Takes drops. Never throws. */
export interface DropSink {
  add(drop: Drop): void;
}

/** Lines that are kept: those that were added to longest ago go. */
const MAX_LINES = 1024;
/** Octets of a header: IPv6 with an extension, and ports. */
const MAX_HEADER = 64;

/** Kept in memory. */
export class DropLog implements DropSink {
  /** The one that was added to last is the last. */
  readonly #lines = new Map<string, { readonly turn: number; readonly view: DropView }>();
  #turn = 0;
  readonly #wallMs: () => number;

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  add(
    { reason, detail = "", peer = "", src, dst, outer = false, spi, header, packets }: Drop,
  ): void {
    const key = `${reason} ${peer} ${src} ${dst} ${spi}`;
    const before = this.#lines.get(key)?.view;
    const now = this.#wallMs();
    this.#lines.delete(key);
    const view = {
      ...{ reason, detail, peer, src, dst, outer },
      ...(spi === undefined ? {} : { spi }),
      header: header?.slice(0, MAX_HEADER) ?? before?.header ?? new Uint8Array(),
      packets: (before?.packets ?? 0) + packets,
      firstAtMs: before?.firstAtMs ?? now,
      lastAtMs: now,
    };
    this.#lines.set(key, { turn: ++this.#turn, view });
    if (this.#lines.size <= MAX_LINES) return;
    for (const oldest of this.#lines.keys()) {
      this.#lines.delete(oldest);
      return;
    }
  }

  /** One page, the latest first. */
  list({ reason, peer, vip, after = Infinity, limit }: DropQuery): DropPage {
    const found = [...this.#lines.values()].reverse().filter(({ turn, view }) =>
      turn < after &&
      (reason === undefined || view.reason === reason) &&
      (peer === undefined || view.peer === peer) &&
      (vip === undefined || view.src === vip || view.dst === vip)
    );
    return {
      drops: found.slice(0, limit).map(({ view }) => view),
      next: found.length > limit ? found[limit - 1]?.turn : undefined,
    };
  }
}

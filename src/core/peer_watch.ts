// SPDX-License-Identifier: Apache-2.0

/** What each sign of life from a peer means: a new start voids its SAs, any sign ends its back-off. */
import type { Parts } from "./parts.ts";

/** Who is told. */
export interface PeerWatchers {
  /** The peer was started anew. Called before the message that said so is acted upon. */
  onRestart(peer: string): void;
  /** The peer lives. */
  onAlive(peer: string): void;
}

/** Listens to the boot epochs in messages and answers. */
export class PeerWatch {
  readonly #parts: Parts;
  #watchers: PeerWatchers | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Names whom to tell. */
  tell(watchers: PeerWatchers): void {
    this.#watchers = watchers;
  }

  /** False: the message is of an earlier start of the peer, and must not be acted upon. */
  hear(peer: string, epoch: bigint): boolean {
    const { epochs, clock, counters, log } = this.#parts;
    const news = epochs.observe(peer, epoch, { now: clock.now(), wallMs: clock.wallMs() });
    switch (news) {
      case "stale":
        counters.add("refused-epoch");
        return false;
      case "new":
        counters.add("peer-restarts");
        log.info("A peer was started anew: its SAs are void", { peer, epoch });
        this.#watchers?.onRestart(peer);
        break;
      case "first":
      case "same":
        break;
      default:
        return news satisfies never;
    }
    this.#watchers?.onAlive(peer);
    return true;
  }
}

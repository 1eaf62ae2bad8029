// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** What the page knows of the agent: asked for once a second, and its events as they come. */
import { useEffect, useState } from "preact/hooks";
import type { Event, GetPipesResponse, GetStatusResponse } from "../rpc/gen/psp/v1/status_pb.ts";
import { api, wantsToken, why } from "./api.ts";
import { between, EMPTY, grown, type History, type Look } from "./rates.ts";

const EACH_MS = 1000;
/** Peers that are asked for, those that fail first. */
export const PEERS = 200;
/** Events that the page keeps. */
const EVENTS = 1000;

/** The state of the page. */
export class Feed {
  status: GetStatusResponse | undefined;
  pipes: GetPipesResponse | undefined;
  /** Rates on the edges of the picture and the like, by key. */
  #passed = new Map<string, { count: number; atMs: number; rate: number }>();
  history: History = EMPTY;
  /** Newest first. */
  events: readonly Event[] = [];
  /** Why there is no news; "" while there is. */
  problem = "";
  /** The agent wants a token. */
  locked = false;
  readonly #readers = new Set<() => void>();
  #before: Look | undefined;
  #watching = false;

  constructor() {
    const tick = async () => {
      await this.#look();
      setTimeout(tick, EACH_MS);
    };
    tick();
  }

  /** Calls `reader` after each change; the result ends that. */
  read(reader: () => void): () => void {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  }

  /** A new token: what was refused is tried again. */
  unlock(): void {
    this.locked = false;
    this.#look();
  }

  /** How fast a counter grows now, a second; from the last two times that it was given here. */
  rate(key: string, count: number): number {
    const now = performance.now();
    const last = this.#passed.get(key);
    if (last === undefined || count < last.count) {
      this.#passed.set(key, { count, atMs: now, rate: 0 });
      return 0;
    }
    if (now - last.atMs < EACH_MS / 2) return last.rate;
    const rate = (count - last.count) * 1000 / (now - last.atMs);
    this.#passed.set(key, { count, atMs: now, rate });
    return rate;
  }

  async #look(): Promise<void> {
    if (this.locked) return;
    try {
      const [status, pipes] = await Promise.all([
        api.getStatus({ maxPeers: PEERS }),
        api.getPipes({}),
      ]);
      const look = { atMs: Date.now(), status };
      const values = this.#before === undefined ? {} : between(this.#before, look);
      this.history = grown(this.history, look.atMs, values);
      this.#before = look;
      this.status = status;
      this.pipes = pipes;
      this.problem = "";
      if (!this.#watching) this.#watch();
    } catch (error) {
      this.locked = wantsToken(error);
      this.problem = why(error);
    }
    this.#tell();
  }

  async #watch(): Promise<void> {
    this.#watching = true;
    try {
      const after = this.events[0]?.cursor ?? 0n;
      for await (const event of api.watchEvents({ filter: { after } }, { timeoutMs: 0 })) {
        this.events = [event, ...this.events].slice(0, EVENTS);
        this.#tell();
      }
    } catch {
      // The next look says what is wrong, or watches again.
    }
    this.#watching = false;
  }

  #tell(): void {
    for (const reader of this.#readers) reader();
  }
}

/** The feed, and the component anew after each of its changes. */
export function useFeed(feed: Feed): Feed {
  const [, again] = useState({});
  useEffect(() => {
    // Something may have changed before this effect had its turn.
    again({});
    return feed.read(() => again({}));
  }, [feed]);
  return feed;
}

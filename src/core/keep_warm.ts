// SPDX-License-Identifier: Apache-2.0

/**
 * A connection to each peer before there is a packet for it. A first packet then waits for one exchange, and not
 * for TCP, TLS and the first run of all that code. It says nothing but the boot epoch, which is news worth having:
 * the peer learns of a new start before it sends on old SAs.
 */
import type { PeerConfig } from "../config/config.ts";
import { ExchangeError, type Notice } from "../model/exchange.ts";
import type { EventSink } from "../model/events.ts";
import type { Random } from "../model/random.ts";
import type { Clock } from "../model/clock.ts";
import type { Tasks } from "../model/tasks.ts";
import type { PeerCalls } from "./calls.ts";
import { DueHeap } from "./due_heap.ts";
import type { Scheduler } from "./scheduler.ts";
import {
  WARM_INTERVAL_MS,
  WARM_PEERS,
  WARM_RETRY_FIRST_MS,
  WARM_RETRY_MAX_MS,
  WARM_SPREAD_MS,
  WARM_TIMEOUT_MS,
} from "./limits.ts";

/** What it needs. */
export interface WarmOptions {
  readonly calls: Pick<PeerCalls, "notify">;
  readonly scheduler: Scheduler;
  readonly peers: readonly Pick<PeerConfig, "id">[];
  /** Whether there still is a peer of this id. */
  readonly isPeer: (id: string) => boolean;
  readonly bootEpoch: bigint;
  readonly clock: Clock;
  readonly random: Random;
  /** Work under way, and the signal that ends it. */
  readonly tasks: Tasks;
  /** Learns of a peer that lets this host in no more: with live tunnels nothing else may ask it for hours. */
  readonly events: EventSink;
}

/** What was begun. */
export interface Warm {
  /** A peer has come: it is greeted too, while there are not too many. */
  add(id: string): void;
}

/** Begins; ends with `tasks`. A peer that does not answer is nobody's error here. */
export function keepWarm(options: WarmOptions): Warm {
  const { peers, clock, random, tasks } = options;
  /** How often in a row the call of each failed. */
  const failures = new Map<string, number>();
  /** Those that refuse this host, and how they word it. */
  const refusing = new Map<string, string>();
  const due = new DueHeap();
  let woken = new AbortController();
  const begin = (id: string, spreadMs: number) => {
    if (failures.size >= WARM_PEERS || failures.has(id)) return;
    failures.set(id, 0);
    due.set(id, clock.now() + random.uniform() * spreadMs);
    woken.abort();
  };
  const keep = async (id: string) => {
    const error = await greet(id, options);
    const failed = error === undefined ? 0 : (failures.get(id) ?? 0) + 1;
    failures.set(id, failed);
    if (error?.code === "permission_denied" && refusing.get(id) !== error.message) {
      refusing.set(id, error.message);
      const reason = error.code.replaceAll("_", "-");
      options.events.add("peer-failing", { peer: id, reason, message: error.message });
    } else if (error === undefined) refusing.delete(id);
    const fullMs = failed === 0
      ? WARM_INTERVAL_MS
      : Math.min(WARM_RETRY_FIRST_MS * 2 ** (failed - 1), WARM_RETRY_MAX_MS);
    due.set(id, clock.now() + fullMs * (0.5 + random.uniform() / 2));
    woken.abort();
  };
  /** One timer for all of them. */
  const turn = async () => {
    const { signal } = tasks;
    while (!signal.aborted) {
      for (const id of due.take(clock.now())) {
        if (options.isPeer(id)) tasks.add(keep(id));
        else {
          failures.delete(id);
          refusing.delete(id);
        }
      }
      woken = new AbortController();
      const stop = () => woken.abort();
      signal.addEventListener("abort", stop, { once: true });
      const waitMs = Math.min(due.next() - clock.now(), WARM_INTERVAL_MS);
      await clock.sleep(Math.max(0, waitMs), woken.signal).catch(() => {});
      signal.removeEventListener("abort", stop);
    }
  };
  for (const { id } of peers) {
    if (failures.size >= WARM_PEERS) break;
    begin(id, WARM_SPREAD_MS * Math.min(peers.length, WARM_PEERS));
  }
  tasks.add(turn());
  return { add: (id) => begin(id, WARM_SPREAD_MS) };
}

/** undefined: it answered. */
async function greet(peer: string, options: WarmOptions): Promise<ExchangeError | undefined> {
  const { calls, scheduler, bootEpoch, tasks: { signal } } = options;
  const hello: Notice = { bootEpoch, unknownSpis: [], closed: [], draining: false };
  using _slot = await scheduler.enter({ peer, work: "warm" }, signal);
  try {
    await calls.notify(peer, hello, { timeoutMs: WARM_TIMEOUT_MS });
    return undefined;
  } catch (cause) {
    if (signal.aborted) throw cause;
    return ExchangeError.from(cause);
  }
}

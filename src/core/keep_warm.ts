// SPDX-License-Identifier: Apache-2.0

/**
 * A connection to each peer before there is a packet for it. A first packet then waits for one exchange, and not
 * for TCP, TLS and the first run of all that code. It says nothing but the boot epoch, which is news worth having:
 * the peer learns of a new start before it sends on old SAs.
 */
import type { PeerConfig } from "../config/config.ts";
import type { Notice } from "../model/exchange.ts";
import type { Random } from "../model/random.ts";
import type { Clock } from "../model/clock.ts";
import type { Tasks } from "../model/tasks.ts";
import type { PeerCalls } from "./calls.ts";
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
}

/** What was begun. */
export interface Warm {
  /** A peer has come: it is greeted too, while there are not too many. */
  add(id: string): void;
}

/** Begins; ends with `tasks`. A peer that does not answer is nobody's error here. */
export function keepWarm(options: WarmOptions): Warm {
  const { peers, clock, random, tasks } = options;
  const kept = new Set<string>();
  const begin = (id: string, spreadMs: number) => {
    if (kept.size >= WARM_PEERS || kept.has(id)) return;
    kept.add(id);
    const waitMs = random.uniform() * spreadMs;
    tasks.add(
      clock.sleep(waitMs, tasks.signal).then(() => keep(id, options)).finally(() =>
        kept.delete(id)
      ),
    );
  };
  for (const { id } of peers) begin(id, WARM_SPREAD_MS * Math.min(peers.length, WARM_PEERS));
  return { add: (id) => begin(id, WARM_SPREAD_MS) };
}

async function keep(peer: string, options: WarmOptions): Promise<void> {
  const { clock, random, isPeer, tasks: { signal } } = options;
  let failures = 0;
  while (isPeer(peer)) {
    failures = await greet(peer, options) ? 0 : failures + 1;
    const fullMs = failures === 0
      ? WARM_INTERVAL_MS
      : Math.min(WARM_RETRY_FIRST_MS * 2 ** (failures - 1), WARM_RETRY_MAX_MS);
    await clock.sleep(fullMs * (0.5 + random.uniform() / 2), signal);
  }
}

async function greet(peer: string, options: WarmOptions): Promise<boolean> {
  const { calls, scheduler, bootEpoch, tasks: { signal } } = options;
  const hello: Notice = { bootEpoch, unknownSpis: [], closed: [], draining: false };
  using _slot = await scheduler.enter({ peer, work: "warm" }, signal);
  try {
    await calls.notify(peer, hello, { timeoutMs: WARM_TIMEOUT_MS });
    return true;
  } catch (cause) {
    if (signal.aborted) throw cause;
    return false;
  }
}

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
import { DueHeap } from "./rows.ts";
import type { PeerCalls, Scheduler } from "./scheduler.ts";
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

const NOTHING_WRONG = { failed: 0, refusal: "" } as const;

/** Begins; ends with `tasks`. A peer that does not answer is nobody's error here. */
export function keepWarm(options: WarmOptions): Warm {
  const { peers, clock, random, tasks } = options;
  /** Of each, how often in a row its call failed, and how it words it that it refuses this host; "": it does not. */
  const greeted = new Map<string, { readonly failed: number; readonly refusal: string }>();
  const due = new DueHeap();
  let woken = new AbortController();
  const begin = (id: string, spreadMs: number) => {
    if (greeted.size >= WARM_PEERS || greeted.has(id)) return;
    greeted.set(id, NOTHING_WRONG);
    due.set(id, clock.now() + random.uniform() * spreadMs);
    woken.abort();
  };
  const keep = async (id: string) => {
    const error = await greet(id, options);
    const before = greeted.get(id) ?? NOTHING_WRONG;
    const refusal = error?.code === "permission_denied" ? error.message : before.refusal;
    if (error !== undefined && refusal !== before.refusal) {
      options.events.add("peer-failing", { peer: id, reason: error.codeText, message: refusal });
    }
    const failed = error === undefined ? 0 : before.failed + 1;
    greeted.set(id, error === undefined ? NOTHING_WRONG : { failed, refusal });
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
        else greeted.delete(id);
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
    if (greeted.size >= WARM_PEERS) break;
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

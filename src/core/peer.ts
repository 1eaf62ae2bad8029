// SPDX-License-Identifier: Apache-2.0

/** All that is known of one peer: whether it may ask, and how it is asked. */
import type { Config, PeerConfig } from "../config/config.ts";
import { Aborts } from "../model/aborts.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import {
  ExchangeError,
  LEAST_TUNNELS,
  MAX_TUNNELS_PER_REQUEST,
  RATE_REFUSAL,
  requestWeight,
} from "../model/exchange.ts";
import type { Log } from "../model/log.ts";
import type { Random } from "../model/random.ts";
import type { PspVersion } from "../model/sa.ts";
import type { Tasks } from "../model/tasks.ts";
import type { Peers } from "./directory.ts";
import { type AskingState, IDLE } from "./initiator.ts";
import type { Tunnel } from "./tunnel_table.ts";
import { Waiting } from "./waiting.ts";
import type { Work } from "./work.ts";
import {
  ALL_PEERS_FACTOR,
  CLOCKS_DIFFER_MS,
  CROWDED_RATE,
  LAG_MS,
  LOSS_DOUBT_MS,
  PACE_BURST,
  PACE_RATE,
  SLOW_FIRST_MS,
  SLOW_FOR_MS,
  SLOW_MAX_MS,
  STALE_FUTURE_MS,
  STALE_MS,
} from "./limits.ts";

/** What is needed to ask peers. */
export interface PeerLineOptions {
  readonly config: Pick<Config, "tunnel">;
  readonly clock: Clock;
  readonly random: Random;
  /** Its signal ends a pause. */
  readonly tasks: Pick<Tasks, "signal">;
}

/** The same with the listeners of the signal, of which all lines together are one. */
interface LineOptions extends PeerLineOptions {
  readonly aborts: Aborts;
  /** Peers whose last exchange failed. */
  readonly failing: Set<string>;
}

/** What is known about asking each peer. */
export class PeerLines {
  readonly #options: LineOptions;
  readonly #lines = new Map<string, PeerLine>();
  readonly #unreached = new Set<string>();

  constructor(options: PeerLineOptions) {
    this.#options = { ...options, aborts: new Aborts(), failing: new Set() };
  }

  of(peer: string): PeerLine {
    let line = this.#lines.get(peer);
    if (line === undefined) this.#lines.set(peer, line = new PeerLine(peer, this.#options));
    return line;
  }

  /** Peers whose last exchange failed, the one that began to first. */
  failing(): Iterable<string> {
    return this.#options.failing;
  }

  /** Peers at which no packet arrives, though they answer. */
  unreached(): Iterable<string> {
    return this.#unreached;
  }

  /** Packets to the peer arrive, or none does. True when that is new. */
  reach(peer: string, isReached: boolean): boolean {
    if (isReached !== this.#unreached.has(peer)) return false;
    if (isReached) this.#unreached.delete(peer);
    else this.#unreached.add(peer);
    this.of(peer).unreachedSince = isReached ? undefined : this.#options.clock.now();
    return true;
  }

  /** A tunnel has another state. */
  changed(tunnel: Tunnel): void {
    const line = this.#lines.get(tunnel.peer);
    if (line !== undefined && line.waiting.size > 0) {
      line.waiting.changed(tunnel, this.#options.clock.now());
    }
  }

  /** The peer is gone: whoever waits for it is woken, and finds that out. */
  forget(peer: string): void {
    const line = this.#lines.get(peer);
    line?.waiting.clear();
    line?.wake();
    this.#lines.delete(peer);
    this.#options.failing.delete(peer);
    this.#unreached.delete(peer);
  }
}

/** One peer as the initiator sees it: who waits, how it went lately, when it may be asked again. */
export class PeerLine {
  /** Tunnels for its next request. */
  readonly waiting: Waiting = new Waiting();
  readonly backOff: BackOff;
  readonly pace: Pace = new Pace();
  /** Where asking it stands; only the initiator's driver writes it. */
  asking: AskingState = IDLE;
  /** While its next exchange waits for a place: says that it has become more urgent. */
  raise: ((work: Work) => void) | undefined;
  lastError = "";
  /** The version that the last exchange agreed upon. */
  version: PspVersion | undefined;
  /** Until then a failure drops nothing: the peer said that it stops, and may come back at once. */
  patientUntil = 0;
  failingSince: number | undefined;
  /** Until then what is sent to it may not arrive. */
  doubtedUntil = -Infinity;
  /** Since when nothing that is sent to it arrives, though its agent answers. */
  unreachedSince: number | undefined;
  /** Tunnels in its next request at most: fewer while this host is late, so that none waits long behind the others. */
  most = MAX_TUNNELS_PER_REQUEST;
  readonly #options: LineOptions;
  #wake: AbortController | undefined;

  constructor(readonly peer: string, options: LineOptions) {
    this.#options = options;
    const { config, random } = options;
    this.backOff = new BackOff({
      get firstMs() {
        return config.tunnel.backOffMs;
      },
      get maxMs() {
        return config.tunnel.backOffMaxMs;
      },
      random,
    });
  }

  /** Sleeps until `ms` are over or somebody wakes it. Throws only when the core stops. */
  async pause(ms: number): Promise<void> {
    const { clock, tasks: { signal }, aborts } = this.#options;
    const wake = new AbortController();
    this.#wake = wake;
    const stop = (reason: unknown) => wake.abort(reason);
    signal.throwIfAborted();
    aborts.add(signal, stop);
    try {
      await clock.sleep(ms, wake.signal);
    } catch {
      signal.throwIfAborted();
    } finally {
      aborts.remove(signal, stop);
    }
  }

  /** This host was so late during an exchange with it. */
  lagged(lateMs: number): void {
    this.most = lateMs >= LAG_MS
      ? Math.max(LEAST_TUNNELS, this.most / 2)
      : Math.min(MAX_TUNNELS_PER_REQUEST, this.most * 2);
  }

  /** What is sent to it may be lost: some is missing, or it hears nothing. */
  doubt(): void {
    this.doubtedUntil = this.#options.clock.now() + LOSS_DOUBT_MS;
  }

  /** The peer may be tried at once. */
  wake(): void {
    this.#wake?.abort();
  }

  /** An exchange went well, or the peer was heard from. True when it had been failing. */
  recovered(): boolean {
    const had = this.backOff.succeed();
    if (had) this.#options.failing.delete(this.peer);
    this.failingSince = undefined;
    this.lastError = "";
    if (had) this.wake();
    return had;
  }

  /** An exchange failed: returns for how long the peer is left alone. */
  failed(error: string, capMs: number): number {
    const now = this.#options.clock.now();
    this.lastError = error;
    this.failingSince ??= now;
    this.#options.failing.add(this.peer);
    return this.backOff.fail(now, capMs);
  }
}

/** As status shows it. */
export type Circuit = "closed" | "open" | "half-open";

export interface BackOffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  readonly random: Random;
}

/** The memory of a peer's failures. Times are of `Clock.now`. */
export class BackOff {
  #failures = 0;
  #until = 0;
  #trying = false;

  constructor(readonly options: BackOffOptions) {}

  get failures(): number {
    return this.#failures;
  }

  /** When the next attempt may be made; undefined: now. */
  nextAttemptAt(now: number): number | undefined {
    return this.#failures > 0 && now < this.#until ? this.#until : undefined;
  }

  /** Closed: healthy. Open: left alone. Half-open: one attempt is due or under way. */
  circuit(now: number): Circuit {
    if (this.#failures === 0) return "closed";
    return !this.#trying && now < this.#until ? "open" : "half-open";
  }

  /** An attempt begins. */
  begin(): void {
    this.#trying = true;
  }

  /** It failed: returns for how long the peer is left alone, at most `capMs`. */
  fail(now: number, capMs = Infinity): number {
    const { firstMs, maxMs, random } = this.options;
    const full = Math.min(firstMs * 2 ** Math.min(this.#failures, 30), maxMs, capMs);
    this.#failures++;
    this.#trying = false;
    // Between half and all of it, so that many hosts do not come back at the same instant.
    const waitMs = full * (0.5 + random.uniform() / 2);
    this.#until = now + waitMs;
    return waitMs;
  }

  /** It succeeded, or the peer was heard from. True when there had been failures. */
  succeed(): boolean {
    const had = this.#failures > 0;
    this.#failures = 0;
    this.#until = 0;
    this.#trying = false;
    return had;
  }
}

/** The pace towards one peer. Times are of `Clock.now`. */
export class Pace {
  readonly #bucket = new TokenBucket(PACE_RATE, PACE_BURST);
  #slowMs = SLOW_FIRST_MS;
  #refusedAt = -Infinity;
  #askedAt = -Infinity;

  /** 0: a request of so many tunnels goes now, and is counted. Else the milliseconds until one may. */
  take(now: number, tunnels: number): number {
    const slowMs = this.isSlow(now) ? this.#askedAt + this.#slowMs - now : 0;
    if (slowMs > 0) return Math.max(1, Math.ceil(slowMs));
    const weight = requestWeight(tunnels);
    if (!this.#bucket.take(now, weight)) return Math.max(1, Math.ceil(this.#bucket.waitMs(weight)));
    this.#askedAt = now;
    return 0;
  }

  /** Whether the peer has refused a request for the rate, not long ago: it may count requests, whatever is in them. */
  isSlow(now: number): boolean {
    return now - this.#refusedAt < SLOW_FOR_MS;
  }

  /** The peer refused a request for the rate, and may be asked again after so many milliseconds. */
  refused(now: number): number {
    // Soon after the last refusal: that was not slow enough. Long after it: the peer may allow more by now.
    const soon = this.isSlow(now);
    this.#slowMs = soon
      ? Math.min(2 * this.#slowMs, SLOW_MAX_MS)
      : Math.max(this.#slowMs / 2, SLOW_FIRST_MS);
    this.#refusedAt = this.#askedAt = now;
    return this.#slowMs;
  }
}

/** A bucket that begins full. Time comes in as a parameter. */
export class TokenBucket {
  #tokens: number;
  #at: number | undefined;

  /** `rate` tokens come in each second, at most `burst` are kept. */
  constructor(readonly rate: number, readonly burst: number) {
    this.#tokens = burst;
  }

  /** Takes `n`, one by default, when they are there; `n` may be a part of one. */
  take(now: number, n = 1): boolean {
    const elapsed = this.#at === undefined ? 0 : Math.max(0, now - this.#at);
    this.#at = now;
    this.#tokens = Math.min(this.burst, this.#tokens + elapsed * this.rate / 1000);
    if (this.#tokens < n) return false;
    this.#tokens -= n;
    return true;
  }

  /** Milliseconds from the last look until `n` are there. */
  waitMs(n: number): number {
    return Math.max(0, n - this.#tokens) * 1000 / this.rate;
  }
}

export type EpochNews = "first" | "same" | "new" | "stale";

/** The boot epochs that peers have told. */
export class Epochs {
  readonly #known = new Map<string, { epoch: bigint; heardAt: number }>();

  /**
   * What a message with `epoch` says about its sender. `now` never steps, `wallMs` is this host's clock, which may be
   * the wrong one: an epoch of the future is no reason to refuse a peer.
   */
  news(
    peer: string,
    epoch: bigint,
    { now, wallMs }: { readonly now: number; readonly wallMs: number },
  ): EpochNews {
    const known = this.#known.get(peer);
    if (known === undefined) return "first";
    if (epoch < known.epoch) {
      const isFuture = known.epoch > BigInt(Math.floor(wallMs + CLOCKS_DIFFER_MS));
      if (now - known.heardAt < (isFuture ? STALE_FUTURE_MS : STALE_MS)) return "stale";
    }
    return known.epoch === epoch ? "same" : "new";
  }

  /** The same, and remembers it; a stale one changes nothing. */
  observe(
    peer: string,
    epoch: bigint,
    at: { readonly now: number; readonly wallMs: number },
  ): EpochNews {
    const news = this.news(peer, epoch, at);
    if (news !== "stale") this.#known.set(peer, { epoch, heardAt: at.now });
    return news;
  }

  /** The peer is gone: if it comes again, nothing is held against its epoch. */
  forget(peer: string): void {
    this.#known.delete(peer);
  }

  /** When it was heard last; undefined: never. */
  heardAt(peer: string): number | undefined {
    return this.#known.get(peer)?.heardAt;
  }

  /** 0n: never heard. */
  of(peer: string): bigint {
    return this.#known.get(peer)?.epoch ?? 0n;
  }
}

/** Who is told. */
export interface PeerWatchers {
  /** The peer was started anew. Called before the message that said so is acted upon. */
  onRestart(peer: string): void;
  /** The peer lives. */
  onAlive(peer: string): void;
}

/** Listens to the boot epochs in messages and answers: a new start voids SAs, any sign of life ends a back-off. */
export class PeerWatch {
  readonly #options: {
    readonly epochs: Epochs;
    readonly clock: Clock;
    readonly counters: Counters;
    readonly log: Log;
  };
  #watchers: PeerWatchers | undefined;

  constructor(
    options: {
      readonly epochs: Epochs;
      readonly clock: Clock;
      readonly counters: Counters;
      readonly log: Log;
    },
  ) {
    this.#options = options;
  }

  /** Names whom to tell. */
  tell(watchers: PeerWatchers): void {
    this.#watchers = watchers;
  }

  /** False: the message is of an earlier start of the peer, and must not be acted upon. */
  hear(peer: string, epoch: bigint): boolean {
    const { epochs, clock, counters, log } = this.#options;
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

/** What the gate goes by. */
export interface PeerGateOptions {
  readonly config: Pick<Config, "rpc">;
  readonly peers: Pick<Peers, "get" | "denied" | "count">;
  readonly epochs: Pick<Epochs, "of">;
  readonly watch: Pick<PeerWatch, "hear">;
  readonly clock: Pick<Clock, "now">;
  /** Whether this host is too slow at this moment, and others than this peer have tunnels with it. */
  readonly isCrowded: (peer: string) => boolean;
  readonly counters: Counters;
}

/** What somebody took lately: grows by what is taken, and is forgotten by and by. Near what comes in a second. */
class Lately {
  #level = 0;
  #at = 0;

  add(now: number, n: number): number {
    this.#level = this.#level * Math.exp((this.#at - now) / 1000) + n;
    this.#at = now;
    return this.#level;
  }
}

interface PeerBuckets {
  readonly own: TokenBucket;
  readonly kept: TokenBucket;
  readonly lately: Lately;
}

/** The gate that every message of a peer passes: known, not denied, within the rate, of the current start. */
export class PeerGate {
  readonly #options: PeerGateOptions;
  /** Of each peer: what it may ask for, and its part of what is kept for each when all together ask for too much. */
  readonly #buckets = new Map<string, PeerBuckets>();
  #all: TokenBucket | undefined;
  /** Nothing is served any more. */
  stopping = false;

  constructor(options: PeerGateOptions) {
    this.#options = options;
  }

  /** The limits are others now: every peer begins with a full bucket. */
  limitsChanged(): void {
    this.#buckets.clear();
    this.#all = undefined;
  }

  forget(id: string): void {
    this.#buckets.delete(id);
  }

  /**
   * The peer's configuration. `weight` is what its message costs, as a share of a full request; a notice makes this
   * host look through all tunnels of the peer, and counts as one. Throws `ExchangeError`: permission_denied,
   * unavailable, resource_exhausted.
   */
  admit(id: string, weight = 1): PeerConfig {
    const { peers, counters, clock, config: { rpc } } = this.#options;
    const peer = peers.get(id);
    if (peer === undefined || peers.denied(id)) {
      counters.add("refused-identity");
      throw new ExchangeError("permission_denied", `${id} is not a peer of this host`);
    }
    if (this.stopping) throw new ExchangeError("unavailable", "this agent is stopping");
    const now = clock.now();
    const { peerRate, peerBurst } = rpc;
    let buckets = this.#buckets.get(id);
    if (buckets === undefined) {
      const part = ALL_PEERS_FACTOR / Math.max(1, peers.count);
      buckets = {
        own: new TokenBucket(peerRate, peerBurst),
        kept: new TokenBucket(peerRate * part, Math.max(1, peerBurst * part)),
        lately: new Lately(),
      };
      this.#buckets.set(id, buckets);
    }
    const all = this.#all ??= new TokenBucket(
      peerRate * ALL_PEERS_FACTOR,
      peerBurst * ALL_PEERS_FACTOR,
    );
    const { own, kept, lately } = buckets;
    // Where there is not enough for all, whoever takes most waits: its rate is a limit, no promise.
    const isMuch = lately.add(now, 0) >= CROWDED_RATE && this.#options.isCrowded(id);
    if (isMuch || !own.take(now, weight) || !(all.take(now, weight) || kept.take(now, weight))) {
      counters.add("refused-rate");
      throw new ExchangeError("resource_exhausted", RATE_REFUSAL);
    }
    lately.add(now, weight);
    return peer;
  }

  /** Throws `ExchangeError` failed_precondition for a message of an earlier start of the peer. */
  checkEpoch(id: string, epoch: bigint): void {
    if (this.#options.watch.hear(id, epoch)) return;
    throw new ExchangeError(
      "failed_precondition",
      `Boot epoch ${epoch} is over: ${this.#options.epochs.of(id)} is known`,
    );
  }
}

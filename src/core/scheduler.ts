// SPDX-License-Identifier: Apache-2.0

/**
 * The one gate before everything that asks peers: a bounded number of calls under way, of tunnels in them, and of
 * handshakes, under way and begun in a second. Who waits goes by its kind of work, a held packet first, and in turn
 * within a kind. The bounds follow what this host can do, as congestion control does: they grow while answers come in
 * time and shrink when the event loop lags, or when handshakes do not come to their end.
 *
 * A call that has its turn gets its deadline, which holds: on the core's clock, and also for a call that heeds no signal and
 * never returns. What the library under a client does with `timeoutMs` besides (it tells the peer, and ends the stream)
 * is a courtesy that nobody here relies upon.
 */
import { Aborts } from "../model/aborts.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import {
  type CallOptions,
  type CountQuestion,
  ExchangeError,
  type NewTunnelReply,
  type NewTunnelRequest,
  type Notice,
  type PacketCount,
  type PacketQuestion,
  type TunnelClient,
  wipeKeys,
} from "../model/exchange.ts";
import type { ExplainView } from "../model/status.ts";
import type { Tasks } from "../model/tasks.ts";
import {
  BURST,
  CALL_COUNTS_MS,
  HANDSHAKES_FIRST,
  HANDSHAKES_MAX,
  HANDSHAKES_MIN,
  LAG_MS,
  LOOK_LATE_MS,
  LOOK_MS,
  SCHEDULE_SHARE,
  SHAKING_FIRST,
  SHAKING_MAX,
  SHAKING_MIN,
  TUNNELS_IN_FLIGHT,
  WINDOW_FIRST,
  WINDOW_MAX,
  WINDOW_MIN,
} from "./limits.ts";
import { moreUrgent, WORK, type Work } from "./work.ts";

/** A place among the calls under way. Disposing of it leaves it, as not in time. */
export interface Slot extends Disposable {
  /** The call is over; a second time does nothing. `inTime`: its answer came within half of its deadline. */
  leave(inTime: boolean): void;
}

/** What it goes by. */
export interface SchedulerOptions {
  readonly clock: Pick<Clock, "now" | "sleep">;
  /** Whether a call to the peer needs no handshake; absent: it is not known, and none does. */
  readonly isConnected?: ((peer: string) => boolean) | undefined;
  readonly counters: Counters;
}

interface Waiting {
  readonly peer: string;
  readonly tunnels: number;
  work: Work;
  readonly admit: (slot: Slot) => void;
}

interface Queue {
  readonly warm: Set<Waiting>;
  readonly cold: Set<Waiting>;
}

/** A call that is under way. */
interface Underway {
  readonly since: number;
  readonly tunnels: number;
  /** It needs a handshake first. */
  readonly isCold: boolean;
  /** It takes a place: an answer may still come when it does not. */
  counts: boolean;
  /** Its place was left. */
  left: boolean;
}

/** The gate. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #aborts = new Aborts();
  /** By kind, in the order in which they came: to peers with a connection, and to those that need a handshake. */
  readonly #queues: ReadonlyMap<Work, Queue> = new Map(
    WORK.map((work) => [work, { warm: new Set(), cold: new Set() }]),
  );
  /** Those that take a place, the oldest first. */
  readonly #underway = new Set<Underway>();
  #tunnels = 0;
  #cold = 0;
  #window = WINDOW_FIRST;
  #shaking = SHAKING_FIRST;
  #handshakes = HANDSHAKES_FIRST;
  /** Handshakes that may begin now, and since when that is so. */
  #credit = BURST;
  #creditAt: number;
  #lag = 0;
  #lagging = false;
  #turn = 0;
  /** Calls that may begin before the rest of the loop has its turn. */
  #burst = BURST;
  #goingOn = false;
  #looking = false;
  #waking = false;
  /** Somebody waits for a handshake's turn alone. */
  #short = false;
  /** Somebody had to, since the last tick. */
  #wasShort = false;
  /** Handshakes since the last tick: those whose call was answered in time, and the others. */
  #shaken = { inTime: 0, late: 0 };

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#creditAt = options.clock.now();
  }

  /** Milliseconds that the event loop has been late, in all: what grows during a call is no fault of the peer. */
  get lagMs(): number {
    return this.#lag;
  }

  /** The last tick was late: this host does more than it can. */
  get isLate(): boolean {
    return this.#lagging;
  }

  /** Calls that may be under way now. */
  get window(): number {
    return Math.floor(this.#window);
  }

  /** Of these, calls that need a handshake. */
  get shaking(): number {
    return Math.floor(Math.min(this.#shaking, this.#window));
  }

  /** Handshakes that may begin in a second. */
  get handshakes(): number {
    return this.#handshakes;
  }

  get waiting(): number {
    let sum = 0;
    for (const { warm, cold } of this.#queues.values()) sum += warm.size + cold.size;
    return sum;
  }

  /**
   * A place for a call to `peer`, as soon as there is one; its deadline begins then. Rejects when `signal` aborts.
   * `raisable` is given the means to say that the work has become more urgent while it waits.
   */
  enter(
    on: { readonly peer: string; readonly work: Work; readonly tunnels?: number },
    signal: AbortSignal,
    raisable?: (raise: (work: Work) => void) => void,
  ): Promise<Slot> {
    if (signal.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const abort = (reason: unknown) => {
        this.#remove(waiting);
        reject(reason);
      };
      const waiting: Waiting = {
        peer: on.peer,
        tunnels: on.tunnels ?? 0,
        work: on.work,
        admit: (slot) => {
          this.#aborts.remove(signal, abort);
          resolve(slot);
        },
      };
      this.#aborts.add(signal, abort);
      this.#add(waiting);
      raisable?.((work) => {
        if (moreUrgent(work, waiting.work) === waiting.work || !this.#remove(waiting)) return;
        waiting.work = work;
        this.#add(waiting);
        this.#admit();
      });
      this.#admit();
    });
  }

  /** The event loop was `lateMs` late since the last call. Call it in every tick, with 0 too. */
  tick(lateMs: number): void {
    this.#lag += lateMs;
    this.#lagging = lateMs >= LAG_MS;
    const { inTime, late } = this.#shaken;
    this.#shaken = { inTime: 0, late: 0 };
    if (this.#lagging) {
      this.#options.counters.add("host-overloaded");
      this.#window = Math.max(WINDOW_MIN, this.#window / 2);
      this.#shaking = Math.max(SHAKING_MIN, this.#shaking / 2);
      this.#handshakes = Math.max(HANDSHAKES_MIN, this.#handshakes / 2);
    } else if (late > inTime) {
      // More is begun than comes to its end, here or on the way.
      this.#handshakes = Math.max(HANDSHAKES_MIN, this.#handshakes * 0.75);
    } else if (this.#wasShort && inTime > 0) {
      // Only what is used up, and answered, shows that more would do.
      this.#handshakes = Math.min(HANDSHAKES_MAX, this.#handshakes * 1.25);
    }
    this.#wasShort = false;
    this.#admit();
  }

  #queue(work: Work): Queue {
    // Every kind has one from the start.
    return this.#queues.get(work) as Queue;
  }

  #add(waiting: Waiting): void {
    const { warm, cold } = this.#queue(waiting.work);
    (this.#isConnected(waiting) ? warm : cold).add(waiting);
  }

  /** False: it does not wait any more. */
  #remove(waiting: Waiting): boolean {
    const { warm, cold } = this.#queue(waiting.work);
    return warm.delete(waiting) || cold.delete(waiting);
  }

  #isConnected({ peer }: Waiting): boolean {
    return this.#options.isConnected?.(peer) ?? true;
  }

  #admit(): void {
    this.#short = false;
    while (this.#burst > 0 && this.#underway.size < this.window) {
      const next = this.#next();
      if (next === undefined) break;
      this.#remove(next);
      this.#burst--;
      next.admit(this.#slot(next));
    }
    this.#look();
    if (this.#burst <= 0) this.#goOn();
    else this.#wakeForCredit();
  }

  /** Once the rest of the loop had its turn. */
  #goOn(): void {
    if (this.#goingOn) return;
    this.#goingOn = true;
    this.#options.clock.sleep(0).then(() => {
      this.#goingOn = false;
      this.#burst = BURST;
      this.#admit();
    });
  }

  /**
   * The first of the most urgent kind. Every eighth place goes by the reverse order, so that nothing waits for ever
   * behind a stream of urgent work.
   */
  #next(): Waiting | undefined {
    const order = ++this.#turn % SCHEDULE_SHARE === 0 ? LEAST_URGENT_FIRST : WORK;
    for (const work of order) {
      const next = this.#warmOf(work) ?? this.#coldOf(work);
      if (next === undefined) continue;
      const room = this.#tunnels === 0 || this.#tunnels + next.tunnels <= TUNNELS_IN_FLIGHT;
      if (!room) continue;
      if (this.#isConnected(next) || this.#takeHandshake()) return next;
    }
    return undefined;
  }

  /** The first to a peer with a connection; one whose connection has gone meanwhile needs a handshake. */
  #warmOf(work: Work): Waiting | undefined {
    const { warm, cold } = this.#queue(work);
    for (const waiting of warm) {
      if (this.#isConnected(waiting)) return waiting;
      warm.delete(waiting);
      cold.add(waiting);
    }
    return undefined;
  }

  #coldOf(work: Work): Waiting | undefined {
    const [first] = this.#queue(work).cold;
    return first;
  }

  #takeHandshake(): boolean {
    // The end of one of them lets the next one in.
    if (this.#cold >= this.shaking) return false;
    const now = this.#options.clock.now();
    const earned = (now - this.#creditAt) * this.#handshakes / 1000;
    this.#credit = Math.min(BURST, this.#credit + earned);
    this.#creditAt = now;
    if (this.#credit < 1) {
      this.#short = this.#wasShort = true;
      return false;
    }
    this.#credit -= 1;
    return true;
  }

  /** Somebody waits for a handshake's turn, and nobody's end would wake it. */
  #wakeForCredit(): void {
    if (this.#waking || !this.#short) return;
    this.#waking = true;
    const waitMs = Math.max(1, Math.ceil((1 - this.#credit) * 1000 / this.#handshakes));
    this.#options.clock.sleep(waitMs).then(() => {
      this.#waking = false;
      this.#admit();
    });
  }

  #slot({ peer, tunnels }: Waiting): Slot {
    const isCold = !(this.#options.isConnected?.(peer) ?? true);
    const underway: Underway = {
      since: this.#options.clock.now(),
      tunnels,
      isCold,
      counts: true,
      left: false,
    };
    this.#underway.add(underway);
    this.#tunnels += tunnels;
    if (isCold) this.#cold++;
    const slot: Slot = {
      leave: (inTime) => {
        if (underway.left) return;
        underway.left = true;
        if (isCold) this.#shaken[inTime ? "inTime" : "late"]++;
        if (inTime && !this.#lagging && this.waiting > 0) {
          this.#window = Math.min(WINDOW_MAX, this.#window + 1 / this.#window);
          if (isCold) this.#shaking = Math.min(SHAKING_MAX, this.#shaking + 1 / this.#shaking);
        }
        this.#free(underway);
        this.#admit();
      },
      [Symbol.dispose]: () => slot.leave(false),
    };
    return slot;
  }

  #free(underway: Underway): void {
    if (!underway.counts) return;
    underway.counts = false;
    this.#underway.delete(underway);
    this.#tunnels -= underway.tunnels;
    if (underway.isCold) this.#cold--;
  }

  /**
   * While calls are under way or wait: how late the loop comes to it, which is what everybody else waits for, too; and
   * the places of those that are silent. At rest it costs nothing.
   */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const { clock } = this.#options;
    while (this.#underway.size > 0 || this.waiting > 0) {
      const due = clock.now() + LOOK_MS;
      await clock.sleep(LOOK_MS);
      this.#burst = BURST;
      const now = clock.now();
      if (now - due >= LOOK_LATE_MS) this.#slower();
      if (!this.#lagging) {
        for (const underway of this.#underway) {
          // Whoever is silent for so long only waits for its deadline: it must not hold up the others.
          if (now - underway.since < CALL_COUNTS_MS) break;
          this.#free(underway);
        }
      }
      this.#admit();
    }
    this.#looking = false;
  }

  #slower(): void {
    this.#window = Math.max(WINDOW_MIN, this.#window * 0.9);
    this.#shaking = Math.max(SHAKING_MIN, this.#shaking * 0.9);
  }
}

const LEAST_URGENT_FIRST: readonly Work[] = [...WORK].reverse();

/** A `TunnelClient` whose calls end when they should, and with the core. They reject with `ExchangeError`. */
export interface PeerCalls {
  /** The keys of an answer that comes too late are wiped. */
  newTunnel(
    peer: string,
    request: NewTunnelRequest,
    options: Omit<CallOptions, "signal">,
  ): Promise<NewTunnelReply>;
  notify(
    peer: string,
    notice: Notice,
    options: Omit<CallOptions, "signal">,
  ): Promise<{ readonly bootEpoch: bigint }>;
  /** See `TunnelClient.notifyAt`. */
  notifyAt(
    peer: string,
    address: string,
    notice: Notice,
    options: Omit<CallOptions, "signal">,
  ): Promise<{ readonly bootEpoch: bigint }>;
  /** See `TunnelClient.explain`. */
  explain(
    peer: string,
    question: PacketQuestion,
    options: Omit<CallOptions, "signal">,
  ): Promise<ExplainView>;
  /** See `TunnelClient.countPackets`. */
  countPackets(
    peer: string,
    question: CountQuestion,
    options: Omit<CallOptions, "signal">,
  ): Promise<readonly PacketCount[]>;
}

/** Why what belongs to a call ends with it; one for all, because a fresh error costs its stack trace. */
const OVER = new DOMException("the call is over", "AbortError");

/** The same client with deadlines. Calls under way end with `tasks`, which waits for them. */
export function withDeadlines(
  client: TunnelClient,
  powers: { readonly clock: Pick<Clock, "sleep">; readonly tasks: Tasks },
): PeerCalls {
  const { clock, tasks } = powers;
  const within = async <T>(
    timeoutMs: number,
    begin: (signal: AbortSignal) => Promise<T>,
    late: (answer: T) => void,
  ): Promise<T> => {
    const over = new AbortController();
    // Not AbortSignal.any: that is a third signal for each call.
    const stop = () => over.abort(tasks.signal.reason);
    if (tasks.signal.aborted) stop();
    tasks.signal.addEventListener("abort", stop, { once: true });
    let answered = false;
    const call = begin(over.signal);
    const deadline = clock.sleep(timeoutMs, over.signal).then(() => {
      throw new ExchangeError("deadline_exceeded", `no answer within ${timeoutMs} ms`);
    });
    deadline.catch(() => {});
    try {
      const answer = await Promise.race([call, deadline]);
      answered = true;
      return answer;
    } finally {
      tasks.signal.removeEventListener("abort", stop);
      over.abort(OVER);
      if (!answered) tasks.add(call.then(late, () => {}));
    }
  };
  return {
    newTunnel: (peer, request, { timeoutMs, onSent }) =>
      within(
        timeoutMs,
        (signal) => client.newTunnel(peer, request, { timeoutMs, signal, onSent }),
        wipeKeys,
      ),
    notify: (peer, notice, { timeoutMs }) =>
      within(timeoutMs, (signal) => client.notify(peer, notice, { timeoutMs, signal }), () => {}),
    notifyAt: (peer, address, notice, { timeoutMs }) =>
      within(
        timeoutMs,
        (signal) => client.notifyAt(peer, address, notice, { timeoutMs, signal }),
        () => {},
      ),
    explain: async (peer, question, { timeoutMs }) => {
      if (client.explain === undefined) {
        throw new ExchangeError("unimplemented", "peers cannot be asked");
      }
      const ask = client.explain.bind(client);
      return await within(
        timeoutMs,
        (signal) => ask(peer, question, { timeoutMs, signal }),
        () => {},
      );
    },
    countPackets: async (peer, question, { timeoutMs }) => {
      if (client.countPackets === undefined) {
        throw new ExchangeError("unimplemented", "peers cannot be asked");
      }
      const ask = client.countPackets.bind(client);
      return await within(
        timeoutMs,
        (signal) => ask(peer, question, { timeoutMs, signal }),
        () => {},
      );
    },
  };
}

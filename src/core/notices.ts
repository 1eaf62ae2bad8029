// SPDX-License-Identifier: Apache-2.0

/** What hosts tell each other without being asked: SPIs they do not know, tunnels they closed, that they stop. */
import type { PlaneEvent } from "../../ffi/plane.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import type { Notice } from "../model/exchange.ts";
import type { Flows } from "../model/flows.ts";
import type { Log } from "../model/log.ts";
import { isReservedSpi, pairKey, type VipPair } from "../model/sa.ts";
import type { Tasks } from "../model/tasks.ts";
import { canonicalVip } from "../model/vip.ts";
import type { PeerCalls } from "./calls.ts";
import type { Peers } from "./directory.ts";
import { DueHeap } from "./due_heap.ts";
import {
  CONFIRM_AFTER_MS,
  DRAINING_COLD,
  DRAINING_TIMEOUT_MS,
  HOLD_AFTER_MS,
  NOTICE_CONFIRMED,
  NOTICE_INTERVAL_MS,
  NOTICE_ITEMS,
  NOTICE_TIMEOUT_MS,
  NOTICE_TRIES,
  NOTICES_AT_ONCE,
  PATIENCE_MS,
} from "./limits.ts";
import type { Epochs, PeerGate, PeerLines, PeerWatch } from "./peer.ts";
import type { Scheduler } from "./scheduler.ts";
import { isLive } from "./tunnel.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

/** What a peer is to be told. */
interface Contents {
  readonly unknownSpis: Set<number>;
  readonly closed: Map<string, VipPair>;
  /** SPIs of the peer by pair, and from when on it is told that this host sends with them. */
  readonly confirmed: Map<string, { readonly spi: number; readonly at: number }>;
}

interface Outbox extends Contents {
  nextAt: number;
  sending: boolean;
  /** Notices in a row that did not arrive. */
  failures: number;
}

/** What notices are sent with, and what they speak of. */
export interface NoticesOptions {
  readonly bootEpoch: bigint;
  readonly calls: Pick<PeerCalls, "notify">;
  readonly scheduler: Scheduler;
  /** Whether a call to a peer needs no handshake; absent: it is not known. */
  readonly isConnected?: ((peer: string) => boolean) | undefined;
  readonly peers: Pick<Peers, "byPip" | "denied">;
  readonly table: TunnelTable;
  readonly flows: Pick<Flows, "txStats">;
  readonly watch: Pick<PeerWatch, "hear">;
  /** Rotations of the master key so far. */
  readonly generation: () => bigint;
  readonly clock: Clock;
  readonly tasks: Tasks;
  readonly counters: Counters;
  readonly log: Log;
}

/** The sender of notices. */
export class Notices {
  readonly #options: NoticesOptions;
  readonly #table: TunnelTable;
  readonly #outboxes = new Map<string, Outbox>();
  /** When each is to be looked at. */
  readonly #due = new DueHeap();

  constructor(options: NoticesOptions) {
    this.#options = options;
    this.#table = options.table;
  }

  /** A packet could not be authenticated, or nobody here accepts its SPI: its sender is told. */
  syndrome({ spi, srcPip }: Extract<PlaneEvent, { type: "syndrome" }>): void {
    const { peers, counters } = this.#options;
    // Nobody was ever given one, and the peer would refuse the whole notice.
    if (isReservedSpi(spi)) return;
    const rx = this.#table.byRxSpi(spi)?.state.rx.find(({ sa }) => sa.spi === spi);
    // A known SPI under a living key: forged or damaged packets, and no reason to give it up.
    if (rx !== undefined && rx.generation + 2n > this.#options.generation()) return;
    const senders = peers.byPip(srcPip);
    if (senders.length === 0) counters.add("untraced-spis");
    for (const peer of senders) {
      if (peers.denied(peer)) continue;
      const outbox = this.#outbox(peer);
      if (outbox.unknownSpis.size >= NOTICE_ITEMS || outbox.unknownSpis.has(spi)) continue;
      outbox.unknownSpis.add(spi);
      this.#wake(peer, outbox);
      counters.add("unknown-spis");
    }
  }

  /** This side closed a tunnel for want of traffic. */
  closed(peer: string, pair: VipPair): void {
    const outbox = this.#outbox(peer);
    if (outbox.closed.size < 4 * NOTICE_ITEMS) {
      outbox.closed.set(pairKey(pair), pair);
      this.#wake(peer, outbox);
    }
  }

  /** A peer's answer came, and this host sends with the SPI in it: the peer cannot know. */
  confirm({ key, peer }: Tunnel, spi: number): void {
    const at = this.#options.clock.now() + CONFIRM_AFTER_MS;
    const outbox = this.#outbox(peer);
    // To the end: they are taken in the order of their times.
    outbox.confirmed.delete(key);
    // A packet says the same, and a peer that is not told asks.
    if (outbox.confirmed.size >= 4 * NOTICE_CONFIRMED) return;
    outbox.confirmed.set(key, { spi, at });
    this.#wake(peer, outbox);
  }

  /** The peer is gone: it is told nothing any more. */
  forget(peer: string): void {
    this.#outboxes.delete(peer);
    this.#due.delete(peer);
  }

  /** Sends what waits, each peer in its time. */
  flush(): void {
    for (const peer of this.#due.take(this.#options.clock.now(), NOTICES_AT_ONCE)) {
      const outbox = this.#outboxes.get(peer);
      if (outbox !== undefined && !outbox.sending) this.#sendFrom(peer, outbox);
    }
  }

  /** Tells every peer with tunnels that this host stops; true when there was one that heard it. */
  async draining(): Promise<boolean> {
    const { clock, isConnected } = this.#options;
    const all = [...this.#table.peersFrom("")];
    // There is no time for very many handshakes; who is not told finds out by itself.
    const peers = all.length <= DRAINING_COLD
      ? all
      : all.filter((peer) => isConnected?.(peer) ?? true);
    const notice = { unknownSpis: [], closed: [], draining: true };
    const late = new AbortController();
    const deadline = clock.sleep(DRAINING_TIMEOUT_MS, late.signal).then(
      () => late.abort(),
      () => {},
    );
    const heard = await Promise.all(
      peers.map((peer) =>
        this.#send(peer, notice, { timeoutMs: DRAINING_TIMEOUT_MS, signal: late.signal })
      ),
    );
    late.abort();
    await deadline;
    return heard.includes(true);
  }

  #outbox(peer: string): Outbox {
    let outbox = this.#outboxes.get(peer);
    if (outbox === undefined) {
      outbox = {
        unknownSpis: new Set(),
        closed: new Map(),
        confirmed: new Map(),
        nextAt: 0,
        sending: false,
        failures: 0,
      };
      this.#outboxes.set(peer, outbox);
    }
    return outbox;
  }

  /** Looks at it again when there is something to tell, and not before it may be told. */
  #wake(peer: string, outbox: Outbox): void {
    if (outbox.sending) return;
    const { unknownSpis, closed, confirmed, nextAt } = outbox;
    if (unknownSpis.size + closed.size > 0) return this.#due.set(peer, nextAt);
    const [first] = confirmed.values();
    if (first !== undefined) return this.#due.set(peer, Math.max(nextAt, first.at));
    // Until then it remembers when the last notice was.
    if (outbox.nextAt > this.#options.clock.now()) this.#due.set(peer, nextAt);
    else this.forget(peer);
  }

  #sendFrom(peer: string, outbox: Outbox): void {
    const { clock, tasks } = this.#options;
    const taken = this.#take(outbox);
    const { unknownSpis, closed, confirmed } = taken;
    if (unknownSpis.size + closed.size + confirmed.size === 0) return this.#wake(peer, outbox);
    outbox.sending = true;
    outbox.nextAt = clock.now() + NOTICE_INTERVAL_MS;
    const notice = {
      unknownSpis: [...unknownSpis],
      closed: [...closed.values()],
      draining: false,
      confirmedSpis: [...confirmed.values()].map(({ spi }) => spi),
    };
    const how = { timeoutMs: NOTICE_TIMEOUT_MS, signal: tasks.signal };
    tasks.add(
      this.#send(peer, notice, how).then((arrived) => {
        outbox.sending = false;
        // The peer may have gone meanwhile.
        if (this.#outboxes.get(peer) !== outbox) return;
        if (arrived) outbox.failures = 0;
        else this.#putBack(outbox, taken);
        this.#wake(peer, outbox);
      }),
    );
  }

  /** What did not arrive is told again, ever later, and at last forgotten: packets will say so again. */
  #putBack(outbox: Outbox, { unknownSpis, closed, confirmed }: Contents): void {
    const failures = ++outbox.failures;
    if (failures >= NOTICE_TRIES) {
      outbox.failures = 0;
      return;
    }
    outbox.nextAt = this.#options.clock.now() + NOTICE_INTERVAL_MS * 2 ** failures;
    for (const spi of unknownSpis) {
      if (outbox.unknownSpis.size < NOTICE_ITEMS) outbox.unknownSpis.add(spi);
    }
    for (const [key, pair] of closed) {
      if (outbox.closed.size < 4 * NOTICE_ITEMS) outbox.closed.set(key, pair);
    }
    for (const [key, sent] of confirmed) {
      const room = outbox.confirmed.size < 4 * NOTICE_CONFIRMED;
      if (room && !outbox.confirmed.has(key)) outbox.confirmed.set(key, sent);
    }
  }

  #take(outbox: Outbox): Contents {
    const unknownSpis = new Set(outbox.unknownSpis);
    outbox.unknownSpis.clear();
    const closed = new Map<string, VipPair>();
    for (const [key, pair] of outbox.closed) {
      if (closed.size === NOTICE_ITEMS) break;
      outbox.closed.delete(key);
      // It may have come back in the meantime.
      if ((this.#table.get(key)?.state.kind ?? "closed") === "closed") closed.set(key, pair);
    }
    return { unknownSpis, closed, confirmed: this.#takeConfirmed(outbox) };
  }

  /** Those that are still in use and went out with no packet. */
  #takeConfirmed({ confirmed }: Outbox): Contents["confirmed"] {
    const { clock, flows } = this.#options;
    const now = clock.now();
    const taken: Contents["confirmed"] = new Map();
    for (const [key, sent] of confirmed) {
      const { spi, at } = sent;
      if (at > now || taken.size === NOTICE_CONFIRMED) break;
      confirmed.delete(key);
      const tunnel = this.#table.get(key);
      if (tunnel === undefined || !isLive(tunnel.state)) continue;
      if (tunnel.state.tx.sa.spi !== spi || (flows.txStats(tunnel.pair)?.packets ?? 0n) > 0n) {
        continue;
      }
      taken.set(key, sent);
    }
    return taken;
  }

  async #send(
    peer: string,
    notice: Omit<Notice, "bootEpoch">,
    { timeoutMs, signal }: {
      readonly timeoutMs: number;
      /** Ends the wait for a place. */
      readonly signal: AbortSignal;
    },
  ): Promise<boolean> {
    const { calls, scheduler, clock, counters, bootEpoch, log } = this.#options;
    try {
      using slot = await scheduler.enter({ peer, work: "notice" }, signal);
      const begun = clock.now();
      const answer = await calls.notify(peer, { bootEpoch, ...notice }, { timeoutMs });
      slot.leave(clock.now() - begun < timeoutMs / 2);
      this.#options.watch.hear(peer, answer.bootEpoch);
      counters.add("notices-sent");
      return true;
    } catch (error) {
      counters.add("notices-failed");
      log.debug("A notice did not arrive", { peer, cause: String(error) });
      return false;
    }
  }
}

// ---- what peers tell this host ------------------------------------------------------------------

/** What a notice of a peer may change. */
export interface NoticeHandlerOptions {
  readonly bootEpoch: bigint;
  readonly table: TunnelTable;
  readonly gate: Pick<PeerGate, "admit" | "checkEpoch">;
  readonly lines: PeerLines;
  readonly epochs: Pick<Epochs, "of">;
  readonly clock: Clock;
  readonly tasks: Tasks;
  readonly counters: Counters;
  readonly log: Log;
}

/** Takes notices in: rekey, hold, or wait for a peer to come back. */
export class NoticeHandler {
  readonly #options: NoticeHandlerOptions;
  readonly #table: TunnelTable;

  constructor(options: NoticeHandlerOptions) {
    this.#options = options;
    this.#table = options.table;
  }

  /** Acts upon a notice. Throws `ExchangeError`. */
  notify(peer: string, notice: Notice): { readonly bootEpoch: bigint } {
    const { gate, counters, log } = this.#options;
    gate.admit(peer);
    gate.checkEpoch(peer, notice.bootEpoch);
    counters.add("notices-received");
    this.#lose(peer, notice.unknownSpis);
    for (const spi of notice.confirmedSpis ?? []) {
      const tunnel = this.#table.byRxSpi(spi);
      if (tunnel?.peer === peer) this.#table.apply(tunnel, { type: "confirmed", spi });
    }
    for (const { localVip, remoteVip } of notice.closed) {
      const pair = {
        localVip: canonicalVip(remoteVip) ?? remoteVip,
        remoteVip: canonicalVip(localVip) ?? localVip,
      };
      const tunnel = this.#table.get(pairKey(pair));
      if (tunnel?.peer === peer) this.#table.apply(tunnel, { type: "closed_by_peer" });
    }
    if (notice.draining) {
      log.info("A peer is about to stop", { peer });
      this.#options.tasks.add(this.#hold(peer));
    }
    return { bootEpoch: this.#options.bootEpoch };
  }

  #lose(peer: string, spis: readonly number[]): void {
    if (spis.length === 0) return;
    const unknown = new Set(spis);
    for (const tunnel of this.#table.ofPeer(peer)) {
      const { state } = tunnel;
      if (isLive(state) && unknown.has(state.tx.sa.spi)) {
        this.#table.apply(tunnel, { type: "lost", spi: state.tx.sa.spi });
      }
    }
  }

  /** Sends until the peer's plane is about to close, then holds, and is patient. */
  async #hold(peer: string): Promise<void> {
    const { clock, tasks, epochs, lines } = this.#options;
    const epoch = epochs.of(peer);
    const line = lines.of(peer);
    if (line.patientUntil > clock.now()) return;
    line.patientUntil = clock.now() + PATIENCE_MS;
    await clock.sleep(HOLD_AFTER_MS, tasks.signal);
    if (epochs.of(peer) !== epoch) return;
    this.#table.applyAll(this.#table.ofPeer(peer), { type: "closed_by_peer" });
  }
}

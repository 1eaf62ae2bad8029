// SPDX-License-Identifier: Apache-2.0

/** Sends notices and takes them in: brings what happens to `notices.ts`, and carries out what it says. */
import type { PlaneEvent } from "../../ffi/plane.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import type { Notice } from "../model/exchange.ts";
import type { Flows } from "../model/flows.ts";
import type { Log } from "../model/log.ts";
import type { VipPair } from "../model/sa.ts";
import type { Tasks } from "../model/tasks.ts";
import type { Peers } from "./directory.ts";
import { DueHeap } from "./rows.ts";
import { DRAINING_TIMEOUT_MS, NOTICE_TIMEOUT_MS, NOTICES_AT_ONCE } from "./limits.ts";
import {
  EMPTY,
  farewell,
  isUnknown,
  type Outbox,
  type OutboxContext,
  type OutboxEvent,
  stepOutbox,
  toldBy,
  toldOfEnd,
} from "./notices.ts";
import type { Epochs, PeerGate, PeerLines, PeerWatch } from "./peer.ts";
import type { PeerCalls, Scheduler } from "./scheduler.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

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

/** One peer's outbox, as it stands. */
interface Box {
  state: Outbox;
}

/** The sender of notices. */
export class NoticesDriver {
  readonly #options: NoticesOptions;
  readonly #table: TunnelTable;
  readonly #boxes = new Map<string, Box>();
  /** When each is to be looked at. */
  readonly #due = new DueHeap();

  constructor(options: NoticesOptions) {
    this.#options = options;
    this.#table = options.table;
  }

  /** A packet could not be authenticated, or nobody here accepts its SPI: its sender is told. */
  syndrome({ spi, srcPip }: Extract<PlaneEvent, { type: "syndrome" }>): void {
    const { peers, counters, generation } = this.#options;
    if (!isUnknown(spi, this.#table.byRxSpi(spi)?.state, generation())) return;
    const senders = peers.byPip(srcPip);
    if (senders.length === 0) counters.add("untraced-spis");
    for (const peer of senders) {
      if (!peers.denied(peer)) this.#take(peer, { type: "unknown", spi });
    }
  }

  /** This side closed a tunnel for want of traffic. */
  closed(peer: string, pair: VipPair): void {
    this.#take(peer, { type: "closed", pair });
  }

  /** A peer's answer came, and this host sends with the SPI in it. */
  confirm({ key, peer }: Tunnel, spi: number): void {
    this.#take(peer, { type: "confirm", key, spi });
  }

  /** The peer is gone: it is told nothing any more. */
  forget(peer: string): void {
    this.#boxes.delete(peer);
    this.#due.delete(peer);
  }

  /** Sends what waits, each peer in its time. */
  flush(): void {
    for (const peer of this.#due.take(this.#options.clock.now(), NOTICES_AT_ONCE)) {
      if (this.#boxes.has(peer)) this.#take(peer, { type: "due" });
    }
  }

  /** Tells every peer with tunnels that this host stops; true when there was one that heard it. */
  async draining(): Promise<boolean> {
    const { clock, isConnected } = this.#options;
    const peers = toldOfEnd([...this.#table.peersFrom("")], isConnected ?? (() => true));
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

  /** Takes a step of a peer's outbox and carries it out. */
  #take(peer: string, event: OutboxEvent): void {
    let box = this.#boxes.get(peer);
    if (box === undefined) this.#boxes.set(peer, box = { state: EMPTY });
    const { state, effects } = stepOutbox(box.state, event, this.#context());
    box.state = state;
    for (const effect of effects) {
      switch (effect.do) {
        case "send":
          this.#sendFrom(peer, box, effect.notice);
          break;
        case "look":
          this.#due.set(peer, effect.at);
          break;
        case "forget":
          this.forget(peer);
          break;
        case "count":
          this.#options.counters.add(effect.counter);
          break;
        default:
          return effect satisfies never;
      }
    }
  }

  #sendFrom(peer: string, box: Box, notice: Omit<Notice, "bootEpoch">): void {
    const { tasks } = this.#options;
    const how = { timeoutMs: NOTICE_TIMEOUT_MS, signal: tasks.signal };
    tasks.add(
      this.#send(peer, notice, how).then((arrived) => {
        // The peer may have gone meanwhile.
        if (this.#boxes.get(peer) !== box) return;
        this.#take(peer, { type: arrived ? "arrived" : "failed" });
      }),
    );
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

  #context(): OutboxContext {
    const { clock, flows } = this.#options;
    return {
      now: clock.now(),
      stateOf: (key) => this.#table.get(key)?.state,
      hasSent: (key) => {
        const tunnel = this.#table.get(key);
        return tunnel !== undefined && (flows.txStats(tunnel.pair)?.packets ?? 0n) > 0n;
      },
    };
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
    for (const { tunnel, event } of toldBy(peer, notice, this.#table)) {
      this.#table.apply(tunnel, event);
    }
    if (notice.draining) {
      log.info("A peer is about to stop", { peer });
      this.#options.tasks.add(this.#hold(peer));
    }
    return { bootEpoch: this.#options.bootEpoch };
  }

  /** Sends until the peer's plane is about to close, then holds, and is patient. */
  async #hold(peer: string): Promise<void> {
    const { clock, tasks, epochs, lines } = this.#options;
    const epoch = epochs.of(peer);
    const line = lines.of(peer);
    const until = farewell(line.patientUntil, clock.now());
    if (until === undefined) return;
    line.patientUntil = until.patientUntil;
    await clock.sleep(until.holdAt - clock.now(), tasks.signal);
    if (epochs.of(peer) !== epoch) return;
    this.#table.applyAll(this.#table.ofPeer(peer), { type: "closed_by_peer" });
  }
}

// SPDX-License-Identifier: Apache-2.0

/** What this host tells peers without being asked: SPIs it does not know, tunnels it closed, that it stops. */
import type { PlaneEvent } from "../../ffi/plane.ts";
import type { Notice } from "../model/exchange.ts";
import type { Parts } from "./parts.ts";
import type { PeerWatch } from "./peer_watch.ts";
import { isReservedSpi, type VipPair } from "../model/sa.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

/** At most one notice per peer in this time. */
const INTERVAL_MS = 1000;
/** SPIs or pairs in one notice at most; what is beyond comes with the next packets. */
const MAX_ITEMS = 256;
/** ... and SPIs that are confirmed: as many as one message may have. */
const MAX_CONFIRMED = 4096;
/** A packet confirms as well, and most tunnels are opened for one: only silent ones are told of. */
const CONFIRM_AFTER_MS = 250;
const TIMEOUT_MS = 1000;
const DRAINING_TIMEOUT_MS = 500;

interface Outbox {
  readonly unknownSpis: Set<number>;
  readonly closed: Map<string, VipPair>;
  /** SPIs of the peer by pair, and from when on it is told that this host sends with them. */
  readonly confirmed: Map<string, { readonly spi: number; readonly at: number }>;
  nextAt: number;
  sending: boolean;
}

/** The sender of notices. */
export class Notices {
  readonly #parts: Parts;
  readonly #table: TunnelTable;
  readonly #watch: PeerWatch;
  readonly #outboxes = new Map<string, Outbox>();
  #generation: () => bigint;

  constructor(
    parts: Parts,
    others: {
      readonly table: TunnelTable;
      readonly watch: PeerWatch;
      /** Rotations of the master key so far. */
      generation(): bigint;
    },
  ) {
    this.#parts = parts;
    this.#table = others.table;
    this.#watch = others.watch;
    this.#generation = others.generation;
  }

  /** A packet could not be authenticated, or nobody here accepts its SPI: its sender is told. */
  syndrome({ spi, srcPip }: Extract<PlaneEvent, { type: "syndrome" }>): void {
    const { peers, counters } = this.#parts;
    // Nobody was ever given one, and the peer would refuse the whole notice.
    if (isReservedSpi(spi)) return;
    const rx = this.#table.byRxSpi(spi)?.state.rx.find(({ sa }) => sa.spi === spi);
    // A known SPI under a living key: forged or damaged packets, and no reason to give it up.
    if (rx !== undefined && rx.generation + 2n > this.#generation()) return;
    const senders = peers.byPip(srcPip);
    if (senders.length === 0) counters.add("untraced-spis");
    for (const peer of senders) {
      if (peers.denied(peer)) continue;
      const outbox = this.#outbox(peer);
      if (outbox.unknownSpis.size >= MAX_ITEMS || outbox.unknownSpis.has(spi)) continue;
      outbox.unknownSpis.add(spi);
      counters.add("unknown-spis");
    }
  }

  /** This side closed a tunnel for want of traffic. */
  closed(peer: string, pair: VipPair): void {
    const outbox = this.#outbox(peer);
    if (outbox.closed.size < 4 * MAX_ITEMS) {
      outbox.closed.set(`${pair.localVip} ${pair.remoteVip}`, pair);
    }
  }

  /** A peer's answer came, and this host sends with the SPI in it: the peer cannot know. */
  confirm({ key, peer }: Tunnel, spi: number): void {
    const at = this.#parts.clock.now() + CONFIRM_AFTER_MS;
    const { confirmed } = this.#outbox(peer);
    // To the end: they are taken in the order of their times.
    confirmed.delete(key);
    confirmed.set(key, { spi, at });
  }

  /** Sends what waits, each peer in its time. */
  flush(): void {
    const now = this.#parts.clock.now();
    for (const [peer, outbox] of this.#outboxes) {
      if (outbox.sending || now < outbox.nextAt) continue;
      const notice = this.#take(outbox);
      if (notice === undefined) {
        if (outbox.confirmed.size === 0) this.#outboxes.delete(peer);
        continue;
      }
      outbox.sending = true;
      outbox.nextAt = now + INTERVAL_MS;
      this.#parts.tasks.add(
        this.#send(peer, notice, TIMEOUT_MS).finally(() => outbox.sending = false),
      );
    }
  }

  /** Tells every peer with tunnels that this host stops; true when there was one that heard it. */
  async draining(): Promise<boolean> {
    const peers = new Set([...this.#table.all()].map(({ peer }) => peer));
    const notice = { unknownSpis: [], closed: [], draining: true };
    const heard = await Promise.all(
      [...peers].map((peer) => this.#send(peer, notice, DRAINING_TIMEOUT_MS)),
    );
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
      };
      this.#outboxes.set(peer, outbox);
    }
    return outbox;
  }

  #take(outbox: Outbox): Omit<Notice, "bootEpoch"> | undefined {
    const unknownSpis = [...outbox.unknownSpis];
    outbox.unknownSpis.clear();
    const closed: VipPair[] = [];
    for (const [key, pair] of outbox.closed) {
      if (closed.length === MAX_ITEMS) break;
      outbox.closed.delete(key);
      // It may have come back in the meantime.
      if ((this.#table.get(key)?.state.kind ?? "closed") === "closed") closed.push(pair);
    }
    const confirmedSpis = this.#takeConfirmed(outbox);
    if (unknownSpis.length + closed.length + confirmedSpis.length === 0) return undefined;
    return { unknownSpis, closed, draining: false, confirmedSpis };
  }

  /** Those that are still in use and went out with no packet. */
  #takeConfirmed({ confirmed }: Outbox): readonly number[] {
    const { clock, flows } = this.#parts;
    const now = clock.now();
    const spis: number[] = [];
    for (const [key, { spi, at }] of confirmed) {
      if (at > now || spis.length === MAX_CONFIRMED) break;
      confirmed.delete(key);
      const tunnel = this.#table.get(key);
      const state = tunnel?.state;
      if (tunnel === undefined || (state?.kind !== "up" && state?.kind !== "rekeying")) continue;
      if (state.tx.sa.spi !== spi || (flows.txStats(tunnel.pair)?.packets ?? 0n) > 0n) continue;
      spis.push(spi);
    }
    return spis;
  }

  async #send(
    peer: string,
    notice: Omit<Notice, "bootEpoch">,
    timeoutMs: number,
  ): Promise<boolean> {
    const { client, clock, tasks, counters, bootEpoch, log } = this.#parts;
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, tasks.signal]);
    try {
      const call = client.notify(peer, { bootEpoch, ...notice }, { timeoutMs, signal });
      const deadline = clock.sleep(timeoutMs, signal).then(() => {
        throw new Error(`no answer within ${timeoutMs} ms`);
      });
      deadline.catch(() => {});
      call.catch(() => {});
      const answer = await Promise.race([call, deadline]);
      this.#watch.hear(peer, answer.bootEpoch);
      counters.add("notices-sent");
      return true;
    } catch (error) {
      counters.add("notices-failed");
      log.debug("A notice did not arrive", { peer, cause: String(error) });
      return false;
    } finally {
      over.abort();
    }
  }
}

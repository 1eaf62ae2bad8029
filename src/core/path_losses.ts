// SPDX-License-Identifier: Apache-2.0

/**
 * Finds outer addresses to which long packets are lost while short ones arrive, where no router says a word (an MTU black
 * hole, RFC 4821). What workloads send is the probe: this host counts what it sent with an SA, its peer what came, and the
 * difference says whether what is missing is what is long. It also says when nothing arrives at all while the peer's agent
 * answers, as behind a firewall that lets the control channel through and not UDP port 1000. Peers are asked only about tunnels
 * that send long packets, or to which nothing comes back, and rarely. Who is told so looks at its own way to whoever asks.
 */
import type { Flows } from "../model/flows.ts";
import { ExchangeError, type PacketCount } from "../model/exchange.ts";
import type { Clock } from "../model/clock.ts";
import type { EventSink } from "../model/events.ts";
import type { Log } from "../model/log.ts";
import type { TxSa, VipPair } from "../model/sa.ts";
import type { Tasks } from "../model/tasks.ts";
import {
  LOSS_ADDRESSES,
  LOSS_AGAIN_MS,
  LOSS_ASKS,
  LOSS_LONG,
  LOSS_MISSED_NS,
  LOSS_MUTE_MS,
  LOSS_PACKETS,
  LOSS_QUIET_MS,
  LOSS_SUSPECT,
  LOSS_TIMEOUT_MS,
  LOSS_TUNNELS,
} from "./limits.ts";
import type { PeerLines } from "./peer.ts";
import type { PeerCalls, Scheduler } from "./scheduler.ts";

/** Packets, and octets of what was in them. */
export type Count = Pick<PacketCount, "packets" | "bytes">;

/** The same of a transmit SA, and when it was used last. */
type Stats = Count & { readonly lastUsedNs: bigint };

const NONE: Count = { packets: 0n, bytes: 0n };

/** What it works on. */
export interface PathLossesOptions {
  readonly flows: Pick<Flows, "txStats" | "carried"> & {
    outerAddresses(): Pick<ReadonlyMap<string, unknown>, "has" | "keys">;
    sasTo(pip: string, part: { readonly first: number; readonly n: number }): TxSa[];
    /** When a packet of the pair came last, nanoseconds of CLOCK_MONOTONIC; 0n: never. */
    heardNs(pair: VipPair): bigint;
  };
  /** Which peers doubt that they are reached, and which are not. */
  readonly lines: Pick<PeerLines, "of" | "reach">;
  readonly events: EventSink;
  readonly calls: Pick<PeerCalls, "countPackets">;
  readonly scheduler: Pick<Scheduler, "enter">;
  readonly clock: Pick<Clock, "now">;
  readonly tasks: Tasks;
  /** Octets of IP that may be sent to an outer address, as far as that is known to be less than the uplink carries. */
  readonly mtuOf: (pip: string) => number | undefined;
  /** Long packets to this outer address do not arrive. */
  readonly lost: (pip: string) => void;
  /** Nothing arrives at this outer address, each time that it is found: another next hop may lead there. */
  readonly dead: (pip: string) => void;
  /** Something was sent to this outer address, and nothing has come back for a while. */
  readonly silent: (pip: string) => void;
  readonly log: Log;
}

/** What both sides had counted of an SA. */
interface Counted {
  readonly spi: number;
  readonly sent: Count;
  readonly came: Count;
}

/** An outer address. */
interface Place {
  /** Whoever was found not to be reached there. */
  lost: string | undefined;
  /** Where the next look goes on among the tunnels to the address. */
  first: number;
  /** The last tunnel that its peer was asked about, and what it had sent at the last look. */
  last: { readonly sa: TxSa; packets: bigint } | undefined;
  /** What each tunnel of the last look had sent by then, by SPI. */
  seen: ReadonlyMap<number, Count>;
  /** What the next count of that SA is compared with. */
  base: Counted | undefined;
  /** What could be sent there by then. */
  mtu: number | undefined;
  quietUntil: number;
}

/**
 * Whether what did not come is what is long. `sent` and `came`: between the two counts; `ever`: packets that have come with
 * that SPI at all, for where nothing does the length is not why. Ordinary loss takes what there is, long or short.
 */
export function losesLong(sent: Count, came: Count, ever: bigint): boolean {
  const packets = sent.packets - came.packets;
  if (packets < LOSS_PACKETS || ever === 0n) return false;
  const lost = (sent.bytes - came.bytes) / packets;
  const arrived = came.packets === 0n ? 0n : came.bytes / came.packets;
  return lost >= LOSS_LONG && 2n * arrived <= lost;
}

/** Bounded by the outer addresses in use. */
export class PathLosses {
  readonly #o: PathLossesOptions;
  readonly #places = new Map<string, Place>();
  readonly #asked = new Set<string>();
  /** Of the addresses as they were when it began: over the live ones it would hold on to all that go while it stands still. */
  #turn: Iterator<string> | undefined;
  #carried: bigint | undefined;

  constructor(options: PathLossesOptions) {
    this.#o = options;
  }

  /** Looks at some of the outer addresses. Call it every second. */
  tick(): void {
    const { flows, clock } = this.#o;
    const carried = flows.carried();
    if (carried !== undefined && carried === this.#carried) return;
    this.#carried = carried;
    const inUse = flows.outerAddresses();
    for (const [pip, place] of this.#places) if (!inUse.has(pip)) this.#forget(pip, place);
    const now = clock.now();
    for (let n = 0; n < LOSS_ADDRESSES; n++) {
      const next = (this.#turn ??= [...inUse.keys()].values()).next();
      if (next.done) {
        this.#turn = undefined;
        return;
      }
      if (inUse.has(next.value)) this.#look(next.value, now);
    }
  }

  #look(pip: string, now: number): void {
    const { flows } = this.#o;
    const place = this.#places.get(pip) ?? begin();
    this.#places.set(pip, place);
    if (now < place.quietUntil || this.#asked.has(pip)) return this.#listen(pip, place);
    const sas = flows.sasTo(pip, { first: place.first, n: LOSS_TUNNELS });
    place.first += sas.length;
    const sent = new Map<number, Stats>();
    for (const sa of sas) {
      const stats = flows.txStats(sa);
      if (stats !== undefined) sent.set(sa.spi, stats);
    }
    // One that was not seen before has sent all that it has.
    const suspect = sas.find((sa) => {
      const stats = sent.get(sa.spi);
      if (stats === undefined) return false;
      const { packets, bytes } = less(stats, place.seen.get(sa.spi) ?? NONE);
      if (packets === 0n) return false;
      return bytes / packets >= LOSS_SUSPECT || this.#o.lines.of(sa.peer).doubtedUntil > now ||
        this.#isUnanswered(sa, stats);
    });
    place.seen = sent;
    if (suspect === undefined) return;
    const stats = sent.get(suspect.spi);
    if (stats !== undefined && this.#isUnanswered(suspect, stats)) this.#o.silent(pip);
    place.last = { sa: suspect, packets: stats?.packets ?? 0n };
    if (this.#asked.size >= LOSS_ASKS) return;
    // The same one again at the next look, until it is clear.
    place.first -= sas.length;
    this.#asked.add(pip);
    this.#o.tasks.add(this.#ask(pip, suspect, place));
  }

  /** While its peer is not asked: whether anything comes back. */
  #listen(pip: string, { last }: Place): void {
    const stats = last === undefined ? undefined : this.#o.flows.txStats(last.sa);
    if (last === undefined || stats === undefined || stats.packets === last.packets) return;
    last.packets = stats.packets;
    if (this.#isUnanswered(last.sa, stats)) this.#o.silent(pip);
  }

  #isUnanswered(sa: TxSa, { lastUsedNs }: Stats): boolean {
    return lastUsedNs - this.#o.flows.heardNs(sa) >= LOSS_MISSED_NS;
  }

  #forget(pip: string, place: Place): void {
    this.#places.delete(pip);
    if (place.lost !== undefined) this.#o.lines.reach(place.lost, true);
  }

  /** Counts on both sides, and compares with the count before. */
  async #ask(pip: string, sa: TxSa, place: Place): Promise<void> {
    const { flows, clock, tasks: { signal }, lost, mtuOf } = this.#o;
    const quiet = (ms: number) => void (place.quietUntil = clock.now() + ms);
    try {
      // What is sent while the peer counts is not lost; the next time it is not to be missing either.
      const sent = flows.txStats(sa);
      if (sent === undefined) return;
      const came = await this.#count(sa, this.#isUnanswered(sa, sent));
      const later = flows.txStats(sa);
      if (later === undefined || came === undefined) return;
      const before = place.base?.spi === sa.spi ? place.base : undefined;
      const base = before ?? { sent: NONE, came: NONE };
      const [out, there] = [less(sent, base.sent), less(came, base.came)];
      const missing = out.packets - there.packets;
      // What a router has spoken of meanwhile is not lost without a word.
      const isTold = mtuOf(pip) !== place.mtu;
      const isLong = !isTold && losesLong(out, there, came.packets);
      if (isLong) lost(pip);
      if (missing > 0n) this.#o.lines.of(sa.peer).doubt();
      if (there.packets > 0n) this.#reach(sa, place, true);
      else if (missing >= LOSS_PACKETS) this.#reach(sa, place, false);
      place.mtu = mtuOf(pip);
      // A few that are missing are counted on, until they are enough to say.
      if (isTold || isLong || missing <= 0n || missing >= LOSS_PACKETS) {
        place.base = { spi: sa.spi, sent: later, came };
      }
      // The first count says what ever was lost, and the next one what is now.
      if (!isLong) quiet(missing <= 0n ? LOSS_QUIET_MS : before === undefined ? 0 : LOSS_AGAIN_MS);
    } catch (cause) {
      if (!(cause instanceof ExchangeError)) {
        if (signal.aborted) return;
        throw cause;
      }
      quiet(cause.code === "unimplemented" ? LOSS_MUTE_MS : LOSS_QUIET_MS);
    } finally {
      this.#asked.delete(pip);
    }
  }

  /** Packets to the peer arrive, or none does. */
  #reach({ peer, pip }: TxSa, place: Place, isReached: boolean): void {
    place.lost = isReached ? undefined : peer;
    const { lines, dead, events, log } = this.#o;
    if (!isReached) dead(pip);
    if (!lines.reach(peer, isReached)) return;
    if (isReached) {
      events.add("path-back", { peer });
      log.info("Packets to the peer arrive again", { peer, pip });
      return;
    }
    const reason = "it counts none of them, though it answers: is UDP port 1000 let through?";
    events.add("path-lost", { peer, message: reason });
    log.warn("Packets to the peer do not arrive", { peer, pip, reason });
  }

  async #count({ peer, spi }: TxSa, unanswered: boolean): Promise<Count | undefined> {
    const { calls, scheduler, tasks: { signal } } = this.#o;
    using _slot = await scheduler.enter({ peer, work: "warm" }, signal);
    const question = { spis: [spi], unanswered };
    const counts = await calls.countPackets(peer, question, { timeoutMs: LOSS_TIMEOUT_MS });
    return counts.find((count) => count.spi === spi);
  }
}

function begin(): Place {
  return {
    lost: undefined,
    first: 0,
    last: undefined,
    seen: new Map(),
    base: undefined,
    mtu: undefined,
    quietUntil: -Infinity,
  };
}

/** What was added; nothing where a counter began anew. */
function less(now: Count, before: Count): Count {
  if (now.packets < before.packets || now.bytes < before.bytes) return NONE;
  return { packets: now.packets - before.packets, bytes: now.bytes - before.bytes };
}

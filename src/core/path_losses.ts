// SPDX-License-Identifier: Apache-2.0

/**
 * Finds outer addresses to which long packets are lost while short ones arrive, where no router says a word (an MTU black
 * hole, RFC 4821). What workloads send is the probe: this host counts what it sent with an SA, its peer what came, and the
 * difference says whether what is missing is what is long. Peers are asked only about tunnels that send long packets, and
 * rarely.
 */
import type { Flows } from "../model/flows.ts";
import { ExchangeError, type PacketCount } from "../model/exchange.ts";
import type { Clock } from "../model/clock.ts";
import type { TxSa } from "../model/sa.ts";
import type { Tasks } from "../model/tasks.ts";
import {
  LOSS_ADDRESSES,
  LOSS_AGAIN_MS,
  LOSS_ASKS,
  LOSS_LONG,
  LOSS_MUTE_MS,
  LOSS_PACKETS,
  LOSS_QUIET_MS,
  LOSS_SUSPECT,
  LOSS_TIMEOUT_MS,
  LOSS_TUNNELS,
} from "./limits.ts";
import type { PeerCalls, Scheduler } from "./scheduler.ts";

/** Packets, and octets of what was in them. */
export type Count = Pick<PacketCount, "packets" | "bytes">;

const NONE: Count = { packets: 0n, bytes: 0n };

/** What it works on. */
export interface PathLossesOptions {
  readonly flows: Pick<Flows, "txStats" | "carried"> & {
    outerAddresses(): Pick<ReadonlyMap<string, unknown>, "has" | "keys">;
    sasTo(pip: string, part: { readonly first: number; readonly n: number }): TxSa[];
  };
  readonly calls: Pick<PeerCalls, "countPackets">;
  readonly scheduler: Pick<Scheduler, "enter">;
  readonly clock: Pick<Clock, "now">;
  readonly tasks: Tasks;
  /** Octets of IP that may be sent to an outer address, as far as that is known to be less than the uplink carries. */
  readonly mtuOf: (pip: string) => number | undefined;
  /** Long packets to this outer address do not arrive. */
  readonly lost: (pip: string) => void;
}

/** What both sides had counted of an SA. */
interface Counted {
  readonly spi: number;
  readonly sent: Count;
  readonly came: Count;
}

/** An outer address. */
interface Place {
  /** Where the next look goes on among the tunnels to the address. */
  first: number;
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
    for (const pip of this.#places.keys()) if (!inUse.has(pip)) this.#places.delete(pip);
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
    if (now < place.quietUntil || this.#asked.has(pip)) return;
    const sas = flows.sasTo(pip, { first: place.first, n: LOSS_TUNNELS });
    place.first += sas.length;
    const sent = new Map<number, Count>();
    for (const sa of sas) {
      const stats = flows.txStats(sa);
      if (stats !== undefined) sent.set(sa.spi, stats);
    }
    // One that was not seen before has sent all that it has.
    const suspect = sas.find(({ spi }) => {
      const { packets, bytes } = less(sent.get(spi) ?? NONE, place.seen.get(spi) ?? NONE);
      return packets > 0n && bytes / packets >= LOSS_SUSPECT;
    });
    place.seen = sent;
    if (suspect === undefined || this.#asked.size >= LOSS_ASKS) return;
    // The same one again at the next look, until it is clear.
    place.first -= sas.length;
    this.#asked.add(pip);
    this.#o.tasks.add(this.#ask(pip, suspect, place));
  }

  /** Counts on both sides, and compares with the count before. */
  async #ask(pip: string, sa: TxSa, place: Place): Promise<void> {
    const { flows, clock, tasks: { signal }, lost, mtuOf } = this.#o;
    const quiet = (ms: number) => void (place.quietUntil = clock.now() + ms);
    try {
      // What is sent while the peer counts is not lost; the next time it is not to be missing either.
      const sent = flows.txStats(sa);
      const came = await this.#count(sa);
      const later = flows.txStats(sa);
      if (sent === undefined || later === undefined || came === undefined) return;
      const base = place.base?.spi === sa.spi ? place.base : { sent: NONE, came: NONE };
      const [out, there] = [less(sent, base.sent), less(came, base.came)];
      const missing = out.packets - there.packets;
      // What a router has spoken of meanwhile is not lost without a word.
      const isTold = mtuOf(pip) !== place.mtu;
      const isLong = !isTold && losesLong(out, there, came.packets);
      if (isLong) lost(pip);
      place.mtu = mtuOf(pip);
      // A few that are missing are counted on, until they are enough to say.
      if (isTold || isLong || missing <= 0n || missing >= LOSS_PACKETS) {
        place.base = { spi: sa.spi, sent: later, came };
      }
      if (!isLong) quiet(missing <= 0n ? LOSS_QUIET_MS : LOSS_AGAIN_MS);
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

  async #count({ peer, spi }: TxSa): Promise<Count | undefined> {
    const { calls, scheduler, tasks: { signal } } = this.#o;
    using _slot = await scheduler.enter({ peer, work: "warm" }, signal);
    const counts = await calls.countPackets(peer, [spi], { timeoutMs: LOSS_TIMEOUT_MS });
    return counts.find((count) => count.spi === spi);
  }
}

function begin(): Place {
  return { first: 0, seen: new Map(), base: undefined, mtu: undefined, quietUntil: -Infinity };
}

/** What was added; nothing where a counter began anew. */
function less(now: Count, before: Count): Count {
  if (now.packets < before.packets || now.bytes < before.bytes) return NONE;
  return { packets: now.packets - before.packets, bytes: now.bytes - before.bytes };
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What the way to an outer address carries, as routers of the underlay say when a packet was too long for their next
 * link (path MTU discovery, RFC 1191 and RFC 8201). Packets that do not fit are told to their workloads, instead of
 * vanishing on the way.
 */
import type { PlaneEvent } from "../../ffi/plane.ts";
import type { Clock } from "../model/clock.ts";
import type { Log } from "../model/log.ts";

export interface PathMtusOptions {
  /** What the configuration says that every path carries at most; undefined: what the uplink does. */
  readonly fixed: number | undefined;
  /** Octets of IP that the uplink carries, at this moment. */
  readonly uplink: () => number;
  /** The outer address that the transmit SA with this SPI sends to, if its packets have this destination. */
  readonly pipOf: (spi: number, dst: string) => string | undefined;
  /** Entries of transmit SAs to this outer address need their MTU anew. */
  readonly changed: (pip: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** What `counters()` has, and what one count of it means. */
export const PATH_MTU_COUNTERS = {
  "path-mtus-lowered":
    "times that a router said that less fits on the way to an outer address than was sent",
  "path-black-holes":
    "times that long packets to an outer address were lost, and short ones not, without a word of any router",
} as const;

/** Nobody need carry less (RFC 791, RFC 8200): whoever says so would only make packets small. */
const LEAST = { ipv4: 576, ipv6: 1280 };
/** A lowered MTU is tried to be raised again after that time (RFC 1191, section 6.3). */
const LOWERED_FOR_MS = 10 * 60_000;
/** Where no router says anything, each attempt to send more costs packets: the time doubles, up to this. */
const LOWERED_MOST_MS = 24 * 3600_000;
/** What is tried, one after the other, where nobody says what fits. */
const STEPS = [8192, 4096, 1500, 1400, 1280, 576];

interface Lowered {
  readonly mtu: number;
  readonly until: number;
}

/** Bounded by the outer addresses in use. */
export class PathMtus {
  readonly #options: PathMtusOptions;
  readonly #lowered = new Map<string, Lowered>();
  /** How often each was found to lose what is long. */
  readonly #silent = new Map<string, number>();
  #count = 0n;
  #holes = 0n;

  constructor(options: PathMtusOptions) {
    this.#options = options;
  }

  /** Octets of IP that may be sent to an outer address; undefined: what the uplink carries. */
  of(pip: string): number | undefined {
    const { fixed } = this.#options;
    const lowered = this.#lowered.get(pip)?.mtu;
    return lowered === undefined || fixed === undefined
      ? lowered ?? fixed
      : Math.min(lowered, fixed);
  }

  /**
   * A router's report. It counts only for an SA that sends to the address which the report quotes: who does not see
   * the packets would have to guess an SPI.
   */
  report({ dst, spi, mtu }: Extract<PlaneEvent, { type: "path_mtu" }>): void {
    const { clock, log, uplink, pipOf, changed } = this.#options;
    const pip = pipOf(spi, dst);
    if (pip === undefined) return;
    const least = pip.includes(":") ? LEAST.ipv6 : LEAST.ipv4;
    // 0: an old router, which does not say.
    const fits = Math.max(mtu, least);
    const before = this.of(pip) ?? uplink();
    if (fits >= before) return;
    this.#lowered.set(pip, { mtu: fits, until: clock.now() + LOWERED_FOR_MS });
    this.#count++;
    log.info(
      "A router on the way to the peer carries less than was sent: packets are kept to that",
      {
        pip,
        mtu: fits,
      },
    );
    changed(pip);
  }

  /** Long packets to an outer address do not arrive, and nobody says why: less is sent, a step at a time. */
  lose(pip: string): void {
    const { clock, log, uplink, changed } = this.#options;
    const before = this.of(pip) ?? uplink();
    const least = pip.includes(":") ? LEAST.ipv6 : LEAST.ipv4;
    const mtu = STEPS.find((step) => step < before && step >= least);
    if (mtu === undefined) return;
    // Steps that follow at once are one finding.
    const goesOn = this.#lowered.has(pip);
    const times = (this.#silent.get(pip) ?? 0) + (goesOn ? 0 : 1);
    this.#silent.set(pip, times);
    const forMs = Math.min(LOWERED_FOR_MS * 2 ** Math.max(0, times - 1), LOWERED_MOST_MS);
    this.#lowered.set(pip, { mtu, until: clock.now() + forMs });
    this.#holes++;
    log.warn(
      "Long packets to the peer are lost on the way, and no router says so: packets are kept shorter",
      { pip, mtu },
    );
    changed(pip);
  }

  /** Raises again what was lowered long ago, and forgets addresses that nobody sends to. Call it every second. */
  look(inUse: Pick<ReadonlySet<string>, "has">): void {
    for (const pip of this.#silent.keys()) if (!inUse.has(pip)) this.#silent.delete(pip);
    if (this.#lowered.size === 0) return;
    const now = this.#options.clock.now();
    for (const [pip, { until }] of this.#lowered) {
      if (until > now && inUse.has(pip)) continue;
      this.#lowered.delete(pip);
      if (inUse.has(pip)) this.#options.changed(pip);
    }
  }

  counters(): Readonly<Record<string, bigint>> {
    return { "path-mtus-lowered": this.#count, "path-black-holes": this.#holes };
  }
}

// SPDX-License-Identifier: Apache-2.0

/** Which MAC packets to a peer leave the uplink for: as configured, a router's, or the peer's own. */
import type { NextHop } from "../../ffi/plane.ts";
import type { Log } from "../model/log.ts";
import type { TxSa } from "../model/sa.ts";

export interface NextHopsOptions {
  /** `next_hop_mac` of a peer, as the configuration has it now: its own, or that of all. */
  readonly configured: (peer: string) => string | undefined;
  /**
   * The kernel's answer; undefined: no route over the uplink. `probe`: the kernel is to find out whether who is next on the way
   * is still there. May throw.
   */
  readonly query: (pip: string, probe: boolean) => NextHop | undefined;
  /** Packets that have passed: while there are no more of them, fewer addresses are asked about. Absent: never fewer. */
  readonly carried?: () => bigint | undefined;
  readonly log: Log;
  /** A MAC changed: transmit SAs to this outer address need a new header. */
  readonly changed: (pip: string) => void;
  /** Asks the link who has this address. */
  readonly ask: (address: string) => void;
}

/** What the kernel says of an outer address. Nothing in it is a peer's word: several may name one address. */
interface Known {
  /** The last router towards it; undefined: it is on the link, or no router was ever resolved. */
  readonly router: string | undefined;
  /** On the link: the address's MAC by the kernel's neighbours, as it was resolved last. */
  readonly neighbour: string | undefined;
  /** On the link: MACs of the exchange that the neighbour had and has left, and where it is now. */
  readonly left: ReadonlyMap<string, string>;
  /** MACs of the exchange that SAs to it had, the newest last. */
  readonly told: readonly string[];
  /** The kernel need not be asked again for the next SA. */
  readonly settled: boolean;
  /** It differs from what SAs were given before. */
  readonly moved: boolean;
  /** There was no route when it was asked last. */
  readonly lost: boolean;
}

/** What `counters()` has, and what one count of it means. */
export const NEXT_HOP_COUNTERS = {
  "next-hops-followed": "times that packets to an outer address went to another MAC than before",
} as const;

/** Outer addresses that one `refresh` asks the kernel about: some 1 ms of work. The others come in the next ones. */
const ASKED_AT_ONCE = 64;
/** ... and where no packet has passed since the last one. Nothing is lost meanwhile, and the process is to rest. */
const ASKED_AT_REST = 8;

/** MACs that peers named for one address: of more the oldest are forgotten. */
const MAX_TOLD = 8;

/** Remembers what was answered per outer address: for further SAs, and so that `refresh` can tell what changed. */
export class NextHops {
  readonly #options: NextHopsOptions;
  readonly #known = new Map<string, Known>();
  #followed = 0n;
  #carried: bigint | undefined;

  constructor(options: NextHopsOptions) {
    this.#options = options;
  }

  /** The MAC for packets of this SA. The exchange's own word serves on the link, and while the kernel resolves. */
  macFor(sa: TxSa): string {
    const configured = this.#options.configured(sa.peer);
    if (configured !== undefined) return configured;
    const before = this.#known.get(sa.pip);
    const known = before?.settled ? before : this.#ask(sa.pip);
    const { router, left } = known;
    if (!known.told.includes(sa.mac)) {
      this.#known.set(sa.pip, { ...known, told: [...known.told, sa.mac].slice(-MAX_TOLD) });
    }
    // Where there is no router, the exchange goes first: it is authenticated and the neighbour table is not. A MAC
    // that the kernel saw the address leave is followed: the peer may not know itself that others must be told.
    return router ?? left.get(sa.mac) ?? sa.mac;
  }

  /**
   * Asks the kernel again about the outer addresses `inUse`, 64 at most, 8 at rest, those first that were not asked for
   * longest; forgets others. Call it every second, and when a port has changed.
   */
  refresh(inUse: Pick<ReadonlySet<string>, "has">): void {
    const carried = this.#options.carried?.();
    const rests = carried !== undefined && carried === this.#carried;
    this.#carried = carried;
    let left = Math.min(rests ? ASKED_AT_REST : ASKED_AT_ONCE, this.#known.size);
    for (const pip of this.#known.keys()) {
      if (left-- === 0) break;
      if (!inUse.has(pip)) {
        this.#known.delete(pip);
        continue;
      }
      const known = this.#ask(pip);
      // To the end: the next refresh begins with the others.
      this.#known.delete(pip);
      this.#known.set(pip, { ...known, moved: false });
      if (!known.moved) continue;
      this.#followed++;
      const { router, neighbour } = known;
      if (router === undefined) {
        this.#options.log.info("The peer's own MAC is the next hop now", { pip, mac: neighbour });
      } else this.#options.log.info("The router's MAC is the next hop now", { pip, mac: router });
      this.#options.changed(pip);
    }
  }

  /**
   * Nothing that is sent to the address arrives. Where the kernel's neighbour has another MAC than the exchange named, as
   * behind address translation or a router that answers ARP for others, that one is tried, and the exchange's again the next
   * time.
   */
  doubt(pip: string): void {
    const known = this.#known.get(pip);
    if (known?.router !== undefined || known?.neighbour === undefined) return;
    const { neighbour, told } = known;
    const others = told.filter((mac) => mac !== neighbour);
    if (others.length === 0) return;
    const left = new Map(known.left);
    const tried = others.every((mac) => left.get(mac) === neighbour);
    for (const mac of others) {
      if (tried) left.delete(mac);
      else left.set(mac, neighbour);
    }
    this.#known.set(pip, { ...known, left });
    this.#followed++;
    this.#options.log.info(
      tried
        ? "The peer's MAC of the exchange is the next hop again"
        : "Nothing arrives at the peer's MAC of the exchange: its neighbour's is the next hop now",
      { pip, mac: tried ? told.at(-1) : neighbour },
    );
    this.#options.changed(pip);
  }

  /**
   * Nothing comes back from the address: whoever is next on the way to it may have another MAC without having said so, and
   * is asked; or be gone, and the kernel asks, which then takes another router where it has one. It would not by itself, since
   * its entry is good for as long as half a minute more.
   */
  silent(pip: string): void {
    const hop = this.#query(pip, true);
    if (hop !== undefined) this.#options.ask(hop.address);
  }

  counters(): Readonly<Record<string, bigint>> {
    return { "next-hops-followed": this.#followed };
  }

  #ask(pip: string): Known {
    const before = this.#known.get(pip);
    const known = judge(before, this.#query(pip));
    if (known.lost && !before?.lost) {
      this.#options.log.warn(
        known.router === undefined
          ? "No route to the peer over the uplink: its MAC of the exchange is used"
          : "No route to the peer over the uplink: the last router is used",
        { pip },
      );
    }
    this.#known.set(pip, known);
    return known;
  }

  /** A kernel that cannot be asked has not said that there is no route: it is asked again. */
  #query(pip: string, probe = false): NextHop | undefined {
    try {
      return this.#options.query(pip, probe);
    } catch (cause) {
      this.#options.log.debug("The kernel was not asked for a next hop", {
        pip,
        cause: String(cause),
      });
      return undefined;
    }
  }
}

const NOTHING: Known = {
  router: undefined,
  neighbour: undefined,
  left: new Map(),
  told: [],
  settled: false,
  moved: false,
  lost: false,
};

/** What is known after an answer. No answer is not "the answer is no": what was known last stays. */
function judge(before: Known | undefined, hop: NextHop | undefined): Known {
  const known = before ?? NOTHING;
  if (hop === undefined) return { ...known, settled: false, lost: true };
  if (hop.viaGateway) {
    const router = hop.mac ?? known.router;
    const moved = known.moved || (before !== undefined && router !== known.router);
    return { ...NOTHING, told: known.told, router, settled: hop.mac !== undefined, moved };
  }
  const neighbour = hop.mac ?? known.neighbour;
  const wentTo = known.neighbour !== undefined && neighbour !== undefined &&
    known.neighbour !== neighbour;
  const left = wentTo ? leave(known, known.neighbour, neighbour) : known.left;
  const moved = known.moved || wentTo || known.router !== undefined;
  const { told } = known;
  return { router: undefined, neighbour, left, told, settled: true, moved, lost: false };
}

/**
 * The address has left the MAC `from`: whatever led there leads to `to`. Where nobody had named `from`, as with a bond that
 * answers ARP with the MACs of its links in turn, the kernel knows better than any word before.
 */
function leave(
  { left, told }: Known,
  from: string,
  to: string,
): ReadonlyMap<string, string> {
  const next = new Map<string, string>();
  for (const mac of left.keys()) next.set(mac, to);
  if (!told.includes(from) && !left.has(from)) { for (const mac of told) next.set(mac, to); }
  next.set(from, to);
  next.delete(to);
  return next;
}

// SPDX-License-Identifier: Apache-2.0

/** Which MAC packets to a peer leave the uplink for: as configured, a router's, or the peer's own. */
import type { NextHop } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../model/log.ts";
import type { TxSa } from "../model/sa.ts";

export interface NextHopsOptions {
  readonly config: Pick<Config, "peers" | "plane">;
  /** The kernel's answer; undefined: no route over the uplink. */
  readonly query: (pip: string) => NextHop | undefined;
  readonly log: Log;
  /** A MAC changed: transmit SAs to this outer address need a new header. */
  readonly changed: (pip: string) => void;
}

/** What the kernel says of an outer address. Nothing in it is a peer's word: several may name one address. */
interface Known {
  /** MAC of the router towards it; undefined: none, or it was never resolved. */
  readonly router: string | undefined;
  /** The kernel need not be asked again for the next SA. */
  readonly settled: boolean;
  /** It differs from what SAs were given before. */
  readonly moved: boolean;
}

/** Remembers what was answered per outer address: for further SAs, and so that `refresh` can tell what changed. */
export class NextHops {
  readonly #options: NextHopsOptions;
  readonly #configured: ReadonlyMap<string, string>;
  readonly #known = new Map<string, Known>();

  constructor(options: NextHopsOptions) {
    this.#options = options;
    const { peers, plane } = options.config;
    const macs = peers.map((peer) => [peer.id, peer.nextHopMac ?? plane.nextHopMac] as const);
    this.#configured = new Map(
      macs.filter((pair): pair is [string, string] => pair[1] !== undefined),
    );
  }

  /** The MAC for packets of this SA. The exchange's own word serves while the kernel resolves. */
  macFor(sa: TxSa): string {
    const configured = this.#configured.get(sa.peer);
    if (configured !== undefined) return configured;
    const known = this.#known.get(sa.pip);
    // Where there is no router, the exchange goes first: it is authenticated and the neighbour table is not.
    return (known?.settled ? known : this.#ask(sa.pip)).router ?? sa.mac;
  }

  /** Asks the kernel again about the outer addresses `inUse`, forgets others. Call it every few seconds. */
  refresh(inUse: ReadonlySet<string>): void {
    for (const pip of [...this.#known.keys()]) {
      if (!inUse.has(pip)) {
        this.#known.delete(pip);
        continue;
      }
      const known = this.#ask(pip);
      if (!known.moved) continue;
      this.#known.set(pip, { ...known, moved: false });
      this.#options.log.info("Next hop changed", { pip, mac: known.router });
      this.#options.changed(pip);
    }
  }

  #ask(pip: string): Known {
    const hop = this.#options.query(pip);
    if (hop === undefined) {
      this.#options.log.warn("No route to the peer over the uplink: its MAC is used", { pip });
    }
    const before = this.#known.get(pip);
    // A router that is being resolved again had a MAC before.
    const router = hop?.viaGateway ? hop.mac ?? before?.router : undefined;
    const moved = before !== undefined && (before.moved || before.router !== router);
    const settled = hop !== undefined && (!hop.viaGateway || hop.mac !== undefined);
    const known = { router, settled, moved };
    this.#known.set(pip, known);
    return known;
  }
}

// SPDX-License-Identifier: Apache-2.0

/** Which MAC packets to a peer leave the uplink for: as configured, a router's, or the peer's own. */
import type { NextHop } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../log.ts";
import type { TxSa } from "../sa/sa.ts";

export interface NextHopsOptions {
  readonly config: Pick<Config, "peers" | "plane">;
  /** The kernel's answer; undefined: no route over the uplink. */
  readonly query: (pip: string) => NextHop | undefined;
  readonly log: Log;
  /** A MAC changed: transmit SAs to this outer address need a new header. */
  readonly changed: (pip: string) => void;
}

interface Known {
  readonly mac: string;
  readonly peerMac: string;
}

/** Remembers what was answered per outer address, so that `refresh` can tell what changed. */
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
    const mac = this.#resolve(sa.pip, sa.mac);
    this.#known.set(sa.pip, { mac, peerMac: sa.mac });
    return mac;
  }

  /** Asks the kernel again about the outer addresses `inUse`, forgets others. Call it every few seconds. */
  refresh(inUse: ReadonlySet<string>): void {
    for (const [pip, known] of this.#known) {
      if (!inUse.has(pip)) {
        this.#known.delete(pip);
        continue;
      }
      const mac = this.#resolve(pip, known.peerMac);
      if (mac === known.mac) continue;
      this.#known.set(pip, { ...known, mac });
      this.#options.log.info("Next hop changed", { pip, mac });
      this.#options.changed(pip);
    }
  }

  #resolve(pip: string, peerMac: string): string {
    const hop = this.#options.query(pip);
    if (hop === undefined) {
      this.#options.log.warn("No route to the peer over the uplink: its MAC is used", { pip });
      return peerMac;
    }
    // On the same link the exchange is authenticated and the neighbour table is not: it goes first.
    return hop.viaGateway ? hop.mac ?? this.#known.get(pip)?.mac ?? peerMac : peerMac;
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * This host's own uplink: its MAC may become another one while the agent runs (a bond fails over, a NIC is replaced, the
 * interface is made anew). Headers take the new one, and the segment is told, because the neighbours' kernels go on
 * sending to the old one until theirs is checked. It also asks for neighbours that have become silent: their answer is the
 * kernel's to read.
 */
import { DataPlaneError, type Plane } from "../../ffi/plane.ts";
import { arpAnnouncement, arpRequest } from "../exceptions/arp.ts";
import { neighbourAnnouncement, neighbourSolicitation } from "../exceptions/nd.ts";
import type { Log } from "../model/log.ts";

export interface UplinkOptions {
  readonly plane: Pick<Plane, "port" | "inject">;
  /** The outer address of this host. */
  readonly pip: string;
  readonly log: Log;
  /** The uplink has another MAC. */
  readonly changed: (mac: string) => void;
}

/** An announcement is sent so often, once a second: one may be lost while a switch learns. */
const ANNOUNCEMENTS = 3;

/** Neighbours that are asked for in a second. */
const ASKED_AT_ONCE = 16;

/** Follows the uplink's MAC. */
export class Uplink {
  readonly #options: UplinkOptions;
  #mac: string;
  #identity: number;
  #toAnnounce = 0;
  readonly #toAsk = new Set<string>();

  constructor(options: UplinkOptions) {
    this.#options = options;
    const { mac, identity } = options.plane.port("uplink");
    this.#mac = mac;
    this.#identity = identity;
  }

  /**
   * Asks at the next look who has an address of the link. The kernel, which takes its own answer of before to be good for a
   * minute, follows what it hears. An address of the other family than this host's is left to it.
   */
  ask(address: string): void {
    const isOurs = address.includes(":") === this.#options.pip.includes(":");
    if (isOurs && this.#toAsk.size < ASKED_AT_ONCE) this.#toAsk.add(address);
  }

  /** Call it every second, and when a port has changed. Never throws. */
  look(): void {
    const { plane, pip, log, changed } = this.#options;
    try {
      const { mac, identity, present, linkUp } = plane.port("uplink");
      if (!present) return;
      if (mac !== this.#mac) {
        log.info("The uplink's MAC has changed: neighbours are told", { mac });
        this.#mac = mac;
        this.#toAnnounce = ANNOUNCEMENTS;
        changed(mac);
      } else if (identity !== this.#identity) this.#toAnnounce = ANNOUNCEMENTS;
      this.#identity = identity;
      if (!linkUp) return;
      const isIpv6 = pip.includes(":");
      if (this.#toAnnounce > 0) {
        this.#toAnnounce--;
        const announcement = isIpv6 ? neighbourAnnouncement : arpAnnouncement;
        plane.inject("uplink", announcement(pip, mac));
      }
      const request = isIpv6 ? neighbourSolicitation : arpRequest;
      for (const address of this.#toAsk) plane.inject("uplink", request(address, { mac, ip: pip }));
      this.#toAsk.clear();
    } catch (cause) {
      if (!(cause instanceof DataPlaneError)) throw cause;
      log.debug("The uplink was not looked at", { cause: cause.message });
    }
  }
}

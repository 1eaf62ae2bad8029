// SPDX-License-Identifier: Apache-2.0

/** Whether the two interfaces are up: an agent without one of them runs, and nothing passes. */
import type { PortInfo, PortName } from "../../ffi/plane.ts";
import type { Log } from "../model/log.ts";

/** What a watch looks at. */
export interface LinkOptions {
  /** Asks the plane; throws for an interface that is gone. */
  readonly query: (port: PortName) => Pick<PortInfo, "linkUp">;
  /** Names of the interfaces. */
  readonly names: Readonly<Record<PortName, string>>;
  readonly log: Pick<Log, "warn" | "info">;
}

const PORTS = ["uplink", "host"] as const satisfies readonly PortName[];

/** Says what has changed since the last look. */
export class LinkWatch {
  readonly #options: LinkOptions;
  readonly #state = new Map<PortName, "up" | "down" | "gone">();

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Call it every second or so. Never throws. */
  tick(): void {
    const { names, log } = this.#options;
    for (const port of PORTS) {
      const before = this.#state.get(port) ?? "up";
      const state = this.#look(port);
      this.#state.set(port, state);
      if (state === before) continue;
      const fields = { interface: names[port], port };
      if (state === "up") log.info("An interface is up again", fields);
      else if (state === "down") log.warn("An interface is down: nothing passes", fields);
      else log.warn("An interface is gone: start the agent again when it is back", fields);
    }
  }

  #look(port: PortName): "up" | "down" | "gone" {
    try {
      return this.#options.query(port).linkUp ? "up" : "down";
    } catch {
      return "gone";
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/** Whether the two interfaces are up: an agent without one of them runs, and nothing passes. */
import type { PortInfo, PortName } from "../../ffi/plane.ts";
import type { Log } from "../model/log.ts";

/** What a watch looks at. */
export interface LinkOptions {
  /** Asks the plane; may throw. */
  readonly query: (port: PortName) => Pick<PortInfo, "linkUp" | "present">;
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
      else log.warn("An interface is gone: nothing passes until there is one of its name", fields);
    }
  }

  /** Why nothing passes, as found at the last look: "interface p0 is gone". */
  faults(): readonly string[] {
    return [...this.#state].filter(([, state]) => state !== "up")
      .map(([port, state]) => `interface ${this.#options.names[port]} is ${state}`);
  }

  #look(port: PortName): "up" | "down" | "gone" {
    try {
      const { present, linkUp } = this.#options.query(port);
      return linkUp ? "up" : present ? "down" : "gone";
    } catch {
      return "gone";
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/** Whether the interfaces are up: an agent without one of them runs, and nothing passes there. */
import type { PortInfo, PortName } from "../../ffi/plane.ts";
import type { Log } from "../model/log.ts";

/** A port of the plane, by role, by what the plane calls it, and by the name of its interface. */
export interface NamedPort {
  readonly role: PortName;
  readonly handle: number;
  readonly interface: string;
  /** Of a host port; absent or "": the default one. */
  readonly network?: string;
}

/** A port where nothing passes. */
export interface LinkFault {
  readonly role: PortName;
  readonly interface: string;
  /** "interface p0 is gone". */
  readonly text: string;
}

/** What a watch looks at. */
export interface LinkOptions {
  /** Asks the plane; may throw. */
  readonly query: (handle: number) => Pick<PortInfo, "linkUp" | "present">;
  /** Those that there are now. */
  readonly ports: () => readonly NamedPort[];
  readonly log: Pick<Log, "warn" | "info">;
}

/** How an interface is. */
export type LinkState = "up" | "down" | "gone";

/** Says what has changed since the last look. */
export class LinkWatch {
  readonly #options: LinkOptions;
  #state: ReadonlyMap<number, LinkState> = new Map();

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Call it every second or so. Never throws. */
  tick(): void {
    const { ports, log } = this.#options;
    const found = new Map<number, LinkState>();
    for (const { handle, role, interface: name } of ports()) {
      const before = this.#state.get(handle) ?? "up";
      const state = this.#look(handle);
      found.set(handle, state);
      if (state === before) continue;
      const fields = { interface: name, port: role };
      if (state === "up") log.info("An interface is up again", fields);
      else if (state === "down") log.warn("An interface is down: nothing passes", fields);
      else log.warn("An interface is gone: nothing passes until there is one of its name", fields);
    }
    this.#state = found;
  }

  /** As found at the last look. */
  stateOf(handle: number): LinkState {
    return this.#state.get(handle) ?? "up";
  }

  /** Where nothing passes, and why, as found at the last look. */
  faults(): readonly LinkFault[] {
    return this.#options.ports().filter(({ handle }) => this.stateOf(handle) !== "up")
      .map(({ role, handle, interface: name }) => ({
        role,
        interface: name,
        text: `interface ${name} is ${this.stateOf(handle)}`,
      }));
  }

  #look(handle: number): LinkState {
    try {
      const { present, linkUp } = this.#options.query(handle);
      return linkUp ? "up" : present ? "down" : "gone";
    } catch {
      return "gone";
    }
  }
}

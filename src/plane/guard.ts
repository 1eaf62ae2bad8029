// SPDX-License-Identifier: Apache-2.0

/**
 * Whether the ingress guard stands on both interfaces of the plane: it keeps this host's kernel from its own copies of
 * what comes in. The plane puts it back where it finds it gone; here that is said and counted.
 */
import type { PortGuard, PortInfo, PortName } from "../../ffi/plane.ts";
import type { Log } from "../log.ts";
import type { PortView } from "../status.ts";

/** Counted here, and what one count of each means. */
export const GUARD_COUNTERS = {
  "guard-restored": "times that the ingress guard of an interface was found gone and put back",
  "guard-absent": "looks, one a second at each interface, that found no ingress guard",
} as const;

/** What a watch looks at. */
export interface GuardOptions {
  /** Asks the plane; throws for an interface that is gone. */
  readonly query: (port: PortName) => Pick<PortInfo, "guard">;
  /** Names of the interfaces. */
  readonly names: Readonly<Record<PortName, string>>;
  readonly log: Pick<Log, "error" | "warn" | "info">;
}

const PORTS = ["uplink", "host"] as const satisfies readonly PortName[];
const UNKNOWN: PortGuard = { state: "absent", reason: "refused", restored: 0 };

/** Why there is no guard, as part of a sentence. */
export function guardReasonText(reason: PortGuard["reason"]): string {
  switch (reason) {
    case "no-right":
      return "CAP_NET_ADMIN is missing";
    case "no-kernel":
      return "the kernel has no nftables with netdev chains and owners of tables (Linux 5.12)";
    case "refused":
    case undefined:
      return "the kernel refused it";
    default:
      return reason satisfies never;
  }
}

/** Says what has changed since the last look. */
export class GuardWatch {
  readonly #options: GuardOptions;
  readonly #last = new Map<PortName, PortGuard>();
  #absent = 0n;

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  /** Call it every second. Never throws. */
  tick(): void {
    for (const port of PORTS) {
      const guard = this.#look(port);
      if (guard === undefined) continue;
      if (guard.state === "absent") this.#absent++;
      const before = this.#last.get(port);
      this.#last.set(port, guard);
      this.#say(port, guard, before);
    }
  }

  /** Both, as they were found at the last look. */
  ports(): readonly PortView[] {
    const { names } = this.#options;
    return PORTS.map((name) => ({
      name,
      interface: names[name],
      guard: this.#last.get(name) ?? UNKNOWN,
    }));
  }

  counters(): Readonly<Record<string, bigint>> {
    const restored = [...this.#last.values()].reduce((sum, guard) => sum + guard.restored, 0);
    return { "guard-restored": BigInt(restored), "guard-absent": this.#absent };
  }

  #say(port: PortName, guard: PortGuard, before: PortGuard | undefined): void {
    const { names, log } = this.#options;
    const fields = { interface: names[port], port };
    const isAbsent = guard.state === "absent";
    const wasAbsent = before?.state === "absent";
    const reason = guardReasonText(guard.reason);
    if (isAbsent && before === undefined) {
      log.warn("No ingress guard: this host's kernel works on what comes in", {
        ...fields,
        reason,
      });
    } else if (isAbsent && !wasAbsent) {
      log.error("The ingress guard is gone and cannot be put back", { ...fields, reason });
    } else if (guard.restored > (before?.restored ?? 0)) {
      log.warn("The ingress guard was gone and has been put back", {
        ...fields,
        count: guard.restored,
      });
    }
  }

  /** Nothing comes in on an interface that is gone. */
  #look(port: PortName): PortGuard | undefined {
    try {
      return this.#options.query(port).guard;
    } catch {
      return undefined;
    }
  }
}

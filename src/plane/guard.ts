// SPDX-License-Identifier: Apache-2.0

/**
 * Whether the ingress guard stands on both interfaces of the plane: it keeps this host's kernel from its own copies of
 * what comes in. The plane puts it back where it finds it gone; here that is said and counted.
 */
import type { PortGuard, PortInfo, PortName } from "../../ffi/plane.ts";
import type { Log } from "../model/log.ts";
import type { PortView } from "../model/status.ts";

/** Counted here, and what one count of each means. */
export const GUARD_COUNTERS = {
  "guard-restored": "times that the ingress guard of an interface was found gone and put back",
  "guard-absent": "looks, one a second at each interface, that found no ingress guard",
} as const;

/** What a watch looks at. */
export interface GuardOptions {
  /** Asks the plane; may throw. */
  readonly query: (port: PortName) => Pick<PortInfo, "guard" | "present">;
  /** Names of the interfaces. */
  readonly names: Readonly<Record<PortName, string>>;
  readonly log: Pick<Log, "error" | "warn">;
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

/** What a look finds that is worth a line: none at the first look, none any more, one that was gone. */
type Change = "missing" | "lost" | "restored";

function changeOf(before: PortGuard | undefined, now: PortGuard): Change | undefined {
  if (now.state === "absent" && before === undefined) return "missing";
  if (now.state === "absent" && before?.state !== "absent") return "lost";
  return now.restored > (before?.restored ?? 0) ? "restored" : undefined;
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
    const changes = new Map<Change, PortName[]>();
    for (const port of PORTS) {
      const guard = this.#look(port);
      if (guard === undefined) continue;
      if (guard.state === "absent") this.#absent++;
      const change = changeOf(this.#last.get(port), guard);
      this.#last.set(port, guard);
      if (change !== undefined) changes.set(change, [...changes.get(change) ?? [], port]);
    }
    for (const [change, ports] of changes) this.#say(change, ports);
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

  /** One line for all ports that it is true of. */
  #say(change: Change, ports: readonly PortName[]): void {
    const { names, log } = this.#options;
    const at = { interface: ports.map((port) => names[port]).join(", ") };
    const [first = "host"] = ports;
    const reason = guardReasonText(this.#last.get(first)?.reason);
    switch (change) {
      case "missing":
        log.warn("No ingress guard: this host's kernel works on what comes in", { ...at, reason });
        break;
      case "lost":
        log.error("The ingress guard is gone and cannot be put back", { ...at, reason });
        break;
      case "restored":
        log.warn("The ingress guard was gone and has been put back", at);
        break;
      default:
        change satisfies never;
    }
  }

  /** Nothing comes in on an interface that is gone. */
  #look(port: PortName): PortGuard | undefined {
    try {
      const { guard, present } = this.#options.query(port);
      return present ? guard : undefined;
    } catch {
      return undefined;
    }
  }
}

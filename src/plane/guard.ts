// SPDX-License-Identifier: Apache-2.0

/**
 * Whether the ingress guard stands on the interfaces of the plane: it keeps this host's kernel from its own copies of
 * what comes in. The plane puts it back where it finds it gone; here that is said and counted.
 */
import type { PortGuard, PortInfo } from "../../ffi/plane.ts";
import type { Log } from "../model/log.ts";
import type { NamedPort } from "./links.ts";

/** Counted here, and what one count of each means. */
export const GUARD_COUNTERS = {
  "guard-restored": "times that the ingress guard of an interface was found gone and put back",
  "guard-absent": "looks, one a second at each interface, that found no ingress guard",
} as const;

/** What a watch looks at. */
export interface GuardOptions {
  /** Asks the plane; may throw. */
  readonly query: (handle: number) => Pick<PortInfo, "guard" | "present">;
  /** Those that there are now. */
  readonly ports: () => readonly NamedPort[];
  readonly log: Pick<Log, "error" | "warn">;
}

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
  readonly #last = new Map<number, PortGuard>();
  /** Of ports that are no more. */
  #restoredBefore = 0;
  #absent = 0n;

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  /** Call it every second. Never throws. */
  tick(): void {
    const changes = new Map<Change, NamedPort[]>();
    const ports = this.#options.ports();
    this.#forget(new Set(ports.map(({ handle }) => handle)));
    for (const port of ports) {
      const guard = this.#look(port.handle);
      if (guard === undefined) continue;
      if (guard.state === "absent") this.#absent++;
      const change = changeOf(this.#last.get(port.handle), guard);
      this.#last.set(port.handle, guard);
      if (change !== undefined) changes.set(change, [...changes.get(change) ?? [], port]);
    }
    for (const [change, ports] of changes) this.#say(change, ports);
  }

  /** As it was found at the last look. */
  guardOf(handle: number): PortGuard {
    return this.#last.get(handle) ?? UNKNOWN;
  }

  counters(): Readonly<Record<string, bigint>> {
    const restored = [...this.#last.values()].reduce(
      (sum, guard) => sum + guard.restored,
      this.#restoredBefore,
    );
    return { "guard-restored": BigInt(restored), "guard-absent": this.#absent };
  }

  #forget(there: ReadonlySet<number>): void {
    for (const [handle, { restored }] of this.#last) {
      if (there.has(handle)) continue;
      this.#restoredBefore += restored;
      this.#last.delete(handle);
    }
  }

  /** One line for all ports that it is true of. */
  #say(change: Change, ports: readonly NamedPort[]): void {
    const { log } = this.#options;
    const at = { interface: ports.map((port) => port.interface).join(", ") };
    const reason = guardReasonText(this.guardOf(ports[0]?.handle ?? 0).reason);
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
  #look(handle: number): PortGuard | undefined {
    try {
      const { guard, present } = this.#options.query(handle);
      return present ? guard : undefined;
    } catch {
      return undefined;
    }
  }
}

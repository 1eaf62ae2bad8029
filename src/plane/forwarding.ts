// SPDX-License-Identifier: Apache-2.0

/**
 * Whether the kernel sends workloads' packets on in clear text beside the agent: where no ingress guard keeps it from
 * them. A plane does not open then; somebody may switch it on later. Nothing here can stop the kernel, so the traffic of tunnels goes on: it is said
 * loudly, and counted.
 */
import type { PortInfo } from "../../ffi/plane.ts";
import type { Log } from "../model/log.ts";

/** Counted here, and what one count of it means. */
export const FORWARDING_COUNTERS = {
  "kernel-forwards":
    "looks, one a second, that found the kernel forwarding packets of workloads in clear text",
} as const;

/** How often to say that it is still so. */
const SAY_AGAIN_MS = 60_000;

/** What to set on an interface, by the families that the kernel forwards. */
export function forwardingAdvice(forwards: PortInfo["forwards"], name: string): string {
  const settings = forwards.map((family) =>
    family === "ipv4"
      ? `net.ipv4.conf.${name}.forwarding=0`
      : `net.ipv6.conf.${name}.disable_ipv6=1`
  );
  return `sysctl -w ${settings.join(" ")}`;
}

/** What a guard looks at. */
export interface ForwardingOptions {
  /** Asks the plane about the host port; may throw. */
  readonly query: () => Pick<PortInfo, "forwards">;
  /** Name of the host port. */
  readonly host: string;
  readonly log: Pick<Log, "error" | "info">;
  readonly now: () => number;
}

/** Looks again and again. */
export class ForwardingGuard {
  readonly #options: ForwardingOptions;
  #count = 0n;
  #saidAt: number | undefined;

  constructor(options: ForwardingOptions) {
    this.#options = options;
  }

  /** Call it every second. Never throws. */
  tick(): void {
    const { host, log, now } = this.#options;
    const forwards = this.#look();
    if (forwards.length === 0) {
      if (this.#saidAt !== undefined) {
        log.info("The kernel does not forward packets of workloads any more", { interface: host });
      }
      this.#saidAt = undefined;
      return;
    }
    this.#count++;
    if (this.#saidAt !== undefined && now() - this.#saidAt < SAY_AGAIN_MS) return;
    this.#saidAt = now();
    log.error("The kernel forwards packets of workloads in clear text: set what reason says", {
      interface: host,
      reason: forwardingAdvice(forwards, host),
    });
  }

  counters(): Readonly<Record<string, bigint>> {
    return { "kernel-forwards": this.#count };
  }

  /** An interface that is gone forwards nothing. */
  #look(): PortInfo["forwards"] {
    try {
      return this.#options.query().forwards;
    } catch {
      return [];
    }
  }
}

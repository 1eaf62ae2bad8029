// SPDX-License-Identifier: Apache-2.0

/**
 * Whether the kernel sends workloads' packets on in clear text beside the agent: where no ingress guard keeps it from
 * them. A plane does not open then; somebody may switch it on later. Nothing here can stop the kernel, so the traffic of tunnels goes on: it is said
 * loudly, and counted.
 */
import type { PortInfo } from "../../ffi/plane.ts";
import type { Log } from "../model/log.ts";
import type { NamedPort } from "./links.ts";

/** Counted here, and what one count of it means. */
export const FORWARDING_COUNTERS = {
  "kernel-forwards":
    "looks, one a second at each host port, that found the kernel forwarding packets of workloads in clear text",
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
  /** Asks the plane about a host port; may throw. */
  readonly query: (handle: number) => Pick<PortInfo, "forwards">;
  /** The host ports that there are now. */
  readonly ports: () => readonly NamedPort[];
  readonly log: Pick<Log, "error" | "info">;
  readonly now: () => number;
}

/** Looks again and again. */
export class ForwardingGuard {
  readonly #options: ForwardingOptions;
  #count = 0n;
  /** By port: when it was said that the kernel forwards there. */
  readonly #saidAt = new Map<number, number>();

  constructor(options: ForwardingOptions) {
    this.#options = options;
  }

  /** Call it every second. Never throws. */
  tick(): void {
    const ports = this.#options.ports();
    const there = new Set(ports.map(({ handle }) => handle));
    for (const handle of this.#saidAt.keys()) if (!there.has(handle)) this.#saidAt.delete(handle);
    for (const port of ports) this.#tick(port);
  }

  /** Where it does now, as sentences with what to do. */
  warnings(): readonly string[] {
    return this.#options.ports().flatMap(({ handle, interface: name }) => {
      const forwards = this.#look(handle);
      return forwards.length === 0 ? [] : [
        `The kernel forwards what comes in at ${name} in clear text besides (kernel-forwards): ${
          forwardingAdvice(forwards, name)
        }`,
      ];
    });
  }

  counters(): Readonly<Record<string, bigint>> {
    return { "kernel-forwards": this.#count };
  }

  #tick({ handle, interface: name }: NamedPort): void {
    const { log, now } = this.#options;
    const forwards = this.#look(handle);
    const saidAt = this.#saidAt.get(handle);
    if (forwards.length === 0) {
      if (saidAt !== undefined) {
        log.info("The kernel does not forward packets of workloads any more", { interface: name });
      }
      this.#saidAt.delete(handle);
      return;
    }
    this.#count++;
    if (saidAt !== undefined && now() - saidAt < SAY_AGAIN_MS) return;
    this.#saidAt.set(handle, now());
    log.error("The kernel forwards packets of workloads in clear text: set what reason says", {
      interface: name,
      reason: forwardingAdvice(forwards, name),
    });
  }

  /** An interface that is gone forwards nothing. */
  #look(handle: number): PortInfo["forwards"] {
    try {
      return this.#options.query(handle).forwards;
    } catch {
      return [];
    }
  }
}

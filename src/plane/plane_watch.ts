// SPDX-License-Identifier: Apache-2.0

/** Looks at the machine around the plane while the agent runs: its two interfaces, and what the kernel does there. */
import type { Plane } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Log } from "../model/log.ts";
import type { Clock } from "../model/clock.ts";
import type { PortView } from "../model/status.ts";
import { ForwardingGuard } from "./forwarding.ts";
import { GuardWatch } from "./guard.ts";
import { LinkWatch } from "./links.ts";

const INTERVAL_MS = 1000;

/** Runs until disposed of. */
export interface PlaneWatch extends Disposable {
  counters(): Readonly<Record<string, bigint>>;
  /** As they were found at the last look. */
  ports(): readonly PortView[];
  /** Why nothing passes, as found at the last look. */
  faults(): readonly string[];
}

/** Begins to look, once a second. */
export function watchPlane(
  { config: { plane: named }, plane, log, clock }: {
    readonly config: Pick<Config, "plane">;
    readonly plane: Pick<Plane, "port">;
    readonly log: Log;
    readonly clock: Pick<Clock, "now">;
  },
): PlaneWatch {
  const names = named.kind === "soft"
    ? { uplink: named.uplink, host: named.host }
    : { uplink: named.pci, host: named.representor };
  const links = new LinkWatch({ query: (port) => plane.port(port), names, log });
  const forwarding = new ForwardingGuard({
    query: () => plane.port("host"),
    host: names.host,
    log,
    now: () => clock.now(),
  });
  const guard = new GuardWatch({ query: (port) => plane.port(port), names, log });
  guard.tick();
  const timer = setInterval(() => {
    links.tick();
    guard.tick();
    forwarding.tick();
  }, INTERVAL_MS);
  return {
    counters: () => ({ ...forwarding.counters(), ...guard.counters() }),
    ports: () => guard.ports(),
    faults: () => links.faults(),
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

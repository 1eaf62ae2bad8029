// SPDX-License-Identifier: Apache-2.0

/** Looks at the machine around the plane while the agent runs: its interfaces, and what the kernel does there. */
import { DataPlaneError, type Plane } from "../../ffi/plane.ts";
import type { EventSink } from "../model/events.ts";
import type { Log } from "../model/log.ts";
import type { Clock } from "../model/clock.ts";
import type { PortView } from "../model/status.ts";
import { ForwardingGuard } from "./forwarding.ts";
import { GuardWatch } from "./guard.ts";
import type { HostPorts } from "./host_ports.ts";
import { type LinkFault, LinkWatch, type NamedPort } from "./links.ts";

const INTERVAL_MS = 1000;

/** Runs until disposed of. */
export interface PlaneWatch extends Disposable {
  counters(): Readonly<Record<string, bigint>>;
  /** As they were found at the last look. */
  ports(): readonly PortView[];
  /** Where nothing passes, and why, as found at the last look. */
  faults(): readonly LinkFault[];
  /** What the kernel does besides the agent, and how to end it. */
  warnings(): readonly string[];
}

/** Begins to look, once a second. */
export function watchPlane(
  { plane, hosts, workloads, uplink, log, clock, events }: {
    readonly plane: Pick<Plane, "port" | "ports">;
    readonly hosts: HostPorts;
    /** How many addresses were found behind a port. */
    readonly workloads: (handle: number) => number;
    /** Name of its interface. */
    readonly uplink: string;
    readonly log: Log;
    readonly clock: Pick<Clock, "now">;
    readonly events: EventSink;
  },
): PlaneWatch {
  const first: NamedPort = { role: "uplink", handle: plane.ports.uplink, interface: uplink };
  const ports = () => [first, ...hosts.all()];
  const query = (handle: number) => plane.port(handle);
  const links = new LinkWatch({ query, ports, log });
  const forwarding = new ForwardingGuard({
    query,
    ports: () => hosts.all(),
    log,
    now: () => clock.now(),
  });
  const guard = new GuardWatch({ query, ports, log });
  const factsOf = ({ handle, network = "" }: NamedPort): Pick<PortView, "facts"> => {
    try {
      const { mac, traffic } = query(handle);
      const state = links.stateOf(handle);
      return { facts: { ...traffic, state, mac, network, workloads: workloads(handle) } };
    } catch (cause) {
      if (!(cause instanceof DataPlaneError)) throw cause;
      return {};
    }
  };
  guard.tick();
  let said = "";
  const timer = setInterval(() => {
    hosts.tick();
    links.tick();
    const faults = links.faults().map(({ text }) => text).join("; ");
    if (faults !== said) {
      if (faults === "") events.add("plane-well");
      else events.add("plane-fault", { reason: faults });
      said = faults;
    }
    guard.tick();
    forwarding.tick();
  }, INTERVAL_MS);
  return {
    counters: () => ({ ...forwarding.counters(), ...guard.counters(), ...hosts.counters() }),
    ports: () =>
      ports().map((port) => ({
        name: port.role,
        interface: port.interface,
        guard: guard.guardOf(port.handle),
        ...factsOf(port),
      })),
    faults: () => [
      ...links.faults(),
      ...hosts.missing().map((name): LinkFault => ({
        role: "host",
        interface: name,
        text: `interface ${name} is not there`,
      })),
    ],
    warnings: () => forwarding.warnings(),
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

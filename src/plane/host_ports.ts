// SPDX-License-Identifier: Apache-2.0

/**
 * The host ports of the plane, which come and go with their interfaces and with the configuration: those of the names and
 * patterns of `plane.host`. One single name is opened with the plane and stays; of a list, what is there is opened, an exact
 * name stays as long as it is configured (the plane binds to each new interface of it), and what a pattern found goes a
 * while after its interface. A port that is to be of another network, or to have other limits, is opened anew.
 */
import { DataPlaneError, type Plane, type PortOptions, type Rate } from "../../ffi/plane.ts";
import { type Config, hasManyHosts, hostNames, type PlaneConfig } from "../config/config.ts";
import { sameValue } from "../config/changes.ts";
import type { Log } from "../model/log.ts";
import { networkOfPort } from "../model/network.ts";
import { isPattern, matchesName } from "../model/patterns.ts";
import type { NamedPort } from "./links.ts";

/** Counted here, and what one count of each means. */
export const HOST_PORT_COUNTERS = {
  "ports-added": "host ports that came while the agent ran",
  "ports-removed":
    "host ports that went with their interface, or that the configuration does not have any more",
  "ports-refused": "interfaces that the plane does not take as host ports",
} as const;

/** How long an interface that a pattern found may be away: it is re-created under its name, or it was the last. */
const GONE_MS = 10_000;
/** An interface that was refused is tried again after so long. */
const RETRY_MS = 10_000;

/** Whether workloads of this host reach one another: through one representor they do so before the device's pipes. */
export function hasLocal(plane: PlaneConfig): boolean {
  return plane.kind === "soft" || hasManyHosts(plane);
}

/**
 * Those of these interfaces that a plane is to have, in the order of the configuration. What hardware has to be opened with is
 * among them whether it is there or not.
 */
export function hostInterfaces(
  plane: PlaneConfig,
  interfaces: ReadonlySet<string>,
): readonly string[] {
  const uplink = plane.kind === "soft" ? plane.uplink : plane.pci;
  const found = hostNames(plane).flatMap((pattern) =>
    isPattern(pattern)
      ? [...interfaces].filter((name) => name !== uplink && matchesName(pattern, name)).sort()
      : interfaces.has(pattern) || plane.kind === "doca"
      ? [pattern]
      : []
  );
  return [...new Set(found)];
}

/** The numbers that a plane knows networks by; 0: the default one. */
export type Labels = ReadonlyMap<string, number>;

/** A number for each network. One that there was `before` keeps its own, and no other ever gets it. */
function labelsOf(networks: PortSettings["networks"], before: Labels = new Map()): Labels {
  const labels = new Map(before);
  for (const { name } of networks ?? []) {
    if (!labels.has(name)) labels.set(name, labels.size + 1);
  }
  return labels;
}

/** Ports as the configuration has them. */
export interface PortSettings {
  readonly plane: PlaneConfig;
  readonly networks?: Config["networks"] | undefined;
}

/** What a host port is opened with: its network, and the limits of the first of `plane.ports` that it is named by. */
export function hostPort(
  name: string,
  { plane, networks, labels = labelsOf(networks) }: PortSettings & { readonly labels?: Labels },
): PortOptions {
  const network = labels.get(networkOfPort(networks, name)) ?? 0;
  const rule = plane.ports?.find((port) => matchesName(port.name, name));
  const limits = {
    miss: rateOf(rule?.missesPerS),
    missPerMac: rateOf(rule?.missesPerMac),
    exception: rateOf(rule?.exceptionsPerS),
    exceptionPerMac: rateOf(rule?.exceptionsPerMac),
    holdFlows: rule?.holdFlows,
    holdBytes: rule?.holdBytes,
  };
  const given = Object.entries(limits).filter(([, limit]) => limit !== undefined);
  const guard = plane.kind === "soft" ? { guard: plane.hostGuard } : {};
  return { kind: "host", name, network, ...guard, ...Object.fromEntries(given) };
}

function rateOf(perS: number | undefined): Rate | undefined {
  return perS === undefined ? undefined : { perS: perS === 0 ? "none" : perS };
}

/** What they are opened with, and who is told. */
export interface HostPortsOptions {
  readonly config: PlaneConfig;
  readonly networks?: Config["networks"];
  /** Interfaces that the plane was opened with, in the order of their handles. */
  readonly opened: readonly string[];
  readonly plane: Pick<Plane, "addPort" | "removePort" | "port" | "ports">;
  /** Those of this host; may throw. */
  readonly interfaces: () => ReadonlySet<string>;
  readonly now: () => number;
  readonly log: Pick<Log, "info" | "warn" | "debug">;
}

/** The ports as they are now; whoever depends on one hears of its end before the plane does. */
export class HostPorts {
  readonly #options: HostPortsOptions;
  /** They come and go. */
  readonly #many: boolean;
  #settings: PortSettings;
  #labels: Labels;
  readonly #ports = new Map<number, NamedPort>();
  /** What each was opened with. */
  readonly #opened = new Map<number, PortOptions>();
  /** Those that the configuration does not have any more, or has otherwise. */
  readonly #stale = new Set<number>();
  readonly #goneSince = new Map<number, number>();
  readonly #retryAt = new Map<string, number>();
  readonly #counts = { added: 0n, removed: 0n, refused: 0n };
  /** Forward to the port no more: called before it is removed. */
  onRemove: (port: NamedPort) => void = () => {};

  constructor(options: HostPortsOptions) {
    this.#options = options;
    this.#many = options.config.kind === "soft" && hasManyHosts(options.config);
    this.#settings = { plane: options.config, networks: options.networks };
    this.#labels = labelsOf(options.networks);
    const first = options.plane.ports.host;
    for (const [i, name] of options.opened.entries()) this.#keep(first + i, name);
  }

  /** In the order in which they came. */
  all(): readonly NamedPort[] {
    return [...this.#ports.values()];
  }

  get(handle: number): NamedPort | undefined {
    return this.#ports.get(handle);
  }

  /** The port of an interface. */
  byName(name: string): NamedPort | undefined {
    return this.all().find((port) => port.interface === name);
  }

  /** Exact names of the configuration for which there has been no interface yet. */
  missing(): readonly string[] {
    if (!this.#many) return [];
    return hostNames(this.#settings.plane).filter((name) =>
      !isPattern(name) && this.byName(name) === undefined
    );
  }

  /**
   * The configuration says something else of them: those that it does not have go, others come, and those that it has
   * otherwise are opened anew; no other port notices anything. Never throws: what the plane refuses is tried again.
   */
  follow(settings: PortSettings): void {
    this.#settings = settings;
    this.#labels = labelsOf(settings.networks, this.#labels);
    if (!this.#many) return;
    for (const { handle, interface: name } of this.all()) {
      const wanted = this.#isNamed(name) ? this.#wanted(name) : undefined;
      if (sameValue(wanted, this.#opened.get(handle))) this.#stale.delete(handle);
      else this.#stale.add(handle);
    }
    this.#retryAt.clear();
    this.tick();
  }

  /** Looks which interfaces there are. Call it every second or so, and when a port has changed. Never throws. */
  tick(): void {
    if (!this.#many) return;
    for (const port of this.all()) {
      if (this.#stale.has(port.handle)) this.#attempt(() => this.#remove(port));
    }
    this.#attempt(() => {
      const there = this.#options.interfaces();
      for (const port of this.all()) this.#watch(port, there);
      for (const name of hostInterfaces(this.#settings.plane, there)) {
        if (this.byName(name) === undefined) this.#add(name);
      }
      for (const name of this.#retryAt.keys()) if (!there.has(name)) this.#retryAt.delete(name);
    });
  }

  counters(): Readonly<Record<string, bigint>> {
    const { added, removed, refused } = this.#counts;
    return { "ports-added": added, "ports-removed": removed, "ports-refused": refused };
  }

  /** What the plane refuses is tried again with the next look. */
  #attempt(what: () => void): void {
    try {
      what();
    } catch (cause) {
      if (!(cause instanceof DataPlaneError)) throw cause;
      this.#options.log.debug("The host ports were not looked at", { cause: cause.message });
    }
  }

  #add(name: string): void {
    const { plane, now, log } = this.#options;
    if ((this.#retryAt.get(name) ?? -Infinity) > now()) return;
    try {
      const { handle } = this.#keep(plane.addPort(this.#wanted(name)), name);
      this.#retryAt.delete(name);
      this.#counts.added++;
      log.info("A host port has come", { interface: name, port: handle });
    } catch (cause) {
      if (!(cause instanceof DataPlaneError)) throw cause;
      // Gone again, or made under another name first: the next look tells.
      if (cause.code === "ENODEV") return;
      this.#retryAt.set(name, now() + RETRY_MS);
      this.#counts.refused++;
      log.warn("The plane does not take an interface as a host port", {
        interface: name,
        reason: cause.message,
      });
    }
  }

  /** What a pattern found goes some time after its interface. */
  #watch(port: NamedPort, there: ReadonlySet<string>): void {
    const { now } = this.#options;
    if (there.has(port.interface) || hostNames(this.#settings.plane).includes(port.interface)) {
      this.#goneSince.delete(port.handle);
      return;
    }
    const since = this.#goneSince.get(port.handle) ?? now();
    this.#goneSince.set(port.handle, since);
    if (now() - since >= GONE_MS) this.#remove(port);
  }

  #remove(port: NamedPort): void {
    const { plane, log } = this.#options;
    // Who looks for its workloads elsewhere must not find it.
    this.#ports.delete(port.handle);
    this.onRemove(port);
    try {
      plane.removePort(port.handle);
    } catch (cause) {
      this.#ports.set(port.handle, port);
      throw cause;
    }
    this.#opened.delete(port.handle);
    this.#stale.delete(port.handle);
    this.#goneSince.delete(port.handle);
    this.#counts.removed++;
    log.info("A host port has gone", { interface: port.interface, port: port.handle });
  }

  #keep(handle: number, name: string): NamedPort {
    const network = networkOfPort(this.#settings.networks, name);
    const port: NamedPort = { role: "host", handle, interface: name, network };
    this.#ports.set(handle, port);
    this.#opened.set(handle, this.#wanted(name));
    return port;
  }

  #wanted(name: string): PortOptions {
    return hostPort(name, { ...this.#settings, labels: this.#labels });
  }

  /** Whether the configuration speaks of an interface, be it there or not. */
  #isNamed(name: string): boolean {
    return hostInterfaces(this.#settings.plane, new Set([name])).includes(name);
  }
}

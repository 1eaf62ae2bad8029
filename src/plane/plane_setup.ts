// SPDX-License-Identifier: Apache-2.0

/** The data plane as the configuration wants it: opened, with its pipes installed. */
import { DataPlane } from "../../ffi/data_plane.ts";
import { interfaceNames, type Library, openLibrary } from "../../ffi/library.ts";
import { backends } from "../../ffi/offline.ts";
import { DataPlaneError, type PlaneOptions, type PspVersionNumber } from "../../ffi/plane.ts";
import { HOST_PORTS_MAX } from "../../ffi/symbols.ts";
import {
  comparesCookies,
  type Config,
  ConfigError,
  EnvironmentError,
  hasManyHosts,
  hostNames,
} from "../config/config.ts";
import { coresOf } from "../config/schema.ts";
import { type HostPortsForm, type InstalledTopology, installTopology } from "../pipes/install.ts";
import { hasLocal, hostInterfaces, hostPort } from "./host_ports.ts";
import { buildTopology } from "../pipes/topology.ts";
import type { TopologyOptions } from "../pipes/types.ts";
import type { Log } from "../model/log.ts";
import { PSP_VERSIONS } from "../model/sa.ts";
import { cryptoIdsFor, openWithin, type Sizes, sizesFor } from "./sizes.ts";

type DocaConfig = Extract<Config["plane"], { readonly kind: "doca" }>;

const MIB = 2 ** 20;

/** Owns all three; closing goes upstream first. */
export interface PlaneSetup extends AsyncDisposable {
  readonly library: Library;
  readonly plane: DataPlane;
  readonly installed: InstalledTopology;
  /** Interfaces of the host ports that it was opened with, in the order of their handles. */
  readonly hosts: readonly string[];
  /** The crypto backend in use: "auto" is decided. */
  readonly backend: string;
  /** What was asked for first, where the device had less. */
  readonly asked?: Sizes;
}

/**
 * Opens library, plane and pipes. What had been opened is closed when a later step fails. Where a device has less memory than it
 * is asked for, what it has is taken, and `log` says so.
 */
export async function setUpPlane(
  config: Config,
  log: Pick<Log, "info" | "warn">,
): Promise<PlaneSetup> {
  await using stack = new AsyncDisposableStack();
  const library = stack.use(loadLibrary(config.plane.library));
  const backend = backendOf(library, config);
  if (/, newer than /.test(library.version)) {
    log.warn(
      "DOCA is newer than the releases that the plane knows: what has changed is not known",
      {
        version: library.version,
      },
    );
  }
  if (config.plane.kind === "soft") {
    const { maxEntries } = config.plane;
    const sizes = { maxEntries, maxCryptoIds: cryptoIdsFor(maxEntries) };
    const opened = stack.use(await openAll(library, config, sizes));
    const owned = stack.move();
    return { library, backend, ...opened, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }
  const asked = docaSizes(config, config.plane);
  let refused: DataPlaneError | undefined;
  const opened = stack.use(
    await openWithin(asked, {
      open: (sizes) => openAll(library, config, sizes),
      stepped: (error) => refused ??= error,
    }),
  );
  if (config.psp.replayWindow > 0 && !opened.plane.granted().features.has("replay-window")) {
    log.info("Hardware has no replay window: a packet that is sent again is delivered again");
  }
  if (refused !== undefined) {
    log.warn("The device has less memory than was asked for: the plane is smaller", {
      reason: refused.message,
      count: opened.plane.granted().maxEntries,
    });
  }
  const owned = stack.move();
  return {
    library,
    backend,
    ...opened,
    ...refused === undefined ? {} : { asked },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The plane with its ports and pipes. */
async function openAll(library: Library, config: Config, sizes: Sizes) {
  await using stack = new AsyncDisposableStack();
  const many = hasManyHosts(config.plane);
  const hosts = many
    // What there is no room for is refused, and said, like any that comes later.
    ? hostInterfaces(config.plane, interfaceNames(library)).slice(0, HOST_PORTS_MAX)
    : hostNames(config.plane);
  const plane = stack.adopt(openPlane(library, config, { hosts, sizes }), (open) => open.close());
  const topology = buildTopology(topologyOptions(config));
  const installed = installTopology(plane, topology, {
    hosts: hostPortsForm(config.plane, hosts.length, plane.ports.host),
  });
  stack.defer(() => installed.remove());
  const owned = stack.move();
  return { plane, installed, hosts, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** How pipes speak of the host ports that a plane was opened with; `first` is the handle of the first. */
function hostPortsForm(plane: Config["plane"], n: number, first: number): HostPortsForm {
  if (!hasManyHosts(plane)) return "one";
  return plane.kind === "soft" ? "many" : Array.from({ length: n }, (_, i) => first + i);
}

/** What is known before it opens. */
export interface Given {
  /** Interfaces, or representors, of the host ports. */
  readonly hosts: readonly string[];
  readonly sizes: Sizes;
}

/** What a plane in hardware is asked for first. */
export function docaSizes(
  config: Pick<Config, "peers">,
  { actionsMemoryMb, ...plane }: DocaConfig,
): Sizes {
  const actionsMemory = actionsMemoryMb === undefined
    ? {}
    : { actionsMemory: actionsMemoryMb * MIB };
  return sizesFor({ ...config, plane: { ...plane, ...actionsMemory } });
}

/** The form of the graph that a configuration asks for. */
export function topologyOptions(
  config: Pick<Config, "plane" | "psp" | "tunnel" | "peers" | "networks">,
): TopologyOptions {
  return {
    sampling: config.psp.sampleRateLog2 > 0,
    sampleRateLog2: config.psp.sampleRateLog2,
    mode: config.psp.mode,
    onDemand: config.tunnel.onDemand,
    exceptions: true,
    local: hasLocal(config.plane),
    ports: hasManyHosts(config.plane),
    vc: comparesCookies(config),
  };
}

function backendOf(library: Library, { plane }: Config): string {
  if (plane.kind !== "soft") return "hardware";
  return plane.backend === "auto" ? backends(library)[0] ?? "none" : plane.backend;
}

function loadLibrary(path: string | undefined): Library {
  if (path === undefined) throw new ConfigError("Cannot load the shim: no path was given");
  return openLibrary(path);
}

/** A plane without pipes. What may be there in a while is an `EnvironmentError`. */
export function openPlane(library: Library, config: Config, given: Given): DataPlane {
  try {
    return DataPlane.open(library, planeOptions(config, given));
  } catch (error) {
    // An interface that is not there, or that another agent has, may be there in a while.
    if (error instanceof DataPlaneError && (error.code === "ENODEV" || error.code === "EBUSY")) {
      throw new EnvironmentError(error.message, [], { cause: error });
    }
    throw error;
  }
}

/** A plane in software on two interfaces, without pipes and with every default: for who looks at another plane. */
export function openSoftPlane(
  library: Library,
  { uplink, host }: { readonly uplink: string; readonly host: string },
): DataPlane {
  return DataPlane.open(library, {
    ports: [{ kind: "uplink", name: uplink }, { kind: "host", name: host }],
  });
}

/**
 * Exceptions of the uplink are peers' packets for workloads that are being looked for; a peer's workload that scans must
 * not cost another one's first packet.
 */
const UNDELIVERED = {
  exception: { perS: 4000, burst: 8000 },
  exceptionPerMac: { perS: 200, burst: 1000 },
} as const;

function planeOptions(
  { plane, psp, hold, networks, gatewayMac }: Config,
  { hosts, sizes }: Given,
): PlaneOptions {
  const { maxEntries, maxCryptoIds, actionsMemory } = sizes;
  const common = {
    maxEntries,
    maxCryptoIds,
    sampleBytes: psp.sampleBytes,
    mssClamp: psp.mssClamp,
    holdPacketsPerFlow: hold.packetsPerFlow,
    holdFlows: hold.flows,
    holdBytes: hold.bytes,
    versions: psp.versions.map((name) => PSP_VERSIONS.indexOf(name) as PspVersionNumber),
  };
  if (plane.kind === "soft") {
    const { uplink, backend, hostGuard: guard, workers, cpus, busyPollUs } = plane;
    return {
      ...common,
      backend,
      gatewayMac,
      ...workers === undefined ? {} : { workers },
      ...cpus === undefined ? {} : { cpus: coresOf(cpus) },
      ...busyPollUs === undefined ? {} : { busyPollUs },
      ports: [
        { kind: "uplink", name: uplink, vlan: plane.uplinkVlan, guard, ...UNDELIVERED },
        ...hosts.map((name) => hostPort(name, { plane, networks })),
      ],
    };
  }
  const { pci, cores, hugepagesMb, mbufs, devargs, dpdkRepresentor, flowMode, inspect } = plane;
  return {
    ...common,
    ports: [
      { kind: "uplink", name: pci, vlan: plane.uplinkVlan, ...UNDELIVERED },
      ...hosts.map((name) => hostPort(name, { plane, networks })),
    ],
    cpus: coresOf(cores),
    mbufs,
    inspect,
    ...actionsMemory === undefined ? {} : { actionsMemory },
    ...hugepagesMb === undefined ? {} : { hugepagesMb },
    ...devargs === undefined ? {} : { devargs },
    ...dpdkRepresentor === undefined ? {} : { dpdkRepresentor },
    ...flowMode === undefined ? {} : { flowMode },
  };
}

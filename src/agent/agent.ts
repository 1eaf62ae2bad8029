// SPDX-License-Identifier: Apache-2.0

/** The agent, assembled: the one file besides main.ts that knows everyone. */
import process from "node:process";
import { isIP } from "node:net";
import type { DataPlane } from "../../ffi/data_plane.ts";
import { DataPlaneError, type PlaneEvent } from "../../ffi/plane.ts";
import { spelled } from "../model/counters.ts";
import { DropLog } from "../model/drop_log.ts";
import { DropWatch } from "../plane/drop_watch.ts";
import {
  dropLoading,
  interfaceNames,
  type Library,
  notifyManager,
  shortTurns,
} from "../../ffi/library.ts";
import { follow, reload, type Running, trustOf } from "./reload.ts";
import { agentStatus } from "./status.ts";
import { type Clock, systemClock } from "../model/clock.ts";
import { LiveConfig } from "../config/changes.ts";
import { parseHostPort } from "../config/addresses.ts";
import { type Config, ConfigError, hasManyHosts } from "../config/config.ts";
import { type Core, createCore } from "../core/core.ts";
import { endTogether } from "./ending.ts";
import { FlowTable } from "../plane/flow_table.ts";
import { withDeadlines } from "../core/scheduler.ts";
import type { Surroundings } from "../core/explain.ts";
import { keepWarm } from "../core/keep_warm.ts";
import type { Log, LogCategory, LogFields, Logs } from "../model/log.ts";
import { limitWarnings } from "./logging.ts";
import { hasLocal, HostPorts } from "../plane/host_ports.ts";
import type { MetricsView } from "../model/status.ts";
import { LocalFlows, type Miss } from "../plane/local_flows.ts";
import { inNetwork } from "../model/network.ts";
import { isLinkScope } from "../model/vip.ts";
import { mtuOf, overheadOf } from "../plane/mtu.ts";
import { PathLosses } from "../core/path_losses.ts";
import { Turns } from "../core/misses.ts";
import { PathMtus } from "../plane/path_mtus.ts";
import { NextHops } from "../plane/next_hops.ts";
import { LoopLag } from "./loop_lag.ts";
import { recentDropsOf } from "./recent_drops.ts";
import { OWN, OwnAddresses } from "./own_addresses.ts";
import { type Notify, openNotify, statusLine } from "./notify.ts";
import { Peers } from "../core/directory.ts";
import { Uplink } from "../plane/uplink.ts";
import type { InstalledTopology } from "../pipes/install.ts";
import { type PlaneSetup, setUpPlane } from "../plane/plane_setup.ts";
import { type PlaneWatch, watchPlane } from "../plane/plane_watch.ts";
import { systemRandom } from "../model/random.ts";
import { openEtcdSource } from "../directory/etcd.ts";
import { beginFolder, type FolderOptions, openFolder } from "../directory/folder.ts";
import type { Source } from "../directory/source.ts";
import { Sources, type Told } from "../directory/sources.ts";
import type { KnownDirectory } from "../model/known_directory.ts";
import { splitListen } from "../rpc/door.ts";
import { openEtcd } from "../rpc/etcd_client.ts";
import { createRpcClient } from "../rpc/client.ts";
import { Descriptors, forConnections, limitFor } from "../rpc/descriptors.ts";
import type { EventSink } from "../model/events.ts";
import { RPC_COUNTERS, type RpcEvents } from "../rpc/events.ts";
import { ownKeyExchange, postQuantumFault } from "../rpc/key_exchange.ts";
import type { Refused, Trust } from "../rpc/identity.ts";
import { startRpcServer } from "../rpc/server.ts";
import { startStatusServer, STATUS_CONNECTIONS, type StatusServer } from "../rpc/status_server.ts";
import { defaultSocket } from "../config/places.ts";
import { TlsStore } from "../rpc/tls_store.ts";
import { EventLog } from "../store/event_log.ts";
import { openDirectoryStore } from "../store/directory_store.ts";
import { openSaStore, type SaStore } from "../store/sa_store.ts";
import { SampleHub } from "../plane/sample_hub.ts";
import type { Sizes } from "../plane/sizes.ts";
import { type LeaseStore, openLeaseStore } from "../store/lease_store.ts";
import { openStateDir } from "../store/state_dir.ts";
import type { ReloadView, StatusSource, StatusView } from "../model/status.ts";
import { Tasks } from "../model/tasks.ts";
import type { Place } from "../plane/workload_table.ts";
import { Workloads } from "../plane/workloads.ts";

/** What `runAgent` gets beside the configuration. */
export interface RunOptions {
  readonly logs: Logs;
  /** Aborts on SIGTERM and SIGINT. */
  readonly signal: AbortSignal;
  /** Calls `listener` on every SIGHUP and whenever the file has changed, until `signal` aborts. */
  readonly onHangup: (listener: () => void) => void;
  /** Reads and checks the file again, the shim filled in. Throws `ConfigError`. */
  readonly reload: () => Promise<Config>;
  /** From now on lines of the log are written so. */
  readonly logAs: (settings: Config["log"]) => void;
}

/** How often the machine is asked again where peers and this host are; ports say by themselves when they change. */
const LOOK_INTERVAL_MS = 1000;
/** How often the service manager is told how it goes. */
const STATUS_LINE_INTERVAL_MS = 5000;

/** Most addresses that are learned of one of many host ports. */
const LEARNED_PER_PORT = 4096;
/** How long a flow with another port's address is dropped without being asked about again. */
const FOREIGN_HOLD_OFF_MS = 1000;
/** Misses are worked on for so long before the event loop has its turn. */
const MISS_SLICE_MS = 4;

/** Runs until `signal` aborts; then everything is removed, upstream first. Throws what keeps it from starting. */
export async function runAgent(initial: Config, options: RunOptions): Promise<void> {
  const { signal } = options;
  const live = new LiveConfig(initial);
  // Whoever gets it reads what is in force.
  const config = live.view;
  const clock = systemClock();
  const logOf = (category: LogCategory) =>
    limitWarnings(options.logs.of(category), { now: () => clock.now() });
  const log = logOf("agent");
  const [coreLog, planeLog, storeLog] = [logOf("core"), logOf("plane"), logOf("store")];
  const directoryLog = logOf("directory");
  const events = new AgentEvents(logOf("rpc"), () => happenings);
  // Disposed of in reverse: what was opened last goes first.
  await using stack = new AsyncDisposableStack();
  const state = stack.use(openStateDir(config.stateDir));
  if (state.isShared) {
    log.warn("Other programs keep files in the state directory, so it stays open to others", {
      path: state.path,
    });
  }
  const happenings = stack.use(
    new EventLog({
      path: state.database("events.db"),
      log: coreLog,
      now: () => clock.now(),
      wallMs: () => clock.wallMs(),
    }),
  );
  const store = stack.use(
    openSaStore({ path: state.database("agent.db"), log: storeLog, wallMs: () => clock.wallMs() }),
  );
  await refuseClassical(config);
  const tls = openTls(config, events);
  if (tls !== undefined) stack.use(tls);
  let pump = Promise.resolve();
  // It ends with the plane: until then events are acted upon, also while peers are told.
  stack.defer(() => pump.catch(() => {}));
  const setup = stack.use(await setUpPlane(config, planeLog));
  // First packets wait for this thread.
  shortTurns(setup.library);
  const { plane, installed, backend, asked } = setup;
  const notify = stack.use(openManager(setup.library, log));
  const insecure = tls === undefined ? { insecure: true } : { tls };
  const hasVc = installed.topology.pipes.some(({ match_mask }) =>
    match_mask?.tun?.psp?.vc !== undefined
  );
  const known = stack.use(
    openDirectoryStore({ path: state.database("directory.db"), log: storeLog }),
  );
  const sources = stack.use(new Sources(config.vips.map(({ vip }) => vip), config.peers));
  const sourceOf = sourcesOf({ config, hasVc, known, log: directoryLog, clock });
  const { folder, etcd } = sourceOf(config);
  if (folder !== undefined) {
    await sources.open("peers.d", (told) => openFolder({ ...folder, ...told }));
  }
  sources.replace("etcd", etcd);
  const peers = new Peers({ ...config, peers: sources.peers() });
  const trust = trustOf(config, peers);
  // Where a peer is met on the control channel, its packets come from as well, as far as anybody knows.
  const onConnected = (peer: string, address: string) => peers.learnControl(peer, address);
  const descriptors = descriptorsOf(setup, config, log);
  const client = stack.use(
    createRpcClient({
      id: config.id,
      peers: (id) => peers.get(id),
      trust,
      maxMessageBytes: config.rpc.maxMessageBytes,
      requirePq: config.rpc.requirePq,
      maxConnections: config.rpc.maxConnections,
      descriptors,
      inUse: (peer) => core.inUse(peer),
      events,
      onConnected,
      from: (host) => fromPip(host, { config, plane, own }),
      ...insecure,
    }),
  );
  const leases = stack.use(openLeaseStore({ path: state.database("leases.db"), log: storeLog }));
  const drops = new DropLog(() => clock.wallMs());
  const parts = assemble({ config, peers, clock, log: planeLog, store, leases, setup, drops });
  const { hosts } = parts;
  stack.use(parts.flows);
  const watch = stack.use(
    watchPlane({
      plane,
      hosts,
      workloads: (handle) => parts.workloads.countOf(handle),
      uplink: uplinkName(config),
      log: planeLog,
      clock,
      events: happenings,
    }),
  );
  const own = new OwnAddresses(clock);
  const core = createCore({
    config,
    peers,
    clock,
    log: coreLog,
    store,
    client,
    flows: parts.flows,
    plane: {
      port: (of) => plane.port(of),
      granted: () => plane.granted(),
      generateSpis: (version, n) => plane.generateSpis(version, n),
      rotateMasterKey: () => plane.rotateMasterKey(),
      masterKey: () => plane.masterKey(),
      clearHoldOff: () => plane.clearHoldOff(),
      ...parts.watched.held(plane),
    },
    random: systemRandom(),
    ownAddress: (address) => own.what(address),
    events: happenings,
    tell: (miss) => {
      if (!parts.local?.tell(miss)) return false;
      parts.watched.told(miss, "no-peer");
      return true;
    },
    around: surroundings({ watch, plane, ...parts }),
  });
  // The pipes take all entries with them; what waited until then is dropped.
  stack.defer(() => {
    installed.remove();
    const dropped = plane.counters()["drop-shutdown"] ?? 0n;
    if (dropped > 0n) log.info("Packets that waited for a tunnel are dropped", { count: dropped });
  });
  // Whoever looks while peers are told is answered, and learns that the agent is ending.
  const lastEnds: (() => Promise<void>)[] = [];
  stack.defer(() => endTogether(lastEnds, clock));
  // Peers are told, and their listener closed, at one time: each of these may wait for somebody who does not answer.
  const ends = [() => core.stop({ leaveEntries: true })];
  stack.defer(() => endTogether(ends, clock));
  const lag = stack.use(new LoopLag());
  const recentDrops = stack.use(recentDropsOf(plane));
  const { tls: _, ...limits } = config.rpc;
  // One after the other: what was read last must be what stands in the end.
  let reloaded: Promise<unknown> = Promise.resolve();
  const running = Promise.withResolvers<Running>();
  const take = async ({ plan }: { readonly plan: boolean }): Promise<ReloadView> => {
    lag.stir();
    const turn = reloaded.then(async () =>
      await reload(options.reload, await running.promise, { plan })
    );
    reloaded = turn.catch(() => {});
    return await turn;
  };
  const { newTunnel } = core.handler;
  const server = await startRpcServer({
    ...limits,
    descriptors,
    handler: {
      ...core.handler,
      newTunnel: (...asked) => {
        lag.stir();
        return newTunnel(...asked);
      },
    },
    trust,
    events,
    onPeer: onConnected,
    ...insecure,
  });
  ends.push(() => server.close());
  const status = await startStatus({
    config,
    core,
    plane,
    installed,
    samples: parts.samples,
    parts,
    watch,
    happenings,
    drops,
    logs: options.logs,
    lag,
    events,
    tls,
    trust,
    backend,
    asked,
    controlAccepts: server.accepting,
    keyExchanges: client.keyExchanges,
    descriptors,
    process: ownProcess(setup.library),
    metrics: () => ({
      traffic: parts.flows.carriedByPeer(),
      databases: state.sizes(),
    }),
    oldestKeys: () => parts.flows.oldestKeys(),
    recentDrops,
    reload: take,
    directory: () => sources.views(clock.wallMs()),
  });
  lastEnds.push(() => status.close());
  // Nothing is loaded from here on; what kept it from starting until here may let it load again.
  dropLoading();

  plane.start();
  pump = pumpEvents({ core, parts, plane, lag });
  core.start();
  const tasks = new Tasks(log);
  ends.push(() => tasks.stop());
  const calls = withDeadlines(client, { clock, tasks });
  const losses = new PathLosses({
    flows: parts.flows,
    calls,
    scheduler: core.scheduler,
    lines: core.lines,
    events: happenings,
    clock,
    tasks,
    mtuOf: (pip) => parts.paths.of(pip),
    lost: (pip) => parts.paths.lose(pip),
    dead: (pip) => parts.hops.doubt(pip),
    silent: (pip) => parts.hops.silent(pip),
    log: logOf("core"),
  });
  const warm = keepWarm({
    calls,
    scheduler: core.scheduler,
    peers: peers.all(),
    isPeer: (id) => peers.has(id),
    bootEpoch: core.bootEpoch,
    clock,
    random: systemRandom(),
    tasks,
    events: happenings,
  });
  const { flows, workloads, local } = parts;
  running.resolve({
    live,
    peers,
    core,
    server,
    status,
    client,
    tls,
    flows,
    local,
    hosts,
    workloads,
    warm,
    sources,
    openSources: ({ directory }, names) => {
      const { folder, etcd } = sourceOf({ directory });
      if (names.includes("peers.d")) {
        sources.replace("peers.d", folder && ((told) => beginFolder({ ...folder, ...told })));
      }
      if (names.includes("etcd")) sources.replace("etcd", etcd);
    },
    hasVc,
    plane,
    log,
    logAs: options.logAs,
    notify,
    signal,
  });
  ends.push(() => reloaded.then(() => {}));
  sources.onChanges = (changes) => {
    lag.stir();
    const done = follow(changes, { live, peers, core, server, client, flows, local, warm });
    directoryLog.info("The directory has changed", {
      added: done.added.length,
      removed: done.removed.length,
      changed: done.changed.length,
    });
  };
  sources.onFailed = (cause) => {
    directoryLog.error("A change of the directory was not made", { cause: String(cause) });
  };
  sources.begin();
  options.onHangup(() => void take({ plan: false }));
  const looking = setInterval(() => {
    happenings.tick();
    look(parts);
    losses.tick();
    parts.workloads.tick();
    parts.local?.tick();
  }, LOOK_INTERVAL_MS);
  stack.defer(() => clearInterval(looking));
  const line = () => statusLine(core.status({ maxPeers: 0 }));
  const telling = setInterval(() => notify.status(line()), STATUS_LINE_INTERVAL_MS);
  stack.defer(() => clearInterval(telling));
  state.keep();
  const { plane: name, rpc } = config;
  log.info("Ready", {
    identity: config.id,
    address: rpc.listen,
    kind: name.kind,
    epoch: core.bootEpoch,
  });
  happenings.add("agent-ready");
  notify.ready(line());
  await Promise.race([pump, aborted(signal)]);
  notify.stopping();
  happenings.add("agent-stopping", { reason: String(signal.reason) });
  log.info("Stopping", { signal: String(signal.reason) });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Counters and log lines of the RPC side. */
class AgentEvents implements RpcEvents {
  readonly #log: Log;
  readonly #happenings: () => EventSink;
  readonly #counts = new Map<string, bigint>(Object.keys(RPC_COUNTERS).map((name) => [name, 0n]));

  constructor(log: Log, happenings: () => EventSink) {
    this.#log = log;
    this.#happenings = happenings;
  }

  count(name: string): void {
    const key = spelled(name);
    this.#counts.set(key, (this.#counts.get(key) ?? 0n) + 1n);
  }

  log(
    level: "info" | "warning" | "error",
    message: string,
    fields?: LogFields,
  ): void {
    this.#log[level === "warning" ? "warn" : level](message, fields);
  }

  refused({ named, reason, message }: Refused): void {
    const peer = named === undefined ? {} : { peer: named };
    this.#happenings().add("request-refused", { ...peer, reason, message });
  }

  refusedBy(peer: string, why: string): void {
    const message = `it refuses this host: ${why || "its certificate"}`;
    this.#log.warn("A peer refuses this host's certificate", { peer, reason: why });
    this.#happenings().add("peer-failing", { peer, reason: "permission-denied", message });
  }

  snapshot(): Readonly<Record<string, bigint>> {
    return Object.fromEntries(this.#counts);
  }
}

/** What stands between the plane's events and the core. */
interface Parts {
  readonly flows: FlowTable;
  readonly hops: NextHops;
  readonly paths: PathMtus;
  readonly uplink: Uplink;
  readonly hosts: HostPorts;
  readonly workloads: Workloads;
  /** Of the soft plane. */
  readonly local: LocalFlows | undefined;
  readonly peers: Peers;
  readonly samples: SampleHub;
  readonly watched: DropWatch;
  readonly mtu: () => StatusView["mtu"];
}

function assemble(
  given: {
    config: Config;
    peers: Peers;
    clock: Clock;
    log: Log;
    store: SaStore;
    leases: LeaseStore;
    setup: PlaneSetup;
    drops: DropLog;
  },
): Parts {
  const { config, peers, clock, log, store, leases, setup, drops } = given;
  const watched = new DropWatch({ drops, peers });
  const { plane, installed, library, hosts: opened } = setup;
  const hops = new NextHops({
    configured: (peer) => peers.get(peer)?.nextHopMac ?? config.plane.nextHopMac,
    log,
    query: (pip, probe) => plane.nextHop(pip, { source: config.pip, probe }),
    carried: () => flows.carried(),
    changed: (pip) => flows.refreshNextHop(pip),
    ask: (address) => uplink.ask(address),
  });
  const many = hasManyHosts(config.plane);
  const mtu = mtuReader(config, plane);
  const hosts = new HostPorts({
    config: config.plane,
    networks: config.networks,
    opened,
    plane,
    interfaces: () => interfaceNames(library),
    now: () => clock.now(),
    log,
  });
  const workloads = new Workloads({
    config,
    rules: config.plane.ports ?? [],
    peers,
    plane,
    ports: hosts,
    ...many ? { perPort: LEARNED_PER_PORT } : {},
    clock,
    log,
    book: (network) => leases.book(network),
    listening: () => flows.listening(),
    get mtu() {
      return mtu().largestInnerPacket;
    },
    moved: (vip, place) => {
      followWorkload(vip, place, { flows, log });
      local?.moved(vip, place);
    },
  });
  const local = !hasLocal(config.plane) ? undefined : new LocalFlows({
    plane: {
      addEntry: (pipe, entry) => plane.addEntry(pipe, entry),
      updateEntry: (entry, descriptor) => plane.updateEntry(entry, descriptor),
      removeEntry: (entry) => plane.removeEntry(entry),
      queryEntry: (entry) => plane.queryEntry(entry),
      ...watched.held(plane),
    },
    installed,
    placeOf: (vip) => workloads.placeOf(vip),
    gatewayMac: config.gatewayMac,
    clock,
    log,
  });
  const flows: FlowTable = new FlowTable({
    plane,
    installed,
    clock,
    localPip: config.pip,
    ttl: config.psp.ttl,
    copyDscp: config.psp.copyDscp,
    gatewayMac: config.gatewayMac,
    nextHopMac: (sa) => hops.macFor(sa),
    pathMtu: (pip) => paths.of(pip),
    placeOf: (vip) => workloads.placeOf(vip),
    // One representor: hardware has the forward of the pipe, for all its entries.
    unknown: config.plane.kind === "soft" || many ? "agent" : "nowhere",
    nextIvRun: () => store.reserveIvRun(Math.random()),
    replayWindow: () => config.psp.replayWindow,
    maxCryptoIds: plane.granted().maxCryptoIds,
  });
  const paths = new PathMtus({
    fixed: config.psp.pathMtu,
    uplink: () => plane.port("uplink").mtu,
    pipOf: (spi, dst) => flows.pipOf(spi, dst),
    changed: (pip) => flows.refreshPathMtu(pip),
    clock,
    log,
  });
  hosts.onRemove = ({ handle }) => {
    workloads.dropPort(handle);
    local?.dropPort(handle);
    // Those that nobody had to learn.
    for (const vip of flows.vipsAt(handle)) {
      followWorkload(vip, workloads.knownPlaceOf(vip), { flows, log });
    }
  };
  const uplink = new Uplink({
    plane,
    pip: config.pip,
    log,
    changed: (mac) => flows.followUplink(mac),
  });
  return {
    flows,
    hops,
    paths,
    uplink,
    hosts,
    workloads,
    local,
    peers,
    samples: new SampleHub(),
    watched,
    mtu,
  };
}

/** The numbers about the MTU at any moment; a list of peers is looked through once for its cookies. */
function mtuReader(config: Config, plane: Pick<DataPlane, "port">): () => StatusView["mtu"] {
  let peers: Config["peers"] | undefined;
  let withCookie: Config["peers"] = [];
  return () => {
    if (config.peers !== peers) {
      peers = config.peers;
      withCookie = peers.filter(({ vc }) => vc !== undefined);
    }
    return mtuOf({ ...config, peers: withCookie }, plane.port("uplink").mtu);
  };
}

/** What a packet meets on its way besides the core. */
function surroundings(
  { watch, plane, hosts, workloads, paths }:
    & Pick<Parts, "hosts" | "workloads" | "paths">
    & { readonly watch: PlaneWatch; readonly plane: Pick<DataPlane, "port"> },
): Surroundings {
  const named = (name: string) => hosts.all().find((port) => port.interface === name);
  return {
    faults: () => watch.faults(),
    warnings: () => watch.warnings(),
    denies: (vip) => workloads.denies(vip),
    networkAt: (name) => {
      const port = named(name);
      return port && (port.network ?? "");
    },
    mayUse: (vip, name) => {
      const port = named(name);
      return port !== undefined && workloads.mayUse(vip, port.handle);
    },
    portOf: (vip) => {
      const place = workloads.knownPlaceOf(vip);
      return place && hosts.get(place.port)?.interface;
    },
    carries: (sa) => {
      const uplink = plane.port("uplink").mtu;
      return Math.min(uplink, paths.of(sa.pip) ?? uplink) - overheadOf(sa);
    },
  };
}

/** An entry that the plane has no room for: the next packet of the workload tries again. */
function followWorkload(
  vip: string,
  place: Place | undefined,
  { flows, log }: { readonly flows: FlowTable; readonly log: Log },
): void {
  try {
    flows.movePlace(vip, place);
  } catch (cause) {
    if (!(cause instanceof DataPlaneError)) throw cause;
    log.error("A workload has moved, and the plane did not follow", { vip, cause: cause.message });
  }
}

/**
 * The control channel leaves with the address that peers know this host by, and let through their firewalls, where the
 * kernel would take another one of the uplink (one that is younger, or of a privacy extension), or another way, while its rules
 * lead what has this address over the uplink. Where no rule does, or the host is on another link, the way is the kernel's
 * affair. Of a name nothing is known before it is resolved.
 */
function fromPip(
  host: string,
  { config: { pip, rpc }, plane, own }: {
    readonly config: Config;
    readonly plane: Pick<DataPlane, "nextHop">;
    readonly own: OwnAddresses;
  },
): string | undefined {
  if (parseHostPort(rpc.listen).host !== pip || isIP(host) !== isIP(pip)) return undefined;
  // One of the link alone means nothing without its interface.
  if (isLinkScope(pip) || own.what(pip) !== OWN) return undefined;
  try {
    const isElsewhere = own.isOnLink(host) && plane.nextHop(host) === undefined;
    return !isElsewhere && plane.nextHop(host, { source: pip }) !== undefined ? pip : undefined;
  } catch {
    // The kernel could not be asked.
    return undefined;
  }
}

function uplinkName({ plane }: Config): string {
  return plane.kind === "soft" ? plane.uplink : plane.pci;
}

/** Where this host and its peers are on the link, by the kernel. */
function look({ uplink, hops, paths, flows }: Parts): void {
  uplink.look();
  const inUse = flows.outerAddresses();
  hops.refresh(inUse);
  paths.look(inUse);
}

/** Until the plane closes. */
async function pumpEvents(
  given: { core: Core; parts: Parts; plane: DataPlane; lag: Pick<LoopLag, "stir"> },
): Promise<void> {
  const { core, parts, plane, lag } = given;
  const { workloads, samples, paths, flows, hosts, watched } = parts;
  const held = watched.held(plane);
  let isOver = false;
  const turns = new Turns<Extract<PlaneEvent, { type: "miss" }>>({
    of: ({ port, ethSrc }) => ({ group: port, member: ethSrc }),
    act: (event) => {
      if (isOver) return;
      const miss = inItsNetwork(event, hosts);
      watched.miss(miss);
      onMiss(miss, { core, parts, plane: held });
    },
    sliceMs: MISS_SLICE_MS,
    now: () => performance.now(),
    later: (run) => void setTimeout(run, 0),
  });
  // What is still to be done when the plane closes has no plane.
  using _ = { [Symbol.dispose]: () => void (isOver = true) };
  for await (const batch of plane.events()) {
    lag.stir();
    for (const event of batch) {
      switch (event.type) {
        case "miss":
          turns.add(event);
          break;
        case "exception":
          if (event.port === plane.ports.uplink) {
            const vip = flows.vipOf(event.frame);
            if (vip !== undefined) workloads.onUndelivered(event.frame, vip);
          } else workloads.onException(event.frame, event.port);
          break;
        case "source": {
          const vip = inNetwork(event.srcVip, hosts.get(event.port)?.network ?? "");
          workloads.learn(vip, { mac: event.ethSrc, port: event.port });
          break;
        }
        case "path_mtu":
          paths.report(event);
          break;
        case "too_big":
          watched.tooBig(event, hosts.get(event.port)?.network ?? "");
          workloads.onTooBig(event);
          break;
        case "sample":
          samples.add(event);
          break;
        case "syndrome":
          watched.syndrome(event);
          core.onEvent(event);
          break;
        case "port":
          parts.hosts.tick();
          look(parts);
          core.onEvent(event);
          break;
        default:
          core.onEvent(event);
      }
    }
    turns.run();
  }
}

/** The addresses of a packet are those of its port's network. */
function inItsNetwork<E extends Miss>(event: E, hosts: Pick<HostPorts, "get">): E {
  const network = hosts.get(event.port)?.network ?? "";
  if (network === "") return event;
  const [srcVip, dstVip] = [event.srcVip, event.dstVip].map((vip) => inNetwork(vip, network));
  return { ...event, srcVip, dstVip };
}

/** A packet without an entry: not the sender's address, for the gateway, for another workload of this host, refused, or for a peer. */
function onMiss(
  event: Extract<PlaneEvent, { type: "miss" }>,
  { core, parts: { workloads, local, peers, watched }, plane }: {
    readonly core: Pick<Core, "onEvent">;
    readonly parts: Pick<Parts, "workloads" | "local" | "peers" | "watched">;
    readonly plane: Pick<DataPlane, "dropHeld">;
  },
): void {
  const { srcVip, dstVip, ethSrc: mac, port, flow } = event;
  if (!workloads.shows(srcVip, { mac, port })) return dropForeign(plane, flow);
  if (local !== undefined && workloads.isGateway(dstVip, port)) {
    if (!local.tell(event)) dropForeign(plane, flow);
    return;
  }
  if (local !== undefined && isWithinHost(event, peers)) return local.open(event);
  if (workloads.refuses(dstVip)) {
    if (local?.tell(event)) watched.told(event, "refused");
    else dropForeign(plane, flow);
    return;
  }
  core.onEvent(event);
}

/** From one workload of this host to another; what a link says to itself is no such thing. */
function isWithinHost(
  { srcVip, dstVip }: { readonly srcVip: string; readonly dstVip: string },
  peers: Peers,
): boolean {
  return !isLinkScope(dstVip) && peers.isLocal(dstVip) && peers.isLocal(srcVip);
}

/** It came in with the address of another port, or the policy refuses it: nothing is opened for it. */
function dropForeign(plane: Pick<DataPlane, "dropHeld">, flow: number): void {
  try {
    plane.dropHeld(flow, "refused", FOREIGN_HOLD_OFF_MS);
  } catch (cause) {
    // Its port has gone, and the flow with it.
    if (!(cause instanceof DataPlaneError)) throw cause;
  }
}

function openTls(config: Config, events: RpcEvents): TlsStore | undefined {
  if (config.rpc.tls === undefined) return undefined;
  const { id, domain } = config;
  return new TlsStore(config.rpc.tls, { owner: { id, domain }, events });
}

function startStatus(
  given: {
    config: Config;
    core: Core;
    plane: DataPlane;
    installed: InstalledTopology;
    samples: SampleHub;
    parts: Parts;
    watch: PlaneWatch;
    happenings: EventLog;
    drops: DropLog;
    logs: Logs;
    lag: LoopLag;
    events: AgentEvents;
    tls: TlsStore | undefined;
    trust: Trust;
    backend: string;
    asked: Sizes | undefined;
    controlAccepts: () => boolean;
    keyExchanges: () => ReadonlyMap<string, string>;
    reload: StatusSource["reload"];
    directory: () => StatusView["directory"];
    descriptors: Descriptors | undefined;
    process: () => MetricsView["process"];
    metrics: Parameters<typeof agentStatus>[0]["metrics"];
    oldestKeys: Parameters<typeof agentStatus>[0]["oldestKeys"];
    recentDrops: Parameters<typeof agentStatus>[0]["recentDrops"];
  },
): Promise<StatusServer> {
  const { config, events, tls, trust, controlAccepts, descriptors } = given;
  const source = agentStatus({
    ...given,
    mtu: given.parts.mtu,
    counters: () => ({
      ...events.snapshot(),
      "log-lines-lost": given.logs.lost(),
      ...given.parts.hops.counters(),
      ...given.parts.paths.counters(),
      ...given.parts.workloads.counters(),
      ...given.parts.local?.counters(),
    }),
    certificateExpiresAtMs: () => tls?.expiresAtMs,
  });
  return startStatusServer({
    config: config.status,
    socket: {
      path: config.status.socket ?? defaultSocket(),
      optional: config.status.socket === undefined,
    },
    source,
    trust,
    events,
    controlAccepts,
    descriptors,
  });
}

/** What the runtime says of its process. */
function ownProcess({ descriptorLimit }: Library): () => MetricsView["process"] {
  const startedAtMs = performance.timeOrigin;
  return () => {
    const { user, system } = process.cpuUsage();
    return {
      cpuSeconds: (user + system) / 1e6,
      residentBytes: Deno.memoryUsage().rss,
      startedAtMs,
      maxDescriptors: descriptorLimit,
    };
  };
}

/** How the sources besides the file are opened that a configuration names. */
function sourcesOf(
  { config, hasVc, known, log, clock }: {
    /** As it is at any moment. */
    readonly config: Config;
    readonly hasVc: boolean;
    readonly known: KnownDirectory;
    readonly log: Log;
    readonly clock: Clock;
  },
): (config: Pick<Config, "directory">) => {
  readonly folder: Omit<FolderOptions, keyof Told> | undefined;
  readonly etcd: ((told: Told) => Source) | undefined;
} {
  const { id, pip, psp, rpc } = config;
  const rules = {
    ...{ id, pip, psp, rpc, hasVc },
    get networks() {
      return config.networks;
    },
  };
  const common = { rules, log, wallMs: () => clock.wallMs() };
  return ({ directory: { dir, etcd } }) => ({
    folder: dir === undefined ? undefined : { ...common, path: dir },
    etcd: etcd && ((told) =>
      openEtcdSource({
        ...common,
        ...told,
        kv: openEtcd({
          endpoints: etcd.endpoints,
          tls: etcd.tls,
          user: etcd.user,
          passwordFile: etcd.passwordFile,
          wallMs: common.wallMs,
        }),
        prefix: etcd.prefix,
        ...etcd.register ? { own: () => ownRecord(config) } : {},
        leaseS: Math.ceil(etcd.leaseMs / 1000),
        known,
        clock,
        random: systemRandom(),
      })),
  });
}

/** This host, as others are to have it. */
function ownRecord({ id, pip, vips, rpc }: Config): string {
  const { hostname, port } = splitListen(rpc.listen);
  const host = hostname === "0.0.0.0" || hostname === "::" ? pip : hostname;
  return JSON.stringify({
    id,
    svc_address: host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`,
    pip,
    vips: vips.map(({ vip }) => vip),
  });
}

/** With rpc.require_pq an agent whose own calls every such peer would refuse does not start. */
async function refuseClassical({ rpc }: Config): Promise<void> {
  if (!rpc.requirePq) return;
  const fault = postQuantumFault(await ownKeyExchange(), Deno.version.deno);
  if (fault === undefined) return;
  throw new ConfigError(
    `Cannot start with rpc.require_pq: ${fault}; remove rpc.require_pq, or use a Deno that prefers it`,
  );
}

/** The descriptors for connections, in and out; says when they are fewer than the configuration promises. */
function descriptorsOf(setup: PlaneSetup, config: Config, log: Log): Descriptors | undefined {
  const { library: { descriptorLimit: limit }, plane: opened, hosts } = setup;
  if (limit === undefined) return undefined;
  const { rpc: { maxConnections: outward }, peers: { length: peers } } = config;
  const plane = config.plane.kind === "soft"
    ? { ports: 1 + hosts.length, workers: opened.granted().workers }
    : { ports: 0, workers: 0 };
  if (limit < limitFor({ inward: outward + STATUS_CONNECTIONS, outward, peers, plane })) {
    log.warn("Fewer files may be open than the configured connections need: LimitNOFILE is low", {
      count: limit,
    });
  }
  return new Descriptors(forConnections(limit, plane), peers);
}

/** systemd, or whoever speaks its words. */
function openManager(library: Library, log: Log): Notify {
  return openNotify({
    socket: Deno.env.get("NOTIFY_SOCKET"),
    watchdogUsec: Deno.env.get("WATCHDOG_USEC"),
    watchdogPid: Deno.env.get("WATCHDOG_PID"),
    pid: Deno.pid,
    send: (socket, text) => notifyManager(library, socket, text),
    every: (ms, tick) => {
      const timer = setInterval(tick, ms);
      return () => clearInterval(timer);
    },
    log,
  });
}

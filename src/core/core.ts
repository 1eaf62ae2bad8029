// SPDX-License-Identifier: Apache-2.0

/** The control core, assembled: events and requests in, entries and requests out. */
import type { Granted, Plane, PlaneEvent } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import { Counters } from "../model/counters.ts";
import type { TunnelClient, TunnelHandler } from "../model/exchange.ts";
import type { Flows } from "../model/flows.ts";
import type { EventSink } from "../model/events.ts";
import { type HistogramView, type Latencies, newLatencies } from "../model/histogram.ts";
import type { Log } from "../model/log.ts";
import type { PeerPage, PeerQuery, SaPage, SaQuery } from "../model/lists.ts";
import type { OrderView, TunnelSelector } from "../model/orders.ts";
import type { PingQuery, PingView } from "../model/ping.ts";
import type { Random } from "../model/random.ts";
import type { SaRecords } from "../model/sa_record.ts";
import type {
  ExplainView,
  PacketQuery,
  PeerView,
  RotateView,
  StatusQuery,
  TunnelQuery,
  TunnelView,
} from "../model/status.ts";
import { Tasks } from "../model/tasks.ts";
import { type CoreStatus, CoreViews } from "./core_status.ts";
import { type DirectoryChanged, type DirectoryChanges, Moves, type Peers } from "./directory.ts";
import { Explainer, NO_SURROUNDINGS, type Surroundings } from "./explain.ts";
import { InitiatorDriver } from "./initiator_driver.ts";
import { CLEAR_HOLD_OFF_MS, DRAIN_MS, IN_USE_MS, STOP_MS } from "./limits.ts";
import { Misses, type MissesOptions } from "./misses.ts";
import { NoticeHandler, NoticesDriver } from "./notices_driver.ts";
import { Orders } from "./orders.ts";
import { Epochs, PeerGate, PeerLines, PeerWatch } from "./peer.ts";
import { KeyShares, type SaDefaults, SpiSource } from "./params.ts";
import { Pinger } from "./ping.ts";
import { addressIn } from "../model/vip.ts";
import { Recorder, Restore, Ticker } from "./ticker.ts";
import { RequestMemory, ResponderDriver } from "./responder_driver.ts";
import { RotationDriver } from "./rotation_driver.ts";
import { Scheduler, withDeadlines } from "./scheduler.ts";
import { Shares, tunnelsWithin } from "./shares.ts";
import { isLive } from "./tunnel.ts";
import { TunnelTable } from "./tunnel_table.ts";
import { Whereabouts } from "./whereabouts.ts";

/** The part of the plane that the core uses. */
export type CorePlane =
  & Pick<
    Plane,
    | "port"
    | "generateSpis"
    | "rotateMasterKey"
    | "masterKey"
    | "releaseHeld"
    | "dropHeld"
    | "clearHoldOff"
  >
  & { granted(): Pick<Granted, "maxEntries" | "maxCryptoIds" | "features"> };

/** What the core is given; each of its parts gets what it uses of it. */
export interface Powers {
  /** Its sections may become others while the core runs (`configChanged`): they are read when they are needed. */
  readonly config: Config;
  /** Who there is and what lives here; the core adds what it learns. */
  readonly peers: Peers;
  readonly plane: CorePlane;
  readonly flows: Flows;
  readonly client: TunnelClient;
  readonly store: SaRecords;
  readonly clock: Clock;
  readonly random: Random;
  /** What an address is on this host's links, as half a sentence; absent: `config.pip` alone is known. */
  readonly ownAddress?: SaDefaults["ownAddress"];
  readonly events: EventSink;
  readonly log: Log;
  /** The sender of a packet that no peer owns is told, and the packet is not held any more. False: drop it. */
  readonly tell?: MissesOptions["tell"];
  /** What packets meet besides the core, for `explain`; absent: nothing that is known. */
  readonly around?: Surroundings;
}

/** What `agent.ts` sees of it. */
export interface Core {
  /** For the RPC listener. */
  readonly handler: TunnelHandler;
  /** Boot epoch of this run, durable already. */
  readonly bootEpoch: bigint;
  /** Every call to a peer passes it. */
  readonly scheduler: Scheduler;
  /** What is known about asking each peer. */
  readonly lines: Pick<PeerLines, "of" | "reach">;
  /** Misses and syndromes; other events are ignored. Never throws. */
  onEvent(event: PlaneEvent): void;
  /** Begins: restores what the last run left. Call once the plane, the client and the listener are up. */
  start(): void;
  /**
   * Announces, drains, ends all work and removes every entry. Bounded by about one second. `leaveEntries`: the plane is
   * about to be closed, and they go with it; one by one, 131,072 tunnels would take seconds.
   */
  stop(how?: { readonly leaveEntries?: boolean }): Promise<void>;
  /** Makes changes of the directory, and brings the tunnels that they concern where they belong. */
  change(changes: DirectoryChanges): DirectoryChanged;
  /** Keys of `config` say something else since, such as "tunnel.life". */
  configChanged(keys: readonly string[]): void;
  /**
   * Replaces the deny list; ends the tunnels of peers that are now on it, and lets packets to peers that are not
   * any more try again at once. Returns those on it.
   */
  deny(list: readonly string[]): readonly string[];
  /** Whether packets have passed between this host and a peer lately, or a tunnel with it is young. */
  inUse(peer: string): boolean;
  status(query?: StatusQuery): CoreStatus;
  /** The peers of the same, some at a time; one that goes meanwhile is left out. */
  peerParts(query?: StatusQuery): Iterable<readonly PeerView[]>;
  latencies(): Latencies<HistogramView>;
  /** What would become of a packet now, here and at the peer. */
  explain(packet: PacketQuery): Promise<ExplainView>;
  /** Tries the way to a workload of a peer. */
  ping(query: PingQuery): Promise<PingView>;
  peers(query: PeerQuery): PeerPage;
  sas(query: SaQuery): SaPage;
  /** Tunnels of a network that are not closed. */
  tunnelsOf(network: string): number;
  /** One page, sorted; `after` is "peer localVip remoteVip" of the last one before. */
  tunnels(query: TunnelQuery): readonly TunnelView[];
  /** Rotates the master key, or says why not. */
  rotate(options: { readonly plan: boolean }): RotateView;
  /** By order: new SAs for these tunnels, soon. */
  rekey(which: TunnelSelector): OrderView;
  /** By order: the end of these tunnels, at once. */
  closeTunnels(which: TunnelSelector): OrderView;
}

/** Assembles the core. Reserves the boot epoch; throws `ConfigError` when that cannot be made durable. */
export function createCore(powers: Powers): Core {
  const { config, peers, plane, flows, client, store, clock, random, events, log } = powers;
  const bootEpoch = store.reserveEpoch(clock.wallMs());
  const [counters, epochs, keyShares, tasks] = [
    new Counters(),
    new Epochs(),
    new KeyShares(),
    new Tasks(log),
  ];
  const latencies = newLatencies();
  for (const [peer, pip] of store.pips()) if (peers.get(peer)) peers.learnPip(peer, pip);

  const ivCounts = plane.granted().features.has("iv-counts");
  const defaults = {
    config,
    mac: plane.port("uplink").mac,
    ownAddress: powers.ownAddress ?? (() => undefined),
    random,
  };
  const calls = withDeadlines(client, { clock, tasks });
  const isConnected = client.isConnected?.bind(client);
  const scheduler = new Scheduler({ clock, isConnected, counters });
  const recorder = new Recorder(store, clock, bootEpoch);
  const lines = new PeerLines({ config, clock, random, tasks });
  const watch = new PeerWatch({ epochs, clock, counters, log });
  const spis = new SpiSource({ plane, store, clock, defaults });
  const memory = new RequestMemory(keyShares);
  const shares = new Shares({
    tunnels: tunnelsWithin(plane.granted()),
    config,
    peers: () => peers.count,
  });
  const gate = new PeerGate({
    config,
    peers,
    epochs,
    watch,
    clock,
    isCrowded: (peer) => scheduler.isLate && shares.hasOthers(peer),
    counters,
  });
  const table = new TunnelTable({
    flows,
    shares,
    plane,
    clock,
    counters,
    events,
    log,
    config,
    onReleased: (seconds) => latencies.firstPacket.observe(seconds),
    onAsk: (tunnel) => initiator.ask(tunnel),
    onClosed: ({ peer, pair }) => {
      if (peers.has(peer)) notices.closed(peer, pair);
    },
    onConfirmed: (tunnel, spi) => notices.confirm(tunnel, spi),
    onChange: (tunnel) => {
      lines.changed(tunnel);
      recorder.changed(tunnel);
    },
  });
  const whereabouts = new Whereabouts({
    bootEpoch,
    peers,
    epochs,
    calls,
    scheduler,
    clock,
    tasks,
    counters,
    events,
    log,
  });
  const initiator = new InitiatorDriver({
    config,
    bootEpoch,
    calls,
    whereabouts,
    scheduler,
    onAnswered: (seconds) => latencies.exchange.observe(seconds),
    peers,
    lines,
    table,
    plane,
    spis,
    shares: keyShares,
    flows,
    ivCounts,
    defaults,
    watch,
    isStopping: () => misses.stopping,
    store,
    clock,
    random,
    tasks,
    counters,
    events,
    log,
  });
  const misses = new Misses({
    table,
    lines,
    peers,
    flows,
    plane,
    clock,
    counters,
    log,
    tell: powers.tell,
  });
  const rotation = new RotationDriver({
    config,
    plane,
    table,
    lines,
    scheduler,
    clock,
    random,
    counters,
    events,
    log,
  });
  const notices = new NoticesDriver({
    bootEpoch,
    calls,
    scheduler,
    isConnected,
    peers,
    table,
    flows,
    watch,
    generation: () => rotation.generation,
    clock,
    tasks,
    counters,
    log,
  });
  const responder = new ResponderDriver({
    config,
    bootEpoch,
    peers,
    gate,
    memory,
    table,
    shares,
    spis,
    offers: initiator,
    flows,
    ivCounts,
    defaults,
    store,
    clock,
    random,
    counters,
    events,
    log,
  });
  const noticeHandler = new NoticeHandler({
    bootEpoch,
    table,
    gate,
    lines,
    epochs,
    clock,
    tasks,
    counters,
    log,
  });
  const moves = new Moves({
    peers,
    table,
    lines,
    misses,
    plane,
    clock,
    log,
    forget: (peer) => {
      memory.forget(peer);
      initiator.forget(peer);
      notices.forget(peer);
      lines.forget(peer);
      gate.forget(peer);
      epochs.forget(peer);
      whereabouts.forget(peer);
    },
  });
  const restore = new Restore({
    config,
    peers,
    store,
    table,
    misses,
    scheduler,
    clock,
    counters,
    log,
  });
  const ticker = new Ticker({
    table,
    scheduler,
    slices: [() => rotation.slice(), () => restore.slice()],
    duties: [
      () => moves.tick(),
      () => rotation.tick(),
      () => restore.tick(),
      () => notices.flush(),
      () => initiator.tick(),
      () => memory.expire(clock.now()),
    ],
    store,
    flows,
    clock,
    tasks,
    counters,
    log,
  });
  const views = new CoreViews({
    bootEpoch,
    table,
    lines,
    rotation,
    peers,
    epochs,
    counters,
    flows,
    clock,
  });

  const orders = new Orders({
    table,
    clock,
    closed: (peer, pair) => notices.closed(peer, pair),
  });
  const explainer = new Explainer({
    config,
    bootEpoch,
    table,
    misses,
    peers,
    lines,
    gate,
    responder,
    around: powers.around ?? NO_SURROUNDINGS,
    calls,
    scheduler,
    tasks,
    clock,
  });
  const pinger = new Pinger({
    bootEpoch,
    peers,
    table,
    misses,
    calls,
    scheduler,
    explainer,
    sources: () => config.vips.flatMap(({ vip }) => addressIn(vip) ?? []),
    clock,
    tasks,
  });

  spis.onExhausted = () => rotation.need();
  let clearedAt = -Infinity;
  watch.tell({
    onRestart: (peer) => {
      events.add("peer-restarted", { peer });
      memory.forget(peer);
      lines.of(peer).patientUntil = 0;
      table.applyAll(table.ofPeer(peer), { type: "peer_restarted" });
    },
    onAlive: (peer) => {
      if (!lines.of(peer).recovered()) return;
      events.add("peer-back", { peer });
      for (const tunnel of table.ofPeer(peer)) table.apply(tunnel, { type: "peer_back" });
      if (clock.now() - clearedAt < CLEAR_HOLD_OFF_MS) return;
      clearedAt = clock.now();
      plane.clearHoldOff();
    },
  });

  return {
    bootEpoch,
    scheduler,
    lines,
    handler: {
      newTunnel: async (peer, request, from) => {
        const { bootEpoch: epoch, tunnels } = request;
        const pips = new Set(tunnels.map(({ reverse }) => reverse.pip));
        const doubts = [...pips].flatMap((pip) =>
          whereabouts.doubt(peer, { epoch, pip, from }) ?? []
        );
        // Nobody waits who need not: what comes later must not be answered earlier.
        if (doubts.length > 0) {
          await Promise.all(doubts).catch((error) => {
            for (const { reverse } of tunnels) reverse.key.wipe();
            throw error;
          });
        }
        const reply = responder.newTunnel(peer, request);
        whereabouts.settle(peer, from);
        return await reply;
      },
      notify: async (peer, notice, from) => {
        const doubt = whereabouts.doubt(peer, { epoch: notice.bootEpoch, pip: undefined, from });
        if (doubt !== undefined) await doubt;
        const answer = noticeHandler.notify(peer, notice);
        whereabouts.settle(peer, from);
        return await answer;
      },
      explain: (peer, question) => explainer.answer(peer, question),
      countPackets: (peer, { spis, unanswered }) => {
        const counts = spis.flatMap((spi) => {
          const stats = table.byRxSpi(spi)?.peer === peer ? flows.rxStats(spi) : undefined;
          return stats === undefined ? [] : [{ spi, packets: stats.packets, bytes: stats.bytes }];
        });
        if (unanswered && counts.length > 0) lines.of(peer).doubt();
        return counts;
      },
    },
    onEvent: (event) => {
      try {
        act(event);
      } catch (cause) {
        log.error("An event of the plane could not be acted upon", {
          kind: event.type,
          cause: String(cause),
        });
      }
    },
    start: () => {
      restore.begin();
      tasks.add(ticker.run());
    },
    stop,
    change: (changes) => moves.apply(changes),
    configChanged: (keys) => {
      if (keys.some((key) => key.startsWith("rpc.peer_"))) gate.limitsChanged();
      if (keys.some((key) => /^tunnel\.(life|life_packets)$/.test(key))) shorten();
      if (keys.some((key) => key.startsWith("tunnel."))) table.limitsChanged();
    },
    deny: (list) => {
      const before = peers.allDenied();
      peers.setDeny(list);
      const denied = peers.allDenied();
      const freed = before.filter((id) => !denied.includes(id));
      for (const peer of freed) {
        lines.of(peer).recovered();
        for (const tunnel of table.ofPeer(peer)) table.apply(tunnel, { type: "peer_back" });
      }
      // What was refused while the peer was denied may be asked for at once.
      if (freed.length > 0) plane.clearHoldOff();
      for (const peer of denied) {
        memory.forget(peer);
        initiator.forget(peer);
        table.applyAll(table.ofPeer(peer), { type: "close", reason: "refused" });
      }
      return denied;
    },
    inUse: (peer) => clock.now() - table.usedAt(peer) < IN_USE_MS,
    status: (query) => views.status(query),
    peerParts: (query) => views.peerParts(query),
    explain: (packet) => explainer.explain(packet),
    ping: (query) => pinger.ping(query),
    latencies: () => ({
      exchange: latencies.exchange.view(),
      firstPacket: latencies.firstPacket.view(),
    }),
    tunnels: (query) => views.tunnels(query),
    peers: (query) => views.peersPage(query),
    sas: (query) => views.sas(query),
    tunnelsOf: (network) => table.countOfNetwork(network),
    rotate: (options) => rotation.command(options),
    rekey: (which) => orders.rekey(which),
    closeTunnels: (which) => orders.close(which),
  };

  function act(event: PlaneEvent): void {
    switch (event.type) {
      case "miss":
        return misses.open(event);
      case "syndrome":
        return notices.syndrome(event);
      case "port":
        // Peers are told the uplink's MAC as it is when they are asked.
        defaults.mac = plane.port("uplink").mac;
        return;
      case "exception":
      case "sample":
      case "too_big":
      case "path_mtu":
      case "source":
        return;
      default:
        return event satisfies never;
    }
  }

  /** Keys that would outlive what is configured now are replaced, not all in one moment. */
  function shorten(): void {
    const { lifeMs } = config.tunnel;
    if (lifeMs === 0) return;
    const now = clock.now();
    for (const tunnel of [...table.all()]) {
      if (!isLive(tunnel.state)) continue;
      const spreadMs = random.uniform() * lifeMs / 10;
      const at = Math.max(tunnel.state.tx.bornAt + lifeMs * 0.9 - spreadMs, now + spreadMs);
      table.apply(tunnel, { type: "life_shortened", at });
    }
  }

  async function stop({ leaveEntries = false } = {}): Promise<void> {
    views.draining = gate.stopping = misses.stopping = true;
    if (await notices.draining()) await clock.sleep(DRAIN_MS);
    // A call that does not heed its signal must not keep the agent from ending.
    await Promise.race([tasks.stop(), clock.sleep(STOP_MS)]);
    recorder.frozen = true;
    // What packets wait for is closed in any case: they are dropped under their reason.
    const ending = [...table.all()].filter(({ state: { kind } }) =>
      !leaveEntries || kind === "opening"
    );
    table.applyAll(ending, { type: "close", reason: "shutdown" });
    keyShares.wipe();
    store.flush();
  }
}

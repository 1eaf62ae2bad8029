// SPDX-License-Identifier: Apache-2.0

/** The control core, assembled: events and requests in, entries and requests out. */
import type { PlaneEvent } from "../../ffi/plane.ts";
import { type CoreStatus, CoreViews } from "./core_status.ts";
import { Counters } from "../model/counters.ts";
import { Epochs } from "./epochs.ts";
import type { TunnelHandler } from "../model/exchange.ts";
import { Initiator } from "./initiator.ts";
import { KeyShares } from "./key_shares.ts";
import { Lifecycle } from "./lifecycle.ts";
import { Misses } from "./misses.ts";
import { NoticeHandler } from "./notice_handler.ts";
import { Notices } from "./notices.ts";
import type { Parts, Powers } from "./parts.ts";
import { PeerGate } from "./peer_gate.ts";
import { PeerWatch } from "./peer_watch.ts";
import { Recorder } from "./recorder.ts";
import { RequestMemory } from "./request_memory.ts";
import { Responder } from "./responder.ts";
import { Restore } from "./restore.ts";
import { Rotation } from "./rotation.ts";
import { SpiSource } from "./spi_source.ts";
import type { RotateView, TunnelView } from "../model/status.ts";
import { Tasks } from "../model/tasks.ts";
import { TunnelTable } from "./tunnel_table.ts";

export type { Powers } from "./parts.ts";

/** How long this host goes on receiving after it told its peers that it stops. */
const DRAIN_MS = 400;
/** How long work under way may take to end. */
const STOP_MS = 500;
/** A peer's recovery ends the hold-off of every flow, this often at most. */
const CLEAR_HOLD_OFF_MS = 1000;

/** What `agent.ts` sees of it. */
export interface Core {
  /** For the RPC listener. */
  readonly handler: TunnelHandler;
  /** Boot epoch of this run, durable already. */
  readonly bootEpoch: bigint;
  /** Misses and syndromes; other events are ignored. Never throws. */
  onEvent(event: PlaneEvent): void;
  /** Begins: restores what the last run left. Call once the plane, the client and the listener are up. */
  start(): void;
  /** Announces, drains, ends all work and removes every entry. Bounded by about one second. */
  stop(): Promise<void>;
  /**
   * Replaces the deny list; ends the tunnels of peers that are now on it, and lets packets to peers that are not
   * any more try again at once. Returns those on it.
   */
  deny(list: readonly string[]): readonly string[];
  status(): CoreStatus;
  /** One page, sorted; `after` is "peer localVip remoteVip" of the last one before. */
  tunnels(query: { peer?: string; after?: string; limit: number }): readonly TunnelView[];
  /** Rotates the master key, or says why not. */
  rotate(options: { readonly plan: boolean }): RotateView;
}

/** Assembles the core. Reserves the boot epoch; throws `ConfigError` when that cannot be made durable. */
export function createCore(powers: Powers): Core {
  const { config, clock, log, store, plane } = powers;
  const parts: Parts = {
    ...powers,
    bootEpoch: store.reserveEpoch(clock.wallMs()),
    counters: new Counters(),
    epochs: new Epochs(),
    shares: new KeyShares(),
    tasks: new Tasks(log),
  };
  const { peers, tasks, shares, counters, bootEpoch } = parts;
  for (const [peer, pip] of store.pips()) if (peers.get(peer)) peers.learnPip(peer, pip);

  const recorder = new Recorder(store, clock, bootEpoch);
  const watch = new PeerWatch(parts);
  const spis = new SpiSource(parts);
  const memory = new RequestMemory(shares);
  const table = new TunnelTable({
    ...powers,
    counters,
    limits: config.tunnel,
    onAsk: (tunnel) => initiator.ask(tunnel),
    onClosed: ({ peer, pair }) => notices.closed(peer, pair),
    onConfirmed: (tunnel, spi) => notices.confirm(tunnel, spi),
    onChange: (tunnel) => recorder.changed(tunnel),
  });
  const initiator = new Initiator(parts, { table, spis, watch });
  const misses = new Misses(parts, { table, initiator });
  const rotation = new Rotation(parts, { table, initiator });
  const notices = new Notices(parts, { table, watch, generation: () => rotation.generation });
  const gate = new PeerGate(parts, watch);
  const responder = new Responder(parts, { table, spis, gate, memory, offers: initiator });
  const noticeHandler = new NoticeHandler(parts, { table, gate, initiator });
  const restore = new Restore(parts, { table, misses });
  const lifecycle = new Lifecycle(parts, { table, initiator, rotation, notices, restore, memory });
  const views = new CoreViews(parts, { table, initiator, rotation });

  spis.onExhausted = () => rotation.need();
  let clearedAt = -Infinity;
  watch.tell({
    onRestart: (peer) => {
      memory.forget(peer);
      initiator.line(peer).patientUntil = 0;
      for (const tunnel of table.ofPeer(peer)) table.apply(tunnel, { type: "peer_restarted" });
    },
    onAlive: (peer) => {
      if (!initiator.line(peer).recovered()) return;
      for (const tunnel of table.ofPeer(peer)) table.apply(tunnel, { type: "peer_back" });
      if (clock.now() - clearedAt < CLEAR_HOLD_OFF_MS) return;
      clearedAt = clock.now();
      plane.clearHoldOff();
    },
  });

  return {
    bootEpoch,
    handler: {
      newTunnel: async (peer, request) => await responder.newTunnel(peer, request),
      notify: async (peer, notice) => await noticeHandler.notify(peer, notice),
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
      tasks.add(lifecycle.run());
    },
    stop,
    deny: (list) => {
      const before = peers.all().map(({ id }) => id).filter((id) => peers.denied(id));
      const denied = peers.setDeny(list);
      const freed = before.filter((id) => !denied.includes(id));
      for (const peer of freed) {
        initiator.line(peer).recovered();
        for (const tunnel of table.ofPeer(peer)) table.apply(tunnel, { type: "peer_back" });
      }
      // What was refused while the peer was denied may be asked for at once.
      if (freed.length > 0) plane.clearHoldOff();
      for (const peer of denied) {
        memory.forget(peer);
        initiator.forget(peer);
        for (const tunnel of table.ofPeer(peer)) {
          table.apply(tunnel, { type: "close", reason: "refused" });
        }
      }
      return denied;
    },
    status: () => views.status(),
    tunnels: (query) => views.tunnels(query),
    rotate: (options) => rotation.command(options),
  };

  function act(event: PlaneEvent): void {
    switch (event.type) {
      case "miss":
        return misses.open(event);
      case "syndrome":
        return notices.syndrome(event);
      case "exception":
      case "sample":
      case "too_big":
        return;
      default:
        return event satisfies never;
    }
  }

  async function stop(): Promise<void> {
    views.draining = gate.stopping = misses.stopping = true;
    if (await notices.draining()) await clock.sleep(DRAIN_MS);
    // A call that does not heed its signal must not keep the agent from ending.
    await Promise.race([tasks.stop(), clock.sleep(STOP_MS)]);
    recorder.frozen = true;
    for (const tunnel of [...table.all()]) {
      table.apply(tunnel, { type: "close", reason: "shutdown" });
    }
    shares.wipe();
    store.flush();
  }
}

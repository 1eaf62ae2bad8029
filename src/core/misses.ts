// SPDX-License-Identifier: Apache-2.0

/**
 * What becomes of a packet without an entry: a tunnel is opened for it, or it is dropped for a named reason. Misses come in
 * heaps and are worked on a little at a time: each group has its turn, in a group each member, and between two slices
 * the event loop has. So two thousand misses of one workload are not in front of another's first.
 */
import type { DropReason, Plane, PlaneEvent } from "../../ffi/plane.ts";
import type { Clock } from "../model/clock.ts";
import type { AgentCounter, Counters } from "../model/counters.ts";
import type { Flows } from "../model/flows.ts";
import type { Log } from "../model/log.ts";
import { pairKey, type VipPair } from "../model/sa.ts";
import { canonicalVip, isLinkScope } from "../model/vip.ts";
import type { Peers } from "./directory.ts";
import { NO_PEER_HOLD_OFF_MS, NO_ROOM_HOLD_OFF_MS } from "./limits.ts";
import type { PeerLines } from "./peer.ts";
import { isLive } from "./tunnel.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

/** What it takes to judge a miss. */
export interface MissesOptions {
  readonly table: TunnelTable;
  readonly lines: PeerLines;
  readonly peers: Peers;
  readonly flows: Pick<Flows, "txStats">;
  readonly plane: Pick<Plane, "dropHeld">;
  /** The sender of a packet that no peer owns is told, and the packet is not held any more. False: drop it. */
  readonly tell?: ((event: Extract<PlaneEvent, { type: "miss" }>) => boolean) | undefined;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly log: Log;
}

/** A tunnel is opened with `peer`, or the packet is dropped for `reason`. */
export type MissVerdict = { readonly peer: string } | {
  readonly reason: DropReason;
  readonly counter?: AgentCounter;
  readonly holdOffMs?: number;
  readonly warning?: string;
  readonly peer?: string;
};

/** The slow path's first step. */
export class Misses {
  readonly #options: MissesOptions;
  readonly #table: TunnelTable;
  /** Nothing is opened any more. */
  stopping = false;

  constructor(options: MissesOptions) {
    this.#options = options;
    this.#table = options.table;
  }

  /** A packet is held: open a tunnel for it, or drop it. */
  open(event: Extract<PlaneEvent, { type: "miss" }>): void {
    const { flow, srcVip, dstVip } = event;
    const { log, counters } = this.#options;
    const pair = {
      localVip: canonicalVip(srcVip) ?? srcVip,
      remoteVip: canonicalVip(dstVip) ?? dstVip,
    };
    const verdict = this.#withRoom(pair, this.judge(pair));
    if (!("reason" in verdict)) {
      const tunnel = this.#table.ensure(pair, verdict.peer);
      return this.#table.apply(this.#reconciled(tunnel), { type: "miss", flow });
    }
    const { warning, counter, peer } = verdict;
    if (warning !== undefined) {
      const lack = verdict.reason === "no_resource" ? { reason: counter } : {};
      log.warn(warning, peer === undefined ? pair : { peer, ...pair, ...lack });
    }
    if (counter === "no-peer" && this.#options.tell?.(event)) return counters.add("no-peer");
    this.#drop(flow, verdict);
  }

  /** Where only a place is missing, another tunnel may go. */
  #withRoom(pair: VipPair, verdict: MissVerdict): MissVerdict {
    if (!("reason" in verdict) || verdict.reason !== "no_resource") return verdict;
    const { peer } = verdict;
    if (peer === undefined) return verdict;
    const lack = this.#table.makeRoom({ pair, peer, side: "local" });
    return lack === undefined ? { peer } : { ...verdict, counter: lack };
  }

  /** What a packet of this pair without an entry comes to at this moment. Changes nothing. */
  judge(pair: VipPair): MissVerdict {
    const { peers, clock, lines } = this.#options;
    if (this.stopping) return { reason: "shutdown", holdOffMs: 0 };
    // What workloads say to their own link: listener reports, mDNS. It is nobody's mistake.
    if (isLinkScope(pair.remoteVip) || isLinkScope(pair.localVip)) {
      return { reason: "no_peer", counter: "link-scope" };
    }
    if (!peers.isLocal(pair.localVip)) {
      const warning = "A packet's source is not a workload of this host";
      return { reason: "refused", counter: "foreign-source", warning };
    }
    const peer = peers.byVip(pair.remoteVip)?.id;
    if (peer === undefined) {
      const warning = "No peer owns a packet's destination";
      return { reason: "no_peer", counter: "no-peer", warning };
    }
    if (peers.denied(peer)) return { reason: "refused", counter: "refused-identity", peer };
    const known = this.#table.get(pairKey(pair));
    if (known !== undefined && known.state.kind !== "closed") return { peer };
    const now = clock.now();
    const line = lines.of(peer);
    const at = line.backOff.nextAttemptAt(now);
    if (at !== undefined && line.patientUntil <= now) {
      return { reason: "back_off", counter: "back-off", holdOffMs: at - now, peer };
    }
    const lack = known === undefined ? this.#table.lacks({ pair, peer, side: "local" }) : undefined;
    if (lack === undefined) return { peer };
    const warning = "A workload's tunnel found no room";
    return { reason: "no_resource", counter: lack, holdOffMs: NO_ROOM_HOLD_OFF_MS, warning, peer };
  }

  /** The tunnel is to be there, packet or not. False: not now. */
  want(pair: VipPair, peer: string): boolean {
    const { peers, clock, lines } = this.#options;
    const { backOff } = lines.of(peer);
    if (this.stopping || peers.denied(peer) || !peers.isLocal(pair.localVip)) return false;
    if (!peers.owns(peer, pair.remoteVip) || backOff.nextAttemptAt(clock.now()) !== undefined) {
      return false;
    }
    const known = this.#table.get(pairKey(pair));
    // No packet waits for it: it takes nobody's place.
    if (known === undefined && this.#table.lacks({ pair, peer, side: "local" }) !== undefined) {
      return false;
    }
    this.#table.apply(this.#table.ensure(pair, peer), { type: "wanted" });
    return true;
  }

  /** A miss although the tunnel is up, and the plane knows no entry: it was lost there, so ask anew. */
  #reconciled(tunnel: Tunnel): Tunnel {
    const { state, pair } = tunnel;
    if (!isLive(state)) return tunnel;
    if (!state.tx.expired && this.#options.flows.txStats(pair) === undefined) {
      this.#table.apply(tunnel, { type: "lost", spi: state.tx.sa.spi });
    }
    return tunnel;
  }

  #drop(
    flow: number,
    why: {
      readonly reason: DropReason;
      readonly counter?: AgentCounter;
      readonly holdOffMs?: number;
    },
  ): void {
    const { counters, plane, log } = this.#options;
    if (why.counter !== undefined) counters.add(why.counter);
    try {
      plane.dropHeld(flow, why.reason, Math.ceil(why.holdOffMs ?? NO_PEER_HOLD_OFF_MS));
    } catch (cause) {
      counters.add("plane-errors");
      log.debug("The plane refused a drop", { flow, cause: String(cause) });
    }
  }
}

/** Whose an item is, what is done with it, and for how long at a time. */
interface TurnsOptions<T> {
  readonly of: (item: T) => { readonly group: number; readonly member: string };
  /** Must not throw. */
  readonly act: (item: T) => void;
  readonly sliceMs: number;
  readonly now: () => number;
  /** Calls back when the event loop has had its turn. */
  readonly later: (run: () => void) => void;
}

/** The items of one, of which those before `at` are done. */
interface Queue<T> {
  readonly items: T[];
  at: number;
}

/** Work in turns. Holds what is still to be done; not bounded, for what comes in is. */
export class Turns<T> {
  readonly #o: TurnsOptions<T>;
  /** The order of a map is that of the turns. */
  readonly #groups = new Map<number, Map<string, Queue<T>>>();
  #isDue = false;

  constructor(options: TurnsOptions<T>) {
    this.#o = options;
  }

  /** Does nothing of it yet: see `run`. */
  add(item: T): void {
    const { group, member } = this.#o.of(item);
    const members = this.#groups.get(group) ?? new Map<string, Queue<T>>();
    if (members.size === 0) this.#groups.set(group, members);
    const queue = members.get(member) ?? { items: [], at: 0 };
    if (queue.items.length === 0) members.set(member, queue);
    queue.items.push(item);
  }

  /** Works for a slice, and goes on later with what is left. */
  run(): void {
    const { act, now, sliceMs, later } = this.#o;
    const end = now() + sliceMs;
    for (let item = this.#next(); item !== undefined; item = this.#next()) {
      act(item.value);
      if (now() >= end) break;
    }
    if (this.#groups.size === 0 || this.#isDue) return;
    this.#isDue = true;
    later(() => {
      this.#isDue = false;
      this.run();
    });
  }

  /** Whoever was first goes behind all others. */
  #next(): { readonly value: T } | undefined {
    for (const [group, members] of this.#groups) {
      for (const [member, queue] of members) {
        const value = queue.items[queue.at++] as T;
        members.delete(member);
        this.#groups.delete(group);
        if (queue.at < queue.items.length) members.set(member, queue);
        if (members.size > 0) this.#groups.set(group, members);
        return { value };
      }
    }
    return undefined;
  }
}

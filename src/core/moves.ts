// SPDX-License-Identifier: Apache-2.0

/**
 * What a change of the directory does to tunnels: those of a peer that is gone close, those of an address that has
 * another owner are made with it, those of a peer with another outer address go there. No other tunnel is looked at.
 */
import type { PeerConfig } from "../config/config.ts";
import type { Plane } from "../../ffi/plane.ts";
import type { Clock } from "../model/clock.ts";
import type { Log } from "../model/log.ts";
import { pairKey, type VipPair } from "../model/sa.ts";
import type { DirectoryChanged, DirectoryChanges, Peers } from "./directory.ts";
import { CLEAR_HOLD_OFF_MS, SETTLE_MS } from "./limits.ts";
import type { Misses } from "./misses.ts";
import type { PeerLines } from "./peer.ts";
import { isAsking, isLive } from "./tunnel.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

/** What it takes to follow a change. */
export interface MovesOptions {
  readonly peers: Peers;
  readonly table: TunnelTable;
  readonly lines: PeerLines;
  readonly misses: Pick<Misses, "want">;
  readonly plane: Pick<Plane, "dropHeld" | "clearHoldOff">;
  readonly clock: Clock;
  readonly log: Log;
  /** All that is remembered of a peer goes. */
  readonly forget: (peer: string) => void;
}

/** A pair that is being made with its new owner. */
interface Moving {
  readonly pair: VipPair;
  readonly until: number;
}

/** The core's part of a change. */
export class Moves {
  readonly #options: MovesOptions;
  readonly #moving = new Map<string, Moving>();
  #clear = false;
  #clearedAt = -Infinity;

  constructor(options: MovesOptions) {
    this.#options = options;
  }

  /** Makes the changes, and acts upon what they changed. */
  apply(changes: DirectoryChanges): DirectoryChanged {
    const { peers, table, lines, clock, forget } = this.#options;
    const done = peers.apply(changes, clock.now());
    table.together(() => {
      for (const id of done.suspects) for (const tunnel of table.ofPeer(id)) this.#settle(tunnel);
      if (done.localLost) { for (const tunnel of [...table.all()]) this.#settle(tunnel); }
    });
    for (const { id } of done.removed) forget(id);
    for (const { before, after } of done.changed) {
      if (before.svcAddress !== after.svcAddress) lines.of(after.id).recovered();
      if (!saysOther(before, after)) continue;
      for (const tunnel of table.ofPeer(after.id)) {
        table.apply(tunnel, { type: "peer_changed", pip: after.pip });
      }
    }
    // What went to nobody may go to somebody now.
    if (done.gained) this.#clear = true;
    this.tick();
    return done;
  }

  /** Asks again for what has not come to its new owner yet. */
  tick(): void {
    const { table, misses, peers, plane, clock } = this.#options;
    const now = clock.now();
    if (this.#clear && now - this.#clearedAt >= CLEAR_HOLD_OFF_MS) {
      this.#clear = false;
      this.#clearedAt = now;
      plane.clearHoldOff();
    }
    for (const [key, { pair, until }] of this.#moving) {
      const state = table.get(key)?.state;
      if ((state !== undefined && isLive(state)) || now >= until) this.#moving.delete(key);
      else if (state === undefined || !isAsking(state)) {
        const owner = peers.byVip(pair.remoteVip);
        if (owner !== undefined) misses.want(pair, owner.id);
      }
    }
  }

  /** The tunnel goes to whom its addresses belong now. */
  #settle(tunnel: Tunnel): void {
    const { peers, table, plane, clock, log } = this.#options;
    const { pair, peer, state } = tunnel;
    const isLocal = peers.isLocal(pair.localVip);
    const owner = isLocal ? peers.byVip(pair.remoteVip)?.id : undefined;
    if (owner === peer) return;
    const flows = state.kind === "opening" ? state.flows : [];
    const isWanted = isLive(state) || isAsking(state);
    // Without its entry the pair misses, and its packets are held: none goes to the old owner, and none in clear.
    table.apply(tunnel, { type: "moved" });
    log.debug("A tunnel ends: its addresses have another owner", {
      peer,
      ...pair,
      identity: owner,
    });
    if (owner === undefined || peers.denied(owner)) {
      for (const flow of flows) plane.dropHeld(flow, isLocal ? "no_peer" : "refused", 0);
      return;
    }
    if (!isWanted) return;
    this.#moving.set(pairKey(pair), { pair, until: clock.now() + SETTLE_MS });
    const next = table.ensure(pair, owner);
    for (const flow of flows) table.apply(next, { type: "miss", flow });
    table.apply(next, { type: "wanted" });
  }
}

/** Whether it is of any concern to the SAs with the peer. */
function saysOther(before: PeerConfig, after: PeerConfig): boolean {
  return before.pip !== after.pip || before.vc !== after.vc;
}

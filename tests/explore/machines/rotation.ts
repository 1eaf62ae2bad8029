// SPDX-License-Identifier: Apache-2.0

/** What a master key's keeper can do: src/core/rotation.ts, asked everything. */
import { Census } from "../../../src/core/census.ts";
import { RECHECK_MS, SLICE_WAITING } from "../../../src/core/limits.ts";
import {
  firstRotation,
  phaseOf,
  type RotationContext,
  type RotationEvent,
  type RotationState,
  stepRotation,
} from "../../../src/core/rotation.ts";
import { CLOSED, type State } from "../../../src/core/tunnel.ts";
import type { Tunnel } from "../../../src/core/tunnel_table.ts";
import { rx, tx } from "../../support/sas.ts";
import type { Machine } from "./machine.ts";

const DUE_AT = 1e6;
const FRESH = { rotations: 0n, spisLeft: 1000n };

/** The keeper of a host with some peers, whose tunnels are all on the first key or whose peers have none. */
export const ROTATION: Machine<RotationState> = {
  first: firstRotation(FRESH, DUE_AT),
  kindOf: phaseOf,
  shapeOf: shape,
  *next(state) {
    for (const peers of [0, 3]) {
      for (const now of [0, RECHECK_MS, 10 * DUE_AT]) {
        const context = hostOf(peers, now);
        for (const event of events(state)) {
          const { state: to, effects } = stepRotation(state, event, context);
          // What changes nothing is not told.
          const isTold = phaseOf(to) !== phaseOf(state) || effects.length > 0;
          if (isTold || to !== state) {
            yield { event: isTold ? event.type : SILENT, to };
          }
        }
      }
    }
  },
  most: 5000,
};

/** What the keeper notes without a word. */
export const SILENT = "";

function events({ generation }: RotationState): readonly RotationEvent[] {
  const rotated = [true, false].map((own) => ({
    type: "rotated" as const,
    masterKey: { ...FRESH, rotations: generation + 1n },
    own,
    phase: 0.5,
  }));
  const all: {
    readonly [K in RotationEvent["type"]]: readonly Extract<RotationEvent, { type: K }>[];
  } = {
    needed: [{ type: "needed" }],
    rotated: generation < 2n ? rotated : [],
    slice: [0, SLICE_WAITING].map((waiting) => ({ type: "slice", waiting })),
    recheck: [{ type: "recheck" }],
    tick: [0n, FRESH.spisLeft].map((spisLeft) => ({ type: "tick", spisLeft })),
    commanded: [{ type: "commanded" }],
  };
  return Object.values(all).flat();
}

/** A host with so many peers, and a tunnel of the first key with each. */
function hostOf(peers: number, now: number): RotationContext {
  const state: State = {
    kind: "up",
    tx: tx(1),
    rx: [rx(1, { confirmed: true })],
    openedAt: 0,
    usedAt: 0,
  };
  const all = new Map<string, Tunnel>();
  const census = new Census<Tunnel>();
  for (let p = 1; p <= peers; p++) {
    const peer = `p${p}`;
    const pair = { localVip: "10.1.0.1", remoteVip: `10.2.0.${p}` };
    const tunnel = { key: peer, row: p, pair, peer, state, lastError: "" };
    all.set(peer, tunnel);
    census.change(tunnel, CLOSED, state);
  }
  const ofPeer = (peer: string) => [all.get(peer) ?? []].flat();
  return {
    now,
    intervalMs: DUE_AT,
    tunnels: {
      peers,
      census,
      peerNames: () => all.keys(),
      keysOfPeer: (peer) => ofPeer(peer).map(({ key }) => key),
      ofPeer,
      get: (key) => all.get(key),
    },
    failingSince: () => undefined,
  };
}

/** What of a state matters, whatever its numbers are. */
function shape(state: RotationState): string {
  const { generation, urgent, postponed, sweep, recheck, holder } = state;
  const swept = sweep === undefined ? "" : `${sweep.met} ${sweep.rest.length} ${sweep.ms}`;
  return `${generation} ${urgent} ${postponed} ${swept} ${recheck?.length} ${holder}`;
}

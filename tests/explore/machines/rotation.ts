// SPDX-License-Identifier: Apache-2.0

/** What a master key's keeper can do: src/core/rotation.ts, asked everything. */
import { RECHECK_MS, SLICE_WAITING } from "../../../src/core/limits.ts";
import {
  firstRotation,
  phaseOf,
  type RotationEvent,
  type RotationState,
  stepRotation,
} from "../../../src/core/rotation.ts";
import { DUE_AT, keeperHost } from "../../support/keeper_host.ts";
import type { Machine } from "./machine.ts";

const FRESH = { rotations: 0n, spisLeft: 1000n };

/** The keeper of a host with some peers, whose tunnels are all on the first key or whose peers have none. */
export const ROTATION: Machine<RotationState> = {
  first: firstRotation(FRESH, DUE_AT),
  kindOf: phaseOf,
  shapeOf: shape,
  *next(state) {
    for (const peers of [0, 3]) {
      for (const now of [0, RECHECK_MS, 10 * DUE_AT]) {
        const context = keeperHost(peers).context(now);
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

/** What of a state matters, whatever its numbers are. */
function shape(state: RotationState): string {
  const { generation, urgent, postponed, sweep, recheck, holder } = state;
  const swept = sweep === undefined ? "" : `${sweep.met} ${sweep.rest.length} ${sweep.ms}`;
  return `${generation} ${urgent} ${postponed} ${swept} ${recheck?.length} ${holder}`;
}

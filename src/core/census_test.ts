// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import * as fc from "fast-check";
import { Census, kindOf } from "./census.ts";
import { CLOSED, isLive, type Rx, type State } from "./tunnel.ts";

const PEERS = ["h2", "h3"];

/** A state as far as it is counted. */
function state(
  kind: State["kind"],
  { unheard, generations, softAt }: {
    readonly unheard: boolean;
    readonly generations: readonly number[];
    readonly softAt: number;
  },
): State {
  const rx = generations.map((n) => ({ generation: BigInt(n) })) as unknown as readonly Rx[];
  const tx = { softAt, unconfirmed: unheard ? { serial: 1n, askAt: 0 } : undefined };
  return { kind, rx, tx } as unknown as State;
}

const states = fc.tuple(
  fc.constantFrom<State["kind"]>("closed", "opening", "up", "rekeying", "failed"),
  fc.boolean(),
  fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }),
  fc.constantFrom(5, 6, 7, Infinity),
).map(([kind, unheard, generations, softAt]) => state(kind, { unheard, generations, softAt }));

Deno.test("after any steps the counts are those of a look through all tunnels", () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 7 }), states), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (steps) => {
      const census = new Census<{ peer: string; row: number }>();
      const tunnels = Array.from({ length: 8 }, (_, row) => ({ peer: PEERS[row % 2] ?? "", row }));
      const now = new Map<{ peer: string }, State>(tunnels.map((tunnel) => [tunnel, CLOSED]));
      for (const [i, after] of steps) {
        const tunnel = tunnels[i];
        if (tunnel === undefined) continue;
        census.change(tunnel, now.get(tunnel) ?? CLOSED, after);
        now.set(tunnel, after);
      }
      const all = [...now];
      const count = (kind: string) => all.filter(([, state]) => kindOf(state) === kind).length;
      for (const [kind, n] of Object.entries(census.counts)) assert.equal(n, count(kind), kind);
      assert.equal(census.live, all.filter(([, state]) => isLive(state)).length);
      assert.deepEqual(
        new Set(census.unheard()),
        new Set(
          all.filter(([, state]) => kindOf(state) === "unconfirmed").map(([tunnel]) => tunnel),
        ),
      );
      const rekeys = all.map(([, state]) => state.kind === "up" ? state.tx.softAt : Infinity);
      assert.equal(census.nextRekeyAt, Math.min(...rekeys));
      for (let generation = 0n; generation <= 4n; generation++) {
        const old = (peer?: string) =>
          all.filter(([tunnel]) => peer === undefined || tunnel.peer === peer)
            .flatMap(([, { rx }]) => rx).filter((rx) => rx.generation < generation).length;
        assert.equal(census.sasBefore(generation), old());
        for (const peer of PEERS) {
          assert.equal(census.sasOfPeerBefore(generation, peer), old(peer));
        }
        const peers = PEERS.filter((peer) => old(peer) > 0);
        assert.deepEqual([...new Set(census.peersBefore(generation))].sort(), peers);
      }
    }),
  );
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import fc from "fast-check";
import { step } from "./tunnel.ts";
import type { Context, Event, State, Step } from "./tunnel.ts";
import { rx, tx } from "../../tests/support/sas.ts";

const context: Context = { now: 0, graceMs: 5000, idleMs: 60_000 };

Deno.test("whatever happens in whatever order, entries and state agree", () => {
  let spi = 0;
  const anyEvent = fc.constantFrom(
    "miss",
    "wanted",
    "offered",
    "offered_again",
    "answered",
    "withdrawn",
    "confirmed",
    "forgotten",
    "refused",
    "unanswered",
    "asked",
    "crossing",
    "tick",
    "lost",
    "rotated",
    "peer_restarted",
    "peer_back",
    "closed_by_peer",
    "evicted",
    "close",
    "moved",
    "peer_changed",
    "life_shortened",
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(anyEvent, fc.nat(20_000)), { maxLength: 60 }), (script) => {
      let state: State = { kind: "closed", rx: [] };
      let now = 0;
      let generation = 0n;
      let serial = 0;
      const receive = new Set<number>();
      let transmit: number | undefined;
      const keys = new Set<string>();
      for (const [type, wait] of script) {
        now += wait;
        const offer = state.kind === "opening" || state.kind === "rekeying"
          ? state.offered
          : undefined;
        const any = () => state.rx[now % 7]?.sa.spi ?? 0;
        const fresh = () => rx(++spi, { generation, seenAt: now, expiresAt: now + 40_000 });
        const to = () => tx(++serial, { softAt: now + 30_000, expiresAt: now + 35_000 });
        const all: Record<string, () => Event<string>> = {
          miss: () => ({ type: "miss", flow: now }),
          offered: () => ({ type: "offered", rx: fresh() }),
          answered: () => ({ type: "answered", spi: offer ?? 0, tx: to(), key: `k${serial}` }),
          withdrawn: () => ({ type: "withdrawn", spi: offer ?? 0, maybe: now % 2 === 0 }),
          offered_again: () => ({ type: "offered_again", spi: any() }),
          confirmed: () => ({ type: "confirmed", spi: any() }),
          forgotten: () => ({ type: "forgotten", spi: any() }),
          refused: () => ({ type: "refused", reason: "refused", holdOffMs: 500 }),
          unanswered: () => ({
            type: "unanswered",
            reason: "peer_unreachable",
            holdOffMs: 500,
            maybe: now % 2 === 0,
          }),
          asked: () => ({ type: "asked", tx: to(), key: `k${serial}`, rx: fresh() }),
          // The responder repeats an offer only while there is one.
          crossing: () => ({
            type: "asked",
            tx: to(),
            key: `k${serial}`,
            rx: offer === undefined ? fresh() : undefined,
          }),
          tick: () => ({ type: "tick", seen: { tx: undefined, rx: new Map() } }),
          lost: () => ({ type: "lost", spi: transmit ?? 0 }),
          rotated: () => ({ type: "rotated", generation: ++generation }),
          close: () => ({ type: "close", reason: "shutdown" }),
          peer_changed: () => ({ type: "peer_changed", pip: `192.0.2.${now % 3}` }),
          life_shortened: () => ({ type: "life_shortened", at: now }),
        };
        const event = all[type]?.() ?? { type } as Event<string>;
        const next: Step<string> = step(state, event, { ...context, now });
        let rxSeen = false;
        for (const effect of next.effects) {
          if (effect.do === "add_rx") {
            assert.ok(!receive.has(effect.sa.spi));
            receive.add(effect.sa.spi);
            rxSeen = true;
          } else if (effect.do === "remove_rx") {
            assert.ok(receive.delete(effect.sa.spi), "only what is there is removed");
          } else if (effect.do === "set_tx") {
            assert.ok(receive.size > 0 || rxSeen, "receive before transmit");
            assert.ok(!keys.has(effect.key), "no key twice");
            keys.add(effect.key);
            transmit = effect.sa.spi;
          } else if (effect.do === "remove_tx") {
            assert.notEqual(transmit, undefined);
            transmit = undefined;
          }
        }
        state = next.state;
        assert.deepEqual(new Set(state.rx.map(({ sa }) => sa.spi)), receive);
        const live = "tx" in state ? state.tx.sa.spi : undefined;
        assert.equal(live, transmit);
        assert.ok(state.rx.length <= 7, "bounded");
      }
    }),
    { numRuns: 500 },
  );
});

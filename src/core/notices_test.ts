// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import {
  CONFIRM_AFTER_MS,
  DRAINING_COLD,
  NOTICE_CONFIRMED,
  NOTICE_INTERVAL_MS,
  NOTICE_ITEMS,
  NOTICE_TRIES,
  PATIENCE_MS,
} from "./limits.ts";
import {
  EMPTY,
  farewell,
  isUnknown,
  type Outbox,
  type OutboxContext,
  type OutboxEffect,
  type OutboxEvent,
  stepOutbox,
  toldBy,
  toldOfEnd,
} from "./notices.ts";
import type { State } from "./tunnel.ts";
import type { Tunnel } from "./tunnel_table.ts";
import { rx, tx } from "../../tests/support/sas.ts";

const UP: State = {
  kind: "up",
  tx: tx(1),
  rx: [rx(1, { confirmed: true })],
  openedAt: 0,
  usedAt: 0,
};
const SPI = UP.tx.sa.spi;

function at(now: number, change: Partial<OutboxContext> = {}): OutboxContext {
  return { now, stateOf: () => UP, hasSent: () => false, ...change };
}

/** Takes steps one after the other: the last state, and what was to be done in all of them. */
function after(
  events: readonly OutboxEvent[],
  context: OutboxContext,
  state: Outbox = EMPTY,
): { readonly state: Outbox; readonly effects: readonly OutboxEffect[] } {
  const effects: OutboxEffect[] = [];
  for (const event of events) {
    const next = stepOutbox(state, event, context);
    assert.deepEqual(stepOutbox(state, event, context), next, "the same again");
    state = next.state;
    effects.push(...next.effects);
  }
  return { state, effects };
}

function pair(i: number) {
  return { localVip: `10.1.0.${i}`, remoteVip: "10.2.0.1" };
}

Deno.test("what happens is told once, and the next thing not before its time", () => {
  const { state, effects } = after(
    [{ type: "unknown", spi: 7 }, { type: "unknown", spi: 7 }, { type: "due" }],
    at(0),
  );
  assert.deepEqual(effects, [
    { do: "look", at: 0 },
    { do: "count", counter: "unknown-spis" },
    {
      do: "send",
      notice: { unknownSpis: [7], closed: [], draining: false, confirmedSpis: [] },
    },
  ]);
  // While it is under way, more waits.
  const more = after([{ type: "unknown", spi: 8 }, { type: "due" }], at(10), state);
  assert.deepEqual(more.effects.map((effect) => effect.do), ["count"]);
  const then = after([{ type: "arrived" }], at(20), more.state);
  assert.deepEqual(then.effects, [{ do: "look", at: NOTICE_INTERVAL_MS }]);
  const told = after([{ type: "due" }, { type: "arrived" }], at(1000), then.state);
  assert.deepEqual(told.effects.map((effect) => effect.do), ["send", "look"]);
  assert.deepEqual(after([{ type: "due" }], at(2000), told.state).effects, [{ do: "forget" }]);
});

Deno.test("what failed is told again ever later, and at last forgotten", () => {
  let state = after([{ type: "unknown", spi: 7 }, { type: "closed", pair: pair(1) }], at(0)).state;
  const context = (now: number) => at(now, { stateOf: () => undefined });
  for (let failures = 1; failures < NOTICE_TRIES; failures++) {
    const failed = after([{ type: "due" }, { type: "failed" }], context(0), state);
    assert.deepEqual(failed.effects[1], { do: "look", at: NOTICE_INTERVAL_MS * 2 ** failures });
    ({ state } = failed);
  }
  const last = after([{ type: "due" }, { type: "failed" }], context(0), state).state;
  assert.deepEqual([last.unknownSpis, last.closed.size, last.failures], [[], 0, 0]);
});

Deno.test("only what is still so is told", () => {
  const events: OutboxEvent[] = [
    { type: "closed", pair: pair(1) },
    { type: "confirm", key: "k", spi: SPI },
  ];
  const tell = (change: Partial<OutboxContext>) => {
    const { state } = after(events, at(0));
    const { effects } = after([{ type: "due" }], at(CONFIRM_AFTER_MS, change), state);
    const [first] = effects;
    return first?.do === "send" ? [first.notice.closed.length, first.notice.confirmedSpis] : [];
  };
  assert.deepEqual(tell({}), [0, [SPI]], "the tunnel came back");
  assert.deepEqual(tell({ stateOf: () => undefined }), [1, []], "it is gone");
  assert.deepEqual(tell({ hasSent: () => true }), [], "a packet said so");
  assert.deepEqual(tell({ stateOf: () => ({ ...UP, tx: tx(2) }) }), [], "another SPI is in use");
});

Deno.test("of the SPIs of one tunnel the last is confirmed, in its turn", () => {
  const { state } = after([
    { type: "confirm", key: "a", spi: 1 },
    { type: "confirm", key: "b", spi: SPI },
    { type: "confirm", key: "a", spi: SPI },
  ], at(0));
  const { effects } = after([{ type: "due" }], at(CONFIRM_AFTER_MS), state);
  assert.deepEqual(effects.map((e) => e.do === "send" && e.notice.confirmedSpis), [[SPI, SPI]]);
  const early = after([{ type: "due" }], at(CONFIRM_AFTER_MS - 1), state);
  assert.deepEqual(early.effects, [{ do: "look", at: CONFIRM_AFTER_MS }]);
});

Deno.test("an outbox is bounded, and as many as it holds are put into it in linear time", () => {
  let state = EMPTY;
  for (let i = 0; i < 5 * NOTICE_CONFIRMED; i++) {
    ({ state } = stepOutbox(state, { type: "confirm", key: `${i}`, spi: SPI }, at(0)));
  }
  for (let i = 0; i < 5 * NOTICE_ITEMS; i++) {
    ({ state } = stepOutbox(state, { type: "closed", pair: pair(i) }, at(0)));
    ({ state } = stepOutbox(state, { type: "unknown", spi: 1000 + i }, at(0)));
  }
  assert.equal(state.confirmed?.size, 4 * NOTICE_CONFIRMED);
  assert.equal(state.closed.size, 4 * NOTICE_ITEMS);
  assert.equal(state.unknownSpis.length, NOTICE_ITEMS);
  const context = at(1000, { stateOf: (key) => key.includes(" ") ? undefined : UP });
  const [sent] = stepOutbox(state, { type: "due" }, context).effects;
  assert.ok(sent?.do === "send");
  assert.deepEqual(
    [sent.notice.closed.length, sent.notice.confirmedSpis?.length],
    [NOTICE_ITEMS, NOTICE_CONFIRMED],
  );
});

Deno.test("an SPI is unknown when nobody receives with it, or its key is dead; reserved ones are nobody's", () => {
  assert.equal(isUnknown(0, undefined, 0n), false);
  assert.equal(isUnknown(0x9999, undefined, 0n), true);
  const [{ sa: { spi } } = rx(1)] = UP.rx;
  const known: State = { ...UP, rx: [rx(0x1000 + spi)] };
  assert.equal(isUnknown(0x1000 + spi, known, 1n), false);
  assert.equal(isUnknown(0x1000 + spi, known, 2n), true);
});

Deno.test("a notice speaks of the tunnels of its sender alone", () => {
  const tunnel = (peer: string): Tunnel => ({
    key: "10.1.0.1 10.2.0.1",
    row: 0,
    pair: { localVip: "10.1.0.1", remoteVip: "10.2.0.1" },
    peer,
    state: UP,
    lastError: "",
  });
  const said = (owner: string) => {
    const there = tunnel(owner);
    const view = {
      ofPeer: (peer: string) => peer === owner ? [there] : [],
      byRxSpi: (spi: number) => spi === 1 ? there : undefined,
      get: (key: string) => key === there.key ? there : undefined,
    };
    return toldBy("h2", {
      bootEpoch: 1n,
      unknownSpis: [SPI, 99],
      draining: false,
      closed: [{ localVip: "10.2.0.1", remoteVip: "10.1.0.1" }],
      confirmedSpis: [1, 2],
    }, view).map(({ event }) => event.type);
  };
  assert.deepEqual(said("h2"), ["lost", "confirmed", "closed_by_peer"]);
  assert.deepEqual(said("h3"), []);
});

Deno.test("a farewell is heard once; where peers are many, those that are connected are told", () => {
  const heard = farewell(0, 100);
  assert.equal(heard?.patientUntil, 100 + PATIENCE_MS);
  assert.equal(farewell(heard?.patientUntil ?? 0, 200), undefined);
  const few = Array.from({ length: DRAINING_COLD }, (_, i) => `h${i}`);
  assert.deepEqual(toldOfEnd(few, () => false), few);
  assert.deepEqual(toldOfEnd([...few, "other"], (peer) => peer === "h3"), ["h3"]);
});

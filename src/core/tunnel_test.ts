// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { nextDue, step } from "./tunnel.ts";
import type { Context, Effect, Event, State, Tx, Up } from "./tunnel.ts";
import { rx, tx } from "../../tests/support/sas.ts";

const context: Context = { now: 1000, graceMs: 5000, idleMs: 60_000 };

/** One state of each kind, and of `opening` and `rekeying` with and without an offer. */
const states: Record<string, State> = {
  closed: { kind: "closed", rx: [] },
  opening: { kind: "opening", since: 0, flows: [7], offered: undefined, rx: [] },
  "opening+": { kind: "opening", since: 0, flows: [7], offered: 1, rx: [rx(1)] },
  up: { kind: "up", tx: tx(1), rx: [rx(1, { confirmed: true })], openedAt: 0, usedAt: 900 },
  rekeying: {
    kind: "rekeying",
    tx: tx(1),
    rx: [rx(1, { confirmed: true })],
    openedAt: 0,
    usedAt: 900,
    offered: undefined,
  },
  "rekeying+": {
    kind: "rekeying",
    tx: tx(1),
    rx: [rx(1, { confirmed: true }), rx(2)],
    openedAt: 0,
    usedAt: 900,
    offered: 2,
  },
  failed: { kind: "failed", until: 2000, reason: "peer_unreachable", rx: [] },
};

const nothing = new Map();
const events: Record<string, Event<string>> = {
  miss: { type: "miss", flow: 8 },
  wanted: { type: "wanted" },
  offered: { type: "offered", rx: rx(3) },
  answered: { type: "answered", spi: 1, tx: tx(2), key: "k" },
  answered2: { type: "answered", spi: 2, tx: tx(2), key: "k" },
  "offered again": { type: "offered_again", spi: 1 },
  withdrawn: { type: "withdrawn", spi: 1, maybe: false },
  "withdrawn, maybe": { type: "withdrawn", spi: 1, maybe: true },
  refused: { type: "refused", reason: "refused", holdOffMs: 500 },
  unanswered: { type: "unanswered", reason: "peer_unreachable", holdOffMs: 500, maybe: true },
  asked: { type: "asked", tx: tx(2), key: "k", rx: rx(3) },
  "asked, crossing": { type: "asked", tx: tx(2), key: "k", rx: undefined },
  "asked, older": { type: "asked", tx: tx(0), key: "k", rx: rx(3) },
  confirmed: { type: "confirmed", spi: 1 },
  forgotten: { type: "forgotten", spi: 1 },
  tick: { type: "tick", seen: { tx: undefined, rx: nothing } },
  lost: { type: "lost", spi: 101 },
  "lost, other": { type: "lost", spi: 999 },
  rotated: { type: "rotated", generation: 1n },
  "rotated twice": { type: "rotated", generation: 2n },
  peer_restarted: { type: "peer_restarted" },
  peer_back: { type: "peer_back" },
  closed_by_peer: { type: "closed_by_peer" },
  evicted: { type: "evicted" },
  close: { type: "close", reason: "shutdown" },
  moved: { type: "moved" },
  "peer_changed, elsewhere": { type: "peer_changed", pip: "192.0.2.99" },
  "peer_changed, there": { type: "peer_changed", pip: undefined },
};

/** "state -> kind: effects", with what an effect is about. */
function row(state: State, event: Event<string>): string {
  const next = step(state, event, context);
  const offer = next.state.kind === "opening" || next.state.kind === "rekeying"
    ? next.state.offered
    : undefined;
  const plus = offer === undefined ? "" : "+";
  return `${next.state.kind}${plus}: ${next.effects.map(print).join(" ")}`.trimEnd();
}

function print(effect: Effect<string>): string {
  switch (effect.do) {
    case "add_rx":
    case "remove_rx":
    case "set_tx":
    case "readdress_tx":
      return `${effect.do}(${effect.sa.spi})`;
    case "release":
      return `release(${effect.flow})`;
    case "drop":
      return `drop(${effect.flow},${effect.reason},${effect.holdOffMs})`;
    case "count":
      return `#${effect.counter}`;
    case "tell_confirmed":
      return `${effect.do}(${effect.spi})`;
    case "remove_tx":
    case "expire_tx":
    case "ask":
    case "tell_closed":
      return effect.do;
    default:
      return effect satisfies never;
  }
}

const same = (name: string) => `${name}:`;
const late = (name: string) => `${name}: #late-answers`;

/** What every event does in every state. A state that is not named stays as it is, without effects. */
const table: Record<string, Record<string, string>> = {
  miss: {
    closed: "opening: ask",
    opening: "opening:",
    "opening+": "opening+:",
    up: "up: release(8)",
    rekeying: "rekeying: release(8)",
    "rekeying+": "rekeying+: release(8)",
    failed: "failed: drop(8,back_off,1000) #back-off",
  },
  wanted: { closed: "opening: ask" },
  offered: { opening: "opening+: add_rx(3)", rekeying: "rekeying+: add_rx(3)" },
  answered: {
    closed: late("closed"),
    opening: late("opening"),
    "opening+": "up: set_tx(102) release(7) #tunnels-opened tell_confirmed(102)",
    up: late("up"),
    rekeying: late("rekeying"),
    "rekeying+": late("rekeying+"),
    failed: late("failed"),
  },
  answered2: {
    closed: late("closed"),
    opening: late("opening"),
    "opening+": late("opening+"),
    up: late("up"),
    rekeying: late("rekeying"),
    "rekeying+": "up: set_tx(102) #rekeys tell_confirmed(102)",
    failed: late("failed"),
  },
  "offered again": { up: "rekeying+:", rekeying: "rekeying+:" },
  withdrawn: { "opening+": "opening: remove_rx(1)" },
  "withdrawn, maybe": { "opening+": "opening: #maybe-sas-kept" },
  refused: {
    opening: "failed: drop(7,refused,500)",
    "opening+": "failed: remove_rx(1) drop(7,refused,500)",
    rekeying: "up: #rekeys-failed",
    "rekeying+": "up: remove_rx(2) #rekeys-failed",
  },
  unanswered: {
    opening: "failed: drop(7,peer_unreachable,500)",
    "opening+": "failed: #maybe-sas-kept drop(7,peer_unreachable,500)",
    rekeying: "up: #rekeys-failed",
    "rekeying+": "up: #maybe-sas-kept #rekeys-failed",
  },
  asked: {
    closed: "up: add_rx(3) set_tx(102) #tunnels-opened",
    opening: "up: add_rx(3) set_tx(102) release(7) #tunnels-opened",
    "opening+": "rekeying+: add_rx(3) set_tx(102) release(7) #tunnels-opened",
    up: "up: add_rx(3) set_tx(102) #rekeys",
    rekeying: "up: add_rx(3) set_tx(102) #rekeys",
    "rekeying+": "rekeying+: add_rx(3) set_tx(102) #rekeys",
    failed: "up: add_rx(3) set_tx(102) #tunnels-opened",
  },
  "asked, crossing": {
    closed: "up: set_tx(102) #tunnels-opened",
    opening: "up: set_tx(102) release(7) #tunnels-opened",
    "opening+": "rekeying+: set_tx(102) release(7) #tunnels-opened",
    up: "up: set_tx(102) #rekeys",
    rekeying: "up: set_tx(102) #rekeys",
    "rekeying+": "rekeying+: set_tx(102) #rekeys",
    failed: "up: set_tx(102) #tunnels-opened",
  },
  "asked, older": {
    closed: "up: add_rx(3) set_tx(100) #tunnels-opened",
    opening: "up: add_rx(3) set_tx(100) release(7) #tunnels-opened",
    "opening+": "rekeying+: add_rx(3) set_tx(100) release(7) #tunnels-opened",
    up: "up: add_rx(3)",
    rekeying: "up: add_rx(3)",
    "rekeying+": "rekeying+: add_rx(3)",
    failed: "up: add_rx(3) set_tx(100) #tunnels-opened",
  },
  tick: {},
  lost: {
    up: "opening: remove_tx ask",
    rekeying: "opening: remove_tx ask",
    "rekeying+": "opening+: remove_tx ask",
  },
  "lost, other": {},
  rotated: { up: "rekeying: ask" },
  "rotated twice": {
    up: "rekeying: remove_rx(1) ask",
    rekeying: "rekeying: remove_rx(1)",
    "rekeying+": "rekeying+: remove_rx(1)",
  },
  peer_restarted: {
    up: "closed: remove_tx remove_rx(1)",
    rekeying: "opening: remove_tx remove_rx(1)",
    "rekeying+": "opening+: remove_tx remove_rx(1)",
    failed: "closed:",
  },
  peer_back: { failed: "closed:" },
  closed_by_peer: {
    up: "closed: remove_tx #tunnels-closed",
    rekeying: "opening: remove_tx",
    "rekeying+": "opening+: remove_tx",
  },
  evicted: {
    opening: "closed: drop(7,no_resource,0) #tunnels-evicted",
    "opening+": "closed: drop(7,no_resource,0) remove_rx(1) #tunnels-evicted",
    up: "closed: remove_tx remove_rx(1) #tunnels-closed tell_closed #tunnels-evicted",
    rekeying: "closed: remove_tx remove_rx(1) #tunnels-closed tell_closed #tunnels-evicted",
    "rekeying+":
      "closed: remove_tx remove_rx(1) remove_rx(2) #tunnels-closed tell_closed #tunnels-evicted",
    failed: "closed: #tunnels-evicted",
  },
  close: {
    opening: "closed: drop(7,shutdown,0)",
    "opening+": "closed: drop(7,shutdown,0) remove_rx(1)",
    up: "closed: remove_tx remove_rx(1) #tunnels-closed",
    rekeying: "closed: remove_tx remove_rx(1) #tunnels-closed",
    "rekeying+": "closed: remove_tx remove_rx(1) remove_rx(2) #tunnels-closed",
    failed: "closed:",
  },
  // Its held packets are the next owner's to release: nothing of them is dropped.
  moved: {
    opening: "closed:",
    "opening+": "closed: remove_rx(1)",
    up: "closed: remove_tx remove_rx(1) tell_closed #tunnels-closed",
    rekeying: "closed: remove_tx remove_rx(1) tell_closed #tunnels-closed",
    "rekeying+": "closed: remove_tx remove_rx(1) remove_rx(2) tell_closed #tunnels-closed",
    failed: "closed:",
  },
  "peer_changed, elsewhere": {
    up: "rekeying: readdress_tx(101) ask",
    rekeying: "rekeying: readdress_tx(101)",
    "rekeying+": "rekeying+: readdress_tx(101)",
  },
  "peer_changed, there": { up: "rekeying: ask" },
};

for (const [name, event] of Object.entries(events)) {
  Deno.test(`truth table: ${name}`, () => {
    for (const [kind, state] of Object.entries(states)) {
      assert.equal(row(state, event), table[name]?.[kind] ?? same(kind), `${name} in ${kind}`);
    }
  });
}

Deno.test("a miss after the back-off opens again", () => {
  const failed: State = { kind: "failed", until: 1000, reason: "refused", rx: [] };
  assert.equal(row(failed, { type: "miss", flow: 1 }), "opening: ask");
  assert.equal(row(failed, { type: "wanted" }), "opening: ask");
  assert.equal(row(failed, { type: "peer_back" }), "failed:", "a refusal is not forgiven");
});

Deno.test("a shorter life brings the next rekey forward, a longer one changes nothing", () => {
  const at = (softAt: number) =>
    step<string>(states.up as State, { type: "life_shortened", at: softAt }, context);
  const { state, effects } = at(5000);
  assert.deepEqual(["tx" in state && state.tx.softAt, effects], [5000, []]);
  assert.equal(at(2e6).state, states.up);
  assert.equal(row(states.closed as State, { type: "life_shortened", at: 0 }), "closed:");
});

Deno.test("what time does to a tunnel", () => {
  const seen = { tx: undefined, rx: nothing };
  const up = (change: Partial<Tx>): State => ({ ...states.up, tx: tx(1, change) } as State);
  const tick = (state: State, now: number) => {
    const next = step<string>(state, { type: "tick", seen }, { ...context, now });
    return `${next.state.kind}: ${next.effects.map(print).join(" ")}`;
  };
  assert.equal(tick(up({ softAt: 2000 }), 2000), "rekeying: ask");
  assert.equal(tick(up({ softPackets: 5n, packets: 5n }), 2000), "rekeying: ask");
  const spent = up({ softPackets: 5n, packets: 5n });
  assert.ok(
    nextDue(spent, context) <= 2000,
    "packets that would have it looked at do not pass any more",
  );
  const asking: State = { ...(spent as Up), kind: "rekeying", offered: undefined };
  const refused = { type: "refused", reason: "refused", holdOffMs: 500 } as const;
  const { state: later } = step<string>(asking, refused, { ...context, now: 2000 });
  assert.equal(nextDue(later, context), 2500);
  assert.equal(tick(later, 2499), "up: ");
  assert.equal(tick(later, 2500), "rekeying: ask");
  const hard = up({ softAt: 2000, expiresAt: 3000 });
  assert.equal(tick(hard, 3000), "rekeying: expire_tx #tx-sas-expired ask");
  assert.equal(tick(up({}), 60_900), "closed: remove_tx tell_closed #tunnels-closed");
  const crossing: State = {
    ...states.up,
    rx: [rx(1, { confirmed: true }), rx(2, { confirmed: true, seenAt: 500 })],
  } as State;
  const marked = step<string>(crossing, { type: "tick", seen }, context).state;
  assert.equal(tick(marked, 5999), "up: ");
  assert.equal(tick(marked, 6000), "up: remove_rx(1) #rx-sas-retired");
});

Deno.test("a replaced receive SA lives on while packets come with it", () => {
  const replaced: State = {
    ...states.up,
    rx: [rx(1, { confirmed: true }), rx(2, { confirmed: true })],
  } as State;
  let state: State = replaced;
  for (let now = 1000; now < 20_000; now += 1000) {
    const packets = BigInt(Math.min(now, 10_000));
    const seen = { tx: undefined, rx: new Map([[1, { packets, bytes: packets }]]) };
    state = step<string>(state, { type: "tick", seen }, { ...context, now }).state;
    assert.equal(state.rx.length, now < 15_000 ? 2 : 1, `${now}`);
  }
});

Deno.test("a receive SA that the peer may not have heard of supersedes nothing", () => {
  const state: State = {
    ...states.up,
    rx: [rx(1, { confirmed: true }), rx(2, { given: true })],
  } as State;
  const seen = { tx: undefined, rx: nothing };
  const later = step<string>(state, { type: "tick", seen }, { ...context, now: 50_000 });
  assert.equal(later.state.rx.length, 2);
});

Deno.test("an offer that crossed in a reply survives the failure of its own request", () => {
  const crossed = step(
    states["opening+"] as State,
    events["asked, crossing"] as Event<string>,
    context,
  );
  const failed = step(crossed.state, events.refused as Event<string>, context);
  assert.equal(failed.state.kind, "up");
  assert.deepEqual(failed.state.rx.map(({ sa }) => sa.spi), [1]);
});

Deno.test("a state in which nothing happened is the same state after a look at it", () => {
  for (const [kind, state] of Object.entries(states)) {
    const next = step<string>(
      state,
      { type: "tick", seen: { tx: undefined, rx: nothing } },
      context,
    );
    assert.equal(next.state, state, kind);
    assert.deepEqual(next.effects, [], kind);
  }
});

/** What the peer may have: SPI 1, offered in a request that nobody answered. */
const maybe = rx(1, { given: true, maybeUntil: 50_000 });
/** Up at the request of a peer that was not heard since: SPI 1 was in the reply. */
const unheard: State = {
  kind: "up",
  tx: tx(1, { unconfirmed: { serial: 1n, askAt: 2500 } }),
  rx: [rx(1, { given: true })],
  openedAt: 0,
  usedAt: 900,
};

Deno.test("what the peer may have goes when it says so, when its time is over, or for want of room", () => {
  const failed: State = { kind: "failed", until: 2000, reason: "peer_unreachable", rx: [maybe] };
  const again = step(failed, { type: "offered_again", spi: 1 } as Event<string>, context);
  assert.equal(again.state.kind === "opening" && again.state.offered, 1);
  const { state } = again;
  assert.equal(row(state, events.refused as Event<string>), "failed: remove_rx(1)");
  assert.equal(row(state, events.unanswered as Event<string>), "failed:", "as it was, not counted");
  assert.equal(row(state, events.forgotten as Event<string>), "opening+:", "it is under way");
  assert.equal(
    row(failed, events.forgotten as Event<string>),
    "failed: remove_rx(1) #rx-sas-retired",
  );
  assert.equal(row(failed, events.peer_restarted as Event<string>), "closed:");
  assert.equal(row(failed, events.rotated as Event<string>), "opening: ask");
  const seen = { tx: undefined, rx: nothing };
  const at = (now: number, of: State = failed) =>
    step<string>(of, { type: "tick", seen }, { ...context, now });
  assert.deepEqual(at(49_999).effects, []);
  assert.deepEqual(at(50_000).effects.map(print), ["remove_rx(1)", "#rx-sas-retired"]);
  assert.deepEqual(at(60_000, state).effects, [], "not while it is on offer");
  const used = step<string>(
    failed,
    { type: "tick", seen: { tx: undefined, rx: new Map([[1, { packets: 1n, bytes: 1n }]]) } },
    { ...context, now: 40_000 },
  );
  assert.deepEqual(at(60_000, used.state).effects, [], "packets come with it");
});

Deno.test("a tunnel whose peer was not heard is asked for, until a packet, a message or an answer confirms", () => {
  const tick = (now: number, packets = new Map<number, bigint>()) => {
    const rx = new Map([...packets].map(([spi, n]) => [spi, { packets: n, bytes: n }] as const));
    return step<string>(unheard, { type: "tick", seen: { tx: undefined, rx } }, {
      ...context,
      now,
    });
  };
  const isUnconfirmed = ({ state }: { state: State }) =>
    "tx" in state && state.tx.unconfirmed !== undefined;
  assert.deepEqual(tick(2499).effects, []);
  const asking = tick(2500);
  assert.deepEqual(asking.effects.map(print), ["#unconfirmed-asks", "ask"]);
  assert.ok(isUnconfirmed(asking));
  assert.ok(!isUnconfirmed(tick(2500, new Map([[1, 1n]]))));
  const said = step(unheard, { type: "confirmed", spi: 1 } as Event<string>, context);
  assert.deepEqual(said.effects.map(print), ["#confirmations-received"]);
  assert.ok(!isUnconfirmed(said));
  const failed = step(asking.state, events.unanswered as Event<string>, { ...context, now: 3000 });
  assert.deepEqual(
    "tx" in failed.state && [failed.state.tx.unconfirmed?.askAt, failed.state.tx.softAt],
    [3500, 1e6],
    "the rekey keeps its time",
  );
  const offered = step(asking.state, events.offered as Event<string>, context);
  const answer: Event<string> = { type: "answered", spi: 3, tx: tx(1), key: "k" };
  const answered = step(offered.state, answer, context);
  assert.ok(!isUnconfirmed(answered), "by an answer that brings no newer SA, too");
  const older: State = {
    ...unheard,
    rx: [rx(1), rx(2)],
    tx: tx(1, { unconfirmed: { serial: 2n, askAt: 1e6 } }),
  };
  const old = step<string>(
    older,
    { type: "tick", seen: { tx: undefined, rx: new Map([[1, { packets: 1n, bytes: 1n }]]) } },
    context,
  );
  assert.ok(isUnconfirmed(old), "a packet with an older SA says nothing");
});

Deno.test("what is said of one receive SA is said of no other", () => {
  const all = [rx(1, { given: true }), rx(2, { given: true }), rx(3, { maybeUntil: 9000 })];
  const up: State = { kind: "up", tx: tx(1), rx: all, openedAt: 0, usedAt: 900 };
  const said = step<string>(up, { type: "confirmed", spi: 1 }, context);
  assert.deepEqual(said.state.rx, [
    { ...rx(1, { given: true }), confirmed: true },
    ...all.slice(1),
  ]);
  const asking: State = { ...up, kind: "rekeying", offered: 2 };
  const answered = step(asking, { type: "answered", spi: 2, tx: tx(2), key: "k" }, context);
  assert.deepEqual(answered.state.rx.map(({ confirmed }) => confirmed), [false, true, false]);
});

Deno.test("an answer whose offer has ended by its age opens nothing: the tunnel is asked for anew", () => {
  for (const looked of [false, true]) {
    const at = (now: number): Context => ({ ...context, now });
    let state: State = step({ kind: "closed", rx: [] }, { type: "miss", flow: 1 }, at(0)).state;
    const offered = rx(1, { generation: 0n, seenAt: 0, expiresAt: 40_000 });
    state = step(state, { type: "offered", rx: offered }, at(0)).state;
    const tick = { type: "tick", seen: { rx: nothing } } as const;
    if (looked) state = step(state, tick, at(40_000)).state;
    const answer = { type: "answered", spi: offered.sa.spi, tx: tx(1), key: "k" } as const;
    const { state: after, effects } = step(state, answer, at(40_000));
    assert.equal(after.kind, "opening");
    assert.equal(after.kind === "opening" && after.offered, undefined);
    assert.deepEqual(effects.map((effect) => effect.do), ["count", "ask"]);
  }
});

Deno.test("a crossing request that meets an offer in the moment of its end opens nothing either", () => {
  const at = (now: number): Context => ({ ...context, now });
  let state: State = step({ kind: "closed", rx: [] }, { type: "miss", flow: 1 }, at(0)).state;
  const own = rx(1, { generation: 0n, seenAt: 0, expiresAt: 40_000 });
  state = step(state, { type: "asked", tx: tx(1), key: "k1", rx: own }, at(0)).state;
  state = step(state, { type: "offered_again", spi: own.sa.spi }, at(20_000)).state;
  const crossing = { type: "asked", tx: tx(2), key: "k2", rx: undefined } as const;
  const { state: after, effects } = step(state, crossing, at(40_000));
  assert.equal(after.kind, "rekeying");
  assert.equal(after.kind === "rekeying" && after.offered, undefined);
  assert.deepEqual(effects, [{ do: "ask" }]);
  // A moment before, it is an answer like any other.
  const before = step(state, crossing, at(39_999));
  assert.equal(before.effects[0]?.do, "set_tx");
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { configOf } from "../../tests/support/core_config.ts";
import { params, rx } from "../../tests/support/sas.ts";
import { seededRandom } from "../../tests/support/seeded_random.ts";
import { type ExchangeCode, ExchangeError, RATE_REFUSAL } from "../model/exchange.ts";
import {
  type AskingState,
  beyond,
  IDLE,
  type InitiatorContext,
  type InitiatorEffect,
  type InitiatorEvent,
  type Offer,
  stepInitiator,
} from "./initiator.ts";
import { MAX_FORGIVEN, MAX_MAYBE_SAS, RATE_PATIENCE_MS, REPEAT_MS } from "./limits.ts";
import type { State } from "./tunnel.ts";
import type { Tunnel } from "./tunnel_table.ts";
import { Waiting } from "./waiting.ts";

const config = configOf(1, { hosts: 2, changes: { rpc: { attempts: 3, timeoutMs: 1000 } } });
const peer = { id: "h2", svcAddress: "192.0.2.2:7443", vips: ["10.2.0.0/16"] };

/** A host whose workloads 1 to `n` want tunnels; `offered`: that of the first is on offer already. */
function host(n: number, offered = false) {
  const tunnels = Array.from({ length: n }, (_, i): Tunnel => {
    const pair = { localVip: `10.1.0.${i + 1}`, remoteVip: "10.2.0.1" };
    const spi = 0x100 + i;
    const state: State = offered
      ? { kind: "opening", since: 0, flows: [i], offered: spi, rx: [rx(spi)] }
      : { kind: "opening", since: 0, flows: [i], offered: undefined, rx: [] };
    const key = `${pair.localVip} ${pair.remoteVip}`;
    return { key, row: 0, pair, peer: "h2", state, lastError: "" };
  });
  const byKey = new Map(tunnels.map((tunnel) => [tunnel.key, tunnel]));
  const context = (change: Partial<InitiatorContext> = {}): InitiatorContext => ({
    now: 1000,
    peer: "h2",
    bootEpoch: 1n,
    ivCounts: true,
    config,
    own: {
      config,
      mac: "02:00:00:00:00:01",
      ownAddress: () => undefined,
      random: seededRandom(1),
    },
    waiting: waitingFor(tunnels),
    most: 256,
    mostUrgent: 256,
    atOnce: 256,
    version: undefined,
    aloneUntil: undefined,
    patientUntil: 0,
    rotations: () => 0n,
    stateOf: (key) => byKey.get(key)?.state,
    get: (key) => byKey.get(key),
    ofPeer: () => tunnels,
    peerOf: (id) => id === "h2" ? peer : undefined,
    ...change,
  });
  const offers = tunnels.map((tunnel, i): Offer => ({
    tunnel,
    rx: rx(0x100 + i),
    params: params(0x100 + i),
  }));
  return { tunnels, offers, context };
}

function waitingFor(tunnels: readonly Tunnel[]): Waiting {
  const waiting = new Waiting();
  for (const tunnel of tunnels) waiting.add(tunnel, 1000);
  return waiting;
}

/** Steps one after the other, each taken twice with the same outcome; the last one's. */
function after(
  events: readonly InitiatorEvent[],
  context: InitiatorContext,
  from: AskingState = IDLE,
): { readonly state: AskingState; readonly effects: readonly InitiatorEffect[] } {
  let state = from;
  let effects: readonly InitiatorEffect[] = [];
  for (const event of events) {
    const next = stepInitiator(state, event, context);
    assert.deepEqual(stepInitiator(state, event, context), next, event.type);
    ({ state, effects } = next);
  }
  return { state, effects };
}

function does(effects: readonly InitiatorEffect[]): string[] {
  return effects.map((effect) => effect.do);
}

/** A request of `n` tunnels that is under way. */
function calling(n: number) {
  const on = host(n, true);
  const context = on.context();
  const { state, effects } = after([
    { type: "asked" },
    { type: "gathered" },
    { type: "paced", waitMs: 0 },
    { type: "admitted" },
  ], host(n).context());
  const called = after(
    [{ type: "offered", offers: on.offers, requestId: "a".repeat(32) }],
    context,
    state,
  );
  return { ...on, state: called.state, effects: called.effects, before: effects };
}

function failure(code: ExchangeCode, change: Partial<{ sent: boolean; lagMs: number }> = {}) {
  const error = new ExchangeError(code, "why");
  return { type: "failed" as const, error, sent: true, lagMs: 0, ...change };
}

Deno.test("what waits is asked for in one request, once the pace and a place allow it", () => {
  const { context } = host(3);
  const steps: [InitiatorEvent, string[]][] = [
    [{ type: "asked" }, ["gather"]],
    [{ type: "asked" }, []],
    [{ type: "gathered" }, ["pace"]],
    [{ type: "paced", waitMs: 5 }, ["pause"]],
    [{ type: "woken" }, ["pace"]],
    [{ type: "paced", waitMs: 0 }, ["enter"]],
    [{ type: "admitted" }, ["unwait", "offer"]],
  ];
  let state = IDLE;
  for (const [event, done] of steps) {
    const next = after([event], context(), state);
    assert.deepEqual(does(next.effects), done, event.type);
    ({ state } = next);
  }
  const { effects } = calling(3);
  assert.deepEqual(does(effects), ["count", "begin", "call"]);
  const last = effects.at(-1);
  assert.equal(last?.do === "call" && last.request.tunnels.length, 3);
  const alone = after([{ type: "asked" }, { type: "gathered" }], context({ aloneUntil: 1700 }));
  assert.deepEqual(alone.effects, [{ do: "pause", ms: 700 }]);
});

Deno.test("held packets go in small requests, each address in its turn, before what nobody waits for", () => {
  const { tunnels, context } = host(300);
  const of = (pair: Tunnel["pair"], state: State): Tunnel => {
    const key = `${pair.localVip} ${pair.remoteVip}`;
    return { key, row: 0, pair, peer: "h2", state, lastError: "" };
  };
  const opening = (flows: readonly number[]): State => (
    { kind: "opening", since: 0, flows, offered: undefined, rx: [] }
  );
  // A hundred to be restored came first, then a scan of one address, and last somebody's first packet.
  const restored = tunnels.slice(0, 100).map(({ pair }) => of(pair, opening([])));
  const scan = tunnels.slice(100, 300)
    .map((_, i) => of({ localVip: "10.1.1.1", remoteVip: `10.2.1.${i}` }, opening([i])));
  const one = of({ localVip: "10.1.1.2", remoteVip: "10.2.0.1" }, opening([7]));
  const offered = (all: readonly Tunnel[]) => {
    const byKey = new Map(all.map((tunnel) => [tunnel.key, tunnel]));
    const { effects } = after(
      [{ type: "asked" }, { type: "gathered" }, { type: "paced", waitMs: 0 }, { type: "admitted" }],
      context({
        mostUrgent: 16,
        waiting: waitingFor(all),
        stateOf: (key) => byKey.get(key)?.state,
        get: (key) => byKey.get(key),
      }),
    );
    const last = effects.at(-1);
    return last?.do === "offer" ? last.tunnels : [];
  };
  const first = offered([...restored, ...scan, one]);
  assert.equal(first.length, 16);
  assert.deepEqual(first.slice(0, 3), [scan[0], one, scan[1]]);
  assert.equal(
    first.every(({ state }) => state.kind === "opening" && state.flows.length > 0),
    true,
  );
  assert.equal(offered([...restored, one])[0], one);
  assert.equal(offered(restored).length, 100);
});

Deno.test("of ten thousand that wait a request looks at those that go into it", () => {
  const { context } = host(0);
  const tunnels = Array.from({ length: 10_000 }, (_, i): Tunnel => {
    const pair = { localVip: `10.1.0.${i % 250}`, remoteVip: `10.2.${i >> 8}.${i & 255}` };
    const flows = i % 3 === 0 ? [i] : [];
    const state: State = { kind: "opening", since: 0, flows, offered: undefined, rx: [] };
    return {
      key: `${pair.localVip} ${pair.remoteVip}`,
      row: i,
      pair,
      peer: "h2",
      state,
      lastError: "",
    };
  });
  const byKey = new Map(tunnels.map((tunnel) => [tunnel.key, tunnel]));
  let looks = 0;
  const look = <T>(found: T): T => {
    looks++;
    return found;
  };
  const of = context({
    waiting: waitingFor(tunnels),
    mostUrgent: 16,
    get: (key) => look(byKey.get(key)),
    stateOf: (key) => look(byKey.get(key)?.state),
  });
  let state = IDLE;
  const events: InitiatorEvent[] = [
    { type: "asked" },
    { type: "gathered" },
    { type: "paced", waitMs: 0 },
    { type: "admitted" },
  ];
  for (const event of events) {
    const step = stepInitiator(state, event, of);
    ({ state } = step);
    const last = step.effects.at(-1);
    if (event.type === "paced") {
      assert.deepEqual(last, { do: "enter", work: "packet", tunnels: 16, raisable: true });
    }
    if (event.type === "admitted") assert.equal(last?.do === "offer" && last.tunnels.length, 16);
  }
  assert.equal(looks, 16);
});

Deno.test("where nobody wants anything any more, nothing is asked", () => {
  const { context } = host(0);
  const { state } = after([{ type: "asked" }, { type: "gathered" }], context());
  assert.equal(state.kind, "idle");
});

Deno.test("the same request goes out in every try, and after the last one it is given up", () => {
  const { context, effects, ...at } = calling(2);
  let { state } = at;
  const requests = [effects.at(-1)];
  for (let attempt = 1; attempt < 3; attempt++) {
    const rest = after([failure("unavailable")], context(), state);
    assert.deepEqual(does(rest.effects), ["count", "rest"]);
    const again = after([{ type: "rested" }, { type: "admitted" }], context(), rest.state);
    requests.push(again.effects.at(-1));
    ({ state } = again);
  }
  assert.deepEqual(requests[1], requests[0]);
  assert.deepEqual(requests[2], requests[0]);
  const last = after([failure("unavailable")], context(), state);
  assert.deepEqual(does(last.effects), ["hold", "blame"]);
  const over = after([{ type: "blamed", holdOffMs: 100 }], context(), last.state);
  assert.deepEqual(does(over.effects), ["tell", "tell", "bound", "let_go", "leave", "go_on"]);
  const [told] = over.effects;
  assert.ok(told?.do === "tell" && told.event.type === "unanswered" && told.event.maybe);
});

Deno.test("whether the peer may have it is not forgotten by a try that did not leave", () => {
  const { context, state } = calling(1);
  const rest = after([failure("unavailable")], context(), state).state;
  const again = after([{ type: "rested" }, { type: "admitted" }], context(), rest).state;
  const last = after([failure("permission_denied", { sent: false })], context(), again);
  assert.ok(last.state.kind === "failing" && last.state.maybe);
  const never = after([failure("unavailable", { sent: false })], context(), state).state;
  const then = after([{ type: "rested" }, { type: "admitted" }], context(), never).state;
  const declined = after([failure("permission_denied")], context(), then);
  assert.ok(declined.state.kind === "failing" && !declined.state.maybe);
});

Deno.test("what is this host's own fault, or too fast for the peer, is no try", () => {
  const { context, state } = calling(1);
  const lagged = failure("deadline_exceeded", { lagMs: 250 });
  let at = state;
  for (let i = 0; i < MAX_FORGIVEN; i++) {
    const rest = after([lagged], context(), at);
    assert.deepEqual(does(rest.effects), ["count", "rest"]);
    at = after([{ type: "rested" }, { type: "admitted" }], context(), rest.state).state;
  }
  assert.ok(at.kind === "calling" && at.call.attempt === 1);
  const counted = after([lagged], context(), at).state;
  assert.ok(counted.kind === "resting" && counted.call.attempt === 2);

  const error = new ExchangeError("resource_exhausted", RATE_REFUSAL);
  const refused = { type: "failed" as const, error, sent: true, lagMs: 0 };
  const slower = after([refused], context(), state);
  assert.deepEqual(does(slower.effects), ["rest_slower"]);
  const late = { now: 1000 + RATE_PATIENCE_MS };
  const then = after([{ type: "rested" }, { type: "admitted" }], context(late), slower.state);
  assert.deepEqual(does(after([refused], context(late), then.state).effects), ["count", "rest"]);
});

Deno.test("a peer that stops is asked again soon, and nothing is dropped", () => {
  const { context, state } = calling(1);
  const patient = context({ patientUntil: 5000 });
  const failing = after([failure("permission_denied")], patient, state);
  const { effects } = after([{ type: "blamed", holdOffMs: 1 }], patient, failing.state);
  assert.deepEqual(does(effects), ["tell", "wait", "bound", "let_go", "leave", "go_on"]);
});

Deno.test("what a tunnel offers meanwhile to a peer that was taken out and put in does not end with its old request", () => {
  const { state, tunnels, context } = calling(2);
  const [first, second] = tunnels;
  assert.ok(first !== undefined && second !== undefined);
  const later = { ...first, state: { ...first.state, offered: 0x200, rx: [rx(0x200)] } as State };
  const get = (key: string) => key === first.key ? later : second;
  const now = context({ get, waiting: waitingFor([]) });
  const failed = after([failure("permission_denied")], now, state);
  const { effects } = after([{ type: "blamed", holdOffMs: 500 }], now, failed.state);
  const told = effects.flatMap((effect) => effect.do === "tell" ? [effect.tunnel.key] : []);
  assert.deepEqual(told, [second.key]);
});

Deno.test("what nobody answered is asked again before anything else, while its answer can be used", () => {
  const { offers, context } = host(1);
  const maybe: State = { kind: "closed", rx: [rx(0x100, { maybeUntil: 1e9 })] };
  const asking = {
    requestId: "b".repeat(32),
    version: "aes-gcm-256" as const,
    offers,
    since: 0,
    again: true,
  };
  const from: AskingState = { kind: "queueing", unanswered: asking };
  const standing = { stateOf: () => maybe };
  const again = after([{ type: "admitted" }], context(standing), from);
  assert.deepEqual(does(again.effects), ["count", "offer_again", "count", "begin", "call"]);
  assert.equal(again.state.unanswered, undefined);
  for (
    const change of [{ now: REPEAT_MS }, { rotations: () => 1n }, { stateOf: () => undefined }]
  ) {
    const { effects } = after([{ type: "admitted" }], context({ ...standing, ...change }), from);
    assert.deepEqual(does(effects), ["release", "unwait", "offer"]);
    const checked = after([{ type: "checked" }], context({ ...standing, ...change }), from);
    assert.deepEqual([checked.state.unanswered, ...does(checked.effects)], [undefined, "release"]);
  }
  assert.deepEqual(after([{ type: "checked" }], context(standing), from).effects, []);
  assert.deepEqual(does(after([{ type: "forgotten" }], context(standing), from).effects), [
    "release",
  ]);
});

/** The answer to a request under way, taken up to where it is known to be of the present start. */
function answered(
  reply: Extract<InitiatorEvent, { type: "replied" }>["reply"],
  { state, context }: Pick<ReturnType<typeof calling>, "state" | "context">,
) {
  return after(
    [{ type: "replied", reply }, { type: "trusted" }, { type: "heard", isCurrent: true }],
    context(),
    state,
  );
}

Deno.test("each tunnel gets its part of the answer", () => {
  const on = calling(4);
  const outcomes = [
    { ok: true, params: params(7) } as const,
    { ok: false, code: "permission_denied", message: "no" } as const,
    { ok: true, params: params(0) } as const,
    { ok: true, params: { ...params(9), cryptOffset: 60 } } as const,
  ];
  const { effects } = answered({ bootEpoch: 2n, version: "aes-gcm-256", outcomes }, on);
  assert.deepEqual(does(effects), [
    "recover",
    ...["count", "say_refused", "refuse"],
    ...["refuse", "wipe"],
    ...["count", "say_readable", "refuse", "wipe"],
    "use",
    "let_go",
    "leave",
    "go_on",
  ]);
  const granted = effects.flatMap((e) => e.do === "refuse" ? [e.isGranted] : []);
  assert.deepEqual(granted, [false, true, true]);
});

Deno.test("an answer that cannot be trusted, counted or placed is wiped, and the peer may have all of it", () => {
  const on = calling(2);
  const reply = {
    bootEpoch: 2n,
    version: "aes-gcm-256" as const,
    outcomes: [{ ok: true, params: params(7) } as const],
  };
  const error = new ExchangeError("permission_denied", "from elsewhere");
  const ends: InitiatorEvent[][] = [
    [{ type: "doubted", error }],
    [{ type: "trusted" }, { type: "heard", isCurrent: false }],
    [{ type: "trusted" }, { type: "heard", isCurrent: true }],
  ];
  for (const end of ends) {
    const got = after([{ type: "replied", reply }, ...end], on.context(), on.state);
    assert.deepEqual(does(got.effects), ["wipe", "blame"]);
    assert.ok(got.state.kind === "failing" && got.state.maybe);
  }
});

Deno.test("for another version the first offers go before new ones are made, in a place of their own", () => {
  const on = calling(1);
  const reply = { bootEpoch: 2n, version: "aes-gcm-128" as const, outcomes: [] };
  const second = answered(reply, on);
  assert.deepEqual(does(second.effects), ["count", "tell", "let_go", "offer"]);
  const made: InitiatorEvent = { type: "offered", offers: on.offers, requestId: "c".repeat(32) };
  const entering = after([made], on.context(), second.state);
  assert.deepEqual(does(entering.effects), ["begin", "enter"]);
  const called = after([{ type: "admitted" }], on.context(), entering.state).state;
  // Whoever wants yet another one has failed.
  const other = { ...reply, version: "aes-gcm-256" as const };
  const third = answered(other, { ...on, state: called });
  assert.deepEqual(does(third.effects), ["wipe", "blame"]);
});

Deno.test("a long answer is used in slices, and no further once its peer has started anew", () => {
  const on = calling(5);
  const outcomes = on.offers.map((_, i) => (
    i === 1
      ? { ok: false as const, code: "refused", message: "" }
      : { ok: true as const, params: params(0x200 + i) }
  ));
  const context = on.context({ atOnce: 2 });
  const heard: InitiatorEvent = { type: "heard", isCurrent: true };
  const reply = { bootEpoch: 2n, version: "aes-gcm-256" as const, outcomes };
  const first = after([{ type: "replied", reply }, { type: "trusted" }, heard], context, on.state);
  // What was refused is told at once: nobody asks later whether it still holds.
  assert.deepEqual(
    does(first.effects),
    ["recover", "count", "say_refused", "refuse", "use", "use", "yield"],
  );
  const looks = after([{ type: "yielded" }], context, first.state);
  assert.deepEqual(looks.effects, [{ do: "hear", epoch: 2n }]);
  const last = after([heard], context, looks.state);
  assert.deepEqual(does(last.effects), ["use", "use", "let_go", "leave", "go_on"]);
  const anew = after([{ type: "heard", isCurrent: false }], context, looks.state);
  assert.deepEqual(does(anew.effects), ["wipe", "blame"]);
  const ended = after([{ type: "stopped" }], context, looks.state).effects;
  assert.deepEqual(does(ended), ["wipe", "let_go", "leave"]);
  assert.equal(ended[0]?.do === "wipe" && ended[0].keys.length, 2);
});

Deno.test("the end of the host gives back what a request holds, in whatever state it is", () => {
  const { state, context } = calling(1);
  const resting = after([failure("unavailable")], context(), state).state;
  for (const at of [state, resting]) {
    const { effects } = after([{ type: "stopped" }], context(), at);
    assert.deepEqual(does(effects), ["let_go", "leave"]);
  }
  assert.deepEqual(does(after([{ type: "stopped" }], context(), IDLE).effects), ["leave"]);
  const broken = { type: "broken" as const, error: new ExchangeError("internal", "a bug") };
  assert.deepEqual(does(after([broken], context(), state).effects), ["blame"]);
  assert.equal(after([broken], context(), IDLE).state.kind, "idle");
});

Deno.test("of what a peer may have the oldest goes beyond a bound", () => {
  const { tunnels: [tunnel] } = host(1);
  assert.ok(tunnel);
  const all = Array.from(
    { length: MAX_MAYBE_SAS + 3 },
    (_, i) => rx(MAX_MAYBE_SAS + 3 - i, { maybeUntil: 1e9 }),
  );
  const state: State = { kind: "closed", rx: [...all, rx(9999)] };
  assert.deepEqual(beyond([{ ...tunnel, state }]).map(({ rx }) => rx.sa.spi), [1, 2, 3]);
  assert.deepEqual(beyond([{ ...tunnel, state: { ...state, rx: all.slice(3) } }]), []);
});

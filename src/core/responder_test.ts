// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { configOf } from "../../tests/support/core_config.ts";
import { params, rx } from "../../tests/support/sas.ts";
import { seededRandom } from "../../tests/support/seeded_random.ts";
import type { NewTunnelRequest, TunnelOffer } from "../model/exchange.ts";
import {
  NEW,
  type ResponderContext,
  type ResponderEffect,
  type ResponderEvent,
  type ResponderState,
  stepResponder,
} from "./responder.ts";
import type { Derived } from "./params.ts";
import type { State } from "./tunnel.ts";

const config = configOf(1, { hosts: 2, changes: {} });
const peer = { id: "h2", svcAddress: "192.0.2.2:7443", vips: ["10.2.0.0/16"] };

/** h2 asks for a tunnel from its workload `i`. */
function offer(i: number, change: Partial<TunnelOffer> = {}): TunnelOffer {
  return { localVip: `10.2.0.${i}`, remoteVip: "10.1.0.1", reverse: params(0x100 + i), ...change };
}

function request(...tunnels: TunnelOffer[]): NewTunnelRequest {
  return { bootEpoch: 5n, requestId: "0".repeat(32), versionsAccepted: ["aes-gcm-256"], tunnels };
}

function context(change: Partial<ResponderContext> = {}): ResponderContext {
  return {
    config,
    bootEpoch: 7n,
    ivCounts: true,
    own: {
      config,
      mac: "02:00:00:00:00:01",
      ownAddress: () => undefined,
      random: seededRandom(1),
    },
    owns: (_, vip) => vip.startsWith("10.2."),
    isLocal: (vip) => vip.startsWith("10.1."),
    stateOf: () => undefined,
    onOffer: () => undefined,
    lacks: () => undefined,
    lacksSa: () => undefined,
    ...change,
  };
}

function derivedFor(n: number): Derived[] {
  return Array.from({ length: n }, (_, i) => ({ rx: rx(i + 1), params: params(i + 1) }));
}

/** Steps one after the other, each taken twice with the same outcome; the last one's. */
function after(events: readonly ResponderEvent[], on: ResponderContext) {
  let state: ResponderState = NEW;
  let effects: readonly ResponderEffect[] = [];
  for (const event of events) {
    const next = stepResponder(state, event, on);
    assert.deepEqual(stepResponder(state, event, on), next);
    ({ state, effects } = next);
  }
  return { state, effects };
}

function judged(of: NewTunnelRequest, on = context()) {
  return after([
    { type: "asked", peer, request: of },
    { type: "recalled", known: undefined },
  ], on);
}

function does(effects: readonly ResponderEffect[]): string[] {
  return effects.map((effect) => effect.do);
}

Deno.test("what an earlier start asks is told apart before anything of it is read", () => {
  const asked: ResponderEvent = {
    type: "asked",
    peer,
    request: request(offer(1)),
  };
  assert.deepEqual(does(after([asked], context()).effects), ["recall"]);
  const bad = after([{ ...asked, request: request() }], context());
  assert.deepEqual([bad.state.kind, ...does(bad.effects)], ["over", "reject"]);
  const reply = { bootEpoch: 7n, version: "aes-gcm-256" as const, outcomes: [] };
  const again = after([asked, { type: "recalled", known: reply }], context());
  assert.deepEqual(does(again.effects), ["count", "repeat"]);
  const other = after([asked, { type: "recalled", known: "different" }], context());
  assert.deepEqual(does(other.effects), ["reject"]);
});

Deno.test("each tunnel is judged by itself, and SPIs are derived for those that pass", () => {
  const { state, effects } = judged(request(
    offer(1),
    offer(2, { localVip: "10.9.0.1" }),
    offer(3, { remoteVip: "10.8.0.1" }),
    offer(1),
    offer(4, { localVip: "fd00::1" }),
    offer(5, { reverse: params(0) }),
    offer(6),
  ));
  assert.equal(state.kind, "deriving");
  const codes = effects.flatMap((effect) => effect.do === "say_refused" ? [effect.code] : []);
  assert.deepEqual(codes, [
    "permission_denied",
    "permission_denied",
    "invalid_argument",
    "invalid_argument",
    "invalid_argument",
  ]);
  const last = effects.at(-1);
  assert.ok(last?.do === "derive");
  assert.deepEqual(last.wanted.map(({ pair }) => pair.remoteVip), ["10.2.0.1", "10.2.0.6"]);
});

Deno.test("places that were promised count, and room is made for one at a time", () => {
  const asked: string[] = [];
  const crowded = context({
    lacks: ({ pair }, { peer: all, source } = { peer: 0, network: 0, source: 0 }) => {
      asked.push(`${pair.remoteVip} ${all} ${source}`);
      return all >= 2 ? "peer-share" : undefined;
    },
  });
  const of = request(
    offer(1),
    offer(1, { remoteVip: "10.1.0.2" }),
    offer(3),
    offer(4),
  );
  const first = judged(of, crowded);
  assert.deepEqual([first.state.kind, ...does(first.effects)], ["judging", "make_room"]);
  assert.deepEqual([...new Set(asked)], ["10.2.0.1 0 0", "10.2.0.1 1 1", "10.2.0.3 2 0"]);
  // One goes for the third tunnel, and none for the fourth.
  const second = stepResponder(first.state, { type: "room", lack: undefined }, crowded);
  assert.deepEqual(does(second.effects), ["make_room"]);
  const kept = second.effects.flatMap((effect) =>
    effect.do === "make_room" ? [...effect.kept] : []
  );
  assert.equal(kept.length, 3, "what the request was granted goes for nothing else in it");
  const third = stepResponder(second.state, { type: "room", lack: "peer-share" }, crowded);
  assert.deepEqual(does(third.effects), ["say_no_room", "derive"]);
  const derive = third.effects.at(-1);
  assert.equal(derive?.do === "derive" && derive.wanted.length, 3);
});

Deno.test("what is on offer is the answer, and no other SPI is derived", () => {
  const mine = params(0x77);
  const state: State = {
    kind: "opening",
    since: 0,
    flows: [],
    offered: 0x77,
    rx: [rx(0x77)],
  };
  const on = context({ stateOf: () => state, onOffer: () => mine });
  const { state: deriving, effects } = judged(request(offer(1)), on);
  assert.deepEqual(effects, [{ do: "derive", version: "aes-gcm-256", wanted: [] }]);
  const made: ResponderEvent = { type: "derived", made: [], problem: "" };
  const next = stepResponder(deriving, made, on);
  assert.deepEqual(does(next.effects), ["count", "grant", "finish"]);
  const [, grant] = next.effects;
  assert.ok(grant?.do === "grant");
  // The peer did not say that its IVs count.
  assert.deepEqual([grant.rx, grant.serial, grant.uncounted], [undefined, 0x77n, 0x77]);
  const over = stepResponder(next.state, { type: "granted" }, on);
  const [answer] = over.effects;
  assert.ok(answer?.do === "answer" && answer.isKept);
  assert.deepEqual(answer.reply.outcomes, [{ ok: true, params: mine }]);
});

Deno.test("a tunnel that cannot be programmed is refused and its key wiped, and the others stand", () => {
  const on = context();
  const { state } = judged(request(offer(1), offer(2), offer(3)), on);
  const made = derivedFor(3);
  const granting = stepResponder(state, { type: "derived", made, problem: "" }, on);
  const used = stepResponder(granting.state, {
    type: "failed",
    tunnel: 1,
    isKeyUsed: true,
    message: "",
  }, on);
  assert.deepEqual(used.effects.map((e) => e.do === "wipe" ? e.made : e.do), [
    made[1],
    "say_refused",
  ]);
  const full = stepResponder(used.state, {
    type: "failed",
    tunnel: 2,
    isKeyUsed: false,
    message: "no entry",
  }, on);
  const [answer] = stepResponder(full.state, { type: "granted" }, on).effects;
  assert.ok(answer?.do === "answer");
  const outcomes = answer.reply.outcomes.map((outcome) => outcome.ok ? "ok" : outcome.code);
  assert.deepEqual(outcomes, ["ok", "invalid_argument", "resource_exhausted"]);
});

Deno.test("without SPIs every tunnel is refused, for the plane's reason", () => {
  const on = context();
  const { state } = judged(request(offer(1), offer(2)), on);
  const { effects } = stepResponder(state, { type: "derived", made: [], problem: "no SPI" }, on);
  assert.deepEqual(does(effects), ["count", "say_no_resource", "say_no_resource", "finish"]);
});

Deno.test("an event that does not belong to where a request stands changes nothing", () => {
  const events: ResponderEvent[] = [
    { type: "recalled", known: undefined },
    { type: "room", lack: undefined },
    { type: "derived", made: [], problem: "" },
    { type: "failed", tunnel: 0, isKeyUsed: false, message: "" },
    { type: "granted" },
  ];
  const deriving = judged(request(offer(1))).state;
  for (const state of [NEW, deriving, { kind: "over" } as const]) {
    for (const event of events) {
      if (state === deriving && event.type === "derived") continue;
      assert.deepEqual(stepResponder(state, event, context()), { state, effects: [] });
    }
  }
});

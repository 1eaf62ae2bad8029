// SPDX-License-Identifier: Apache-2.0

/** What asking a peer can come to: src/core/initiator.ts, asked everything. */
import type { PeerConfig } from "../../../src/config/config.ts";
import {
  type AskingState,
  IDLE,
  type InitiatorContext,
  type InitiatorEvent,
  type Offer,
  stepInitiator,
} from "../../../src/core/initiator.ts";
import { MAX_FORGIVEN, RATE_PATIENCE_MS, REPEAT_MS } from "../../../src/core/limits.ts";
import type { State } from "../../../src/core/tunnel.ts";
import type { Tunnel } from "../../../src/core/tunnel_table.ts";
import { Waiting } from "../../../src/core/waiting.ts";
import { ExchangeError, type NewTunnelReply, RATE_REFUSAL } from "../../../src/model/exchange.ts";
import { configOf } from "../../support/core_config.ts";
import { params, rx } from "../../support/sas.ts";
import { seededRandom } from "../../support/seeded_random.ts";
import type { Machine } from "./machine.ts";

const PEER: PeerConfig = { id: "h2", svcAddress: "192.0.2.2:7443", vips: ["10.2.0.0/16"] };
const CONFIG = configOf(1, { hosts: 2, changes: { rpc: { attempts: 2 } } });
/** The least at which a request that nobody answered may be too old. */
const LATER_MS = Math.max(REPEAT_MS, RATE_PATIENCE_MS) + 1;

/** How each of two tunnels of the peer may stand. */
const TUNNEL_STATES: readonly State[] = [
  { kind: "opening", since: 0, flows: [], offered: undefined, rx: [] },
  { kind: "opening", since: 0, flows: [], offered: 1, rx: [rx(1)] },
  { kind: "closed", rx: [rx(1, { maybeUntil: 1e9 })] },
];

/** Asking one peer, whatever its tunnels, this host and the peer are like. */
export const ASKING: Machine<AskingState> = {
  first: IDLE,
  kindOf: ({ kind }) => kind,
  shapeOf: shape,
  *next(state) {
    for (const context of CONTEXTS) {
      for (const event of EVENT_LIST) {
        const { state: to, effects } = stepInitiator(state, event, context);
        // What changes nothing is not told, but that a peer was forgotten.
        const isTold = to.kind !== state.kind || effects.length > 0 || event.type === "forgotten";
        if (isTold) yield { event: event.type, to };
      }
    }
  },
  most: 5000,
};

type Varied = Pick<InitiatorContext, "now" | "aloneUntil" | "patientUntil" | "atOnce">;
const PLAIN: Varied = { now: 0, aloneUntil: undefined, patientUntil: 0, atOnce: 256 };
/** What besides the tunnel makes a difference, one at a time. */
const VARIED: readonly Varied[] = [
  PLAIN,
  { ...PLAIN, now: LATER_MS },
  { ...PLAIN, aloneUntil: LATER_MS },
  { ...PLAIN, patientUntil: LATER_MS },
  { ...PLAIN, atOnce: 1 },
];
const CONTEXTS: readonly InitiatorContext[] = TUNNEL_STATES.flatMap((state) =>
  [true, false].flatMap((isWanted) => VARIED.map((rest) => contextOf({ state, isWanted, ...rest })))
);

function contextOf(
  { state, isWanted, ...rest }: Varied & { readonly state: State; readonly isWanted: boolean },
): InitiatorContext {
  const tunnel = tunnelOf(state);
  const get = (key: string) => key === tunnel.key ? tunnel : undefined;
  const waiting = new Waiting();
  if (isWanted) waiting.add(tunnel, rest.now);
  return {
    peer: PEER.id,
    bootEpoch: 1n,
    ivCounts: true,
    config: CONFIG,
    own: {
      config: CONFIG,
      mac: "02:00:00:00:00:01",
      ownAddress: () => undefined,
      random: seededRandom(1),
    },
    waiting,
    most: 256,
    mostUrgent: 256,
    version: undefined,
    rotations: () => 0n,
    stateOf: (key) => get(key)?.state,
    get,
    ofPeer: () => [tunnel],
    peerOf: (id) => id === PEER.id ? PEER : undefined,
    ...rest,
  };
}

function tunnelOf(state: State): Tunnel {
  const pair = { localVip: "10.1.0.1", remoteVip: "10.2.0.1" };
  const key = `${pair.localVip} ${pair.remoteVip}`;
  return { key, row: 0, pair, peer: PEER.id, state, lastError: "" };
}

/** Three: the first, the next and the last slice of an answer differ. */
const OFFERS: readonly Offer[] = TUNNEL_STATES.map((state) => ({
  tunnel: tunnelOf(state),
  rx: rx(1),
  params: params(1),
}));

/** Answers that differ in what becomes of them. */
const REPLIES: readonly NewTunnelReply[] = [
  { ok: true as const, params: params(7) },
  { ok: false as const, code: "permission_denied", message: "" },
].flatMap((outcome) => [
  { bootEpoch: 1n, version: "aes-gcm-256" as const, outcomes: OFFERS.map(() => outcome) },
  { bootEpoch: 1n, version: "aes-gcm-128" as const, outcomes: [] },
]);

const ERROR = new ExchangeError("unavailable", "");
const ERRORS: readonly ExchangeError[] = [
  ERROR,
  new ExchangeError("deadline_exceeded", ""),
  new ExchangeError("permission_denied", ""),
  new ExchangeError("resource_exhausted", RATE_REFUSAL),
];

/** For each kind of event those that may make a difference: a new one has to be added here. */
const EVENTS: {
  readonly [K in InitiatorEvent["type"]]: readonly Extract<InitiatorEvent, { type: K }>[];
} = {
  asked: [{ type: "asked" }],
  gathered: [{ type: "gathered" }],
  woken: [{ type: "woken" }],
  look: [{ type: "look" }],
  paced: [{ type: "paced", waitMs: 0 }, { type: "paced", waitMs: 5 }],
  admitted: [{ type: "admitted" }],
  offered: [[], OFFERS].map((offers) => ({ type: "offered", offers, requestId: "" })),
  unmade: [{ type: "unmade", tunnel: tunnelOf({ kind: "closed", rx: [] }), message: "" }],
  replied: REPLIES.map((reply) => ({ type: "replied", reply })),
  failed: ERRORS.flatMap((error) =>
    [true, false].flatMap((sent) =>
      [0, 1e6].map((lagMs) => ({ type: "failed" as const, error, sent, lagMs }))
    )
  ),
  rested: [{ type: "rested" }],
  trusted: [{ type: "trusted" }],
  doubted: [{ type: "doubted", error: ERROR }],
  heard: [true, false].map((isCurrent) => ({ type: "heard", isCurrent })),
  yielded: [{ type: "yielded" }],
  blamed: [{ type: "blamed", holdOffMs: 5 }],
  unused: [{ type: "unused", tunnel: tunnelOf({ kind: "closed", rx: [] }), message: "" }],
  forgotten: [{ type: "forgotten" }],
  checked: [{ type: "checked" }],
  broken: [{ type: "broken", error: ERROR }],
  stopped: [{ type: "stopped" }],
};
const EVENT_LIST: readonly InitiatorEvent[] = Object.values(EVENTS).flat();

/** What of a state matters, whatever its numbers are. */
function shape(state: AskingState): string {
  const call = "call" in state ? state.call : undefined;
  const parts = [
    state.kind,
    state.unanswered !== undefined,
    state.kind === "offering" ? state.round : 0,
    call?.round,
    call?.attempt,
    call?.again,
    call?.maybe,
    call !== undefined && call.forgiven >= MAX_FORGIVEN,
    call?.goesOnUntil !== undefined,
    "reply" in state ? REPLIES.indexOf(state.reply) : "",
    state.kind === "using" ? state.left.length : 0,
    state.kind === "failing" ? [state.maybe, state.patient] : "",
  ];
  return parts.join(" ");
}

// SPDX-License-Identifier: Apache-2.0

/** What a peer's request can come to: src/core/responder.ts, asked everything. */
import type { PeerConfig } from "../../../src/config/config.ts";
import {
  NEW,
  type ResponderContext,
  type ResponderEvent,
  type ResponderState,
  stepResponder,
} from "../../../src/core/responder.ts";
import type { NewTunnelReply, NewTunnelRequest } from "../../../src/model/exchange.ts";
import { configOf } from "../../support/core_config.ts";
import { params, rx } from "../../support/sas.ts";
import { seededRandom } from "../../support/seeded_random.ts";
import type { Machine } from "./machine.ts";

const PEER: PeerConfig = { id: "h2", svcAddress: "192.0.2.2:7443", vips: ["10.2.0.0/16"] };
const CONFIG = configOf(1, { hosts: 2, changes: {} });
const DERIVED = { rx: rx(1), params: params(1) };

/** A request of one peer, whatever this host has room for. */
export const ANSWERING: Machine<ResponderState> = {
  first: NEW,
  kindOf: ({ kind }) => kind,
  shapeOf: shape,
  *next(state) {
    for (const lack of ["none", "all", "new"] as const) {
      for (const event of EVENT_LIST) {
        // Whatever became of the one before: the next request begins anew.
        if (event.type === "asked" && state !== NEW) continue;
        const { state: to, effects } = stepResponder(state, event, context(lack));
        if (to !== state || effects.length > 0) yield { event: event.type, to };
      }
    }
  },
  most: 5000,
};

function context(lack: "none" | "all" | "new"): ResponderContext {
  return {
    config: CONFIG,
    bootEpoch: 1n,
    ivCounts: true,
    own: {
      config: CONFIG,
      mac: "02:00:00:00:00:01",
      ownAddress: () => undefined,
      random: seededRandom(1),
    },
    owns: (_, vip) => vip.startsWith("10.2."),
    isLocal: (vip) => vip.startsWith("10.1."),
    stateOf: () => lack === "all" ? { kind: "closed", rx: [] } : undefined,
    onOffer: () => undefined,
    lacks: () => lack === "none" ? undefined : "tunnels-full",
    lacksSa: () => lack === "none" ? undefined : "peer-sas",
  };
}

function request(change: Partial<NewTunnelRequest> = {}): NewTunnelRequest {
  const tunnels = [1, 2].map((n) => ({
    localVip: `10.2.0.${n}`,
    remoteVip: `10.1.0.${n}`,
    reverse: params(n),
  }));
  return {
    bootEpoch: 1n,
    requestId: "a".repeat(32),
    versionsAccepted: ["aes-gcm-256"],
    tunnels,
    ...change,
  };
}

const FOREIGN = request().tunnels.map((tunnel) => ({ ...tunnel, localVip: "10.3.0.1" }));
const REQUESTS: readonly NewTunnelRequest[] = [
  request(),
  request({ requestId: "" }),
  request({ versionsAccepted: ["aes-gmac-256"] }),
  request({ versionsAccepted: ["aes-gcm-128"] }),
  request({ tunnels: FOREIGN }),
  request({ tunnels: [...request().tunnels, ...FOREIGN] }),
];
const REPLY: NewTunnelReply = { bootEpoch: 1n, version: "aes-gcm-256", outcomes: [] };

/** For each kind of event those that may make a difference: a new one has to be added here. */
const EVENTS: {
  readonly [K in ResponderEvent["type"]]: readonly Extract<ResponderEvent, { type: K }>[];
} = {
  asked: REQUESTS.map((request) => ({ type: "asked", peer: PEER, request })),
  recalled: [undefined, REPLY, "different" as const].map((known) => ({ type: "recalled", known })),
  room: [undefined, "tunnels-full" as const].map((lack) => ({ type: "room", lack })),
  derived: [[], [DERIVED, DERIVED]].map((made) => ({ type: "derived", made, problem: "" })),
  failed: [true, false].map((isKeyUsed) => ({
    type: "failed",
    tunnel: 0,
    isKeyUsed,
    message: "",
  })),
  granted: [{ type: "granted" }],
};
const EVENT_LIST: readonly ResponderEvent[] = Object.values(EVENTS).flat();

/** What of a state matters, whatever its numbers are. */
function shape(state: ResponderState): string {
  const of = "request" in state ? REQUESTS.indexOf(state.request) : "";
  const verdicts = "verdicts" in state ? state.verdicts.map(({ ok }) => ok) : [];
  const outcomes = state.kind === "granting" ? state.outcomes.map(({ ok }) => ok) : [];
  return `${state.kind} ${of} ${verdicts} ${outcomes}`;
}

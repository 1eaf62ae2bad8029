// SPDX-License-Identifier: Apache-2.0

/**
 * Rotations of the master key as one pure function: when there is one, which tunnels are asked for after it and when,
 * and never another before every live peer has left the key before. `rotation_driver.ts` carries out what it says.
 */
import type { MasterKeyInfo } from "../../ffi/plane.ts";
import { MAX_TUNNELS_PER_REQUEST } from "../model/exchange.ts";
import {
  GONE_MS,
  RECHECK_MS,
  RECHECKED_AT_ONCE,
  ROTATION_JITTER_MS,
  ROTATION_JITTER_PER_PEER_MS,
  SLICE_WAITING,
  SPIS_LOW,
} from "./limits.ts";
import { staysBehind } from "./tunnel.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

/** How far a rotation has come. Times are of `Clock.now`. */
export interface Sweep {
  /** The peers that had tunnels when it began, and how many of them it has come to. */
  readonly peers: readonly string[];
  readonly met: number;
  /** Tunnels of the last of these that it has not come to, by key. */
  readonly rest: readonly string[];
  /** It comes to the peers evenly within so much time from then on. */
  readonly fromAt: number;
  readonly ms: number;
}

/** What a host knows of its master key. Times are of `Clock.now`. */
export interface RotationState {
  /** Rotations that the plane has made so far, as was seen last. */
  readonly generation: bigint;
  /** Fewer SPIs left than this: it is time for another one. */
  readonly spisLow: bigint;
  /** When the next one is due by the configuration. */
  readonly dueAt: number;
  /** No SPI is left: as soon as it may be. */
  readonly urgent: boolean;
  /** One is due and waits; that was told. */
  readonly postponed: boolean;
  /** undefined: the last one has come to all tunnels. */
  readonly sweep: Sweep | undefined;
  /** Peers whose SAs are looked at again: they were under way during the rotation, or nobody answered. */
  readonly recheck: readonly string[] | undefined;
  readonly recheckAt: number;
  /** A live peer with SAs on the key before, as was seen last; "": none. */
  readonly holder: string;
}

/** How a state is called where it is told: `waiting` for a rotation that is due, `sweeping` after one, or `resting`. */
export type RotationPhase = "resting" | "waiting" | "sweeping";

/** Whether something is under way. */
export function phaseOf({ sweep, urgent, postponed }: RotationState): RotationPhase {
  if (sweep !== undefined) return "sweeping";
  return urgent || postponed ? "waiting" : "resting";
}

/** What can happen to it. */
export type RotationEvent =
  /** The active key has no SPI left. */
  | { readonly type: "needed" }
  /**
   * The plane has rotated, by this host's wish (`own`) or somebody else's. `phase`: between 0 and 1, at random, so that
   * not all hosts come to a peer in the same moment.
   */
  | {
    readonly type: "rotated";
    readonly masterKey: Pick<MasterKeyInfo, "rotations" | "spisLeft">;
    readonly own: boolean;
    readonly phase: number;
  }
  /** There is time for some of the tunnels; so many exchanges wait for a place. */
  | { readonly type: "slice"; readonly waiting: number }
  /** Time passed: whoever stays behind is looked at again. */
  | { readonly type: "recheck" }
  /** Time passed: one may be due. */
  | { readonly type: "tick"; readonly spisLeft: bigint }
  /** Somebody wants one now. */
  | { readonly type: "commanded" };

/** What is to be done about it, in this order. */
export type RotationEffect =
  /** Have the plane rotate, and say that it has: `rotated`. */
  | { readonly do: "rotate" }
  /** A tunnel is to leave the keys before this generation. */
  | { readonly do: "move"; readonly tunnel: Tunnel; readonly generation: bigint }
  /** There are tunnels that may be moved now: another `slice`, where there is time. */
  | { readonly do: "go_on" }
  /** One is due, and waits for so many SAs, of this peer among others. */
  | { readonly do: "postpone"; readonly count: number; readonly peer: string };

/** The tunnels as a step may look at them. */
export interface RotationView {
  readonly peers: number;
  readonly census: Pick<TunnelTable["census"], "sasBefore" | "sasOfPeerBefore" | "peersBefore">;
  peerNames(): Iterable<string>;
  keysOfPeer(peer: string): readonly string[];
  ofPeer(peer: string): readonly Tunnel[];
  get(key: string): Tunnel | undefined;
}

/** What a step may know besides state and event. */
export interface RotationContext {
  readonly now: number;
  readonly intervalMs: number;
  readonly tunnels: RotationView;
  /** Since when nobody has answered for a peer; undefined: somebody does. */
  readonly failingSince: (peer: string) => number | undefined;
}

export interface RotationStep {
  readonly state: RotationState;
  readonly effects: readonly RotationEffect[];
}

/** As a process begins. */
export function firstRotation(
  { rotations, spisLeft }: Pick<MasterKeyInfo, "rotations" | "spisLeft">,
  dueAt: number,
): RotationState {
  return {
    generation: rotations,
    spisLow: lowOf(spisLeft),
    dueAt,
    urgent: false,
    postponed: false,
    sweep: undefined,
    recheck: undefined,
    recheckAt: 0,
    holder: "",
  };
}

/** What the state becomes and what is to be done. Changes nothing, asks nobody. */
export function stepRotation(
  state: RotationState,
  event: RotationEvent,
  context: RotationContext,
): RotationStep {
  switch (event.type) {
    case "needed":
      return { state: { ...state, urgent: true }, effects: [] };
    case "rotated":
      return rotated(state, event, context);
    case "slice":
      return slice(state, event.waiting, context);
    case "recheck":
      return recheck(state, context);
    case "tick":
      return tick(state, event.spisLeft, context);
    case "commanded": {
      const isFree = holding(state, context).sas === 0;
      return { state, effects: isFree ? [{ do: "rotate" }] : [] };
    }
    default:
      return event satisfies never;
  }
}

/** Receive SAs that the next rotation would kill, and the live peers that have them. */
export function holding(
  state: RotationState,
  context: RotationContext,
): { readonly sas: number; readonly peers: readonly string[] } {
  const { census } = context.tunnels;
  const peers = new Set<string>();
  let sas = 0;
  for (const peer of census.peersBefore(state.generation)) {
    if (peers.has(peer) || isGone(peer, context)) continue;
    peers.add(peer);
    sas += census.sasOfPeerBefore(state.generation, peer);
  }
  return { sas, peers: [...peers] };
}

/** The plane has rotated: everybody is to leave the key before. */
function rotated(
  state: RotationState,
  { masterKey, own, phase }: Extract<RotationEvent, { type: "rotated" }>,
  { now, intervalMs, tunnels }: RotationContext,
): RotationStep {
  const { rotations, spisLeft } = masterKey;
  // Dead SPIs cannot wait for a pleasant moment.
  const forced = rotations - state.generation > 1n ||
    tunnels.census.sasBefore(state.generation) > 0;
  const ms = Math.max(ROTATION_JITTER_MS, tunnels.peers * ROTATION_JITTER_PER_PEER_MS);
  const sweep = {
    peers: [...tunnels.peerNames()],
    met: 0,
    rest: [],
    fromAt: forced ? now : now + phase * ROTATION_JITTER_MS - ROTATION_JITTER_MS / 2,
    ms: forced ? 0 : ms,
  };
  const asked = own
    ? { urgent: false, postponed: false, spisLow: lowOf(spisLeft), dueAt: now + intervalMs }
    : {};
  return {
    state: {
      ...state,
      ...asked,
      generation: rotations,
      sweep,
      recheck: undefined,
      recheckAt: now + RECHECK_MS,
    },
    effects: [{ do: "go_on" }],
  };
}

/** Comes to some tunnels of one peer: as many as a request has room for, since fewer would be one request more. */
function slice(state: RotationState, waiting: number, context: RotationContext): RotationStep {
  const { sweep, generation } = state;
  if (sweep === undefined || waiting >= SLICE_WAITING) return { state, effects: [] };
  const { now, tunnels } = context;
  let { met, rest }: Pick<Sweep, "met" | "rest"> = sweep;
  while (rest.length === 0 && met < sweep.peers.length) {
    const peer = sweep.peers[met++];
    rest = peer === undefined ? [] : tunnels.keysOfPeer(peer);
  }
  const effects: RotationEffect[] = rest.slice(0, MAX_TUNNELS_PER_REQUEST)
    .flatMap((key) => moves(tunnels.get(key), generation));
  rest = rest.slice(MAX_TUNNELS_PER_REQUEST);
  if (rest.length === 0 && met === sweep.peers.length) {
    return { state: { ...state, sweep: undefined }, effects };
  }
  // Each peer has its moment within the time: many hosts would otherwise ask one peer at once.
  const due = sweep.ms === 0 ? Infinity : tunnels.peers * (now - sweep.fromAt) / sweep.ms;
  if (met <= due) effects.push({ do: "go_on" });
  return { state: { ...state, sweep: { ...sweep, met, rest } }, effects };
}

/** Once a rotation has come to all: looks again at some of those that are on the key before. */
function recheck(state: RotationState, { now, tunnels }: RotationContext): RotationStep {
  if (state.sweep !== undefined) return { state, effects: [] };
  let { recheck: peers, recheckAt } = state;
  if (peers === undefined) {
    if (now < recheckAt) return { state, effects: [] };
    recheckAt = now + RECHECK_MS;
    if (tunnels.census.sasBefore(state.generation) === 0) {
      return { state: { ...state, recheckAt }, effects: [] };
    }
    peers = [...tunnels.census.peersBefore(state.generation)];
  }
  const effects: RotationEffect[] = [];
  let met = 0;
  for (let looks = RECHECKED_AT_ONCE; looks > 0 && met < peers.length; looks--) {
    const ofPeer = tunnels.ofPeer(peers[met++] ?? "");
    for (const tunnel of ofPeer) effects.push(...moves(tunnel, state.generation));
    looks -= ofPeer.length;
  }
  const rest = met < peers.length ? peers.slice(met) : undefined;
  return { state: { ...state, recheck: rest, recheckAt }, effects };
}

/** Rotates when it is due and may be. */
function tick(state: RotationState, spisLeft: bigint, context: RotationContext): RotationStep {
  const { now, tunnels: { census } } = context;
  if (now < state.dueAt && !state.urgent && spisLeft >= state.spisLow) {
    return { state, effects: [] };
  }
  const holder = holderOf(state, context);
  if (holder === undefined) return { state, effects: [{ do: "rotate" }] };
  const effects: RotationEffect[] = state.postponed
    ? []
    : [{ do: "postpone", count: census.sasBefore(state.generation), peer: holder }];
  return { state: { ...state, holder, postponed: true }, effects };
}

/** A live peer whose SAs the next rotation would kill, the same as before if it can be; undefined: there is none. */
function holderOf(state: RotationState, context: RotationContext): string | undefined {
  const { census } = context.tunnels;
  const holds = (peer: string) =>
    census.sasOfPeerBefore(state.generation, peer) > 0 && !isGone(peer, context);
  if (holds(state.holder)) return state.holder;
  for (const peer of census.peersBefore(state.generation)) if (holds(peer)) return peer;
  return undefined;
}

function isGone(peer: string, { now, failingSince }: RotationContext): boolean {
  const since = failingSince(peer);
  return since !== undefined && now - since >= GONE_MS;
}

function moves(tunnel: Tunnel | undefined, generation: bigint): RotationEffect[] {
  const stays = tunnel !== undefined && staysBehind(tunnel.state, generation);
  return stays ? [{ do: "move", tunnel, generation }] : [];
}

function lowOf(fresh: bigint): bigint {
  return fresh / 8n < SPIS_LOW ? fresh / 8n : SPIS_LOW;
}

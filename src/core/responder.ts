// SPDX-License-Identifier: Apache-2.0

/**
 * How a peer's request is answered, as one pure function: whoever asks owns the source, this host the destination, or
 * nothing happens. `responder_driver.ts` carries out what it says.
 */
import type { Config, PeerConfig } from "../config/config.ts";
import type { AgentCounter } from "../model/counters.ts";
import {
  ExchangeError,
  MAX_TUNNELS_PER_REQUEST,
  type NewTunnelReply,
  type NewTunnelRequest,
  type PacketQuestion,
  type TunnelOutcome,
} from "../model/exchange.ts";
import { networkOf } from "../model/network.ts";
import { pairKey, type PspParams, type PspVersion, type VipPair } from "../model/sa.ts";
import { canonicalVip, familyOf } from "../model/vip.ts";
import {
  cookieProblem,
  cryptOffsetProblem,
  type Derived,
  paramsProblem,
  type SaDefaults,
  type Wanted,
} from "./params.ts";
import type { Promised, Shortage } from "./shares.ts";
import { offerOf, type State } from "./tunnel.ts";
import type { Wish } from "./tunnel_table.ts";

/** A tunnel that may be granted: the pair as this host sees it. */
interface Grantable {
  readonly ok: true;
  readonly pair: VipPair;
  /** The peer's parameters. */
  readonly reverse: PspParams;
  readonly network: string;
  /** There is none of the pair yet: a place is promised to it. */
  readonly isNew: boolean;
}

/** One that is not. */
export type Refused = Extract<TunnelOutcome, { readonly ok: false }>;
type Verdict = Grantable | Refused;

/** The tunnels of a request are judged one after the other; the next one is that without a verdict. */
interface Judging {
  readonly kind: "judging";
  readonly peer: PeerConfig;
  readonly request: NewTunnelRequest;
  readonly version: PspVersion;
  /** Of each tunnel in it; undefined: the vips are not two addresses of one family. */
  readonly pairs: readonly (VipPair | undefined)[];
  readonly verdicts: readonly Verdict[];
}

/** SPIs are wanted for those that were granted and are not on offer already. */
interface Deriving extends Pick<Judging, "peer" | "request" | "version" | "verdicts"> {
  readonly kind: "deriving";
  /** What this host offers at this very moment, by tunnel of the request: the answer is the same SA. */
  readonly crossing: ReadonlyMap<number, PspParams>;
}

/** They are programmed, one after the other. */
interface Granting extends Pick<Judging, "peer" | "version"> {
  readonly kind: "granting";
  readonly outcomes: readonly TunnelOutcome[];
  /** Keys that were derived for this answer, by tunnel of the request. */
  readonly made: ReadonlyMap<number, Derived>;
}

/** Where a request stands. */
export type ResponderState =
  | { readonly kind: "new" }
  | { readonly kind: "asked"; readonly peer: PeerConfig; readonly request: NewTunnelRequest }
  | Judging
  | Deriving
  | Granting
  /** It was answered, or refused as a whole. */
  | { readonly kind: "over" };

/** A request before anything was done about it. */
export const NEW: ResponderState = { kind: "new" };

/** What can happen to a request. */
export type ResponderEvent =
  /** It came, and the gate let it in. */
  | { readonly type: "asked"; readonly peer: PeerConfig; readonly request: NewTunnelRequest }
  /** It is of the present start of its peer. `known`: the answer that it got before, or that another one did under its id. */
  | { readonly type: "recalled"; readonly known: NewTunnelReply | "different" | undefined }
  /** What the tunnel still lacks after room was made for it. */
  | { readonly type: "room"; readonly lack: Shortage | undefined }
  /** One for each that was wanted, or none: why. */
  | { readonly type: "derived"; readonly made: readonly Derived[]; readonly problem: string }
  /** A tunnel could not be programmed. `isKeyUsed`: the peer's key came with another SA before. */
  | {
    readonly type: "failed";
    readonly tunnel: number;
    readonly isKeyUsed: boolean;
    readonly message: string;
  }
  /** Each tunnel was programmed, or failed. */
  | { readonly type: "granted" };

/** What a refusal of a tunnel counts on. */
export const REFUSAL_COUNTERS = {
  permission_denied: "refused-vip",
  invalid_argument: "refused-request",
  crypt_offset: "refused-crypt-offset",
  network: "refused-network",
} as const;

export type RefusalCode = keyof typeof REFUSAL_COUNTERS;

/** What is to be done about it, in this order. */
export type ResponderEffect =
  /** It is malformed, or finds no common version: nothing is done. */
  | {
    readonly do: "reject";
    readonly counter: "refused-request" | "refused-version";
    readonly error: ExchangeError;
  }
  /** See that it is of no earlier start, and what is known of it: `recalled`. */
  | { readonly do: "recall" }
  /** It is answered as it was before. */
  | { readonly do: "repeat"; readonly reply: NewTunnelReply }
  /** Make room for a tunnel beside those that were promised some, and in no place of these: `room`. */
  | {
    readonly do: "make_room";
    readonly wish: Wish;
    readonly promised: Promised;
    readonly kept: ReadonlySet<string>;
  }
  /** Have SPIs and keys derived: `derived`. */
  | { readonly do: "derive"; readonly version: PspVersion; readonly wanted: readonly Wanted[] }
  /** Receive, then transmit with what the peer has programmed already; where that cannot be, `failed`. */
  | Grant
  /** All are programmed: `granted`. */
  | { readonly do: "finish" }
  /** `isKept`: the same request gets the same answer. */
  | { readonly do: "answer"; readonly reply: NewTunnelReply; readonly isKept: boolean }
  | { readonly do: "wipe"; readonly made: Derived }
  | { readonly do: "say_refused"; readonly code: RefusalCode; readonly message: string }
  | { readonly do: "say_no_room"; readonly lack: Shortage; readonly message: string }
  | { readonly do: "say_no_resource"; readonly cause: string }
  | { readonly do: "count"; readonly counter: "responder-repeats" | "responder-exchanges" };

/** A tunnel is granted. */
export interface Grant {
  readonly do: "grant";
  /** Which of the request. */
  readonly tunnel: number;
  readonly peer: PeerConfig;
  readonly pair: VipPair;
  readonly reverse: PspParams;
  readonly epoch: bigint;
  /** The SA for the answer; undefined: the answer repeats what is being offered. */
  readonly rx: Derived["rx"] | undefined;
  /** Of the receive SA in the answer. */
  readonly serial: bigint;
  /** This SPI was offered to a peer that was expected to count its IVs, and it does not. */
  readonly uncounted: number | undefined;
}

/** What a step may know besides state and event. */
export interface ResponderContext {
  readonly config: Pick<Config, "id" | "psp" | "networks">;
  readonly bootEpoch: bigint;
  /** What this host says of its own IVs. */
  readonly ivCounts: boolean;
  readonly own: SaDefaults;
  readonly owns: (peer: string, vip: string) => boolean;
  readonly isLocal: (vip: string) => boolean;
  /** A tunnel now; undefined: there is none. */
  readonly stateOf: (key: string) => State | undefined;
  /** What is on offer for a tunnel and not yet answered. */
  readonly onOffer: (key: string) => PspParams | undefined;
  readonly lacks: (wish: Wish, promised?: Promised) => Shortage | undefined;
  readonly lacksSa: (peer: string, ahead: number) => Shortage | undefined;
}

export interface ResponderStep {
  readonly state: ResponderState;
  readonly effects: readonly ResponderEffect[];
}

/** What the peer is told. */
const NO_ROOM: Readonly<Record<Shortage, string>> = {
  "peer-share": "the host has as many tunnels with this peer as it may (its tunnel.peer_share)",
  "network-share": "the network has as many tunnels at the host as it may have with this peer",
  "source-share": "the address has as many tunnels at the host as it may (its tunnel.source_share)",
  "peer-sas": "the host has more SAs with this peer than their tunnels need",
  "tunnels-full": "the host has no room for another tunnel",
};

const OVER: ResponderState = { kind: "over" };

const OF_TWO_FAMILIES: Objection = {
  code: "invalid_argument",
  why: "the vips are not two addresses of one family",
};

/** What the state becomes and what is to be done. Changes nothing, asks nobody. */
export function stepResponder(
  state: ResponderState,
  event: ResponderEvent,
  context: ResponderContext,
): ResponderStep {
  switch (event.type) {
    case "asked": {
      const { peer, request } = event;
      const problem = shapeProblem(request);
      if (problem !== undefined) return malformed(problem);
      return { state: { kind: "asked", peer, request }, effects: [{ do: "recall" }] };
    }
    case "recalled":
      return state.kind === "asked" ? recalled(state, event.known, context) : unmoved(state);
    case "room": {
      if (state.kind !== "judging") return unmoved(state);
      const reverse = state.request.tunnels[state.verdicts.length]?.reverse;
      const pair = state.pairs[state.verdicts.length];
      if (reverse === undefined || pair === undefined) return unmoved(state);
      const { verdict, said } = event.lack === undefined
        ? grantable({ pair, reverse, isNew: true })
        : noRoom(event.lack);
      const next = judge({ ...state, verdicts: [...state.verdicts, verdict] }, context);
      return { ...next, effects: [...said, ...next.effects] };
    }
    case "derived":
      return state.kind === "deriving" ? derived(state, event) : unmoved(state);
    case "failed":
      return state.kind === "granting" ? failed(state, event) : unmoved(state);
    case "granted": {
      if (state.kind !== "granting") return unmoved(state);
      const { bootEpoch, ivCounts } = context;
      const { version, outcomes } = state;
      const reply = { bootEpoch, version, outcomes, ivCounts };
      return { state: OVER, effects: [{ do: "answer", reply, isKept: true }] };
    }
    default:
      return event satisfies never;
  }
}

function unmoved(state: ResponderState): ResponderStep {
  return { state, effects: [] };
}

// ---- the request as a whole ---------------------------------------------------------------------

/** What is wrong with a request, as half a sentence; undefined: nothing. */
function shapeProblem({ requestId, tunnels, versionsAccepted }: NewTunnelRequest) {
  if (!/^[0-9a-f]{32}$/.test(requestId)) return "a request id has 16 octets";
  if (tunnels.length < 1 || tunnels.length > MAX_TUNNELS_PER_REQUEST) {
    return `1 to ${MAX_TUNNELS_PER_REQUEST} tunnels, not ${tunnels.length}`;
  }
  return versionsAccepted.length === 0 ? "no version is accepted" : undefined;
}

function malformed(why: string): ResponderStep {
  const error = new ExchangeError("invalid_argument", `Cannot read the request: ${why}`);
  return { state: OVER, effects: [{ do: "reject", counter: "refused-request", error }] };
}

/** It is of the present start of its peer: it is answered as before, or its tunnels are judged. */
function recalled(
  { peer, request }: Extract<ResponderState, { kind: "asked" }>,
  known: NewTunnelReply | "different" | undefined,
  context: ResponderContext,
): ResponderStep {
  if (known === "different") return malformed("the request id was used for another request");
  if (known !== undefined) {
    const effects: ResponderEffect[] = [
      { do: "count", counter: "responder-repeats" },
      { do: "repeat", reply: known },
    ];
    return { state: OVER, effects };
  }
  const { config: { psp: { versions } }, bootEpoch } = context;
  const { versionsAccepted, tunnels } = request;
  // The first that the caller names and this host has.
  const version = versionsAccepted.find((v) => versions.includes(v));
  if (version === undefined) {
    const accepted = `accepted ${versionsAccepted.join(", ")}; here ${versions.join(", ")}`;
    const error = new ExchangeError("failed_precondition", `No version in common: ${accepted}`);
    return { state: OVER, effects: [{ do: "reject", counter: "refused-version", error }] };
  }
  if (tunnels.some(({ reverse }) => reverse.version !== version)) {
    const reply = { bootEpoch, version, outcomes: [] };
    return { state: OVER, effects: [{ do: "answer", reply, isKept: false }] };
  }
  const pairs = tunnels.map(({ localVip, remoteVip }) => {
    const [theirs, ours] = [canonicalVip(localVip), canonicalVip(remoteVip)];
    return theirs === undefined || ours === undefined || familyOf(theirs) !== familyOf(ours)
      ? undefined
      : { localVip: ours, remoteVip: theirs };
  });
  return judge({ kind: "judging", peer, request, version, pairs, verdicts: [] }, context);
}

// ---- each tunnel in it --------------------------------------------------------------------------

/** Judges one tunnel after the other, until room has to be made for one or all are judged. */
function judge(state: Judging, context: ResponderContext): ResponderStep {
  const { peer, request: { tunnels }, version, pairs } = state;
  const verdicts = [...state.verdicts];
  const granted = verdicts.filter((verdict) => verdict.ok);
  const effects: ResponderEffect[] = [];
  const seen = new Set(pairs.slice(0, verdicts.length).map((pair) => pair && pairKey(pair)));
  while (verdicts.length < tunnels.length) {
    const pair = pairs[verdicts.length];
    const reverse = tunnels[verdicts.length]?.reverse;
    const problem = pair === undefined || reverse === undefined
      ? OF_TWO_FAMILIES
      : problemOf({ pair, reverse, peer, version, seen }, context);
    if (pair === undefined || reverse === undefined || problem !== undefined) {
      const { verdict, said } = refuse(problem ?? OF_TWO_FAMILIES);
      verdicts.push(verdict);
      effects.push(...said);
      continue;
    }
    const isNew = context.stateOf(pairKey(pair)) === undefined;
    let lack: Shortage | undefined;
    if (isNew) {
      const wish: Wish = { pair, peer: peer.id, side: "peer" };
      const promised = promisedTo(granted, pair);
      lack = context.lacks(wish, promised);
      if (lack !== undefined) {
        // What the same request is granted anew is worth no less than this one.
        const kept = new Set(granted.map(({ pair }) => pairKey(pair)));
        effects.push({ do: "make_room", wish, promised, kept });
        return { state: { ...state, verdicts }, effects };
      }
    } else if (crossing(pair, version, context) === undefined) {
      lack = context.lacksSa(peer.id, granted.length);
    }
    const { verdict, said } = lack === undefined
      ? grantable({ pair, reverse, isNew })
      : noRoom(lack);
    verdicts.push(verdict);
    if (verdict.ok) granted.push(verdict);
    effects.push(...said);
  }
  const next = derive({ ...state, verdicts }, context);
  return { ...next, effects: [...effects, ...next.effects] };
}

function grantable(
  { pair, reverse, isNew }: Pick<Grantable, "pair" | "reverse" | "isNew">,
): Judged {
  const network = networkOf(pair.remoteVip);
  return { verdict: { ok: true, pair, reverse, network, isNew }, said: [] };
}

/**
 * Why a peer that asked now for a tunnel would not get it, and what would count it; undefined: it would. Both addresses
 * canonical, as the peer sees them.
 */
export function objectionTo(
  peer: PeerConfig,
  { localVip, remoteVip, wish }: Pick<PacketQuestion, "localVip" | "remoteVip" | "wish">,
  context: ResponderContext,
): { readonly counter: AgentCounter; readonly why: string } | undefined {
  const { config: { psp }, stateOf, lacks } = context;
  const pair = { localVip: remoteVip, remoteVip: localVip };
  const strange = foreign(peer, pair, context);
  if (strange !== undefined) return counted(strange);
  if (!wish.versions.some((version) => psp.versions.includes(version))) {
    const accepted = `accepted ${wish.versions.join(", ")}; here ${psp.versions.join(", ")}`;
    return { counter: "refused-version", why: `no version in common: ${accepted}` };
  }
  if (wish.mode !== psp.mode) {
    const why = `mode ${wish.mode} where this host has ${psp.mode}`;
    return counted({ code: "invalid_argument", why });
  }
  const bad = unfit(pair.localVip, wish, context);
  if (bad !== undefined) return counted(bad);
  if (stateOf(pairKey(pair)) !== undefined) return undefined;
  const lack = lacks({ pair, peer: peer.id, side: "peer" });
  return lack && { counter: lack, why: NO_ROOM[lack] };
}

function counted({ code, why }: Objection): { counter: AgentCounter; why: string } {
  return { counter: REFUSAL_COUNTERS[code], why };
}

/** Places that tunnels of the same request were promised and have not taken yet. */
function promisedTo(granted: readonly Grantable[], { remoteVip }: VipPair): Promised {
  const network = networkOf(remoteVip);
  let [all, inNetwork, ofSource] = [0, 0, 0];
  for (const of of granted) {
    if (!of.isNew) continue;
    all++;
    if (of.pair.remoteVip === remoteVip) ofSource++;
    if (of.network === network) inNetwork++;
  }
  return { peer: all, network: inNetwork, source: ofSource };
}

/** A verdict, and what is said of it here. */
interface Judged {
  readonly verdict: Verdict;
  readonly said: readonly ResponderEffect[];
}

interface Refusal extends Judged {
  readonly verdict: Refused;
}

/** Why a tunnel is refused. */
export interface Objection {
  readonly code: RefusalCode;
  readonly why: string;
}

/** What speaks against a tunnel, whatever room there is; undefined: nothing. Its pair is then among the `seen`. */
function problemOf(
  { pair, reverse, peer, version, seen }: {
    readonly pair: VipPair;
    readonly reverse: PspParams;
    readonly peer: PeerConfig;
    readonly version: PspVersion;
    readonly seen: Set<string | undefined>;
  },
  context: ResponderContext,
): Objection | undefined {
  const strange = foreign(peer, pair, context);
  if (strange !== undefined) return strange;
  const key = pairKey(pair);
  if (seen.has(key)) return { code: "invalid_argument", why: "the pair is in the request twice" };
  seen.add(key);
  const { config: { psp: { mode } }, own } = context;
  const why = paramsProblem(reverse, { version, mode, own, peerPip: peer.pip });
  if (why !== undefined) return { code: "invalid_argument", why };
  return unfit(pair.localVip, reverse, context);
}

/** Whether the one address is the peer's, the other this host's, and both of one network. */
function foreign(
  peer: PeerConfig,
  { localVip: ours, remoteVip: theirs }: VipPair,
  { config, owns, isLocal }: ResponderContext,
): Objection | undefined {
  const network = networkOf(ours);
  if (networkOf(theirs) !== network) {
    return { code: "network", why: "the vips are not two addresses of one network" };
  }
  if (network !== "" && !peer.vips.some((vip) => networkOf(vip) === network)) {
    return { code: "network", why: `${peer.id} is not in network "${network}"` };
  }
  if (!owns(peer.id, theirs)) {
    return { code: "permission_denied", why: `${peer.id} does not own ${theirs}` };
  }
  if (!isLocal(ours)) {
    return { code: "permission_denied", why: `${config.id} does not own ${ours}` };
  }
  return undefined;
}

/** Whether packets with what the peer asks for may go to it from `vip`. */
function unfit(
  vip: string,
  params: Pick<PspParams, "vc" | "cryptOffset">,
  { config: { networks, psp } }: ResponderContext,
): Objection | undefined {
  const cookie = cookieProblem(params, { vip, networks });
  if (cookie !== undefined) return { code: "network", why: cookie };
  const readable = cryptOffsetProblem(params, { psp, vip });
  return readable === undefined ? undefined : { code: "crypt_offset", why: readable };
}

function refuse({ code, why: message }: Objection): Refusal {
  return { verdict: { ok: false, code, message }, said: [{ do: "say_refused", code, message }] };
}

function noRoom(lack: Shortage): Refusal {
  const message = NO_ROOM[lack];
  return {
    verdict: { ok: false, code: "resource_exhausted", message },
    said: [{ do: "say_no_room", lack, message }],
  };
}

function noResource(cause: string): Refusal {
  return {
    verdict: { ok: false, code: "resource_exhausted", message: "the data plane has no room" },
    said: [{ do: "say_no_resource", cause }],
  };
}

/** What this host is offering for the pair at this very moment: the answer is the same SA. */
function crossing(
  pair: VipPair,
  version: PspVersion,
  { onOffer, stateOf }: ResponderContext,
): PspParams | undefined {
  const params = onOffer(pairKey(pair));
  const state = stateOf(pairKey(pair));
  const standing = state && offerOf(state);
  return params?.version === version && params.spi === standing ? params : undefined;
}

// ---- what is granted ----------------------------------------------------------------------------

/** All are judged: SPIs are derived for those that are not on offer already. */
function derive(state: Judging, context: ResponderContext): ResponderStep {
  const { peer, request, version, verdicts } = state;
  const ivCounts = request.ivCounts ?? false;
  const offered = new Map<number, PspParams>();
  const wanted: Wanted[] = [];
  for (const [i, verdict] of verdicts.entries()) {
    if (!verdict.ok) continue;
    const params = crossing(verdict.pair, version, context);
    if (params === undefined) wanted.push({ pair: verdict.pair, peer, ivCounts });
    else offered.set(i, params);
  }
  return {
    state: { kind: "deriving", peer, request, version, verdicts, crossing: offered },
    effects: [{ do: "derive", version, wanted }],
  };
}

/** Each is granted with the SA that was derived for it, or with the one that is on offer. */
function derived(
  { peer, request, version, verdicts, crossing }: Deriving,
  { made, problem }: Extract<ResponderEvent, { type: "derived" }>,
): ResponderStep {
  const effects: ResponderEffect[] = [];
  if (verdicts.some(({ ok }) => ok)) {
    effects.push({ do: "count", counter: "responder-exchanges" });
  }
  const ofTunnel = new Map<number, Derived>();
  const next = made.values();
  const outcomes = verdicts.map((verdict, tunnel): TunnelOutcome => {
    if (!verdict.ok) return verdict;
    const offered = crossing.get(tunnel);
    const fresh = offered === undefined ? next.next().value : undefined;
    if (fresh !== undefined) ofTunnel.set(tunnel, fresh);
    const params = offered ?? fresh?.params;
    if (params === undefined) {
      const { verdict, said } = noResource(problem);
      effects.push(...said);
      return verdict;
    }
    effects.push({
      do: "grant",
      tunnel,
      peer,
      pair: verdict.pair,
      reverse: verdict.reverse,
      epoch: request.bootEpoch,
      rx: fresh?.rx,
      serial: params.serial,
      uncounted: request.ivCounts ?? false ? undefined : offered?.spi,
    });
    return { ok: true, params };
  });
  return {
    state: { kind: "granting", peer, version, outcomes, made: ofTunnel },
    effects: [...effects, { do: "finish" }],
  };
}

/** A tunnel was not programmed: the others stand. */
function failed(
  state: Granting,
  { tunnel, isKeyUsed, message }: Extract<ResponderEvent, { type: "failed" }>,
): ResponderStep {
  const made = state.made.get(tunnel);
  // Of the two keys in this only the peer's is set: it came with another SA before.
  const { verdict, said } = isKeyUsed
    ? refuse({ code: "invalid_argument", why: "the key is or was in use already" })
    : noResource(message);
  return {
    state: { ...state, outcomes: state.outcomes.with(tunnel, verdict) },
    effects: [...made === undefined ? [] : [{ do: "wipe", made } as const], ...said],
  };
}

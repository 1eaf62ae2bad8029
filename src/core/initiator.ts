// SPDX-License-Identifier: Apache-2.0

/**
 * How a peer is asked for tunnels, as one pure function: one exchange in flight per peer, with all that wait in it; the
 * same id and the same keys in every try; and each tunnel's part of the answer, or no answer at all.
 * `initiator_driver.ts` carries out what it says.
 */
import type { Key } from "../../ffi/key.ts";
import type { DropReason } from "../../ffi/plane.ts";
import type { Config, PeerConfig } from "../config/config.ts";
import type { AgentCounter } from "../model/counters.ts";
import {
  type ExchangeCode,
  ExchangeError,
  type NewTunnelReply,
  type NewTunnelRequest,
  RATE_REFUSAL,
  type TunnelOutcome,
} from "../model/exchange.ts";
import type { PspParams, PspVersion } from "../model/sa.ts";
import {
  LAG_SHARE,
  LIVE_BACK_OFF_MAX_MS,
  MAX_FORGIVEN,
  MAX_MAYBE_SAS,
  PATIENT_RETRY_MS,
  RATE_PATIENCE_MS,
  REPEAT_MS,
  RETRY_FIRST_MS,
  RETRY_MAX_MS,
  UNHEARD_BACK_OFF_MAX_MS,
} from "./limits.ts";
import {
  cookieProblem,
  cryptOffsetProblem,
  type Derived,
  paramsProblem,
  type SaDefaults,
} from "./params.ts";
import { type Event, isAsking, isLive, isUnheard, offerOf, type Rx, type State } from "./tunnel.ts";
import type { Tunnel } from "./tunnel_table.ts";
import type { Waiting as Wanting } from "./waiting.ts";
import { moreUrgent, type Work, workOf } from "./work.ts";

/** A tunnel with the receive SA that was offered for it. */
export interface Offer extends Derived {
  readonly tunnel: Tunnel;
}

/** A request and what it offers. */
export interface Asking {
  readonly requestId: string;
  readonly version: PspVersion;
  readonly offers: readonly Offer[];
  /** When it was made: a responder remembers its answer for a time. */
  readonly since: number;
  /** It was given up once: the peer may have what it offers. */
  readonly again: boolean;
}

/** A request, sent until it is answered. */
interface Call extends Asking {
  /** The second round is for another version; a responder that changes its mind again has failed. */
  readonly round: 1 | 2;
  /** From 1. */
  readonly attempt: number;
  /** Tries that failed by this host's own fault. */
  readonly forgiven: number;
  /** The peer may have acted on it although no answer came. */
  readonly maybe: boolean;
  /** How long it goes on where the peer wants to be asked more slowly; undefined: it did not say so. */
  readonly goesOnUntil: number | undefined;
}

interface Common {
  /** The request that nobody answered, with a share of its keys: asked before any other. */
  readonly unanswered: Asking | undefined;
}

/** No request is there: it waits for the pace, until a time, or for a place; or an exchange is over. */
interface Waiting extends Common {
  readonly kind: "idle" | "gathering" | "pacing" | "pausing" | "queueing" | "ending";
}

/** SPIs are derived for the tunnels of a request, and receive is programmed. */
interface Offering extends Common {
  readonly kind: "offering";
  readonly round: 1 | 2;
  readonly version: PspVersion;
}

/** A request is under way, or waits for its next try and for a place to make it. */
interface Calling extends Common {
  readonly kind: "calling" | "resting" | "queueing_again";
  readonly call: Call;
}

/** Whether an answer comes from where its sender was, and from its present start. */
interface Doubting extends Common {
  readonly kind: "doubting" | "hearing";
  readonly call: Call;
  readonly reply: NewTunnelReply;
}

/** Some tunnels have their part of an answer, and the rest of the event loop has its turn before the others get theirs. */
interface Using extends Common {
  readonly kind: "using";
  readonly call: Call;
  readonly reply: NewTunnelReply;
  readonly left: readonly Use[];
}

/** The peer is about to be left alone for a while. */
interface Failing extends Common {
  readonly kind: "failing";
  readonly call: Call;
  readonly error: ExchangeError;
  readonly maybe: boolean;
  /** It said that it stops, and may come back at once. */
  readonly patient: boolean;
}

/** Where asking one peer stands. */
export type AskingState = Waiting | Offering | Calling | Doubting | Using | Failing;

/** Nothing is wanted of a peer. */
export const IDLE: AskingState = { kind: "idle", unanswered: undefined };

/** What can happen to it. */
export type InitiatorEvent =
  /** A tunnel is to be in the next request. */
  | { readonly type: "asked" }
  /** What happened in the same moment has joined it. */
  | { readonly type: "gathered" }
  /** The pause is over, or somebody ended it. */
  | { readonly type: "woken" }
  /** Whether anything is left to ask for. */
  | { readonly type: "look" }
  /** 0: the request keeps the pace. Else the milliseconds until it does. */
  | { readonly type: "paced"; readonly waitMs: number }
  /** There is a place among the calls under way. */
  | { readonly type: "admitted" }
  /** Receive is programmed for these, and `unmade` was said of the others. */
  | { readonly type: "offered"; readonly offers: readonly Offer[]; readonly requestId: string }
  /** The plane refused a tunnel before anybody was told. */
  | { readonly type: "unmade"; readonly tunnel: Tunnel; readonly message: string }
  /** An answer came. */
  | { readonly type: "replied"; readonly reply: NewTunnelReply }
  /** None came. `sent`: the request may have left. `lagMs`: how late this host was meanwhile. */
  | {
    readonly type: "failed";
    readonly error: ExchangeError;
    readonly sent: boolean;
    readonly lagMs: number;
  }
  /** It is time for the next try. */
  | { readonly type: "rested" }
  /** The answer comes from where its sender was. */
  | { readonly type: "trusted" }
  /** Nobody can say so. */
  | { readonly type: "doubted"; readonly error: ExchangeError }
  /** The answer is of the peer's present start, or of an earlier one. */
  | { readonly type: "heard"; readonly isCurrent: boolean }
  /** The rest of the event loop had its turn. */
  | { readonly type: "yielded" }
  /** The peer is left alone for so long. */
  | { readonly type: "blamed"; readonly holdOffMs: number }
  /** The answer could not be programmed. */
  | { readonly type: "unused"; readonly tunnel: Tunnel; readonly message: string }
  /** What nobody answered is void: the peer is gone, or denied. */
  | { readonly type: "forgotten" }
  /** Whether what nobody answered can still be asked again. */
  | { readonly type: "checked" }
  /** Something here failed that never should. */
  | { readonly type: "broken"; readonly error: ExchangeError }
  /** This host stops. */
  | { readonly type: "stopped" };

/** What is to be done about it, in this order. What is waited for comes last, and is one thing at a time. */
export type InitiatorEffect =
  /** Let what happens in the same moment join: `gathered`. */
  | { readonly do: "gather" }
  /** See whether a request of so many tunnels keeps the pace: `paced`. */
  | { readonly do: "pace"; readonly tunnels: number }
  /** Wait, until somebody ends it: `woken`. */
  | { readonly do: "pause"; readonly ms: number }
  /** Wait for a place: `admitted`. `raisable`: more may join, and be more urgent. */
  | {
    readonly do: "enter";
    readonly work: Work;
    readonly tunnels: number;
    readonly raisable: boolean;
  }
  /** These do not wait any more. */
  | { readonly do: "unwait"; readonly keys: readonly string[] }
  /** This one waits again. */
  | { readonly do: "wait"; readonly key: string }
  /** Derive SPIs, program receive: `offered`, and `unmade` for those that cannot be. */
  | {
    readonly do: "offer";
    readonly tunnels: readonly Tunnel[];
    readonly version: PspVersion;
  }
  /** A request that was given up offers this again: where it can, the tunnel waits for its answer. */
  | { readonly do: "offer_again"; readonly offer: Offer }
  /** An attempt begins: of the back-off. */
  | { readonly do: "begin" }
  /** Call the peer: `replied` or `failed`. */
  | { readonly do: "call"; readonly request: NewTunnelRequest }
  /** Wait for the next try, between half of it and all: `rested`. */
  | { readonly do: "rest"; readonly ms: number }
  /** Wait as long as a peer wants that is asked too fast: `rested`. */
  | { readonly do: "rest_slower" }
  /** See whether an answer comes from where its sender was: `trusted` or `doubted`. */
  | { readonly do: "doubt"; readonly epoch: bigint; readonly pip: string | undefined }
  /** The peer lives, and its start has this epoch: `heard`. */
  | { readonly do: "hear"; readonly epoch: bigint }
  /** The peer has failed: `blamed`. */
  | {
    readonly do: "blame";
    readonly error: ExchangeError;
    readonly tunnels: number;
    readonly capMs: number;
  }
  /** The peer is well; `version`: what was agreed upon, where that is to be remembered. */
  | { readonly do: "recover"; readonly version: PspVersion | undefined }
  /** Something happens to a tunnel; `note`: why it failed. */
  | { readonly do: "tell"; readonly tunnel: Tunnel; readonly event: Told; readonly note?: string }
  /** Send with what the peer gave, and wipe its key; where that cannot be programmed, `unused`. */
  | {
    readonly do: "use";
    readonly offer: Offer;
    readonly peer: PeerConfig;
    readonly params: PspParams;
    readonly epoch: bigint;
    readonly ivCounts: boolean;
  }
  /** Let the rest of the event loop have its turn: `yielded`. */
  | { readonly do: "yield" }
  /** Leave a tunnel alone for a while. `isGranted`: the peer sends all the same. */
  | {
    readonly do: "refuse";
    readonly tunnel: Tunnel;
    readonly reason: DropReason;
    readonly message: string;
    readonly isGranted: boolean;
  }
  /** See that what the peer may have takes a bounded place. */
  | { readonly do: "bound" }
  /** Take a share of each key of these, or give it back. */
  | { readonly do: "hold" | "release"; readonly offers: readonly Offer[] }
  /** The request is over: these are on offer no more, and its shares of their keys go. */
  | { readonly do: "let_go"; readonly offers: readonly Offer[] }
  | { readonly do: "wipe"; readonly keys: readonly Key[] }
  /** The exchange is over: its place is another's. */
  | { readonly do: "leave" }
  /** Once all of this is done: `look`. */
  | { readonly do: "go_on" }
  | { readonly do: "say_refused"; readonly tunnel: Tunnel; readonly outcome: Refusal }
  | { readonly do: "say_readable"; readonly tunnel: Tunnel; readonly reason: string }
  | { readonly do: "say_no_resource"; readonly tunnel: Tunnel; readonly cause: string }
  | { readonly do: "count"; readonly counter: AgentCounter };

type Use = Extract<InitiatorEffect, { do: "use" }>;
type Told = Extract<Event<never>, { type: "withdrawn" | "unanswered" }>;
type Refusal = Extract<TunnelOutcome, { readonly ok: false }>;

/** What a step may know besides state and event. */
export interface InitiatorContext {
  readonly now: number;
  readonly peer: string;
  readonly bootEpoch: bigint;
  readonly ivCounts: boolean;
  readonly config: Pick<Config, "psp" | "rpc" | "tunnel" | "networks">;
  readonly own: SaDefaults;
  /** Keys of tunnels for the next request, as urgent as they are now, and how many of them it has room for. */
  readonly waiting: Pick<Wanting, "size" | "urgency" | "inOrder" | typeof Symbol.iterator>;
  readonly most: number;
  /** ... where a packet is held for one of them. */
  readonly mostUrgent: number;
  /** Tunnels that get their part of an answer at once. */
  readonly atOnce: number;
  /** The version that the last exchange agreed upon. */
  readonly version: PspVersion | undefined;
  /** Until then the peer is left alone; undefined: it is not. */
  readonly aloneUntil: number | undefined;
  /** Until then a failure drops nothing. */
  readonly patientUntil: number;
  readonly rotations: () => bigint;
  readonly stateOf: (key: string) => State | undefined;
  readonly get: (key: string) => Tunnel | undefined;
  readonly ofPeer: (peer: string) => readonly Tunnel[];
  readonly peerOf: (id: string) => PeerConfig | undefined;
}

export interface InitiatorStep {
  readonly state: AskingState;
  readonly effects: readonly InitiatorEffect[];
}

/** What the state becomes and what is to be done. Changes nothing, asks nobody. */
export function stepInitiator(
  state: AskingState,
  event: InitiatorEvent,
  context: InitiatorContext,
): InitiatorStep {
  switch (event.type) {
    case "asked":
      if (state.kind !== "idle") return unmoved(state);
      return { state: { ...state, kind: "gathering" }, effects: [{ do: "gather" }] };
    case "gathered":
      return state.kind === "gathering" ? next(state, context) : unmoved(state);
    case "woken":
      return state.kind === "pausing" ? next(state, context) : unmoved(state);
    case "look":
      return state.kind === "ending" ? next(state, context) : unmoved(state);
    case "paced":
      return state.kind === "pacing" ? paced(state, event.waitMs, context) : unmoved(state);
    case "admitted":
      if (state.kind === "queueing") return exchange(state, context);
      if (state.kind !== "queueing_again") return unmoved(state);
      return call(state, state.call, context);
    case "offered":
      return state.kind === "offering" ? offered(state, event, context) : unmoved(state);
    case "unmade": {
      const { tunnel, message } = event;
      return { state, effects: noResource(tunnel, { message, isGranted: false }) };
    }
    case "replied":
      return state.kind === "calling" ? replied(state, event.reply) : unmoved(state);
    case "failed":
      return state.kind === "calling" ? failed(state, event, context) : unmoved(state);
    case "rested":
      if (state.kind !== "resting") return unmoved(state);
      return enterAgain(state, state.call, context);
    case "trusted":
      if (state.kind !== "doubting") return unmoved(state);
      return {
        state: { ...state, kind: "hearing" },
        effects: [{ do: "hear", epoch: state.reply.bootEpoch }],
      };
    case "doubted":
      return state.kind === "doubting" ? unusable(state, event.error, context) : unmoved(state);
    case "heard":
      if (state.kind === "using") return usedOn(state, event.isCurrent, context);
      return state.kind === "hearing" ? heard(state, event.isCurrent, context) : unmoved(state);
    case "yielded":
      // Its peer may have started anew meanwhile.
      if (state.kind !== "using") return unmoved(state);
      return { state, effects: [{ do: "hear", epoch: state.reply.bootEpoch }] };
    case "blamed":
      return state.kind === "failing" ? blamed(state, event.holdOffMs, context) : unmoved(state);
    case "unused": {
      const { tunnel, message } = event;
      return { state, effects: noResource(tunnel, { message, isGranted: true }) };
    }
    case "forgotten":
      return voided(state);
    case "checked":
      return isRepeatable(state.unanswered, context) ? unmoved(state) : voided(state);
    case "broken":
      return broken(state, event.error, context);
    case "stopped":
      return stopped(state);
    default:
      return event satisfies never;
  }
}

function unmoved(state: AskingState): InitiatorStep {
  return { state, effects: [] };
}

// ---- until an exchange begins -------------------------------------------------------------------

/** Goes on with what waits, as soon as the peer may be asked. */
function next({ unanswered }: AskingState, context: InitiatorContext): InitiatorStep {
  const { waiting, now, aloneUntil } = context;
  if (waiting.size === 0) return { state: { kind: "idle", unanswered }, effects: [] };
  if (aloneUntil !== undefined) {
    const effects = [{ do: "pause" as const, ms: aloneUntil - now }];
    return { state: { kind: "pausing", unanswered }, effects };
  }
  const tunnels = roomFor(waiting.urgency, context);
  return { state: { kind: "pacing", unanswered }, effects: [{ do: "pace", tunnels }] };
}

/** A place for the next exchange, by the most urgent of all that wait for it; or a pause, where that is too fast. */
function paced(
  { unanswered }: AskingState,
  waitMs: number,
  context: InitiatorContext,
): InitiatorStep {
  if (waitMs > 0) {
    return { state: { kind: "pausing", unanswered }, effects: [{ do: "pause", ms: waitMs }] };
  }
  const work = context.waiting.urgency;
  const tunnels = roomFor(work, context);
  return {
    state: { kind: "queueing", unanswered },
    effects: [{ do: "enter", work, tunnels, raisable: true }],
  };
}

/**
 * Tunnels in the next request at most. Those with a held packet go in short ones: whoever is next waits for the whole of
 * the one before, and is answered with all that is in its own.
 */
function roomFor(work: Work, { waiting, most, mostUrgent }: InitiatorContext): number {
  return Math.min(waiting.size, work === "packet" ? Math.min(most, mostUrgent) : most);
}

/** The most urgent wish of these tunnels as they stand now. */
function urgency(tunnels: readonly Tunnel[], { now, stateOf }: InitiatorContext): Work {
  return tunnels.reduce((work: Work, { key }) => {
    const state = stateOf(key);
    return state === undefined ? work : moreUrgent(work, workOf(state, now));
  }, "warm");
}

/**
 * The request that nobody answered is sent as it was: the peer may have answered it, and gives the same answer again.
 * Whatever else waits comes after it, so that what peers may have stays bounded.
 */
function exchange(state: AskingState, context: InitiatorContext): InitiatorStep {
  const { unanswered } = state;
  if (unanswered === undefined) return fresh([], context);
  if (!isRepeatable(unanswered, context)) {
    return fresh([{ do: "release", offers: unanswered.offers }], context);
  }
  // Its shares of the keys are the exchange's now.
  const again = unanswered.offers.map((offer) => ({ do: "offer_again" as const, offer }));
  const begun = begin({ kind: "queueing", unanswered: undefined }, unanswered, 1, context);
  return {
    ...begun,
    effects: [
      { do: "count", counter: "requests-repeated" },
      ...again,
      { do: "count", counter: "initiator-exchanges" },
      ...begun.effects,
    ],
  };
}

/** Whether an answer to it could still be used: for any of its tunnels, on the master key in force. */
function isRepeatable(
  asking: Asking | undefined,
  { now, rotations, stateOf }: InitiatorContext,
): boolean {
  if (asking === undefined || now - asking.since >= REPEAT_MS) return false;
  const present = rotations();
  return asking.offers.some(({ tunnel, rx: { generation, sa: { spi } } }) =>
    generation === present &&
    stateOf(tunnel.key)?.rx.some((rx) =>
      rx.sa.spi === spi && rx.maybeUntil !== undefined && rx.supersededAt === undefined
    )
  );
}

/** What waits is asked for. */
function fresh(before: readonly InitiatorEffect[], context: InitiatorContext): InitiatorStep {
  const { config: { psp }, version = psp.versions[0] } = context;
  const { keys, tunnels } = batch(context);
  const effects: InitiatorEffect[] = [...before, { do: "unwait", keys }];
  if (tunnels.length === 0 || version === undefined) return over(undefined, effects);
  return {
    state: { kind: "offering", unanswered: undefined, round: 1, version },
    effects: [...effects, { do: "offer", tunnels, version }],
  };
}

/** As many as a request has room for, and the keys that were looked at for it. */
function batch(
  context: InitiatorContext,
): { readonly keys: readonly string[]; readonly tunnels: readonly Tunnel[] } {
  const { peer, waiting, get } = context;
  const keys: string[] = [];
  const tunnels: Tunnel[] = [];
  const work = waiting.urgency;
  const room = roomFor(work, context);
  // Where not all fit, who wants many does not have others wait behind them; nor does who wants it least.
  for (const key of waiting.size <= room ? waiting : waiting.inOrder(work)) {
    if (tunnels.length >= room) break;
    keys.push(key);
    const tunnel = get(key);
    // It may be gone, or somebody else's by now.
    if (tunnel?.peer !== peer) continue;
    // Another event may have ended its wish, or an exchange begun, since it was put here.
    if (isAsking(tunnel.state) && tunnel.state.offered === undefined) tunnels.push(tunnel);
  }
  return { keys, tunnels };
}

/** Receive is programmed: the peer is told. */
function offered(
  state: Offering,
  { offers, requestId }: Extract<InitiatorEvent, { type: "offered" }>,
  context: InitiatorContext,
): InitiatorStep {
  const { unanswered, round, version } = state;
  const counted: InitiatorEffect[] = round === 1
    ? [{ do: "count", counter: "initiator-exchanges" }]
    : [];
  if (offers.length === 0) return over(unanswered, counted);
  const asking = { requestId, version, offers, since: context.now, again: false };
  const begun = begin(state, asking, round, context);
  return { ...begun, effects: [...counted, ...begun.effects] };
}

// ---- one request, sent until it is answered -----------------------------------------------------

/** The first try. */
function begin(
  state: AskingState,
  asking: Asking,
  round: 1 | 2,
  context: InitiatorContext,
): InitiatorStep {
  const first = {
    ...asking,
    round,
    attempt: 1,
    forgiven: 0,
    maybe: false,
    goesOnUntil: undefined,
  };
  // A second round needs a place of its own: the one of the first is another's since its answer.
  const tried = round === 1 ? call(state, first, context) : enterAgain(state, first, context);
  return { ...tried, effects: [{ do: "begin" }, ...tried.effects] };
}

/** The same id and the same keys in every try. */
function call(
  { unanswered }: AskingState,
  call: Call,
  { bootEpoch, ivCounts, config: { psp } }: InitiatorContext,
): InitiatorStep {
  const request = {
    bootEpoch,
    requestId: call.requestId,
    versionsAccepted: psp.versions,
    tunnels: call.offers.map(({ tunnel, params }) => ({ ...tunnel.pair, reverse: params })),
    ivCounts,
  };
  return { state: { kind: "calling", unanswered, call }, effects: [{ do: "call", request }] };
}

function enterAgain(
  { unanswered }: AskingState,
  call: Call,
  context: InitiatorContext,
): InitiatorStep {
  const { offers } = call;
  const work = urgency(offers.map(({ tunnel }) => tunnel), context);
  return {
    state: { kind: "queueing_again", unanswered, call },
    effects: [{ do: "enter", work, tunnels: offers.length, raisable: false }],
  };
}

/** A try failed: another one follows, or nobody answered. */
function failed(
  { unanswered, call }: Calling,
  { error, sent, lagMs }: Extract<InitiatorEvent, { type: "failed" }>,
  context: InitiatorContext,
): InitiatorStep {
  const { config: { rpc }, now } = context;
  const rest = (then: Call, effects: readonly InitiatorEffect[]): InitiatorStep => ({
    state: { kind: "resting", unanswered, call: then },
    effects,
  });
  const lagged = error.code === "deadline_exceeded" && lagMs >= LAG_SHARE * rpc.timeoutMs;
  if ((lagged || error.local) && call.forgiven < MAX_FORGIVEN) {
    // This host's own fault, not the peer's: it is asked again, and nothing is held against it.
    const then = { ...call, forgiven: call.forgiven + 1, maybe: call.maybe || sent };
    return rest(then, [
      { do: "count", counter: "deadlines-forgiven" },
      { do: "rest", ms: RETRY_MAX_MS },
    ]);
  }
  let { goesOnUntil } = call;
  if (isForRate(error)) {
    // No attempt that failed: the peer lives, did nothing, and wants to be asked more slowly.
    goesOnUntil ??= now + RATE_PATIENCE_MS;
    if (now < goesOnUntil) return rest({ ...call, goesOnUntil }, [{ do: "rest_slower" }]);
  }
  const maybe = call.maybe || (sent && !DECLINED.has(error.code));
  if (!RETRIED.has(error.code) || call.attempt === rpc.attempts) {
    return gaveUp({ ...call, goesOnUntil, maybe }, error, context);
  }
  // After a deadline enough time has passed; after a fast refusal it has not.
  const ms = error.code === "deadline_exceeded"
    ? RETRY_FIRST_MS
    : Math.min(RETRY_FIRST_MS * 2 ** (call.attempt - 1), RETRY_MAX_MS);
  return rest({ ...call, goesOnUntil, maybe, attempt: call.attempt + 1 }, [
    { do: "count", counter: "initiator-retries" },
    { do: "rest", ms },
  ]);
}

/** Whether the peer would have answered, had it been asked less. */
export function isForRate({ code, reason }: ExchangeError): boolean {
  return code === "resource_exhausted" && reason === RATE_REFUSAL;
}

const RETRIED: ReadonlySet<ExchangeCode> = new Set([
  "unavailable",
  "aborted",
  "deadline_exceeded",
  "resource_exhausted",
]);

/** Said before anything was done. */
const DECLINED: ReadonlySet<ExchangeCode> = new Set([
  "permission_denied",
  "unauthenticated",
  "failed_precondition",
  "invalid_argument",
  "resource_exhausted",
  "unimplemented",
]);

// ---- the answer ---------------------------------------------------------------------------------

/** It has to come from where its sender was. */
function replied(
  { unanswered, call }: Calling,
  reply: NewTunnelReply,
): InitiatorStep {
  const given = reply.outcomes.find((outcome) => outcome.ok);
  const pip = given?.ok ? given.params.pip : undefined;
  return {
    state: { kind: "doubting", unanswered, call, reply },
    effects: [{ do: "doubt", epoch: reply.bootEpoch, pip }],
  };
}

/** It is of the peer's present start, and each tunnel gets its part of it; or nothing of it can be used. */
function heard(
  state: Doubting,
  isCurrent: boolean,
  context: InitiatorContext,
): InitiatorStep {
  const { call: { offers, version, round }, reply } = state;
  if (!isCurrent) {
    const error = new ExchangeError("aborted", "the answer is of an earlier start");
    return unusable(state, error, context);
  }
  if (reply.version !== version && reply.outcomes.length === 0) {
    const isKnown = context.config.psp.versions.includes(reply.version);
    if (round === 1 && isKnown) return inVersion(state, reply.version);
  }
  if (reply.outcomes.length !== offers.length) {
    const error = new ExchangeError(
      "internal",
      `the answer has ${reply.outcomes.length} outcomes for ${offers.length} tunnels`,
    );
    return unusable(state, error, context);
  }
  // In another version than was asked for there is nothing to settle, and nothing to remember.
  const agreed = reply.version === version ? version : undefined;
  const settled = offers.flatMap((offer, i) => {
    const outcome = reply.outcomes[i];
    return outcome === undefined ? [] : settle(offer, { outcome, reply }, context);
  });
  const [uses, others]: [Use[], InitiatorEffect[]] = [[], []];
  for (const effect of settled) {
    if (effect.do === "use") uses.push(effect);
    else others.push(effect);
  }
  const { unanswered, call } = state;
  const using = use({ kind: "using", unanswered, call, reply, left: uses }, context);
  const before: InitiatorEffect[] = [{ do: "recover", version: agreed }, ...others];
  return { ...using, effects: [...before, ...using.effects] };
}

/** As many as may be at once get their part; with the last of them the exchange is over. */
function use(state: Using, { atOnce }: InitiatorContext): InitiatorStep {
  const { unanswered, call: { offers }, left } = state;
  if (left.length <= atOnce) return over(unanswered, [...left, { do: "let_go", offers }]);
  return {
    state: { ...state, left: left.slice(atOnce) },
    effects: [...left.slice(0, atOnce), { do: "yield" }],
  };
}

/** The others get theirs, unless their peer has started anew. */
function usedOn(state: Using, isCurrent: boolean, context: InitiatorContext): InitiatorStep {
  if (isCurrent) return use(state, context);
  const error = new ExchangeError("aborted", "the answer is of an earlier start");
  return unusable({ ...state, kind: "hearing" }, error, context);
}

/** The peer wants another version: the offers are taken back, and the tunnels asked for once more. */
function inVersion(
  { unanswered, call: { offers } }: Doubting,
  version: PspVersion,
): InitiatorStep {
  const tunnels = offers.map(({ tunnel }) => tunnel);
  const withdrawn = offers.map(({ tunnel, rx: { sa: { spi } } }) => ({
    do: "tell" as const,
    tunnel,
    event: { type: "withdrawn" as const, spi, maybe: false },
  }));
  return {
    state: { kind: "offering", unanswered, round: 2, version },
    effects: [
      { do: "count", counter: "version-fallbacks" },
      ...withdrawn,
      { do: "let_go", offers },
      { do: "offer", tunnels, version },
    ],
  };
}

/** Nothing of an answer is kept; what the peer granted in it, it may send with. */
function unusable(
  { unanswered, call, reply }: Doubting,
  error: ExchangeError,
  context: InitiatorContext,
): InitiatorStep {
  const keys = reply.outcomes.flatMap((outcome) => outcome.ok ? [outcome.params.key] : []);
  const failing = fail({ unanswered, call, error, maybe: true }, context);
  return { ...failing, effects: [{ do: "wipe", keys }, ...failing.effects] };
}

/** One tunnel's part of the answer. Its key is wiped. */
function settle(
  offer: Offer,
  { outcome, reply }: { readonly outcome: TunnelOutcome; readonly reply: NewTunnelReply },
  context: InitiatorContext,
): InitiatorEffect[] {
  const { tunnel, rx, params: { version } } = offer;
  if (!outcome.ok) {
    // What became of a tunnel since its request was given up does not end with an old refusal.
    if (!isOnOffer(context.get(tunnel.key), tunnel.peer, rx.sa.spi)) return [];
    const message = `${outcome.code}: ${outcome.message}`;
    return [
      { do: "count", counter: "tunnels-refused" },
      { do: "say_refused", tunnel, outcome },
      { do: "refuse", tunnel, reason: "refused", message, isGranted: false },
    ];
  }
  const { config: { psp, networks }, own, peerOf } = context;
  const { params } = outcome;
  const refuse = (message: string, said: readonly InitiatorEffect[]): InitiatorEffect[] => [
    ...said,
    { do: "refuse", tunnel, reason: "refused", message, isGranted: true },
    { do: "wipe", keys: [params.key] },
  ];
  const peer = peerOf(tunnel.peer);
  const problem = paramsProblem(params, { version, mode: psp.mode, own, peerPip: peer?.pip });
  if (peer === undefined || problem !== undefined) return refuse(`bad answer: ${problem}`, []);
  const vip = tunnel.pair.localVip;
  const cookie = cookieProblem(params, { vip, networks });
  if (cookie !== undefined) {
    return refuse(`bad answer: ${cookie}`, [{ do: "count", counter: "refused-network" }]);
  }
  const readable = cryptOffsetProblem(params, { psp, vip });
  if (readable !== undefined) {
    return refuse(readable, [
      { do: "count", counter: "refused-crypt-offset" },
      { do: "say_readable", tunnel, reason: readable },
    ]);
  }
  const { bootEpoch: epoch, ivCounts = false } = reply;
  return [{ do: "use", offer, peer, params, epoch, ivCounts }];
}

/** Whether a tunnel, as it is `now`, still waits for the answer to this offer to `peer`. */
export function isOnOffer(now: Tunnel | undefined, peer: string, spi: number): boolean {
  return now?.peer === peer && offerOf(now.state) === spi;
}

/** The plane refused a tunnel: it is left alone for a while. */
function noResource(
  tunnel: Tunnel,
  { message, isGranted }: { readonly message: string; readonly isGranted: boolean },
): InitiatorEffect[] {
  return [
    { do: "count", counter: "no-resource" },
    { do: "say_no_resource", tunnel, cause: message },
    { do: "refuse", tunnel, reason: "no_resource", message, isGranted },
  ];
}

// ---- no answer ----------------------------------------------------------------------------------

/** Nobody answered: what the peer may have got is asked again as it was, before any other. */
function gaveUp(call: Call, error: ExchangeError, context: InitiatorContext): InitiatorStep {
  const maybe = call.maybe || call.again;
  const isUnanswered = maybe && RETRIED.has(error.code) && !DECLINED.has(error.code);
  if (!isUnanswered) return fail({ unanswered: undefined, call, error, maybe }, context);
  const { requestId, version, offers, since } = call;
  const unanswered = { requestId, version, offers, since, again: true };
  const failing = fail({ unanswered, call, error, maybe }, context);
  return { ...failing, effects: [{ do: "hold", offers }, ...failing.effects] };
}

/** No answer, or none that can be used: the peer is left alone, the less the more is at stake. */
function fail(
  failure: {
    readonly unanswered: Asking | undefined;
    readonly call: Call;
    readonly error: ExchangeError;
    readonly maybe: boolean;
  },
  { peer, now, patientUntil, ofPeer, config }: InitiatorContext,
): InitiatorStep {
  const { error, maybe, call } = failure;
  const patient = patientUntil > now;
  const tunnels = ofPeer(peer);
  const capMs = patient
    ? PATIENT_RETRY_MS
    : maybe || tunnels.some(({ state }) => isUnheard(state))
    ? UNHEARD_BACK_OFF_MAX_MS
    : tunnels.some(({ state }) => isLive(state))
    ? LIVE_BACK_OFF_MAX_MS
    : config.tunnel.backOffMaxMs;
  return {
    state: { kind: "failing", ...failure, patient },
    effects: [{ do: "blame", error, tunnels: call.offers.length, capMs }],
  };
}

/** What the peer cannot have got is taken back. */
function blamed(
  state: Failing,
  holdOffMs: number,
  { peer, waiting, get }: InitiatorContext,
): InitiatorStep {
  const { unanswered, call: { offers }, error, maybe, patient } = state;
  const end: InitiatorEffect[] = [{ do: "bound" }, { do: "let_go", offers }];
  if (patient) {
    const later = offers.flatMap(({ tunnel, rx: { sa: { spi } } }): InitiatorEffect[] => [
      { do: "tell", tunnel, event: { type: "withdrawn", spi, maybe } },
      { do: "wait", key: tunnel.key },
    ]);
    return over(unanswered, [...later, ...end]);
  }
  // The others of this peer would fare no better, and their packets wait.
  const others = [...waiting].flatMap((key) => get(key) ?? []).filter((tunnel) =>
    tunnel.peer === peer && tunnel.state.kind === "opening" && tunnel.state.offered === undefined
  );
  const event: Told = { type: "unanswered", reason: reasonOf(error), holdOffMs, maybe };
  // A peer that was taken out of the directory and put in again is asked anew meanwhile.
  const failed = offers.flatMap(({ tunnel, rx: { sa: { spi } } }) =>
    isOnOffer(get(tunnel.key), peer, spi) ? [tunnel] : []
  );
  const told = [...failed, ...others].map((tunnel) => ({
    do: "tell" as const,
    tunnel,
    event,
    note: error.message,
  }));
  return over(unanswered, [...told, ...end]);
}

/** What packets are dropped for whose peer was asked in vain. */
export function reasonOf({ code }: Pick<ExchangeError, "code">): DropReason {
  switch (code) {
    case "permission_denied":
    case "unauthenticated":
    case "failed_precondition":
    case "invalid_argument":
      return "refused";
    default:
      return "peer_unreachable";
  }
}

/** The SAs that a peer may have beyond those that have a place, the oldest first. */
export function beyond(
  tunnels: readonly Tunnel[],
): readonly { readonly tunnel: Tunnel; readonly rx: Rx }[] {
  const held = tunnels.flatMap((tunnel) =>
    tunnel.state.rx.filter((rx) => rx.maybeUntil !== undefined && !rx.confirmed)
      .map((rx) => ({ tunnel, rx }))
  );
  if (held.length <= MAX_MAYBE_SAS) return [];
  held.sort((a, b) => a.rx.sa.serial < b.rx.sa.serial ? -1 : 1);
  return held.slice(0, held.length - MAX_MAYBE_SAS);
}

// ---- ends ---------------------------------------------------------------------------------------

/** The exchange is over; what waits is next. */
function over(
  unanswered: Asking | undefined,
  effects: readonly InitiatorEffect[],
): InitiatorStep {
  return {
    state: { kind: "ending", unanswered },
    effects: [...effects, { do: "leave" }, { do: "go_on" }],
  };
}

/** What nobody answered is forgotten, with its keys. */
function voided(state: AskingState): InitiatorStep {
  const { unanswered } = state;
  if (unanswered === undefined) return unmoved(state);
  return {
    state: { ...state, unanswered: undefined },
    effects: [{ do: "release", offers: unanswered.offers }],
  };
}

/** A request that is under way has failed; without one there is nothing to undo. */
function broken(
  state: AskingState,
  error: ExchangeError,
  context: InitiatorContext,
): InitiatorStep {
  const { unanswered } = state;
  if (state.kind === "using") {
    return unusable({ ...state, kind: "hearing" }, error, context);
  }
  if ("call" in state && state.kind !== "failing") {
    return fail({ unanswered, call: state.call, error, maybe: true }, context);
  }
  return stopped(state);
}

/** Nothing is waited for any more. */
function stopped(state: AskingState): InitiatorStep {
  const effects: InitiatorEffect[] = "call" in state
    ? [{ do: "let_go", offers: state.call.offers }, { do: "leave" }]
    : [{ do: "leave" }];
  if (state.kind === "using") {
    effects.unshift({ do: "wipe", keys: state.left.map(({ params: { key } }) => key) });
  }
  return { state: { kind: "idle", unanswered: state.unanswered }, effects };
}

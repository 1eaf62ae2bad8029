// SPDX-License-Identifier: Apache-2.0

/**
 * Asks peers for tunnels: one exchange in flight per peer, with all that wait in it; the same id and the same keys in
 * every try; and each tunnel's part of the answer, or no answer at all.
 */
import type { DropReason, Plane } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import { messageOf } from "../model/errors.ts";
import type { EventSink } from "../model/events.ts";
import {
  type ExchangeCode,
  ExchangeError,
  type NewTunnelReply,
  type NewTunnelRequest,
  RATE_REFUSAL,
  type TunnelOutcome,
  wipeKeys,
} from "../model/exchange.ts";
import type { Flows } from "../model/flows.ts";
import type { Log } from "../model/log.ts";
import type { Random } from "../model/random.ts";
import type { PspParams, PspVersion } from "../model/sa.ts";
import type { SaRecords } from "../model/sa_record.ts";
import type { Tasks } from "../model/tasks.ts";
import type { PeerCalls } from "./calls.ts";
import type { Peers } from "./directory.ts";
import {
  LAG_SHARE,
  LIVE_BACK_OFF_MAX_MS,
  MAX_FORGIVEN,
  MAX_MAYBE_SAS,
  PATIENT_RETRY_MS,
  RATE_PATIENCE_MS,
  REFUSED_HOLD_OFF_MAX_MS,
  REPEAT_MS,
  RETRY_FIRST_MS,
  RETRY_MAX_MS,
  SETTLE_MS,
  SETTLE_RETRY_MS,
  UNANSWERED_LOOKS,
  UNHEARD_BACK_OFF_MAX_MS,
} from "./limits.ts";
import {
  cookieProblem,
  cryptOffsetProblem,
  paramsProblem,
  type SaDefaults,
  txFrom,
} from "./params.ts";
import type { PeerLine, PeerLines, PeerWatch } from "./peer.ts";
import { moreUrgent, type Scheduler, type Slot, type Work } from "./scheduler.ts";
import { fairly } from "./shares.ts";
import type { Derived, KeyShares, SpiSource } from "./spis.ts";
import { isAsking, isLive, isUnheard, offerOf, type Rx, type State } from "./tunnel.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";
import type { Whereabouts } from "./whereabouts.ts";

/** A request and what it offers. */
interface Asking {
  readonly requestId: string;
  readonly version: PspVersion;
  readonly offers: readonly Offer[];
  /** When it was made: a responder remembers its answer for a time. */
  readonly since: number;
  /** It was given up once: the peer may have what it offers. */
  readonly again: boolean;
}

/** What it takes to ask. */
export interface InitiatorOptions extends OutcomesOptions, CallPowers {
  readonly config: Pick<Config, "pip" | "psp" | "rpc" | "tunnel" | "networks">;
  readonly bootEpoch: bigint;
  /** What this host says of its own IVs. */
  readonly ivCounts: boolean;
  readonly lines: PeerLines;
  readonly plane: Pick<Plane, "masterKey">;
  readonly spis: Pick<SpiSource, "derive">;
  readonly shares: KeyShares;
  readonly watch: Pick<PeerWatch, "hear">;
  readonly whereabouts: Pick<Whereabouts, "doubt">;
}

/** The asking side. */
export class Initiator {
  readonly #options: InitiatorOptions;
  readonly #table: TunnelTable;
  readonly #outcomes: Outcomes;
  readonly #inFlight = new Map<string, PspParams>();
  /** Of each peer the request that nobody answered, with a share of its keys: one at most, asked before any other. */
  readonly #unanswered = new Map<string, Asking>();

  constructor(options: InitiatorOptions) {
    this.#options = options;
    this.#table = options.table;
    this.#outcomes = new Outcomes(options);
  }

  /** Puts a tunnel into the next request to its peer. */
  ask(tunnel: Tunnel): void {
    const line = this.#options.lines.of(tunnel.peer);
    line.waiting.add(tunnel.key);
    line.raise?.(workOf(tunnel.state, this.#options.clock.now()));
    if (line.running || this.#options.tasks.signal.aborted) return;
    line.running = true;
    this.#options.tasks.add(this.#run(line));
  }

  /** What is on offer for a tunnel and not yet answered: a crossing request is answered with it. */
  inFlight(key: string): PspParams | undefined {
    return this.#inFlight.get(key);
  }

  /** Lets go of some of the requests that cannot be asked again any more, those first that were not looked at for longest. */
  tick(): void {
    let looks = Math.min(UNANSWERED_LOOKS, this.#unanswered.size);
    for (const [peer, asking] of this.#unanswered) {
      if (looks-- === 0) break;
      if (!this.#isRepeatable(asking)) {
        this.forget(peer);
        continue;
      }
      // To the end: the next tick begins with the others.
      this.#unanswered.delete(peer);
      this.#unanswered.set(peer, asking);
    }
  }

  /** A peer's unanswered request is void: the peer was started anew, or denied. */
  forget(peer: string): void {
    const asking = this.#unanswered.get(peer);
    this.#unanswered.delete(peer);
    for (const { params } of asking?.offers ?? []) this.#options.shares.release(params.key);
  }

  async #run(line: PeerLine): Promise<void> {
    try {
      // All events of the batch that brought this one join the first request.
      await Promise.resolve();
      while (line.waiting.size > 0 && !this.#options.tasks.signal.aborted) {
        const now = this.#options.clock.now();
        const at = line.backOff.nextAttemptAt(now);
        const tunnels = Math.min(line.waiting.size, line.most);
        const waitMs = at === undefined ? line.pace.take(now, tunnels) : at - now;
        if (waitMs > 0) {
          await line.pause(waitMs);
        } else {
          using slot = await this.#enter(line);
          const { scheduler } = this.#options;
          const before = scheduler.lagMs;
          await this.#exchange(line, slot);
          line.lagged(scheduler.lagMs - before);
        }
      }
    } finally {
      line.running = false;
    }
  }

  /** A place for the next exchange with this peer, by the most urgent of all that wait for it. */
  async #enter(line: PeerLine): Promise<Slot> {
    const { scheduler, clock, tasks } = this.#options;
    const now = clock.now();
    let work: Work = "warm";
    for (const key of line.waiting) {
      const tunnel = this.#table.get(key);
      if (tunnel?.peer === line.peer) work = moreUrgent(work, workOf(tunnel.state, now));
      if (work === "packet") break;
    }
    const tunnels = Math.min(line.waiting.size, line.most);
    try {
      return await scheduler.enter(
        { peer: line.peer, work, tunnels },
        tasks.signal,
        (raise) => line.raise = raise,
      );
    } finally {
      line.raise = undefined;
    }
  }

  /** The most urgent wish of these tunnels as they stand now. */
  #urgency(keys: Iterable<string>): Work {
    const now = this.#options.clock.now();
    let work: Work = "warm";
    for (const key of keys) {
      const tunnel = this.#table.get(key);
      if (tunnel !== undefined) work = moreUrgent(work, workOf(tunnel.state, now));
      if (work === "packet") break;
    }
    return work;
  }

  async #exchange(line: PeerLine, slot: Slot): Promise<void> {
    const { config, counters } = this.#options;
    let asking = this.#again(line);
    if (asking === undefined) {
      const version = line.version ?? config.psp.versions[0];
      const batch = this.#takeBatch(line);
      if (batch.length === 0 || version === undefined) return;
      asking = this.#offer(batch, version);
    }
    counters.add("initiator-exchanges");
    // The second round is for another version; a responder that changes its mind again has failed.
    for (let round = 1; round <= 2 && asking.offers.length > 0; round++) {
      const { offers }: Asking = asking;
      try {
        line.backOff.begin();
        const version = await this.#askOnce(line, { ...asking, last: round === 2, slot });
        if (version === undefined) return;
        asking = this.#offer(offers.map(({ tunnel }) => tunnel), version);
      } catch (cause) {
        if (this.#options.tasks.signal.aborted) throw cause;
        this.#outcomes.fail(line, { offers, error: ExchangeError.from(cause), maybe: true });
        return;
      } finally {
        for (const { tunnel, params } of offers) {
          this.#inFlight.delete(tunnel.key);
          this.#options.shares.release(params.key);
        }
      }
    }
  }

  /**
   * The request to the peer that nobody answered, to be sent as it was: the peer may have answered it, and gives
   * the same answer again. Whatever else waits comes after it, so that what peers may have stays bounded.
   */
  #again(line: PeerLine): Asking | undefined {
    const asking = this.#unanswered.get(line.peer);
    if (asking === undefined) return undefined;
    if (!this.#isRepeatable(asking)) {
      this.forget(line.peer);
      return undefined;
    }
    // Its shares of the keys are the exchange's now.
    this.#unanswered.delete(line.peer);
    this.#options.counters.add("requests-repeated");
    for (const { tunnel, rx: { sa: { spi } }, params } of asking.offers) {
      this.#table.apply(tunnel, { type: "offered_again", spi });
      if (!this.#isOnOffer(tunnel, spi)) continue;
      line.waiting.delete(tunnel.key);
      this.#inFlight.set(tunnel.key, params);
    }
    return asking;
  }

  /** Whether an answer to it could still be used: for any of its tunnels, on the master key in force. */
  #isRepeatable({ since, offers }: Asking): boolean {
    const { clock, plane } = this.#options;
    if (clock.now() - since >= REPEAT_MS) return false;
    const { rotations } = plane.masterKey();
    return offers.some(({ tunnel, rx: { generation, sa: { spi } } }) =>
      generation === rotations &&
      this.#table.get(tunnel.key)?.state.rx.some((rx) =>
        rx.sa.spi === spi && rx.maybeUntil !== undefined && rx.supersededAt === undefined
      )
    );
  }

  #isOnOffer({ key, peer }: Tunnel, spi: number): boolean {
    const there = this.#table.get(key);
    return there?.peer === peer && offerOf(there.state) === spi;
  }

  #takeBatch(line: PeerLine): Tunnel[] {
    const batch: Tunnel[] = [];
    // Where not all fit, one that wants many does not have the others wait behind them.
    const waiting = line.waiting.size <= line.most
      ? line.waiting
      : fairly(line.waiting, (key) => this.#table.get(key)?.pair.localVip ?? "");
    for (const key of waiting) {
      if (batch.length >= line.most) break;
      line.waiting.delete(key);
      const tunnel = this.#table.get(key);
      // It may be gone, or somebody else's by now.
      if (tunnel?.peer !== line.peer) continue;
      // Another event may have ended its wish, or an exchange begun, since it was put here.
      if (isAsking(tunnel.state) && tunnel.state.offered === undefined) batch.push(tunnel);
    }
    return batch;
  }

  /** Derives SPIs and keys, and programs receive before anybody is told. */
  #offer(batch: readonly Tunnel[], version: PspVersion): Asking {
    const { peers, shares, clock, random } = this.#options;
    const wishes = batch.flatMap((tunnel) => {
      const peer = peers.get(tunnel.peer);
      return peer === undefined ? [] : [{ tunnel, pair: tunnel.pair, peer, ivCounts: true }];
    });
    const offers: Offer[] = [];
    try {
      const derived = this.#options.spis.derive(version, wishes);
      for (const [i, { tunnel }] of wishes.entries()) {
        const made = derived[i];
        if (made === undefined) continue;
        shares.hold(made.params.key);
        try {
          this.#table.apply(tunnel, { type: "offered", rx: made.rx });
          // Nothing was installed for a tunnel that does not want it any more: nobody may be told of the SPI.
          if (!this.#isOnOffer(tunnel, made.rx.sa.spi)) {
            shares.release(made.params.key);
            continue;
          }
          this.#inFlight.set(tunnel.key, made.params);
          offers.push({ tunnel, ...made });
        } catch (error) {
          shares.release(made.params.key);
          this.#outcomes.noResource(tunnel, error);
        }
      }
    } catch (error) {
      for (const { tunnel } of wishes) this.#outcomes.noResource(tunnel, error);
    }
    return { requestId: random.hex(16), version, offers, since: clock.now(), again: false };
  }

  /** One request with its retries. Returns the version to ask again with, if it comes to that. */
  async #askOnce(
    line: PeerLine,
    asked: Asking & { readonly last: boolean; readonly slot: Slot },
  ): Promise<PspVersion | undefined> {
    const { config: { psp }, bootEpoch, counters } = this.#options;
    const { requestId, offers, version } = asked;
    const result = await callWithRetries(this.#options, line, {
      bootEpoch,
      requestId,
      versionsAccepted: psp.versions,
      tunnels: offers.map(({ tunnel, params }) => ({ ...tunnel.pair, reverse: params })),
      ivCounts: this.#options.ivCounts,
    }, { slot: asked.slot, work: () => this.#urgency(offers.map(({ tunnel }) => tunnel.key)) });
    if (!result.ok) {
      const { error, maybe } = result;
      const unanswered = (maybe || asked.again) && isUnanswered(error);
      if (unanswered) this.#keep(line.peer, asked);
      this.#outcomes.fail(line, { offers, error, maybe: maybe || asked.again });
      return undefined;
    }
    const { reply } = result;
    const doubt = this.#doubt(line.peer, reply);
    if (doubt !== undefined) {
      try {
        await doubt;
      } catch (cause) {
        wipeKeys(reply);
        this.#outcomes.fail(line, { offers, error: ExchangeError.from(cause), maybe: true });
        return undefined;
      }
    }
    if (!this.#options.watch.hear(line.peer, reply.bootEpoch)) {
      wipeKeys(reply);
      const error = new ExchangeError("aborted", "the answer is of an earlier start");
      this.#outcomes.fail(line, { offers, error, maybe: true });
      return undefined;
    }
    if (reply.version !== version && reply.outcomes.length === 0) {
      if (!asked.last && psp.versions.includes(reply.version)) {
        counters.add("version-fallbacks");
        for (const { tunnel, rx } of offers) {
          this.#table.apply(tunnel, { type: "withdrawn", spi: rx.sa.spi, maybe: false });
        }
        return reply.version;
      }
    }
    if (reply.outcomes.length !== offers.length) {
      wipeKeys(reply);
      const error = new ExchangeError(
        "internal",
        `the answer has ${reply.outcomes.length} outcomes for ${offers.length} tunnels`,
      );
      this.#outcomes.fail(line, { offers, error, maybe: true });
      return undefined;
    }
    // In another version than was asked for there is nothing to settle, and nothing to remember.
    if (reply.version === version) line.version = version;
    line.recovered();
    for (const [i, offer] of offers.entries()) {
      const outcome = reply.outcomes[i];
      // What became of a tunnel since its request was given up does not end with an old refusal.
      const isOver = outcome?.ok === false && !this.#isOnOffer(offer.tunnel, offer.rx.sa.spi);
      if (outcome !== undefined && !isOver) this.#outcomes.settle(offer, { outcome, reply });
    }
    return undefined;
  }

  /** Whether an answer comes from where its sender was; undefined: there is no doubt. */
  #doubt(peer: string, { bootEpoch: epoch, outcomes }: NewTunnelReply): Promise<void> | undefined {
    const given = outcomes.find((outcome) => outcome.ok);
    const pip = given?.ok ? given.params.pip : undefined;
    return this.#options.whereabouts.doubt(peer, { epoch, pip, from: undefined });
  }

  /** For `#again`, with a share of its keys of its own. */
  #keep(peer: string, { requestId, version, offers, since }: Asking): void {
    for (const { params } of offers) this.#options.shares.hold(params.key);
    this.#unanswered.set(peer, { requestId, version, offers, since, again: true });
  }
}

/** What a tunnel's wish is, as the scheduler sees it. */
function workOf(state: State, now: number): Work {
  if (state.kind === "opening") return state.flows.length > 0 ? "packet" : "restore";
  if (!isLive(state)) return "warm";
  if (state.tx.unconfirmed !== undefined) return "unheard";
  const isDue = now >= state.tx.softAt || state.tx.packets >= state.tx.softPackets;
  return isDue ? "rekey" : "rotation";
}

// ---- one request, sent until it is answered -----------------------------------------------------

/** How it ended. `maybe`: the peer may have acted on it although no answer came. */
type CallResult =
  | { readonly ok: true; readonly reply: NewTunnelReply }
  | { readonly ok: false; readonly error: ExchangeError; readonly maybe: boolean };

/** What a call is made with. */
export interface CallPowers {
  /** This host has told its peers that it stops: whoever it asked now would send to it after its end. */
  readonly isStopping: () => boolean;
  readonly config: Pick<Config, "rpc">;
  readonly calls: Pick<PeerCalls, "newTunnel">;
  readonly scheduler: Scheduler;
  /** A call was answered after so many seconds. */
  readonly onAnswered: (seconds: number) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly tasks: Tasks;
  readonly counters: Counters;
  readonly log: Log;
}

/**
 * Asks a peer, the first time in the place `slot`, and again each time in one of its own, by what `work` says then. An
 * answer that comes after its try was given up is wiped. Rejects only when the core stops.
 */
async function callWithRetries(
  powers: CallPowers,
  line: PeerLine,
  request: NewTunnelRequest,
  first: { readonly slot: Slot; readonly work: () => Work },
): Promise<CallResult> {
  const { config: { rpc }, calls, scheduler, clock, random, tasks, counters, log } = powers;
  const { peer } = line;
  let patientUntil: number | undefined;
  let maybe = false;
  let sent = false;
  const options = { timeoutMs: rpc.timeoutMs, onSent: () => void (sent = true) };
  let error = new ExchangeError("internal", "no attempt was made");
  let forgiven = 0;
  let slot: Slot | undefined = first.slot;
  const tunnels = request.tunnels.length;
  for (let attempt = 1; attempt <= rpc.attempts;) {
    sent = false;
    slot ??= await scheduler.enter({ peer, work: first.work(), tunnels }, tasks.signal);
    if (powers.isStopping()) await endOf(tasks.signal);
    const begun = { at: clock.now(), lagMs: scheduler.lagMs };
    try {
      const reply = await calls.newTunnel(peer, request, options);
      powers.onAnswered((clock.now() - begun.at) / 1000);
      slot.leave(clock.now() - begun.at < rpc.timeoutMs / 2);
      return { ok: true, reply };
    } catch (cause) {
      slot.leave(false);
      slot = undefined;
      if (tasks.signal.aborted) throw cause;
      error = ExchangeError.from(cause);
    }
    const lagged = error.code === "deadline_exceeded" &&
      scheduler.lagMs - begun.lagMs >= LAG_SHARE * rpc.timeoutMs;
    if ((lagged || error.local) && forgiven < MAX_FORGIVEN) {
      // This host's own fault, not the peer's: it is asked again, and nothing is held against it.
      forgiven++;
      counters.add("deadlines-forgiven");
      if (sent) maybe = true;
      await clock.sleep(RETRY_MAX_MS * (0.5 + random.uniform() / 2), tasks.signal);
      continue;
    }
    if (isForRate(error)) {
      // No attempt that failed: the peer lives, did nothing, and wants to be asked more slowly.
      const now = clock.now();
      patientUntil ??= now + RATE_PATIENCE_MS;
      if (now < patientUntil) {
        const delayMs = line.pace.refused(now);
        counters.add("slowed-by-peer");
        log.debug("A peer wants to be asked more slowly", { peer, delayMs });
        await clock.sleep(delayMs * (1 + random.uniform() / 4), tasks.signal);
        continue;
      }
    }
    if (sent && !DECLINED.has(error.code)) maybe = true;
    if (!RETRIED.has(error.code) || attempt === rpc.attempts) break;
    counters.add("initiator-retries");
    // After a deadline enough time has passed; after a fast refusal it has not.
    const full = error.code === "deadline_exceeded"
      ? RETRY_FIRST_MS
      : Math.min(RETRY_FIRST_MS * 2 ** (attempt - 1), RETRY_MAX_MS);
    await clock.sleep(full * (0.5 + random.uniform() / 2), tasks.signal);
    attempt++;
  }
  return { ok: false, error, maybe };
}

/** Rejects when the core stops, and does nothing before. */
function endOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
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

/** Whether a request that failed so can be asked again as it was: nobody answered it. */
function isUnanswered({ code }: ExchangeError): boolean {
  return RETRIED.has(code) && !DECLINED.has(code);
}

/** Said before anything was done. */
const DECLINED: ReadonlySet<ExchangeCode> = new Set([
  "permission_denied",
  "unauthenticated",
  "failed_precondition",
  "invalid_argument",
  "resource_exhausted",
  "unimplemented",
]);

// ---- what becomes of the tunnels in a request ---------------------------------------------------

/** A tunnel with the receive SA that was offered for it. */
interface Offer extends Derived {
  readonly tunnel: Tunnel;
}

/** What answers and failures change. */
export interface OutcomesOptions {
  readonly config: Pick<Config, "pip" | "psp" | "tunnel" | "networks">;
  readonly peers: Peers;
  readonly table: TunnelTable;
  readonly flows: Pick<Flows, "ignoreReplays">;
  readonly defaults: SaDefaults;
  readonly store: Pick<SaRecords, "putPip">;
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: Counters;
  readonly events: EventSink;
  readonly log: Log;
}

/** Brings answers and failures to the tunnels. */
class Outcomes {
  readonly #options: OutcomesOptions;
  readonly #table: TunnelTable;

  constructor(options: OutcomesOptions) {
    this.#options = options;
    this.#table = options.table;
  }

  /** One tunnel's part of the answer. Its key is wiped. */
  settle(
    { tunnel, rx, params: { version } }: Offer,
    { outcome, reply }: { readonly outcome: TunnelOutcome; readonly reply: NewTunnelReply },
  ): void {
    const { clock, config, counters, peers, store, defaults } = this.#options;
    if (!outcome.ok) {
      const { code, message } = outcome;
      counters.add("tunnels-refused");
      this.#options.log.warn("A peer refused a tunnel", {
        peer: tunnel.peer,
        ...tunnel.pair,
        code,
        reason: message,
      });
      return this.#refuse(tunnel, { reason: "refused", message: `${code}: ${message}` });
    }
    const { params } = outcome;
    try {
      const peer = peers.get(tunnel.peer);
      const problem = paramsProblem(params, {
        version,
        mode: config.psp.mode,
        own: defaults,
        peerPip: peer?.pip,
      });
      if (peer === undefined || problem !== undefined) {
        return this.#unusable(tunnel, { reason: "refused", message: `bad answer: ${problem}` });
      }
      const vip = tunnel.pair.localVip;
      const cookie = cookieProblem(params, { vip, networks: config.networks });
      if (cookie !== undefined) {
        counters.add("refused-network");
        return this.#unusable(tunnel, { reason: "refused", message: `bad answer: ${cookie}` });
      }
      const readable = cryptOffsetProblem(params, { psp: config.psp, vip });
      if (readable !== undefined) {
        counters.add("refused-crypt-offset");
        this.#options.log.warn("The crypt offset that a peer asks for was refused", {
          peer: tunnel.peer,
          ...tunnel.pair,
          reason: readable,
        });
        return this.#unusable(tunnel, { reason: "refused", message: readable });
      }
      if (peers.learnPip(peer.id, params.pip)) store.putPip(peer.id, params.pip);
      // It was expected to: until the answer nobody knew.
      if (!reply.ivCounts) this.#options.flows.ignoreReplays(rx.sa.spi);
      const at = { now: clock.now(), wallMs: clock.wallMs() };
      const epoch = reply.bootEpoch;
      const { tx, key } = txFrom(defaults, { params, pair: tunnel.pair, peer, epoch, at });
      this.#table.apply(tunnel, { type: "answered", spi: rx.sa.spi, tx, key });
      this.#table.note(tunnel, "");
    } catch (error) {
      this.#unusable(tunnel, this.#noResource(tunnel, error));
    } finally {
      params.key.wipe();
    }
  }

  /** The plane refused before anybody was told: the tunnel is left alone for a while. */
  noResource(tunnel: Tunnel, error: unknown): void {
    this.#refuse(tunnel, this.#noResource(tunnel, error));
  }

  #noResource(tunnel: Tunnel, error: unknown): Why {
    const cause = messageOf(error);
    this.#options.counters.add("no-resource");
    this.#options.log.warn("The data plane refused a tunnel", {
      peer: tunnel.peer,
      ...tunnel.pair,
      cause,
    });
    return { reason: "no_resource", message: cause };
  }

  /** No answer, or none that can be used: what the peer cannot have got is taken back. */
  fail(
    line: PeerLine,
    failure: {
      readonly offers: readonly Offer[];
      readonly error: ExchangeError;
      readonly maybe: boolean;
    },
  ): void {
    const { clock, config: { tunnel }, counters, log } = this.#options;
    const { offers, error, maybe } = failure;
    const patient = line.patientUntil > clock.now();
    const unheard = maybe || this.#table.ofPeer(line.peer).some(({ state }) => isUnheard(state));
    const live = this.#table.ofPeer(line.peer).some(({ state }) => isLive(state));
    const capMs = patient
      ? PATIENT_RETRY_MS
      : unheard
      ? UNHEARD_BACK_OFF_MAX_MS
      : live
      ? LIVE_BACK_OFF_MAX_MS
      : tunnel.backOffMaxMs;
    const holdOffMs = line.failed(error.message, capMs);
    if (line.backOff.failures === 1) {
      const { code, message } = error;
      this.#options.events.add("peer-failing", {
        peer: line.peer,
        reason: code.replaceAll("_", "-"),
        message,
      });
    }
    counters.add("exchanges-failed");
    log.warn("An exchange failed", {
      peer: line.peer,
      code: error.code,
      reason: error.reason,
      tunnels: offers.length,
      delayMs: Math.round(holdOffMs),
    });
    if (patient) return this.#tryLater(line, { offers, maybe });
    const reason = reasonOf(error);
    // The others of this peer would fare no better, and their packets wait.
    const others = [...line.waiting].flatMap((key) => this.#table.get(key) ?? [])
      .filter(({ peer, state }) =>
        peer === line.peer && state.kind === "opening" && state.offered === undefined
      );
    for (const tunnel of [...offers.map((offer) => offer.tunnel), ...others]) {
      this.#table.note(tunnel, error.message);
      this.#table.apply(tunnel, { type: "unanswered", reason, holdOffMs, maybe });
    }
    this.#bound(line.peer);
  }

  #tryLater(
    line: PeerLine,
    { offers, maybe }: { readonly offers: readonly Offer[]; readonly maybe: boolean },
  ): void {
    for (const { tunnel, rx } of offers) {
      this.#table.apply(tunnel, { type: "withdrawn", spi: rx.sa.spi, maybe });
      line.waiting.add(tunnel.key);
    }
    this.#bound(line.peer);
  }

  /** What one peer may have takes a bounded place, however often it does not answer. */
  #bound(peer: string): void {
    const held = this.#table.ofPeer(peer).flatMap((tunnel) =>
      tunnel.state.rx.filter(isMaybe).map((rx) => ({ tunnel, rx }))
    );
    if (held.length <= MAX_MAYBE_SAS) return;
    held.sort((a, b) => a.rx.sa.serial < b.rx.sa.serial ? -1 : 1);
    for (const { tunnel, rx } of held.slice(0, held.length - MAX_MAYBE_SAS)) {
      this.#table.apply(tunnel, { type: "forgotten", spi: rx.sa.spi });
    }
  }

  /** The peer holds nothing of ours: it said so, or was never told. */
  #refuse(tunnel: Tunnel, why: Why): void {
    this.#table.note(tunnel, why.message);
    const holdOffMs = this.#holdOffMs(tunnel);
    this.#table.apply(tunnel, { type: "refused", reason: why.reason, holdOffMs });
  }

  /** The peer granted the tunnel, and this host cannot use its answer: the peer sends all the same. */
  #unusable(tunnel: Tunnel, why: Why): void {
    this.#table.note(tunnel, why.message);
    const holdOffMs = this.#holdOffMs(tunnel);
    this.#table.apply(tunnel, { type: "unanswered", reason: why.reason, holdOffMs, maybe: true });
    this.#bound(tunnel.peer);
  }

  #holdOffMs({ pair }: Tunnel): number {
    const { config: { tunnel: { backOffMs, backOffMaxMs } }, random, peers, clock } = this.#options;
    // Both ends learn of a moved address, one after the other: the second one may be about to.
    const since = Math.max(peers.ownedSince(pair.localVip), peers.ownedSince(pair.remoteVip));
    const most = clock.now() - since < SETTLE_MS ? SETTLE_RETRY_MS : REFUSED_HOLD_OFF_MAX_MS;
    const full = Math.min(backOffMs * 8, backOffMaxMs, most);
    return full * (0.5 + random.uniform() / 2);
  }
}

/** Why a tunnel is left alone. */
interface Why {
  readonly reason: DropReason;
  readonly message: string;
}

function isMaybe(rx: Rx): boolean {
  return rx.maybeUntil !== undefined && !rx.confirmed;
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

// SPDX-License-Identifier: Apache-2.0

/**
 * Asks peers for tunnels: brings places, answers and time to `initiator.ts`, and carries out what it says. How many tunnels
 * go in a request follows from what one has taken of this host's thread lately: a busy machine gives it less.
 */
import type { Plane, TxKey } from "../../ffi/plane.ts";
import type { Config } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import { messageOf } from "../model/errors.ts";
import type { EventSink } from "../model/events.ts";
import {
  ExchangeError,
  LEAST_TUNNELS,
  MAX_TUNNELS_PER_REQUEST,
  type NewTunnelRequest,
} from "../model/exchange.ts";
import type { Flows } from "../model/flows.ts";
import type { Log } from "../model/log.ts";
import type { Random } from "../model/random.ts";
import type { PspParams } from "../model/sa.ts";
import type { SaRecords } from "../model/sa_record.ts";
import type { Tasks } from "../model/tasks.ts";
import type { Peers } from "./directory.ts";
import {
  type AskingState,
  beyond,
  type InitiatorContext,
  type InitiatorEffect,
  type InitiatorEvent,
  isOnOffer,
  type Offer,
  stepInitiator,
} from "./initiator.ts";
import {
  COST_SHARE,
  REFUSED_HOLD_OFF_MAX_MS,
  SETTLE_MS,
  SETTLE_RETRY_MS,
  SLICE_MS,
  UNANSWERED_LOOKS,
  URGENT_MS,
} from "./limits.ts";
import { type KeyShares, type SaDefaults, type SpiSource, txFrom } from "./params.ts";
import type { PeerLine, PeerLines, PeerWatch } from "./peer.ts";
import type { PeerCalls, Scheduler, Slot } from "./scheduler.ts";
import type { Event } from "./tunnel.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";
import type { Whereabouts } from "./whereabouts.ts";
import { workOf } from "./work.ts";

/** What it takes to ask. */
export interface InitiatorOptions {
  readonly config: Pick<Config, "psp" | "rpc" | "tunnel" | "networks">;
  readonly bootEpoch: bigint;
  /** What this host says of its own IVs. */
  readonly ivCounts: boolean;
  readonly calls: Pick<PeerCalls, "newTunnel">;
  readonly scheduler: Scheduler;
  readonly whereabouts: Pick<Whereabouts, "doubt">;
  /** A call was answered after so many seconds. */
  readonly onAnswered: (seconds: number) => void;
  /** This host has told its peers that it stops: whoever it asked now would send to it after its end. */
  readonly isStopping: () => boolean;
  readonly peers: Peers;
  readonly lines: PeerLines;
  readonly table: TunnelTable;
  readonly plane: Pick<Plane, "masterKey">;
  readonly spis: Pick<SpiSource, "derive">;
  readonly shares: KeyShares;
  readonly flows: Pick<Flows, "ignoreReplays">;
  readonly defaults: SaDefaults;
  readonly watch: Pick<PeerWatch, "hear">;
  readonly store: Pick<SaRecords, "putPip">;
  readonly clock: Clock;
  readonly random: Random;
  readonly tasks: Tasks;
  readonly counters: Counters;
  readonly events: EventSink;
  readonly log: Log;
}

/** Of a state without a request. */
const NO_CALL = { requestId: undefined, attempt: undefined };

type Use = Extract<InitiatorEffect, { do: "use" }>;

/** What an answer does to a tunnel, or why it cannot be used. */
type Answer =
  | { readonly event: Extract<Event<TxKey>, { type: "answered" }> }
  | { readonly error: unknown };
type Answers = ReadonlyMap<Use, Answer>;

/** What of an effect is not done at once: what comes of it. */
type Wait = () => Promise<InitiatorEvent>;

/** The place of an exchange under way, and how late this host had been when it began. */
interface Place {
  slot: Slot;
  readonly lagMs: number;
}

/** The asking side. */
export class InitiatorDriver {
  readonly #options: InitiatorOptions;
  readonly #table: TunnelTable;
  /** What is on offer and not yet answered, by tunnel. */
  readonly #inFlight = new Map<string, PspParams>();
  readonly #places = new Map<PeerLine, Place>();
  readonly #cost = new Cost();
  /** Peers with a request that nobody answered, those first that were not looked at for longest. */
  readonly #unanswered = new Set<PeerLine>();

  constructor(options: InitiatorOptions) {
    this.#options = options;
    this.#table = options.table;
  }

  /** Puts a tunnel into the next request to its peer. */
  ask(tunnel: Tunnel): void {
    const { lines, clock, tasks } = this.#options;
    const line = lines.of(tunnel.peer);
    const now = clock.now();
    line.waiting.add(tunnel, now);
    line.raise?.(workOf(tunnel.state, now));
    if (tasks.signal.aborted) return;
    const wait = this.#take(line, { type: "asked" });
    if (wait !== undefined) tasks.add(this.#run(line, wait));
  }

  /** What is on offer for a tunnel and not yet answered: a crossing request is answered with it. */
  inFlight(key: string): PspParams | undefined {
    return this.#inFlight.get(key);
  }

  /** Lets go of some of the requests that cannot be asked again any more. */
  tick(): void {
    let looks = Math.min(UNANSWERED_LOOKS, this.#unanswered.size);
    for (const line of this.#unanswered) {
      if (looks-- === 0) break;
      // To the end: the next tick begins with the others.
      this.#unanswered.delete(line);
      this.#unanswered.add(line);
      this.#take(line, { type: "checked" });
    }
  }

  /** A peer's unanswered request is void: the peer is gone, or denied. */
  forget(peer: string): void {
    this.#take(this.#options.lines.of(peer), { type: "forgotten" });
  }

  /** Until nothing is wanted of the peer any more. */
  async #run(line: PeerLine, first: Wait): Promise<void> {
    for (let wait: Wait | undefined = first; wait !== undefined;) {
      let failure: unknown;
      try {
        const event = await wait();
        wait = this.#options.tasks.signal.aborted
          ? this.#take(line, { type: "stopped" })
          : this.#take(line, event);
        continue;
      } catch (cause) {
        failure = cause;
      }
      if (this.#options.tasks.signal.aborted) {
        this.#take(line, { type: "stopped" });
        throw failure;
      }
      wait = this.#take(line, { type: "broken", error: ExchangeError.from(failure) });
      if (wait === undefined) throw failure;
    }
  }

  /** Takes a step and carries it out. What is waited for comes back. */
  #take(line: PeerLine, event: InitiatorEvent): Wait | undefined {
    const before = line.asking;
    const { state, effects } = stepInitiator(before, event, this.#context(line));
    line.asking = state;
    // What was forgotten of a peer that comes again says nothing of how it is asked from then on.
    if (state.kind !== before.kind || effects.length > 0 || event.type === "forgotten") {
      const { requestId, attempt } = "call" in state ? state.call : NO_CALL;
      const facts = { peer: line.peer, kind: event.type, state: state.kind, requestId, attempt };
      this.#options.log.debug("Asking a peer takes a step", facts);
    }
    if (state.unanswered === undefined) this.#unanswered.delete(line);
    else this.#unanswered.add(line);
    const answers = this.#answers(effects);
    let wait: Wait | undefined;
    this.#table.together(
      () => {
        for (const effect of effects) wait = this.#perform(line, effect, answers) ?? wait;
      },
      [...answers].flatMap(([{ offer: { tunnel: { key, peer } } }, answer]) =>
        "event" in answer ? [{ key, peer, event: answer.event }] : []
      ),
    );
    return wait;
  }

  #perform(line: PeerLine, effect: InitiatorEffect, answers: Answers): Wait | undefined {
    const { shares, clock, counters, random, whereabouts, watch } = this.#options;
    const { peer } = line;
    switch (effect.do) {
      case "gather":
        return () => Promise.resolve({ type: "gathered" });
      case "pace":
        return this.#take(line, {
          type: "paced",
          waitMs: line.pace.take(clock.now(), effect.tunnels),
        });
      case "pause":
        return () => line.pause(effect.ms).then(() => ({ type: "woken" }));
      case "enter":
        return () => this.#enter(line, effect);
      case "unwait":
        for (const key of effect.keys) line.waiting.delete(key);
        return undefined;
      case "wait": {
        const tunnel = this.#table.get(effect.key);
        if (tunnel?.peer === peer) line.waiting.add(tunnel, clock.now());
        return undefined;
      }
      case "offer":
        return this.#offer(line, effect);
      case "offer_again":
        return this.#offerAgain(line, effect.offer);
      case "begin":
        return void line.backOff.begin();
      case "call":
        return () => this.#call(line, effect.request);
      case "rest":
        return () => this.#sleep(effect.ms * (0.5 + random.uniform() / 2));
      case "rest_slower":
        return () => this.#restSlower(line);
      case "doubt": {
        const { epoch, pip } = effect;
        const doubt = whereabouts.doubt(peer, { epoch, pip, from: undefined });
        if (doubt === undefined) return this.#take(line, { type: "trusted" });
        return () =>
          doubt.then(
            () => ({ type: "trusted" }),
            (cause) => ({ type: "doubted", error: ExchangeError.from(cause) }),
          );
      }
      case "yield":
        return () => clock.sleep(0).then(() => ({ type: "yielded" }));
      case "hear":
        return this.#hear(line, watch.hear(peer, effect.epoch));
      case "blame":
        return this.#blame(line, effect);
      case "recover":
        if (effect.version !== undefined) line.version = effect.version;
        line.recovered();
        return undefined;
      case "tell":
        if (effect.note !== undefined) this.#table.note(effect.tunnel, effect.note);
        return this.#table.apply(effect.tunnel, effect.event) ?? undefined;
      case "use":
        return this.#use(line, effect, answers.get(effect));
      case "refuse":
        return this.#refuse(effect);
      case "bound":
        return this.#bound(peer);
      case "hold":
        for (const { params } of effect.offers) shares.hold(params.key);
        return undefined;
      case "release":
        for (const { params } of effect.offers) shares.release(params.key);
        return undefined;
      case "let_go":
        for (const { tunnel, params } of effect.offers) {
          // A peer that was taken out and put in is asked anew meanwhile.
          if (this.#inFlight.get(tunnel.key) === params) this.#inFlight.delete(tunnel.key);
          shares.release(params.key);
        }
        return undefined;
      case "wipe":
        for (const key of effect.keys) key.wipe();
        return undefined;
      case "leave":
        return this.#leave(line);
      case "go_on":
        return this.#take(line, { type: "look" });
      case "say_refused":
      case "say_readable":
      case "say_no_resource":
        return this.#say(effect);
      case "count":
        return void counters.add(effect.counter);
      default:
        return effect satisfies never;
    }
  }

  // ---- what is waited for ------------------------------------------------------------------------

  async #enter(
    line: PeerLine,
    { work, tunnels, raisable }: Extract<InitiatorEffect, { do: "enter" }>,
  ): Promise<InitiatorEvent> {
    const { scheduler, tasks } = this.#options;
    const on = { peer: line.peer, work, tunnels };
    try {
      const slot = raisable
        ? await scheduler.enter(on, tasks.signal, (raise) => line.raise = raise)
        : await scheduler.enter(on, tasks.signal);
      const place = this.#places.get(line);
      if (place === undefined) this.#places.set(line, { slot, lagMs: scheduler.lagMs });
      else place.slot = slot;
      return { type: "admitted" };
    } finally {
      if (raisable) line.raise = undefined;
    }
  }

  async #call(line: PeerLine, request: NewTunnelRequest): Promise<InitiatorEvent> {
    const { config: { rpc }, calls, scheduler, clock, tasks, onAnswered } = this.#options;
    const slot = this.#places.get(line)?.slot;
    if (this.#options.isStopping()) await endOf(tasks.signal);
    const begun = { at: clock.now(), lagMs: scheduler.lagMs };
    let sent = false;
    try {
      const options = { timeoutMs: rpc.timeoutMs, onSent: () => void (sent = true) };
      const reply = await calls.newTunnel(line.peer, request, options);
      onAnswered((clock.now() - begun.at) / 1000);
      slot?.leave(clock.now() - begun.at < rpc.timeoutMs / 2);
      return { type: "replied", reply };
    } catch (cause) {
      slot?.leave(false);
      if (tasks.signal.aborted) throw cause;
      const error = ExchangeError.from(cause);
      return { type: "failed", error, sent, lagMs: scheduler.lagMs - begun.lagMs };
    }
  }

  async #sleep(ms: number): Promise<InitiatorEvent> {
    await this.#options.clock.sleep(ms, this.#options.tasks.signal);
    return { type: "rested" };
  }

  #restSlower(line: PeerLine): Promise<InitiatorEvent> {
    const { clock, counters, log, random } = this.#options;
    const delayMs = line.pace.refused(clock.now());
    counters.add("slowed-by-peer");
    log.debug("A peer wants to be asked more slowly", { peer: line.peer, delayMs });
    return this.#sleep(delayMs * (1 + random.uniform() / 4));
  }

  // ---- what is done at once ----------------------------------------------------------------------

  /** Derives SPIs and keys, and programs receive before anybody is told. */
  #offer(
    line: PeerLine,
    { tunnels, version }: Extract<InitiatorEffect, { do: "offer" }>,
  ): Wait | undefined {
    const { peers, shares, spis, random } = this.#options;
    const wishes = tunnels.flatMap((tunnel) => {
      const peer = peers.get(tunnel.peer);
      return peer === undefined ? [] : [{ tunnel, pair: tunnel.pair, peer, ivCounts: true }];
    });
    const begun = this.#options.clock.now();
    const offers: Offer[] = [];
    const fail = (tunnel: Tunnel, error: unknown) =>
      this.#take(line, { type: "unmade", tunnel, message: messageOf(error) });
    try {
      const derived = spis.derive(version, wishes).flatMap((made, i) => {
        const tunnel = wishes[i]?.tunnel;
        const event = { type: "offered", rx: made.rx } as const;
        return tunnel === undefined ? [] : [{ tunnel, event, made }];
      });
      const install = () => {
        for (const { tunnel, event, made } of derived) {
          shares.hold(made.params.key);
          try {
            this.#table.apply(tunnel, event);
            // Nothing was installed for a tunnel that does not want it any more: nobody may be told of the SPI.
            if (!this.#isOnOffer(tunnel, made.rx.sa.spi)) {
              shares.release(made.params.key);
              continue;
            }
            this.#inFlight.set(tunnel.key, made.params);
            offers.push({ tunnel, ...made });
          } catch (error) {
            shares.release(made.params.key);
            fail(tunnel, error);
          }
        }
      };
      this.#table.together(
        install,
        derived.map(({ tunnel: { key, peer }, event }) => ({ key, peer, event })),
      );
    } catch (error) {
      for (const { tunnel } of wishes) fail(tunnel, error);
    }
    this.#cost.took("offer", this.#options.clock.now() - begun, wishes.length);
    return this.#take(line, { type: "offered", offers, requestId: random.hex(16) });
  }

  #offerAgain(line: PeerLine, { tunnel, rx: { sa: { spi } }, params }: Offer): undefined {
    this.#table.apply(tunnel, { type: "offered_again", spi });
    if (!this.#isOnOffer(tunnel, spi)) return;
    line.waiting.delete(tunnel.key);
    this.#inFlight.set(tunnel.key, params);
  }

  #isOnOffer({ key, peer }: Tunnel, spi: number): boolean {
    return isOnOffer(this.#table.get(key), peer, spi);
  }

  /** Tunnels get their part of the answer, as many as may be at once. */
  #hear(line: PeerLine, isCurrent: boolean): Wait | undefined {
    const { clock } = this.#options;
    const before = unused(line.asking);
    const begun = clock.now();
    const wait = this.#take(line, { type: "heard", isCurrent });
    this.#cost.took("use", clock.now() - begun, Math.max(0, before - unused(line.asking)));
    return wait;
  }

  #blame(
    line: PeerLine,
    { error, tunnels, capMs }: Extract<InitiatorEffect, { do: "blame" }>,
  ): Wait | undefined {
    const { counters, events, log } = this.#options;
    const { peer } = line;
    const { code, message, reason } = error;
    const holdOffMs = line.failed(message, capMs);
    if (line.backOff.failures === 1) {
      events.add("peer-failing", { peer, reason: error.codeText, message });
    }
    counters.add("exchanges-failed");
    log.warn("An exchange failed", {
      peer,
      code,
      reason,
      tunnels,
      delayMs: Math.round(holdOffMs),
    });
    return this.#take(line, { type: "blamed", holdOffMs });
  }

  /** What is to be programmed of an answer, for each of its tunnels. */
  #answers(effects: readonly InitiatorEffect[]): Answers {
    return new Map(
      effects.filter((effect) => effect.do === "use").map((use) => [use, this.#answer(use)]),
    );
  }

  #answer({ offer: { tunnel, rx }, peer, params, epoch, ivCounts }: Use): Answer {
    const { clock, defaults, peers, store, flows } = this.#options;
    try {
      if (peers.learnPip(peer.id, params.pip)) store.putPip(peer.id, params.pip);
      // It was expected to: until the answer nobody knew.
      if (!ivCounts) flows.ignoreReplays(rx.sa.spi);
      const at = { now: clock.now(), wallMs: clock.wallMs() };
      const { tx, key } = txFrom(defaults, { params, pair: tunnel.pair, peer, epoch, at });
      return { event: { type: "answered", spi: rx.sa.spi, tx, key } };
    } catch (error) {
      return { error };
    }
  }

  #use(
    line: PeerLine,
    { offer: { tunnel }, params }: Use,
    answer: Answer | undefined,
  ): Wait | undefined {
    try {
      if (answer === undefined) return undefined;
      if ("error" in answer) throw answer.error;
      this.#table.apply(tunnel, answer.event);
      this.#table.note(tunnel, "");
      return undefined;
    } catch (error) {
      return this.#take(line, { type: "unused", tunnel, message: messageOf(error) });
    } finally {
      params.key.wipe();
    }
  }

  #refuse(
    { tunnel, reason, message, isGranted }: Extract<InitiatorEffect, { do: "refuse" }>,
  ): undefined {
    this.#table.note(tunnel, message);
    const holdOffMs = this.#holdOffMs(tunnel);
    if (isGranted) {
      this.#table.apply(tunnel, { type: "unanswered", reason, holdOffMs, maybe: true });
      this.#bound(tunnel.peer);
    } else {
      this.#table.apply(tunnel, { type: "refused", reason, holdOffMs });
    }
  }

  #holdOffMs({ pair }: Tunnel): number {
    const { config: { tunnel: { backOffMs, backOffMaxMs } }, random, peers, clock } = this.#options;
    // Both ends learn of a moved address, one after the other: the second one may be about to.
    const since = Math.max(peers.ownedSince(pair.localVip), peers.ownedSince(pair.remoteVip));
    const most = clock.now() - since < SETTLE_MS ? SETTLE_RETRY_MS : REFUSED_HOLD_OFF_MAX_MS;
    const full = Math.min(backOffMs * 8, backOffMaxMs, most);
    return full * (0.5 + random.uniform() / 2);
  }

  #bound(peer: string): undefined {
    for (const { tunnel, rx } of beyond(this.#table.ofPeer(peer))) {
      this.#table.apply(tunnel, { type: "forgotten", spi: rx.sa.spi });
    }
  }

  #leave(line: PeerLine): undefined {
    const place = this.#places.get(line);
    if (place === undefined) return;
    this.#places.delete(line);
    line.lagged(this.#options.scheduler.lagMs - place.lagMs);
    place.slot.leave(false);
  }

  #say(
    effect: Extract<
      InitiatorEffect,
      { do: "say_refused" | "say_readable" | "say_no_resource" }
    >,
  ): undefined {
    const { log } = this.#options;
    const facts = { peer: effect.tunnel.peer, ...effect.tunnel.pair };
    switch (effect.do) {
      case "say_refused": {
        const { code, message: reason } = effect.outcome;
        log.warn("A peer refused a tunnel", { ...facts, code, reason });
        return;
      }
      case "say_readable": {
        const { reason } = effect;
        log.warn("The crypt offset that a peer asks for was refused", { ...facts, reason });
        return;
      }
      case "say_no_resource":
        log.warn("The data plane refused a tunnel", { ...facts, cause: effect.cause });
        return;
      default:
        return effect satisfies never;
    }
  }

  #context(
    { peer, waiting, most, version, pace, backOff, patientUntil }: PeerLine,
  ): InitiatorContext {
    const { clock, bootEpoch, ivCounts, config, defaults, plane, peers } = this.#options;
    const now = clock.now();
    waiting.advance(now);
    return {
      now,
      peer,
      bootEpoch,
      ivCounts,
      config,
      own: defaults,
      waiting,
      most,
      atOnce: this.#cost.usesWithin(SLICE_MS),
      mostUrgent: pace.isSlow(now) ? most : this.#cost.tunnelsWithin(URGENT_MS),
      version,
      aloneUntil: backOff.nextAttemptAt(now),
      patientUntil,
      rotations: () => plane.masterKey().rotations,
      stateOf: (key) => this.#table.get(key)?.state,
      get: (key) => this.#table.get(key),
      ofPeer: (id) => this.#table.ofPeer(id),
      peerOf: (id) => peers.get(id),
    };
  }
}

/** Tunnels that have not got their part of the answer yet. */
function unused(state: AskingState): number {
  if (state.kind === "using") return state.left.length;
  return state.kind === "hearing" ? state.call.offers.length : 0;
}

/** Rejects when the core stops, and does nothing before. */
function endOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Parts of the work for a tunnel, that are done at different times. */
const PARTS = ["offer", "use"] as const;

/** What a tunnel takes of the thread: averages, of which newer ones count more. */
export class Cost {
  readonly #ms: Record<(typeof PARTS)[number], number | undefined> = {
    offer: undefined,
    use: undefined,
  };

  /** A part of the work for so many tunnels has taken so long. */
  took(part: (typeof PARTS)[number], ms: number, tunnels: number): void {
    if (tunnels === 0) return;
    const before = this.#ms[part] ?? ms / tunnels;
    this.#ms[part] = before + COST_SHARE * (ms / tunnels - before);
  }

  /** How many tunnels of a request take so long together; as many as it has room for while nobody knows. */
  tunnelsWithin(ms: number): number {
    const fit = fitting(ms, PARTS.reduce((sum, part) => sum + (this.#ms[part] ?? 0), 0));
    return Math.max(fit, LEAST_TUNNELS);
  }

  /** How many parts of an answer can be used within so long. */
  usesWithin(ms: number): number {
    return fitting(ms, this.#ms.use ?? 0);
  }
}

function fitting(ms: number, each: number): number {
  const fit = each > 0 ? Math.floor(ms / each) : MAX_TUNNELS_PER_REQUEST;
  return Math.min(Math.max(fit, 1), MAX_TUNNELS_PER_REQUEST);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Answers peers' requests: lets them in, brings them to `responder.ts`, carries out what it says, and keeps the answers for
 * a while: the same request gets the same one.
 */
import { DataPlaneError, type TxKey } from "../../ffi/plane.ts";
import type { Config, PeerConfig } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import { requestDigest } from "../model/digest.ts";
import { messageOf } from "../model/errors.ts";
import type { EventSink } from "../model/events.ts";
import {
  ExchangeError,
  type NewTunnelReply,
  type NewTunnelRequest,
  requestWeight,
} from "../model/exchange.ts";
import type { Flows } from "../model/flows.ts";
import type { Log } from "../model/log.ts";
import type { Random } from "../model/random.ts";
import { pairKey, type PspParams } from "../model/sa.ts";
import type { SaRecords } from "../model/sa_record.ts";
import type { Peers } from "./directory.ts";
import {
  MEMORY_MS,
  MEMORY_TUNNELS,
  MEMORY_TUNNELS_PER_PEER,
  UNHEARD_ASK_MS,
  UNHEARD_SPREAD_MS,
} from "./limits.ts";
import { type KeyShares, type SaDefaults, type SpiSource, txFrom } from "./params.ts";
import type { PeerGate } from "./peer.ts";
import {
  type Grant,
  NEW,
  objectionTo,
  REFUSAL_COUNTERS,
  type RefusalCode,
  type ResponderContext,
  type ResponderEffect,
  type ResponderEvent,
  type ResponderState,
  stepResponder,
} from "./responder.ts";
import type { Shares, Shortage } from "./shares.ts";
import type { Event } from "./tunnel.ts";
import type { TunnelTable } from "./tunnel_table.ts";

/** What it takes to answer. */
export interface ResponderOptions {
  readonly config: Pick<Config, "id" | "psp" | "networks">;
  readonly bootEpoch: bigint;
  readonly peers: Peers;
  readonly gate: Pick<PeerGate, "admit" | "checkEpoch">;
  readonly memory: RequestMemory;
  readonly table: TunnelTable;
  readonly shares: Pick<Shares, "lacksSa">;
  readonly spis: Pick<SpiSource, "derive">;
  /** What this host offers at this very moment. */
  readonly offers: { inFlight(key: string): PspParams | undefined };
  /** What this host says of its own IVs. */
  readonly ivCounts: boolean;
  readonly flows: Pick<Flows, "ignoreReplays">;
  readonly defaults: SaDefaults;
  readonly store: Pick<SaRecords, "putPip">;
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: Counters;
  readonly events: EventSink;
  readonly log: Log;
}

/** What a grant does to its tunnel, or why it cannot be. */
type Granted =
  | { readonly event: Extract<Event<TxKey>, { type: "asked" }> }
  | { readonly error: unknown };
type Grants = ReadonlyMap<Grant, Granted>;

/** A request that is being answered. */
interface Run {
  readonly peer: string;
  readonly request: NewTunnelRequest;
  state: ResponderState;
  reply: NewTunnelReply | undefined;
}

/** The answering side. */
export class ResponderDriver {
  readonly #options: ResponderOptions;
  readonly #context: ResponderContext;

  constructor(options: ResponderOptions) {
    this.#options = options;
    const { config, bootEpoch, ivCounts, defaults, peers, table, shares, offers } = options;
    this.#context = {
      config,
      bootEpoch,
      ivCounts,
      own: defaults,
      owns: (peer, vip) => peers.owns(peer, vip),
      isLocal: (vip) => peers.isLocal(vip),
      stateOf: (key) => table.get(key)?.state,
      onOffer: (key) => offers.inFlight(key),
      lacks: (wish, promised) => table.lacks(wish, promised),
      lacksSa: (peer, ahead) => shares.lacksSa(peer, ahead),
    };
  }

  /**
   * Answers a request. The keys in it are wiped, whatever comes of it; those in the answer belong to the
   * memory, which wipes them. Throws `ExchangeError`.
   */
  newTunnel(peerId: string, request: NewTunnelRequest): NewTunnelReply {
    try {
      const peer = this.#options.gate.admit(peerId, requestWeight(request.tunnels.length));
      const run: Run = { peer: peerId, request, state: NEW, reply: undefined };
      this.#take(run, { type: "asked", peer, request });
      if (run.reply === undefined) throw new ExchangeError("internal", "no answer was made");
      return run.reply;
    } catch (error) {
      const { codeText: reason, message } = ExchangeError.from(error);
      this.#options.events.add("request-refused", { peer: peerId, reason, message });
      throw error;
    } finally {
      for (const { reverse } of request.tunnels) reverse.key.wipe();
    }
  }

  /** See `objectionTo`. Changes and counts nothing. */
  objection(
    peer: PeerConfig,
    question: Parameters<typeof objectionTo>[1],
  ): ReturnType<typeof objectionTo> {
    return objectionTo(peer, question, this.#context);
  }

  /** Takes a step and carries it out; what comes of an effect is the next event. Throws `ExchangeError`. */
  #take(run: Run, event: ResponderEvent): void {
    const { state, effects } = stepResponder(run.state, event, this.#context);
    run.state = state;
    const { peer, request: { requestId } } = run;
    const facts = { peer, kind: event.type, state: state.kind, requestId };
    this.#options.log.debug("Answering a peer takes a step", facts);
    const grants = this.#grants(effects);
    this.#options.table.together(
      () => {
        for (const effect of effects) this.#perform(run, effect, grants);
      },
      [...grants].flatMap(([{ pair, peer }, granted]) =>
        "event" in granted ? [{ key: pairKey(pair), peer: peer.id, event: granted.event }] : []
      ),
    );
  }

  #perform(run: Run, effect: ResponderEffect, grants: Grants): void {
    const { peer, request } = run;
    const { counters, gate, memory, table, clock } = this.#options;
    switch (effect.do) {
      case "reject":
        counters.add(effect.counter);
        throw effect.error;
      case "recall":
        gate.checkEpoch(peer, request.bootEpoch);
        return this.#take(run, { type: "recalled", known: memory.recall(peer, request) });
      case "make_room": {
        const { wish, promised, kept } = effect;
        const lack = table.makeRoom(wish, { promised, kept });
        return this.#take(run, { type: "room", lack });
      }
      case "derive":
        return this.#derive(run, effect);
      case "grant":
        return this.#grant(run, effect, grants.get(effect));
      case "finish":
        return this.#take(run, { type: "granted" });
      case "repeat":
        run.reply = effect.reply;
        return;
      case "answer": {
        const { reply, isKept } = effect;
        if (isKept) memory.remember(peer, request, { reply, now: clock.now() });
        run.reply = reply;
        return;
      }
      case "wipe":
        return effect.made.params.key.wipe();
      case "say_refused":
        return this.#sayRefused(peer, effect);
      case "say_no_room":
        return this.#sayNoRoom(peer, effect);
      case "say_no_resource":
        return this.#sayNoResource(effect.cause);
      case "count":
        return counters.add(effect.counter);
      default:
        return effect satisfies never;
    }
  }

  #derive(run: Run, { version, wanted }: Extract<ResponderEffect, { do: "derive" }>): void {
    let event: Extract<ResponderEvent, { type: "derived" }>;
    try {
      const made = this.#options.spis.derive(version, wanted);
      event = { type: "derived", made, problem: "" };
    } catch (error) {
      event = { type: "derived", made: [], problem: messageOf(error) };
    }
    this.#take(run, event);
  }

  /** What is to be programmed for each tunnel that is granted. */
  #grants(effects: readonly ResponderEffect[]): Grants {
    return new Map(
      effects.filter((effect) => effect.do === "grant").map((grant) => [
        grant,
        this.#granted(grant),
      ]),
    );
  }

  #granted({ peer, pair, reverse, epoch, rx, serial, uncounted }: Grant): Granted {
    const { clock, peers, store, random, defaults, flows } = this.#options;
    try {
      if (uncounted !== undefined) flows.ignoreReplays(uncounted);
      if (peers.learnPip(peer.id, reverse.pip)) store.putPip(peer.id, reverse.pip);
      const at = { now: clock.now(), wallMs: clock.wallMs() };
      const { tx: made, key } = txFrom(defaults, { params: reverse, pair, peer, epoch, at });
      const askAt = at.now + UNHEARD_ASK_MS + random.uniform() * UNHEARD_SPREAD_MS;
      const tx = { ...made, unconfirmed: { serial, askAt } };
      return { event: { type: "asked", tx, key, rx } };
    } catch (error) {
      return { error };
    }
  }

  #grant(run: Run, { tunnel, peer, pair }: Grant, granted: Granted | undefined): void {
    const { table } = this.#options;
    try {
      if (granted === undefined) return;
      if ("error" in granted) throw granted.error;
      const entry = table.ensure(pair, peer.id, "peer");
      table.apply(entry, granted.event);
      table.note(entry, "");
    } catch (error) {
      const isKeyUsed = error instanceof DataPlaneError && error.code === "EKEY";
      this.#take(run, { type: "failed", tunnel, isKeyUsed, message: messageOf(error) });
    }
  }

  #sayRefused(
    peer: string,
    { code, message }: { readonly code: RefusalCode; readonly message: string },
  ): void {
    const { counters, events, log } = this.#options;
    counters.add(REFUSAL_COUNTERS[code]);
    events.add("request-refused", { peer, reason: REFUSAL_COUNTERS[code], message });
    log.warn("A tunnel that a peer asked for was refused", { peer, code, reason: message });
  }

  #sayNoRoom(
    peer: string,
    { lack, message }: { readonly lack: Shortage; readonly message: string },
  ): void {
    const { counters, events, log } = this.#options;
    counters.add(lack);
    events.add("request-refused", { peer, reason: lack, message });
    log.warn("A tunnel that a peer asked for found no room", { peer, reason: lack });
  }

  #sayNoResource(cause: string): void {
    const { counters, log } = this.#options;
    counters.add("no-resource");
    log.warn("The data plane refused a tunnel that a peer asked for", { cause });
  }
}

// ---- answers that were given --------------------------------------------------------------------

interface Memo {
  readonly reply: NewTunnelReply;
  /** Its digest. */
  readonly asked: string;
  readonly until: number;
}

/** The answers, by peer and (boot epoch, request id). Holds a share of every key in them. */
export class RequestMemory {
  readonly #byPeer = new Map<string, { memos: Map<string, Memo>; tunnels: number }>();
  /** In all of them. */
  #tunnels = 0;
  /** All of them in the order in which they were kept, which is that of their ends. */
  readonly #ages = new Map<Memo, { readonly peer: string; readonly id: string }>();

  constructor(readonly shares: KeyShares) {}

  /** The answer that was given; "different": the id was used for another request. */
  recall(
    peer: string,
    request: NewTunnelRequest,
  ): NewTunnelReply | "different" | undefined {
    const memo = this.#byPeer.get(peer)?.memos.get(idOf(request));
    if (memo === undefined) return undefined;
    return memo.asked === requestDigest(request) ? memo.reply : "different";
  }

  /** Keeps an answer until `now` plus two minutes. */
  remember(
    peer: string,
    request: NewTunnelRequest,
    { reply, now }: { readonly reply: NewTunnelReply; readonly now: number },
  ): void {
    let kept = this.#byPeer.get(peer);
    if (kept === undefined) this.#byPeer.set(peer, kept = { memos: new Map(), tunnels: 0 });
    for (const outcome of reply.outcomes) if (outcome.ok) this.shares.hold(outcome.params.key);
    const id = idOf(request);
    const memo = { reply, asked: requestDigest(request), until: now + MEMORY_MS };
    kept.memos.set(id, memo);
    this.#ages.set(memo, { peer, id });
    kept.tunnels += reply.outcomes.length;
    this.#tunnels += reply.outcomes.length;
    for (const id of kept.memos.keys()) {
      if (kept.tunnels <= MEMORY_TUNNELS_PER_PEER || kept.memos.size === 1) break;
      this.#drop(peer, id);
    }
    while (this.#tunnels > MEMORY_TUNNELS) this.#dropOldestOf(this.#heaviest() ?? peer);
  }

  /** Drops what has had its time. */
  expire(now: number): void {
    for (const [{ until }, { peer, id }] of this.#ages) {
      if (until > now) break;
      this.#drop(peer, id);
    }
  }

  /** Drops everything of a peer: it was started anew, or denied. */
  forget(peer: string): void {
    for (const id of [...this.#byPeer.get(peer)?.memos.keys() ?? []]) this.#drop(peer, id);
  }

  /** Answers that are kept. */
  get size(): number {
    return this.#ages.size;
  }

  /** The peer with the most tunnels in its answers. */
  #heaviest(): string | undefined {
    let [found, most] = [undefined as string | undefined, 0];
    for (const [peer, { tunnels }] of this.#byPeer) {
      if (tunnels > most) [found, most] = [peer, tunnels];
    }
    return found;
  }

  #dropOldestOf(peer: string): void {
    const [oldest] = this.#byPeer.get(peer)?.memos.keys() ?? [];
    if (oldest !== undefined) this.#drop(peer, oldest);
  }

  #drop(peer: string, id: string): void {
    const kept = this.#byPeer.get(peer);
    const memo = kept?.memos.get(id);
    if (kept === undefined || memo === undefined) return;
    kept.memos.delete(id);
    this.#ages.delete(memo);
    kept.tunnels -= memo.reply.outcomes.length;
    this.#tunnels -= memo.reply.outcomes.length;
    for (const outcome of memo.reply.outcomes) {
      if (outcome.ok) this.shares.release(outcome.params.key);
    }
    if (kept.memos.size === 0) this.#byPeer.delete(peer);
  }
}

function idOf(request: NewTunnelRequest): string {
  return `${request.bootEpoch}/${request.requestId}`;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Where peers are, by their own word. A peer that is started anew somewhere else has moved, or there are two with one
 * identity; an outer address that is another peer's was given to this one, or is taken from that. Whoever was there
 * before is asked: an answer says that he still is.
 */
import type { Clock } from "../model/clock.ts";
import type { Counters } from "../model/counters.ts";
import type { EventSink } from "../model/events.ts";
import { ExchangeError, type Notice } from "../model/exchange.ts";
import type { Log } from "../model/log.ts";
import type { Tasks } from "../model/tasks.ts";
import { canonicalVip } from "../model/vip.ts";
import { hostOf, type Peers } from "./directory.ts";
import { ASK_AGAIN_MS, MAX_PLACES, PLACE_TIMEOUT_MS, VERDICT_MS } from "./limits.ts";
import type { Epochs } from "./peer.ts";
import type { PeerCalls, Scheduler } from "./scheduler.ts";

/** What a message says of where its sender is. */
export interface Claim {
  readonly epoch: bigint;
  /** Its outer address; undefined: it says none. */
  readonly pip: string | undefined;
  /** Where its connection comes from; undefined: not known. */
  readonly from: string | undefined;
}

/** What it takes to judge a claim. */
export interface WhereaboutsOptions {
  readonly bootEpoch: bigint;
  readonly peers: Pick<Peers, "get" | "denied" | "pipOf" | "byPip">;
  readonly epochs: Pick<Epochs, "news" | "of">;
  readonly calls: Pick<PeerCalls, "notify" | "notifyAt">;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly tasks: Tasks;
  readonly counters: Counters;
  readonly events: EventSink;
  readonly log: Log;
}

/** A question that was asked because of a claim. */
interface Doubt {
  readonly claim: string;
  readonly at: number;
  /** Rejects with `ExchangeError` when the claim does not hold. */
  readonly answer: Promise<void>;
  over: boolean;
}

/** The judge of what peers say of their places. */
export class Whereabouts {
  readonly #options: WhereaboutsOptions;
  /** The last one of each peer. */
  readonly #doubts = new Map<string, Doubt>();
  /** Where messages of a peer came from that were acted upon, the latest last. */
  readonly #places = new Map<string, Set<string>>();

  constructor(options: WhereaboutsOptions) {
    this.#options = options;
  }

  /**
   * undefined: the message may be acted upon. Else it may be once this resolves, within some two seconds; it rejects
   * with `ExchangeError` when somebody is found where the sender says that nobody is any more.
   */
  doubt(peer: string, claim: Claim): Promise<void> | undefined {
    const { peers, clock } = this.#options;
    if (peers.get(peer) === undefined || peers.denied(peer)) return undefined;
    const pip = claim.pip === undefined ? undefined : canonicalVip(claim.pip);
    const isElsewhere = this.#isElsewhere(peer, { ...claim, pip });
    const holder = pip === undefined ? undefined : this.#holder(peer, pip);
    if (!isElsewhere && holder === undefined) return undefined;
    const key = `${claim.epoch} ${pip ?? claim.from}`;
    const now = clock.now();
    const last = this.#doubts.get(peer);
    if (last?.claim === key && (!last.over || now - last.at < VERDICT_MS)) return last.answer;
    if (last !== undefined && (!last.over || now - last.at < ASK_AGAIN_MS)) {
      return Promise.reject(
        new ExchangeError("aborted", "this identity is being looked for elsewhere"),
      );
    }
    const doubt: Doubt = {
      claim: key,
      at: now,
      answer: this.#judge(peer, { ...claim, pip }, { isElsewhere, holder }),
      over: false,
    };
    doubt.answer.then(() => doubt.over = true, () => doubt.over = true);
    this.#doubts.set(peer, doubt);
    return doubt.answer;
  }

  /** A message that came from there was acted upon. */
  settle(peer: string, from: string | undefined): void {
    const place = from === undefined ? undefined : canonicalVip(from);
    if (place === undefined) return;
    const places = this.#places.get(peer) ?? new Set();
    places.delete(place);
    places.add(place);
    for (const oldest of places) {
      if (places.size <= MAX_PLACES) break;
      places.delete(oldest);
    }
    this.#places.set(peer, places);
  }

  /** The peer is gone. */
  forget(peer: string): void {
    this.#doubts.delete(peer);
    this.#places.delete(peer);
  }

  /** Whether a start that was not heard of before speaks from where the peer was not. */
  #isElsewhere(peer: string, { epoch, pip, from }: Claim): boolean {
    const { peers, epochs, clock } = this.#options;
    const news = epochs.news(peer, epoch, { now: clock.now(), wallMs: clock.wallMs() });
    if (news === "same" || news === "stale") return false;
    const known = peers.pipOf(peer);
    if (pip !== undefined) return known !== undefined && pip !== known;
    const place = from === undefined ? undefined : canonicalVip(from);
    const svc = hostOf(peers.get(peer)?.svcAddress ?? "");
    // Whose outer address is not known yet was never agreed with: there is nothing to lose.
    if (place === undefined || known === undefined) return false;
    return place !== known && place !== svc && !this.#places.get(peer)?.has(place);
  }

  /** Another peer that has the outer address, as far as is known. */
  #holder(peer: string, pip: string): string | undefined {
    const { peers } = this.#options;
    if (peers.pipOf(peer) === pip) return undefined;
    return peers.byPip(pip).find((id) => id !== peer && peers.pipOf(id) === pip);
  }

  async #judge(
    peer: string,
    claim: Claim,
    { isElsewhere, holder }: {
      readonly isElsewhere: boolean;
      readonly holder: string | undefined;
    },
  ): Promise<void> {
    const { peers, log } = this.#options;
    const { epoch, pip } = claim;
    if (holder !== undefined && pip !== undefined) {
      const isConfigured = peers.get(holder)?.pip !== undefined;
      if (isConfigured || (await this.#ask(holder, pip)) !== undefined) {
        throw this.#refuse(peer, claim, {
          counter: "refused-pip",
          message: `the outer address ${pip} is that of ${holder}`,
        });
      }
    }
    if (!isElsewhere) return;
    const known = peers.pipOf(peer);
    const answers = await Promise.all([
      known === undefined ? undefined : this.#ask(peer, known),
      this.#ask(peer),
    ]);
    if (answers.some((other) => other !== undefined && other !== epoch)) {
      throw this.#refuse(peer, claim, {
        counter: "refused-clone",
        message: `one identity from two addresses: ${peer} answers at ${known} too`,
      });
    }
    if (!answers.includes(epoch)) {
      log.info("A peer has moved: nobody answers at its address before", { peer, pip });
    }
  }

  #refuse(
    peer: string,
    { pip, from }: Claim,
    why: { readonly counter: "refused-pip" | "refused-clone"; readonly message: string },
  ): ExchangeError {
    const { counters, events, log } = this.#options;
    const { counter, message } = why;
    counters.add(counter);
    events.add("request-refused", { peer, reason: counter, message });
    log.warn("A peer is not believed to be where it says", {
      peer,
      pip,
      address: from,
      reason: message,
    });
    return new ExchangeError("permission_denied", message);
  }

  /** The boot epoch of the peer that answers at an address, or where it is configured; undefined: it does not. */
  async #ask(peer: string, address?: string): Promise<bigint | undefined> {
    const { bootEpoch, calls, scheduler, tasks } = this.#options;
    const hello: Notice = { bootEpoch, unknownSpis: [], closed: [], draining: false };
    const options = { timeoutMs: PLACE_TIMEOUT_MS };
    try {
      using _slot = await scheduler.enter({ peer, work: "packet" }, tasks.signal);
      const answer = address === undefined
        ? await calls.notify(peer, hello, options)
        : await calls.notifyAt(peer, address, hello, options);
      return answer.bootEpoch;
    } catch {
      return undefined;
    }
  }
}

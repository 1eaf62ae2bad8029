// SPDX-License-Identifier: Apache-2.0

/** Asks peers for tunnels: one exchange in flight per peer, with all that wait in it. */
import { callWithRetries, isUnanswered, wipeKeys } from "./exchange_call.ts";
import { ExchangeError, MAX_TUNNELS_PER_REQUEST } from "../model/exchange.ts";
import { type Offer, Outcomes } from "./outcomes.ts";
import type { Parts } from "./parts.ts";
import { PeerLine } from "./peer_line.ts";
import type { PeerWatch } from "./peer_watch.ts";
import type { PspParams, PspVersion } from "../model/sa.ts";
import type { SpiSource } from "./spi_source.ts";
import type { Tunnel, TunnelTable } from "./tunnel_table.ts";

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

/**
 * How long a request that was given up may be asked again with the same id: a responder keeps its answer for two
 * minutes from when it first came, and the last tries of this one take their time.
 */
const REPEAT_MS = 100_000;

/** The asking side. */
export class Initiator {
  readonly #parts: Parts;
  readonly #table: TunnelTable;
  readonly #spis: SpiSource;
  readonly #watch: PeerWatch;
  readonly #outcomes: Outcomes;
  readonly #lines = new Map<string, PeerLine>();
  readonly #inFlight = new Map<string, PspParams>();
  /** Of each peer the request that nobody answered, with a share of its keys: one at most, asked before any other. */
  readonly #unanswered = new Map<string, Asking>();

  constructor(
    parts: Parts,
    others: {
      readonly table: TunnelTable;
      readonly spis: SpiSource;
      readonly watch: PeerWatch;
    },
  ) {
    this.#parts = parts;
    this.#table = others.table;
    this.#spis = others.spis;
    this.#watch = others.watch;
    this.#outcomes = new Outcomes(parts, others.table);
  }

  /** Puts a tunnel into the next request to its peer. */
  ask(tunnel: Tunnel): void {
    const line = this.line(tunnel.peer);
    line.waiting.add(tunnel.key);
    if (line.running || this.#parts.tasks.signal.aborted) return;
    line.running = true;
    this.#parts.tasks.add(this.#run(line));
  }

  /** What is on offer for a tunnel and not yet answered: a crossing request is answered with it. */
  inFlight(key: string): PspParams | undefined {
    return this.#inFlight.get(key);
  }

  /** Lets go of requests that cannot be asked again any more. */
  tick(): void {
    for (const [peer, asking] of this.#unanswered) {
      if (!this.#isRepeatable(asking)) this.forget(peer);
    }
  }

  /** A peer's unanswered request is void: the peer was started anew, or denied. */
  forget(peer: string): void {
    const asking = this.#unanswered.get(peer);
    this.#unanswered.delete(peer);
    for (const { params } of asking?.offers ?? []) this.#parts.shares.release(params.key);
  }

  /** What is known about asking a peer. */
  line(peer: string): PeerLine {
    let line = this.#lines.get(peer);
    if (line === undefined) this.#lines.set(peer, line = new PeerLine(peer, this.#parts));
    return line;
  }

  async #run(line: PeerLine): Promise<void> {
    try {
      // All events of the batch that brought this one join the first request.
      await Promise.resolve();
      while (line.waiting.size > 0 && !this.#parts.tasks.signal.aborted) {
        const now = this.#parts.clock.now();
        const at = line.backOff.nextAttemptAt(now);
        const waitMs = at === undefined ? line.pace.take(now, line.waiting.size) : at - now;
        if (waitMs > 0) await line.pause(waitMs);
        else await this.#exchange(line);
      }
    } finally {
      line.running = false;
    }
  }

  async #exchange(line: PeerLine): Promise<void> {
    const { config, counters } = this.#parts;
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
        const version = await this.#askOnce(line, { ...asking, last: round === 2 });
        if (version === undefined) return;
        asking = this.#offer(offers.map(({ tunnel }) => tunnel), version);
      } catch (cause) {
        if (this.#parts.tasks.signal.aborted) throw cause;
        this.#outcomes.fail(line, { offers, error: ExchangeError.from(cause), maybe: true });
        return;
      } finally {
        for (const { tunnel, params } of offers) {
          this.#inFlight.delete(tunnel.key);
          this.#parts.shares.release(params.key);
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
    this.#parts.counters.add("requests-repeated");
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
    const { clock, plane } = this.#parts;
    if (clock.now() - since >= REPEAT_MS) return false;
    const { rotations } = plane.masterKey();
    return offers.some(({ tunnel, rx: { generation, sa: { spi } } }) =>
      generation === rotations &&
      this.#table.get(tunnel.key)?.state.rx.some((rx) =>
        rx.sa.spi === spi && rx.maybeUntil !== undefined && rx.supersededAt === undefined
      )
    );
  }

  #isOnOffer({ key }: Tunnel, spi: number): boolean {
    const state = this.#table.get(key)?.state;
    return (state?.kind === "opening" || state?.kind === "rekeying") && state.offered === spi;
  }

  #takeBatch(line: PeerLine): Tunnel[] {
    const batch: Tunnel[] = [];
    for (const key of line.waiting) {
      if (batch.length === MAX_TUNNELS_PER_REQUEST) break;
      line.waiting.delete(key);
      const tunnel = this.#table.get(key);
      if (tunnel !== undefined && isAsking(tunnel)) batch.push(tunnel);
    }
    return batch;
  }

  /** Derives SPIs and keys, and programs receive before anybody is told. */
  #offer(batch: readonly Tunnel[], version: PspVersion): Asking {
    const { peers, shares, clock, random } = this.#parts;
    const wishes = batch.flatMap((tunnel) => {
      const peer = peers.get(tunnel.peer);
      return peer === undefined ? [] : [{ tunnel, pair: tunnel.pair, peer }];
    });
    const offers: Offer[] = [];
    try {
      const derived = this.#spis.derive(version, wishes);
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
    asked: Asking & { readonly last: boolean },
  ): Promise<PspVersion | undefined> {
    const { config: { psp }, bootEpoch, counters } = this.#parts;
    const { requestId, offers, version } = asked;
    const result = await callWithRetries(this.#parts, line, {
      bootEpoch,
      requestId,
      versionsAccepted: psp.versions,
      tunnels: offers.map(({ tunnel, params }) => ({ ...tunnel.pair, reverse: params })),
    });
    if (!result.ok) {
      const { error, maybe } = result;
      const unanswered = (maybe || asked.again) && isUnanswered(error);
      if (unanswered) this.#keep(line.peer, asked);
      this.#outcomes.fail(line, { offers, error, maybe: maybe || asked.again });
      return undefined;
    }
    const { reply } = result;
    if (!this.#watch.hear(line.peer, reply.bootEpoch)) {
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

  /** For `#again`, with a share of its keys of its own. */
  #keep(peer: string, { requestId, version, offers, since }: Asking): void {
    for (const { params } of offers) this.#parts.shares.hold(params.key);
    this.#unanswered.set(peer, { requestId, version, offers, since, again: true });
  }
}

function isAsking({ state }: Tunnel): boolean {
  return (state.kind === "opening" || state.kind === "rekeying") && state.offered === undefined;
}

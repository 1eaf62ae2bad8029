// SPDX-License-Identifier: Apache-2.0

/** Asks peers for tunnels: one exchange in flight per peer, with all that wait in it. */
import { Code, ConnectError } from "@connectrpc/connect";
import { callWithRetries, wipeKeys } from "./exchange_call.ts";
import { MAX_TUNNELS_PER_REQUEST } from "./exchange.ts";
import { type Offer, Outcomes } from "./outcomes.ts";
import type { Parts } from "../tunnels/parts.ts";
import { PeerLine } from "../peers/peer_line.ts";
import type { PeerWatch } from "../peers/peer_watch.ts";
import type { PspParams, PspVersion } from "../sa/sa.ts";
import type { SpiSource } from "./spi_source.ts";
import type { Tunnel, TunnelTable } from "../tunnels/tunnel_table.ts";

/** The asking side. */
export class Initiator {
  readonly #parts: Parts;
  readonly #table: TunnelTable;
  readonly #spis: SpiSource;
  readonly #watch: PeerWatch;
  readonly #outcomes: Outcomes;
  readonly #lines = new Map<string, PeerLine>();
  readonly #inFlight = new Map<string, PspParams>();

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
        if (at !== undefined) await line.pause(at - now);
        else if (!line.pace.take(now)) await line.pause(1000 / line.pace.rate);
        else await this.#exchange(line);
      }
    } finally {
      line.running = false;
    }
  }

  async #exchange(line: PeerLine): Promise<void> {
    const { config, counters } = this.#parts;
    let batch = this.#takeBatch(line);
    let version = line.version ?? config.psp.versions[0];
    if (batch.length === 0 || version === undefined) return;
    counters.add("initiator-exchanges");
    // The second round is for another version; a responder that changes its mind again has failed.
    for (let round = 1; round <= 2; round++) {
      const offers = this.#offer(batch, version);
      if (offers.length === 0) return;
      try {
        line.backOff.begin();
        const next = await this.#askOnce(line, { offers, version, last: round === 2 });
        if (next === undefined) return;
        version = next;
        batch = offers.map(({ tunnel }) => tunnel);
      } catch (cause) {
        if (this.#parts.tasks.signal.aborted) throw cause;
        this.#outcomes.fail(line, { offers, error: ConnectError.from(cause), maybe: true });
        return;
      } finally {
        for (const { tunnel, params } of offers) {
          this.#inFlight.delete(tunnel.key);
          this.#parts.shares.release(params.key);
        }
      }
    }
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
  #offer(batch: readonly Tunnel[], version: PspVersion): Offer[] {
    const { peers, shares } = this.#parts;
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
    return offers;
  }

  /** One request with its retries. Returns the version to ask again with, if it comes to that. */
  async #askOnce(
    line: PeerLine,
    asked: {
      readonly offers: readonly Offer[];
      readonly version: PspVersion;
      readonly last: boolean;
    },
  ): Promise<PspVersion | undefined> {
    const { config: { psp }, bootEpoch, random, counters } = this.#parts;
    const { offers, version } = asked;
    const result = await callWithRetries(this.#parts, line.peer, {
      bootEpoch,
      requestId: random.hex(16),
      versionsAccepted: psp.versions,
      tunnels: offers.map(({ tunnel, params }) => ({ ...tunnel.pair, reverse: params })),
    });
    if (!result.ok) {
      this.#outcomes.fail(line, { offers, ...result });
      return undefined;
    }
    const { reply } = result;
    if (!this.#watch.hear(line.peer, reply.bootEpoch)) {
      wipeKeys(reply);
      const error = new ConnectError("the answer is of an earlier start", Code.Aborted);
      this.#outcomes.fail(line, { offers, error, maybe: true });
      return undefined;
    }
    if (reply.version !== version && reply.outcomes.length === 0) {
      if (!asked.last && psp.versions.includes(reply.version)) {
        counters.add("version-fallbacks");
        for (const { tunnel, rx } of offers) {
          this.#table.apply(tunnel, { type: "withdrawn", spi: rx.sa.spi });
        }
        return reply.version;
      }
    }
    if (reply.outcomes.length !== offers.length) {
      wipeKeys(reply);
      const error = new ConnectError(
        `the answer has ${reply.outcomes.length} outcomes for ${offers.length} tunnels`,
        Code.Internal,
      );
      this.#outcomes.fail(line, { offers, error, maybe: true });
      return undefined;
    }
    // In another version than was asked for there is nothing to settle, and nothing to remember.
    if (reply.version === version) line.version = version;
    line.recovered();
    for (const [i, offer] of offers.entries()) {
      const outcome = reply.outcomes[i];
      if (outcome !== undefined) this.#outcomes.settle(offer, { outcome, reply });
    }
    return undefined;
  }
}

function isAsking({ state }: Tunnel): boolean {
  return (state.kind === "opening" || state.kind === "rekeying") && state.offered === undefined;
}

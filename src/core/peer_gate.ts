// SPDX-License-Identifier: Apache-2.0

/** Which peers may be served at this moment: known, not denied, within the rate, of the current start. */
import type { PeerConfig } from "../config/config.ts";
import { ExchangeError, RATE_REFUSAL } from "../model/exchange.ts";
import type { Parts } from "./parts.ts";
import type { PeerWatch } from "./peer_watch.ts";
import { TokenBucket } from "./token_bucket.ts";

/** All peers together may ask this many times as often as one. */
const GLOBAL_FACTOR = 40;

/** The gate that every message of a peer passes. */
export class PeerGate {
  readonly #parts: Parts;
  readonly #watch: PeerWatch;
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #all: TokenBucket;
  /** Nothing is served any more. */
  stopping = false;

  constructor(parts: Parts, watch: PeerWatch) {
    this.#parts = parts;
    this.#watch = watch;
    const { peerRate, peerBurst } = parts.config.rpc;
    this.#all = new TokenBucket(peerRate * GLOBAL_FACTOR, peerBurst * GLOBAL_FACTOR);
  }

  /**
   * The peer's configuration. `weight` is what its message costs, as a share of a full request; a notice makes this
   * host look through all tunnels of the peer, and counts as one. Throws `ExchangeError`: permission_denied,
   * unavailable, resource_exhausted.
   */
  admit(id: string, weight = 1): PeerConfig {
    const { peers, counters, clock, config: { rpc } } = this.#parts;
    const peer = peers.get(id);
    if (peer === undefined || peers.denied(id)) {
      counters.add("refused-identity");
      throw new ExchangeError("permission_denied", `${id} is not a peer of this host`);
    }
    if (this.stopping) throw new ExchangeError("unavailable", "this agent is stopping");
    let bucket = this.#buckets.get(id);
    if (bucket === undefined) {
      this.#buckets.set(id, bucket = new TokenBucket(rpc.peerRate, rpc.peerBurst));
    }
    if (!bucket.take(clock.now(), weight) || !this.#all.take(clock.now(), weight)) {
      counters.add("refused-rate");
      throw new ExchangeError("resource_exhausted", RATE_REFUSAL);
    }
    return peer;
  }

  /** Throws `ExchangeError` failed_precondition for a message of an earlier start of the peer. */
  checkEpoch(id: string, epoch: bigint): void {
    if (this.#watch.hear(id, epoch)) return;
    throw new ExchangeError(
      "failed_precondition",
      `Boot epoch ${epoch} is over: ${this.#parts.epochs.of(id)} is known`,
    );
  }
}

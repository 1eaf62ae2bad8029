// SPDX-License-Identifier: Apache-2.0

/** This host's own record in a store, under a lease that is kept alive: with the host the record goes. */
import type { Clock } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import { KvError, type KvStore } from "../model/kv.ts";
import type { Log } from "../model/log.ts";
import type { Random } from "../model/random.ts";

/** What it is given. */
export interface RegistrationOptions {
  readonly kv: Pick<KvStore, "put" | "grantLease" | "keepLease">;
  readonly key: string;
  /** The record as it is to be. */
  readonly own: () => string;
  readonly leaseS: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A changed configuration is written after this long at most. */
const LOOK_MS = 1000;
/** After a failure: this at first, doubling up to a tenth of the lease. */
const RETRY_FIRST_MS = 500;

/** Keeps the record there. */
export class Registration {
  readonly #options: RegistrationOptions;
  #lease: bigint | undefined;
  #written = "";
  #renewAt = 0;
  /** Why the record is not there; "" when it is. */
  lastError = "";

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /**
   * Until `signal` aborts. The record is not taken back then: an agent that is started again within the time of the lease
   * was never away.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, leaseS, log } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      let waitMs = LOOK_MS;
      try {
        await this.#step();
        failures = 0;
        this.lastError = "";
      } catch (error) {
        if (signal.aborted) return;
        const reason = messageOf(error);
        if (reason !== this.lastError) {
          log.warn("This host's own record cannot be kept in the directory", { reason });
        }
        this.lastError = reason;
        const most = Math.max(RETRY_FIRST_MS, leaseS * 100);
        waitMs = Math.min(RETRY_FIRST_MS * 2 ** Math.min(failures++, 20), most);
      }
      await clock.sleep(waitMs * (0.5 + random.uniform() / 2), signal).catch(() => {});
    }
  }

  /** Somebody has taken it away, or it never came to this store: it is written again. */
  missing(): void {
    this.#written = "";
  }

  async #step(): Promise<void> {
    const { kv, key, own, leaseS, clock, log } = this.#options;
    const now = clock.now();
    if (this.#lease !== undefined && now >= this.#renewAt) {
      if (await kv.keepLease(this.#lease) > 0) this.#renewAt = now + leaseS * 1000 / 3;
      else this.#lease = undefined;
    }
    const record = own();
    if (this.#lease !== undefined && record === this.#written) return;
    if (this.#lease === undefined) {
      this.#lease = await kv.grantLease(leaseS);
      this.#renewAt = now + leaseS * 1000 / 3;
    }
    try {
      await kv.put({ key, value: record, lease: this.#lease });
    } catch (error) {
      // The lease may be one of another store, or have ended.
      if (error instanceof KvError && error.failure === "other") this.#lease = undefined;
      throw error;
    }
    this.#written = record;
    log.info("This host's own record is in the directory", { path: key });
  }
}

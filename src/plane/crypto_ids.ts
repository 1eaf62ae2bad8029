// SPDX-License-Identifier: Apache-2.0

/**
 * Crypto ids, and the transmit keys that they get, each with IVs that no other key has: those of the run in the upper 24
 * bits, which no earlier start had and no later one gets. So a key that a peer offers again, after a restart too, meets
 * other IVs. Within a run the plane knows the keys that it had; when it knows as many as it may, the next run begins and it
 * forgets them. A plane that chooses its IVs by itself gets keys as they are, and refuses those that it had.
 */
import { DataPlaneError, type Plane, type TxKey } from "../../ffi/plane.ts";
import { messageOf } from "../model/errors.ts";

/** Ids 1..max: the lowest free one is given out first, so that few are ever in use. */
export class CryptoIds {
  readonly #used: Uint8Array;
  /** No id below is free. */
  #lowest = 1;
  #size = 0;

  /** `max` ids. */
  constructor(readonly max: number) {
    this.#used = new Uint8Array(max + 1);
  }

  /** How many are given out. */
  get size(): number {
    return this.#size;
  }

  /** The lowest free id; undefined when there is none. */
  take(): number | undefined {
    const id = this.#used.indexOf(0, this.#lowest);
    if (id === -1) {
      this.#lowest = this.max + 1;
      return undefined;
    }
    this.#used[id] = 1;
    this.#lowest = id + 1;
    this.#size++;
    return id;
  }

  /** Throws RangeError when the id was not given out. */
  free(id: number): void {
    if (this.#used[id] !== 1) throw new RangeError(`Cannot free crypto id ${id}: it is not in use`);
    this.#used[id] = 0;
    this.#lowest = Math.min(this.#lowest, id);
    this.#size--;
  }
}

/** Below the run: 2^40 IVs, of which a key may have fewer (`MAX_LIFE_PACKETS`). */
const RUN_SHIFT = 40n;

export interface TxKeysOptions {
  readonly plane: Pick<Plane, "setCrypto" | "changeKeys" | "granted">;
  /** A run that nobody had before, durable when it returns. Absent: keys start as the plane sees fit. */
  readonly nextRun?: (() => bigint) | undefined;
}

/** One for each open plane. Takes a run at once where the plane can use it. */
export class TxKeys {
  readonly #options: TxKeysOptions;
  #run: bigint | undefined;

  constructor(options: TxKeysOptions) {
    this.#options = options;
    const { plane, nextRun } = options;
    if (nextRun !== undefined && plane.granted().features.has("iv-start")) this.#run = nextRun();
  }

  /** Gives a crypto id its key. Throws `DataPlaneError`. */
  set(cryptoId: number, key: TxKey): void {
    const { plane } = this.#options;
    try {
      plane.setCrypto(cryptoId, this.#started(key));
    } catch (error) {
      if (!this.#isFull(error)) throw error;
      this.#nextRun();
      plane.setCrypto(cryptoId, this.#started(key));
    }
  }

  /** The same for many, in few calls; what each was refused with. Throws `DataPlaneError`, having done nothing. */
  setAll(
    keys: readonly { readonly cryptoId: number; readonly key: TxKey }[],
  ): readonly (DataPlaneError | undefined)[] {
    const changes = keys.map(({ cryptoId, key }) =>
      ({ op: "set", cryptoId, key: this.#started(key) }) as const
    );
    return this.#options.plane.changeKeys(changes).map(({ error }, i) => {
      const refused = keys[i];
      return refused !== undefined && this.#isFull(error) ? this.#setAgain(refused) : error;
    });
  }

  #setAgain(
    { cryptoId, key }: { readonly cryptoId: number; readonly key: TxKey },
  ): DataPlaneError | undefined {
    try {
      this.set(cryptoId, key);
      return undefined;
    } catch (error) {
      if (error instanceof DataPlaneError) return error;
      throw error;
    }
  }

  /** The key with the IVs of this run. */
  #started(key: TxKey): TxKey {
    return this.#run === undefined ? key : { ...key, ivStart: this.#run << RUN_SHIFT };
  }

  /** Whether the plane knows as many keys of this run as it may. */
  #isFull(error: unknown): boolean {
    const isNoRoom = error instanceof DataPlaneError && error.code === "ENOSPC";
    return isNoRoom && this.#run !== undefined;
  }

  #nextRun(): void {
    const { nextRun } = this.#options;
    if (nextRun !== undefined) this.#run = another(nextRun);
  }
}

function another(nextRun: () => bigint): bigint {
  try {
    return nextRun();
  } catch (cause) {
    throw new DataPlaneError(`Cannot begin a run of IVs: ${messageOf(cause)}`, "ENOSPC", { cause });
  }
}

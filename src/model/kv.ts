// SPDX-License-Identifier: Apache-2.0

/** A key-value store that can be watched, as the directory uses it: etcd, without its wire. */

/** What stands under a key. */
export interface KvItem {
  readonly key: string;
  readonly value: string;
  /** When the key was created: of two the smaller one was there first. */
  readonly createRevision: bigint;
}

/** What became of a key; `value` undefined: it is gone. */
export interface KvChange {
  readonly key: string;
  readonly value: string | undefined;
  readonly createRevision: bigint;
}

/** A page of what stands under a prefix, all of one revision. */
export interface KvPage {
  readonly items: readonly KvItem[];
  /** Keys follow: the next page begins behind the last one. */
  readonly more: boolean;
  readonly revision: bigint;
  /** Which store it is: another one numbers its revisions anew. */
  readonly cluster: bigint;
}

/** Changes of one moment; the first batch of a watch has none. */
export interface KvBatch {
  readonly changes: readonly KvChange[];
  /** Of the store, with them. */
  readonly revision: bigint;
  readonly cluster: bigint;
}

/** Why the store did not do what it was asked. */
export type KvFailure =
  /** It cannot be reached, or not now. */
  | "unavailable"
  /** It does not know who asks, or he may not. */
  | "refused"
  /** It does not know any more what came after that revision. */
  | "compacted"
  | "other";

/** What every method of `KvStore` rejects with. */
export class KvError extends Error {
  override readonly name = "KvError";
  constructor(readonly failure: KvFailure, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** The store. Every method rejects with `KvError`; each call has a deadline of its own, but for a watch. */
export interface KvStore extends Disposable {
  /** What stands under a prefix, from behind `after`; `revision` undefined: as it is now. */
  range(
    query: {
      readonly prefix: string;
      readonly after?: string | undefined;
      readonly limit: number;
      readonly revision?: bigint | undefined;
    },
  ): Promise<KvPage>;
  /** Everything that changes under a prefix from a revision on, until `signal` aborts or the store is gone. */
  watch(
    query: { readonly prefix: string; readonly fromRevision: bigint },
    signal: AbortSignal,
  ): AsyncIterable<KvBatch>;
  /** Writes a key, which goes with its lease. */
  put(
    item: { readonly key: string; readonly value: string; readonly lease: bigint },
  ): Promise<void>;
  grantLease(seconds: number): Promise<bigint>;
  /** Seconds that it has again; 0: there is no such lease any more. */
  keepLease(lease: bigint): Promise<number>;
}

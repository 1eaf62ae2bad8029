// SPDX-License-Identifier: Apache-2.0

/** What a source of the directory said last, kept for when it is away. */

/** A record as it stood there. */
export interface KnownRecord {
  readonly key: string;
  readonly value: string;
  readonly order: bigint;
}

/** Which state of the source it was. */
export interface KnownState {
  /** The store, and its revision. */
  readonly cluster: bigint;
  readonly revision: bigint;
  /** When it was the newest, wall clock. */
  readonly atMs: number;
}

/** Where it is kept, by the name of the source. Nothing throws. */
export interface KnownDirectory {
  /** undefined: nothing was ever known. */
  load(source: string): KnownState & { readonly records: readonly KnownRecord[] } | undefined;
  update(
    source: string,
    change: KnownState & {
      readonly put: readonly KnownRecord[];
      readonly removed: readonly string[];
    },
  ): void;
}

// SPDX-License-Identifier: Apache-2.0

/** Lists of changes of entries and keys as arrays of the ABI's items, and their outcomes. */
import { decodeStats, encodeKey, type EntryEncoder, Struct } from "./codec.ts";
import type { EntryChange, KeyChange, Stats } from "./plane.ts";
import { LAYOUT, sizeOf } from "./symbols.ts";

/** PSP_DP_LIST_MAX: items of one call. */
export const LIST_MAX = 1024;

/** enum psp_dp_op */
const OPS = { add: 0, set: 0, update: 1, remove: 2, clear: 2, query: 3 } as const;

/** What the library says of an item; `status` as its functions return it. */
export interface ItemOutcome {
  readonly status: number;
  readonly entry: number;
  readonly stats: Stats;
}

/** An array of struct psp_dp_entry_item; `control`: whether a pipe, or that of an entry, is one. Throws RangeError. */
export function encodeEntryItems(
  changes: readonly EntryChange[],
  { encoder, isControl }: {
    readonly encoder: EntryEncoder;
    readonly isControl: (change: EntryChange) => boolean;
  },
): Uint8Array<ArrayBuffer> {
  const size = sizeOf("psp_dp_entry_item");
  const [at] = LAYOUT.psp_dp_entry_item.desc;
  const items = new Uint8Array(changes.length * size);
  changes.forEach((change, i) => {
    const item = new Struct("psp_dp_entry_item", items, i * size).setSize()
      .set("op", OPS[change.op]);
    if (change.op === "add") item.set("pipe", change.pipe);
    else item.set("entry", change.id);
    if (change.op === "add" || change.op === "update") {
      const desc = encoder.encode(change.entry, { control: isControl(change) });
      items.set(desc.bytes, i * size + at);
    }
  });
  return items;
}

/** An array of struct psp_dp_key_item. It holds keys in clear: wipe it after use. */
export function encodeKeyItems(changes: readonly KeyChange[]): Uint8Array<ArrayBuffer> {
  const size = sizeOf("psp_dp_key_item");
  const items = new Uint8Array(changes.length * size);
  changes.forEach((change, i) => {
    const item = new Struct("psp_dp_key_item", items, i * size).setSize()
      .set("op", OPS[change.op]).set("crypto_id", change.cryptoId);
    if (change.op === "set") encodeKey(change.key, item.inner("key", "psp_dp_key"));
  });
  return items;
}

/** What became of each item. */
export function decodeItems(
  name: "psp_dp_entry_item" | "psp_dp_key_item",
  items: Uint8Array<ArrayBuffer>,
): ItemOutcome[] {
  const size = sizeOf(name);
  return Array.from({ length: items.length / size }, (_, i) => {
    const item = new Struct(name, items, i * size);
    return {
      status: item.number("status") | 0,
      entry: name === "psp_dp_entry_item" ? new Struct(name, items, i * size).number("entry") : 0,
      stats: decodeStats(item.inner("stats", "psp_dp_stats")),
    };
  });
}

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { GetStatusResponseSchema, HistogramSchema } from "../rpc/gen/psp/v1/status_pb.ts";
import { amount, between, EMPTY, grouped, grown, KEPT, quantile, span } from "./rates.ts";

function look(atMs: number, counters: Record<string, bigint>, drops = {}, bootEpoch = 1n) {
  return { atMs, status: create(GetStatusResponseSchema, { counters, drops, bootEpoch }) };
}

Deno.test("two looks make rates a second: octets as bits, drops by reason", () => {
  const before = look(1000, { "tx-bytes": 1000n, "initiator-exchanges": 1n }, { refused: 1n });
  const now = look(3000, { "tx-bytes": 2000n, "initiator-exchanges": 5n }, { refused: 11n });
  const { tx, exchanges, "drop refused": refused } = between(before, now);
  assert.deepEqual([tx, exchanges, refused], [4000, 2, 5]);
});

Deno.test("another start of the agent makes no rates", () => {
  const before = look(1000, { "tx-bytes": 1000n });
  assert.deepEqual(between(before, look(2000, { "tx-bytes": 5n }, {}, 2n)), {});
});

Deno.test("a quantile lies within its bucket, and is nothing where nothing was counted", () => {
  const of = (...counts: bigint[]) =>
    create(HistogramSchema, {
      buckets: [0.01, 0.02, Infinity].map((le, i) => ({ le, count: counts[i] ?? 0n })),
    });
  assert.equal(quantile(0.5, of(0n, 0n, 0n), of(10n, 10n, 10n)), 5);
  assert.equal(quantile(0.5, of(10n, 10n, 10n), of(10n, 20n, 20n)), 15);
  assert.equal(quantile(0.99, of(), of(0n, 0n, 7n)), 20, "beyond the last end: no less than it");
  assert.equal(quantile(0.5, of(1n, 1n, 1n), of(1n, 1n, 1n)), undefined);
  assert.equal(quantile(0.5, undefined, undefined), undefined);
});

Deno.test("the history keeps a quarter of an hour, and a series that comes late begins late", () => {
  let history = grown(EMPTY, 1000, { a: 1 });
  history = grown(history, 2000, { a: 2, b: 3 });
  assert.deepEqual(history.series, { a: [1, 2], b: [undefined, 3] });
  for (let i = 0; i < 2 * KEPT; i++) history = grown(history, i, { a: i });
  assert.equal(history.times.length, KEPT);
  assert.equal(history.series.b?.length, KEPT);
});

Deno.test("numbers and spans are short", () => {
  const rows: [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1 kB"],
    [1234, "1.23 kB"],
    [45_600_000, "45.6 MB"],
    [0.25, "0.25 B"],
  ];
  for (const [value, text] of rows) assert.equal(amount(value, "B"), text);
  assert.deepEqual([0, 61_000, 7_500_000, 90_000_000].map(span), ["0s", "1m1s", "2h5m", "1d1h"]);
  assert.deepEqual([0, 999, 1234567n].map(grouped), ["0", "999", "1,234,567"]);
});

// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { SpiRows } from "./spi_rows.ts";

Deno.test("rows are found by their SPI, all of those that have the same", () => {
  const rows = new SpiRows();
  assert.deepEqual(rows.of(0xffffffff), []);
  rows.add(0xffffffff, 0);
  rows.add(7, 1);
  rows.add(7, 2);
  rows.add(7, 3);
  assert.deepEqual([rows.of(0xffffffff), rows.of(7)], [[0], [1, 2, 3]]);
  rows.delete(7, 1);
  assert.deepEqual(rows.of(7), [2, 3]);
  rows.delete(7, 9);
  rows.delete(7, 3);
  assert.deepEqual(rows.of(7), [2]);
  rows.delete(7, 2);
  rows.delete(7, 2);
  assert.deepEqual([rows.of(7), rows.of(0xffffffff)], [[], [0]]);
});

Deno.test("one SPI may be that of all tunnels: each comes and goes by itself, and all are found", () => {
  const rows = new SpiRows();
  const n = 131_072;
  for (let row = 0; row < n; row++) rows.add(9, row);
  rows.add(9, 5);
  assert.equal(rows.of(9).length, n);
  for (let row = 0; row < n; row++) if (row !== 77) rows.delete(9, row);
  assert.deepEqual(rows.of(9), [77]);
  rows.add(9, 77);
  assert.deepEqual(rows.of(9), [77]);
  rows.delete(9, 77);
  assert.deepEqual(rows.of(9), []);
});

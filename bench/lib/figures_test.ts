// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { compare, figureRows, line, median, percentile, table } from "./figures.ts";

Deno.test("the median of an even number of values lies between the two in the middle", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 2, 100]), 3);
  assert.equal(median([]), NaN);
});

Deno.test("a percentile is one of the values", () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.equal(percentile(values, 0.5), 50);
  assert.equal(percentile(values, 0.99), 99);
  assert.equal(percentile([7], 0.01), 7);
});

Deno.test("the ratio is the median of the rounds' own ratios, not that of the medians", () => {
  const figure = compare("x/y", [[1, 2], [10, 10], [3, 1]]);
  assert.deepEqual(figure, { name: "x/y", ours: 3, other: 2, ratio: 1, min: 0.5, max: 3, n: 3 });
});

Deno.test("a round in which either side is missing does not count", () => {
  assert.equal(compare("x/y", [[1, undefined], [undefined, 2]]), undefined);
  assert.equal(compare("x/y", [[NaN, 1]]), undefined);
  assert.equal(compare("x/y", [[1, undefined], [6, 2]])?.n, 1);
});

Deno.test("a line is one JSON object with five digits of each number", () => {
  const figure = {
    name: "x/y",
    ours: 1234567,
    other: 1.2345678,
    ratio: 2 / 3,
    min: 0,
    max: 1,
    n: 7,
  };
  assert.equal(
    line(figure),
    '{"name":"x/y","ours":1234567,"other":1.2346,"ratio":0.66667,"min":0,"max":1,"n":7}',
  );
  assert.deepEqual(figureRows([figure]), [
    ["x/y", "1234567", "1.2346", "0.667", "0.000", "1.000", "7"],
  ]);
});

Deno.test("a table's columns are as wide as what is in them", () => {
  assert.equal(
    table(["a", "b"], [["long", "1"], ["x", "1000"]]),
    "a        b\nlong     1\nx     1000",
  );
});

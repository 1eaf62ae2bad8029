// SPDX-License-Identifier: Apache-2.0

/** What a comparison comes to, and how it is printed: a JSON object a line, and a table. */

/** One figure of ours beside another's, over rounds. `ratio` is ours / other. */
export interface Figure {
  /** What was measured, with its unit, and after "/" whose the other is: "tcp1_gbps/direct". */
  readonly name: string;
  /** Medians over the rounds, or percentiles of all rounds' samples where `name` says "pooled". */
  readonly ours: number;
  readonly other: number;
  /** The median of the rounds' own ratios; of pooled percentiles: their ratio. */
  readonly ratio: number;
  /** The least and the greatest ratio of a round. */
  readonly min: number;
  readonly max: number;
  /** Rounds. */
  readonly n: number;
}

/** NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  const high = sorted[half] ?? NaN;
  return sorted.length % 2 === 1 ? high : ((sorted[half - 1] ?? NaN) + high) / 2;
}

/** The value below which `share` of the values lie; NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

/** Pairs of one round each; a round in which either is missing does not count. Undefined: none does. */
export function compare(
  name: string,
  rounds: readonly (readonly [ours: number | undefined, other: number | undefined])[],
): Figure | undefined {
  const pairs = rounds.filter((pair): pair is [number, number] =>
    pair.every((value) => value !== undefined && Number.isFinite(value))
  );
  if (pairs.length === 0) return undefined;
  const ratios = pairs.map(([ours, other]) => ours / other);
  return {
    name,
    ours: median(pairs.map(([ours]) => ours)),
    other: median(pairs.map(([, other]) => other)),
    ratio: median(ratios),
    min: Math.min(...ratios),
    max: Math.max(...ratios),
    n: pairs.length,
  };
}

/** One JSON object, at most five digits of each number. */
export function line(figure: Figure): string {
  return JSON.stringify(figure, (_, value) => typeof value === "number" ? short(value) : value);
}

/** Columns as wide as what is in them; the first to the left, the others to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0))
  );
  return [head, ...rows].map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))
      .join("  ").trimEnd()
  ).join("\n");
}

/** The rows of a table of figures. */
export function figureRows(figures: readonly Figure[]): string[][] {
  return figures.map(({ name, ours, other, ratio, min, max, n }) => [
    name,
    ...[ours, other].map((value) => String(short(value))),
    ...[ratio, min, max].map((value) => value.toFixed(3)),
    String(n),
  ]);
}

/** The head that belongs to them. */
export const FIGURE_HEAD = ["figure", "ours", "other", "ratio", "min", "max", "n"] as const;

function short(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(5));
}

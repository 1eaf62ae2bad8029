// SPDX-License-Identifier: Apache-2.0

/** "Did you mean": the nearest known word by edit distance. */

/** The candidate that `word` most likely meant, or nothing when all are far away. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const given = normal(word);
  if (given.length > 64) return undefined;
  let best: string | undefined;
  // A third of the word may be wrong; one letter in a short one.
  let bestDistance = Math.max(1, Math.floor(given.length / 3)) + 1;
  for (const candidate of candidates) {
    const known = normal(candidate);
    // A beginning is meant as such: "warn", "stat".
    const d = given.length >= 3 && known.startsWith(given) ? 1 : distance(given, known);
    if (d < bestDistance) [best, bestDistance] = [candidate, d];
  }
  return best;
}

/** "svcAddress", "svc-address" and "svc_address" are one word. */
function normal(word: string): string {
  return word.toLowerCase().replaceAll(/[-_ ]/g, "");
}

/** Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let d = Math.min(
        at(rows, i - 1, j) + 1,
        (row[j - 1] ?? 0) + 1,
        at(rows, i - 1, j - 1) + same,
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        d = Math.min(d, at(rows, i - 2, j - 2) + 1);
      }
      row.push(d);
    }
    rows.push(row);
  }
  return at(rows, a.length, b.length);
}

function at(rows: readonly (readonly number[])[], i: number, j: number): number {
  return rows[i]?.[j] ?? 0;
}

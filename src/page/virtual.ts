// SPDX-License-Identifier: Apache-2.0

/** Which rows of a long list are in sight. Pure. */

/** Rows beyond what is in sight, so that scrolling shows no gap. */
const BESIDE = 10;

/** What is drawn of `total` rows: from `first` to before `end`. */
export interface InSight {
  readonly first: number;
  readonly end: number;
}

/** `top` is how far the list is scrolled, `height` what is seen of it, all in pixels. */
export function inSight(
  { top, height, row, total }: {
    readonly top: number;
    readonly height: number;
    readonly row: number;
    readonly total: number;
  },
): InSight {
  const first = Math.max(0, Math.min(Math.floor(top / row) - BESIDE, total));
  const end = Math.min(total, Math.max(first, Math.ceil((top + height) / row) + BESIDE));
  return { first, end };
}

/** The pages that have these rows. */
export function pagesOf({ first, end }: InSight, size: number): readonly number[] {
  if (end <= first) return [];
  const [from, to] = [Math.floor(first / size), Math.floor((end - 1) / size)];
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

// SPDX-License-Identifier: Apache-2.0

/** What a tunnel takes of this host's one thread, as it was seen lately: a busy machine gives it less. */
import { LEAST_TUNNELS, MAX_TUNNELS_PER_REQUEST } from "../model/exchange.ts";
import { COST_SHARE } from "./limits.ts";

/** Parts of the work for a tunnel, that are done at different times. */
const PARTS = ["offer", "use"] as const;

/** Averages, of which newer ones count more. */
export class Cost {
  readonly #ms: Record<(typeof PARTS)[number], number | undefined> = {
    offer: undefined,
    use: undefined,
  };

  /** A part of the work for so many tunnels has taken so long. */
  took(part: (typeof PARTS)[number], ms: number, tunnels: number): void {
    if (tunnels === 0) return;
    const before = this.#ms[part] ?? ms / tunnels;
    this.#ms[part] = before + COST_SHARE * (ms / tunnels - before);
  }

  /** How many tunnels of a request take so long together; as many as it has room for while nobody knows. */
  tunnelsWithin(ms: number): number {
    const fit = fitting(ms, PARTS.reduce((sum, part) => sum + (this.#ms[part] ?? 0), 0));
    return Math.max(fit, LEAST_TUNNELS);
  }

  /** How many parts of an answer can be used within so long. */
  usesWithin(ms: number): number {
    return fitting(ms, this.#ms.use ?? 0);
  }
}

function fitting(ms: number, each: number): number {
  const fit = each > 0 ? Math.floor(ms / each) : MAX_TUNNELS_PER_REQUEST;
  return Math.min(Math.max(fit, 1), MAX_TUNNELS_PER_REQUEST);
}

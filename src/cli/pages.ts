// SPDX-License-Identifier: Apache-2.0

/** How a list of unknown length is printed: each page when it comes, and what stands behind the last one. */
import { json } from "./io.ts";

export interface Pages<T> {
  page(items: readonly T[]): string;
  end(): string;
}

/** One array in the end. */
export function jsonPages<T>(toJson: (item: T) => unknown): Pages<T> {
  let first = true;
  return {
    page(all) {
      const items = all.map((item) => json(toJson(item)).trimEnd().replaceAll("\n", "\n  "));
      const text = items.map((item) => {
        const before = first ? "[\n  " : ",\n  ";
        first = false;
        return before + item;
      });
      return text.join("");
    },
    end: () => first ? "[]\n" : "\n]\n",
  };
}

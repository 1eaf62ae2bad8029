// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** One question to the agent, asked again each second while a component shows its answer. */
import { useEffect, useState } from "preact/hooks";
import { wantsToken, why } from "./api.ts";

const EACH_MS = 1000;

/** What came of it last. */
export interface Polled<T> {
  /** Of the question that is asked now; undefined: not known yet. */
  readonly answer: T | undefined;
  /** Why there is none; "" while there is. */
  readonly problem: string;
  /** The agent wants a token. */
  readonly locked: boolean;
}

const NOTHING: Polled<never> = { answer: undefined, problem: "", locked: false };

/**
 * Asks at once, and a second after each answer. `key` names the question: with another one, what was answered before
 * counts no more. Undefined: nothing is asked.
 */
export function usePolled<T>(key: string | undefined, ask: () => Promise<T>): Polled<T> {
  const [last, setLast] = useState<Polled<T> & { readonly key: string | undefined }>({
    ...NOTHING,
    key: undefined,
  });
  useEffect(() => {
    if (key === undefined) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    const turn = async () => {
      const found = await ask().then(
        (answer) => ({ answer, problem: "", locked: false }),
        (error) => ({ answer: undefined, problem: why(error), locked: wantsToken(error) }),
      );
      if (over) return;
      setLast({ ...found, key });
      timer = setTimeout(turn, EACH_MS);
    };
    turn();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [key]);
  return last.key === key ? last : NOTHING;
}

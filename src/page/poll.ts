// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** One question to the agent while a component shows its answer: asked each second, or when there is a reason to. */
import { useEffect, useRef, useState } from "preact/hooks";
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
      const found = await answered(ask);
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

/** What came of a question that is asked with a reason. */
export interface Asked<T> extends Polled<T> {
  /** When it came. */
  readonly at: Date | undefined;
}

/**
 * Asks at once, and again when `turn` has become another, a second after the time before at the earliest; meanwhile what
 * was answered stands. `key` names the question, as for `usePolled`.
 */
export function useAsked<T>(
  key: string | undefined,
  { turn, ask }: { readonly turn: string; readonly ask: () => Promise<T> },
): Asked<T> {
  const [last, setLast] = useState<Asked<T> & { readonly key: string | undefined }>({
    ...NOTHING,
    at: undefined,
    key: undefined,
  });
  /** The question, when it was asked last, how often, and which of these answers is shown. */
  const asking = useRef({ key, atMs: -Infinity, n: 0, shown: 0 });
  useEffect(() => {
    const mine = asking.current.key === key
      ? asking.current
      : asking.current = { key, atMs: -Infinity, n: 0, shown: 0 };
    if (key === undefined) return;
    const waitMs = Math.max(0, mine.atMs + EACH_MS - performance.now());
    const timer = setTimeout(async () => {
      mine.atMs = performance.now();
      const n = ++mine.n;
      const found = await answered(ask);
      // Another question is asked by now, or a later answer was faster.
      if (asking.current !== mine || n < mine.shown) return;
      mine.shown = n;
      setLast({ ...found, key, at: new Date() });
    }, waitMs);
    return () => clearTimeout(timer);
  }, [key, turn]);
  return last.key === key ? last : { ...NOTHING, at: undefined };
}

async function answered<T>(ask: () => Promise<T>): Promise<Polled<T>> {
  try {
    return { answer: await ask(), problem: "", locked: false };
  } catch (error) {
    return { answer: undefined, problem: why(error), locked: wantsToken(error) };
  }
}

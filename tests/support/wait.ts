// SPDX-License-Identifier: Apache-2.0

/** Waiting for conditions with a deadline: the only way in which tests and the demo wait. */

/**
 * How long a test waits for what must come. It ends a wait for what never does, and says nothing of how soon it has to
 * come: a machine that has other things to do takes its time.
 */
export const PATIENCE_MS = 60_000;

/** What is waited for, and for how long. */
export interface WaitOptions {
  /** Completes the sentence "Waited N ms in vain for ...". */
  readonly what: string;
  /** `PATIENCE_MS` by default. */
  readonly deadlineMs?: number;
  readonly everyMs?: number;
  /** Called for the failure's text: what was there instead. */
  readonly describe?: () => string | Promise<string>;
}

/**
 * Resolves with the first value of `probe` that is neither undefined, null nor false. Throws after
 * the deadline with `what`, the last error of `probe`, and what `describe` says.
 */
export async function eventually<T>(
  probe: () => T | Promise<T>,
  options: WaitOptions,
): Promise<Exclude<T, undefined | null | false>> {
  const deadlineMs = options.deadlineMs ?? PATIENCE_MS;
  const start = performance.now();
  let last: unknown;
  while (true) {
    try {
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) {
        return value as Exclude<T, undefined | null | false>;
      }
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() - start >= deadlineMs) break;
    await delay(options.everyMs ?? 50);
  }
  const error = last === undefined ? "" : `; last error: ${messageOf(last)}`;
  const state = options.describe === undefined ? "" : `\n${await options.describe()}`;
  throw new Error(`Waited ${deadlineMs} ms in vain for ${options.what}${error}${state}`);
}

/** `promise`, or a rejection that names `what` when it takes longer than `deadlineMs`. */
export async function within<T>(
  promise: Promise<T>,
  what: string,
  deadlineMs: number = PATIENCE_MS,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`Waited ${deadlineMs} ms in vain for ${what}`)),
      deadlineMs,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The pace of a polling loop. Not a way to wait for something: see `eventually`. */
function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The message of anything that may be thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

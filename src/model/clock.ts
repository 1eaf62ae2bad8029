// SPDX-License-Identifier: Apache-2.0

/** Time as a parameter, and the machine's own clock: everything else takes a `Clock` and never asks the machine. */

import { Aborts } from "./aborts.ts";

/** Real clock or virtual one. Milliseconds; `now` never runs backwards, `wallMs` may be stepped. */
export interface Clock {
  now(): number;
  wallMs(): number;
  /** Resolves after `ms`, rejects when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** A clock on `performance.now` (never steps) and `Date.now` (may be stepped). */
export function systemClock(): Clock {
  const aborts = new Aborts();
  return {
    now: () => performance.now(),
    wallMs: () => Date.now(),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal === undefined) return void setTimeout(resolve, ms);
        if (signal.aborted) return reject(signal.reason);
        const abort = (reason: unknown) => {
          clearTimeout(timer);
          reject(reason);
        };
        const timer = setTimeout(() => {
          aborts.remove(signal, abort);
          resolve();
        }, ms);
        aborts.add(signal, abort);
      }),
  };
}

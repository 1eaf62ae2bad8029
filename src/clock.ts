// SPDX-License-Identifier: Apache-2.0

/** The machine's own clock. Everything else takes a `Clock` and never asks the machine. */
import type { Clock } from "./sa/sa.ts";

/** A clock on `performance.now` (never steps) and `Date.now` (may be stepped). */
export function systemClock(): Clock {
  return {
    now: () => performance.now(),
    wallMs: () => Date.now(),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const abort = () => {
          clearTimeout(timer);
          reject(signal?.reason);
        };
        const timer = setTimeout(() => {
          signal?.removeEventListener("abort", abort);
          resolve();
        }, ms);
        signal?.addEventListener("abort", abort, { once: true });
      }),
  };
}

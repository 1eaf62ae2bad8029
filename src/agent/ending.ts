// SPDX-License-Identifier: Apache-2.0

/** The end of what may end at one time. */
import type { Clock } from "../model/clock.ts";

/** Longer than any of them should take: one that hangs must not keep the agent from ending. */
const LIMIT_MS = 2000;

/** Ends all of them side by side, and waits for each, but not beyond a limit. Rejects with the first failure. */
export async function endTogether(
  ends: readonly (() => Promise<void>)[],
  clock: Pick<Clock, "sleep">,
): Promise<void> {
  const done = new AbortController();
  const all = Promise.allSettled(ends.map((end) => end()));
  const late = clock.sleep(LIMIT_MS, done.signal).then(() => [], () => []);
  const outcomes = await Promise.race([all, late]);
  done.abort();
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Priorities for systemd's journal (sd-daemon(3)): a line on a stream that goes there may begin with `<N>`, and the journal
 * takes it off. Nobody else would.
 */
import { fstatSync } from "node:fs";
import type { LogLevel } from "../model/log.ts";

/** Priorities of syslog. */
const PRIORITIES: Readonly<Record<LogLevel, number>> = { debug: 7, info: 6, warning: 4, error: 3 };

/** What a line on stderr begins with. */
export type Priority = (level: LogLevel) => string;

/** As the service manager has started this process: "" wherever stderr does not go to the journal. */
export function stderrPriority(): Priority {
  const isJournal = isStream(Deno.env.get("JOURNAL_STREAM"), () => fstatSync(2));
  return isJournal ? (level) => `<${PRIORITIES[level]}>` : () => "";
}

/**
 * Whether a stream is the one that JOURNAL_STREAM names, "device:inode". The variable alone says nothing: whoever started
 * this process may have put stderr elsewhere, and left it as it was.
 */
export function isStream(
  variable: string | undefined,
  stat: () => { readonly dev: number; readonly ino: number },
): boolean {
  if (!variable) return false;
  try {
    const { dev, ino } = stat();
    return variable === `${dev}:${ino}`;
  } catch {
    // It is closed.
    return false;
  }
}

// SPDX-License-Identifier: Apache-2.0

/** What the agent says while it runs: a constant sentence, and facts from one closed list. */

/** Every fact that a log line may carry. No key ever appears in one. */
export const LOG_FIELDS = [
  "added",
  "address",
  "attempt",
  "cause",
  "changed",
  "code",
  "count",
  "counter",
  "delayMs",
  "epoch",
  "expiresAt",
  "file",
  "fingerprint",
  "flow",
  "identity",
  "interface",
  "kind",
  "localVip",
  "mac",
  "mtu",
  "path",
  "peer",
  "pip",
  "pipe",
  "port",
  "reason",
  "remoteVip",
  "removed",
  "requestId",
  "rotations",
  "rxSpi",
  "signal",
  "spi",
  "state",
  "timeMs",
  "tunnels",
  "txSpi",
  "version",
  "vip",
] as const;

/** Name of a fact. */
export type LogField = (typeof LOG_FIELDS)[number];

/** The facts of one line. */
export type LogFields = {
  readonly [K in LogField]?: string | number | bigint | boolean | undefined;
};

/** Parts of the agent whose lines are written from levels of their own. */
export const LOG_CATEGORIES = ["agent", "core", "directory", "plane", "rpc", "store"] as const;

/** Name of a part. */
export type LogCategory = (typeof LOG_CATEGORIES)[number];

/** From what is written least often upward. */
export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;

/** Name of a level: lines below it are not written. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Which level each part has. */
export type LogLevels = Readonly<Record<LogCategory, LogLevel>>;

/** The log of each part, and their levels. */
export interface Logs {
  of(category: LogCategory): Log;
  levels(): LogLevels;
  /** undefined: all of them. */
  setLevel(category: LogCategory | undefined, level: LogLevel): void;
  /** The last lines that were written, oldest first. */
  tail(): readonly string[];
  /** Lines that nobody read in time. */
  lost(): bigint;
}

/** Where lines go. `message` is a constant sentence; what varies is in `fields`. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

// SPDX-License-Identifier: Apache-2.0

/** `psp-agent log-level` */
import { logLevelsJson } from "../rpc/status_json.ts";
import { EXIT, type ExitCode, json, out, table } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { connect } from "./target.ts";

/** What the command line says. */
export interface LogLevelArgs extends Target {
  readonly output: Output;
  /** Absent: only tell. */
  readonly level: string | undefined;
  /** Absent: all of them. */
  readonly category: string | undefined;
}

/** Sets from which level on lines are written, and prints what is in force. */
export async function logLevel(args: LogLevelArgs): Promise<ExitCode> {
  const { level, category } = args;
  await using client = await connect(args);
  const all = level === undefined
    ? await client.logLevels()
    : await client.setLogLevel(category, level);
  const rows = Object.entries(all).filter(([name]) =>
    level !== undefined || category === undefined || name === category
  ).sort(([a], [b]) => a < b ? -1 : 1);
  if (args.output === "json") out(json(logLevelsJson(Object.fromEntries(rows))));
  else out(table(["CATEGORY", "LEVEL"], rows));
  return EXIT.ok;
}

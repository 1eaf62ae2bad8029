// SPDX-License-Identifier: Apache-2.0

/** What every command uses: exit codes, output, tables, one sentence for an error. */
import { stderrPriority } from "../agent/journal.ts";
import { ConfigError, EnvironmentError } from "../config/config.ts";
import { fileReason } from "../config/reasons.ts";
import { canonicalVip } from "../model/vip.ts";

/** Exit codes of the program. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  config: 3,
  /** No agent answers. */
  unreachable: 4,
  /** The agent answers, and what was asked about is not well. */
  degraded: 5,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Whoever mends these reads the next ones. */
const REMARKS_SHOWN = 50;

/** A command that cannot do what was asked: one sentence, and the exit code that fits. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  constructor(message: string, readonly exitCode: ExitCode = EXIT.failure, options?: ErrorOptions) {
    super(message, options);
  }
}

/** For a file that a command was told to write. */
export function cannotWrite(path: string, cause: unknown): CommandError {
  const why = cause instanceof Deno.errors.NotFound ? "no such directory" : fileReason(cause);
  return new CommandError(`Cannot write "${path}": ${why}`, EXIT.failure, { cause });
}

/** An address of the command line in its one spelling. Throws `CommandError`: usage. */
export function address(given: string): string {
  const found = canonicalVip(given);
  if (found === undefined) throw new CommandError(`"${given}" is not an address`, EXIT.usage);
  return found;
}

/** Writes to stdout, all of it, before it returns. */
export function out(text: string): void {
  writeAll(Deno.stdout, text);
}

/** Writes a line to stderr. */
export function err(line: string): void {
  writeAll(Deno.stderr, `${line}\n`);
}

/** Writes remarks on a configuration to stderr, one a line: 50 at most, and how many more there are. */
export function errSome(lines: readonly string[]): void {
  for (const line of lines.slice(0, REMARKS_SHOWN)) err(line);
  if (lines.length > REMARKS_SHOWN) err(`  ... and ${lines.length - REMARKS_SHOWN} more`);
}

/** Says what went wrong on stderr, and returns the exit code. Stacks only with PSP_AGENT_DEBUG=1. */
export function reportError(error: unknown): ExitCode {
  // Whoever read our output has seen enough (`psp-agent tunnels | head`).
  if (error instanceof Deno.errors.BrokenPipe) return EXIT.ok;
  const priority = stderrPriority()("error");
  err(`${priority}psp-agent: ${sentence(error)}`);
  const problems = (error instanceof ConfigError ? error.problems : [])
    .filter((problem) => !sentence(error).includes(problem));
  errSome(problems.map((problem) => `${priority}  ${problem}`));
  if (isDebug() && error instanceof Error) err(error.stack ?? "");
  if (error instanceof CommandError) return error.exitCode;
  if (error instanceof EnvironmentError) return EXIT.failure;
  return error instanceof ConfigError ? EXIT.config : EXIT.failure;
}

/** The message of an error, in one line. */
export function sentence(error: unknown): string {
  if (error instanceof Deno.errors.NotCapable) {
    return `${
      error.message.split(",")[0]
    }: not among the permissions of this process (see bin/psp-agent)`;
  }
  const text = (error instanceof Error ? error.message || error.name : String(error)).replace(
    /Requires \w+ access to ("[^"]*"), run again with the --allow-\w+ flag/,
    "$1 is not among the permissions of this process (see bin/psp-agent)",
  );
  return text.replaceAll(/\s*\n\s*/g, " ").trim();
}

/**
 * What `act` returns; a `ConfigError` of it that speaks of "the <what>" says which one. Readers of text do not know
 * its file.
 */
export function naming<T>(what: string, file: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const message = error.message.replace(`the ${what}:`, `${what} "${file}":`);
    throw new ConfigError(message, error.problems, { cause: error });
  }
}

/**
 * Columns as wide as their widest cell, two spaces between them; numbers (right) align right. A table may come in
 * parts: `widths` are those of the part before, grow where they must, and only the first part has a header.
 */
export function table(
  header: readonly string[] | undefined,
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
  widths: number[] = (header ?? []).map(() => 0),
): string {
  const all = header === undefined ? rows : [header, ...rows];
  for (const [i, width] of widths.entries()) {
    widths[i] = all.reduce((widest, row) => Math.max(widest, row[i]?.length ?? 0), width);
  }
  const line = (row: readonly string[]) =>
    widths.map((width, i) => {
      const cell = row[i] ?? "";
      return right.includes(i) ? cell.padStart(width) : cell.padEnd(width);
    }).join("  ").trimEnd();
  return all.map((row) => `${line(row)}\n`).join("");
}

/** JSON for people and programs: 64-bit numbers as text, octets as base64. */
export function json(value: unknown): string {
  return `${JSON.stringify(value, (_, v) => typeof v === "bigint" ? v.toString() : v, 2)}\n`;
}

function isDebug(): boolean {
  try {
    return Deno.env.get("PSP_AGENT_DEBUG") === "1";
  } catch {
    return false;
  }
}

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) sent += stream.writeSync(bytes.subarray(sent));
}

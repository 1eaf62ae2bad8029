// SPDX-License-Identifier: Apache-2.0

/** The state directory: nobody else's to read, and one agent's at a time. */
import { dirname } from "node:path";
import { ConfigError, EnvironmentError } from "../config/config.ts";
import { fileReason } from "../config/reasons.ts";

/** Holds the directory until disposed of. */
export interface StateDir extends Disposable {
  readonly path: string;
  /** Other programs keep files there too: it stays as open as it was. The agent's own files are 0600 anyway. */
  readonly isShared: boolean;
  /** The agent has started: what it made stays when it ends. */
  keep(): void;
}

const LOCK = "lock";
const DATABASE = "agent.db";
/** What a start puts there. */
const FILES = [DATABASE, `${DATABASE}-wal`, `${DATABASE}-shm`, LOCK];
/** What a volume may hold that was made for the agent. */
const HARMLESS = [LOCK, "lost+found"];

/**
 * Creates the directory (0700) and takes its lock. Disposing of it before `keep` removes the directories that
 * were created, unless others' files are in them by now. Throws `ConfigError` when the directory cannot be
 * used or another agent holds it.
 */
export function openStateDir(path: string): StateDir {
  const made: string[] = [];
  let kept = false;
  try {
    const isShared = make(path, made);
    const lock = takeLock(path);
    return {
      path,
      isShared,
      keep: () => kept = true,
      [Symbol.dispose]: () => {
        if (!kept && made.length > 0) { for (const name of FILES) remove(`${path}/${name}`); }
        if (!kept) unmake(made);
        lock.close();
      },
    };
  } catch (error) {
    // Without the lock nothing in there is ours: another agent may have been faster.
    unmake(made);
    if (error instanceof ConfigError) throw error;
    throw refusal(path, whyNot(error), error);
  }
}

/** Makes what is missing, and notes it in `made`, outermost first. Whether others use the directory. */
function make(path: string, made: string[]): boolean {
  const missing: string[] = [];
  for (let at = path; !isThere(at) && dirname(at) !== at; at = dirname(at)) missing.unshift(at);
  for (const directory of missing) {
    Deno.mkdirSync(directory, { mode: 0o700 });
    made.push(directory);
  }
  const { isDirectory, mode } = Deno.statSync(path);
  if (!isDirectory) throw refusal(path, "it is not a directory");
  if (((mode ?? 0) & 0o777) === 0o700) return false;
  // A directory that others use must not be shut to them.
  if (made.length === 0 && !isOurs(path)) return true;
  Deno.chmodSync(path, 0o700);
  return false;
}

/** Whether nothing is there but what agents leave. */
function isOurs(path: string): boolean {
  return [...Deno.readDirSync(path)].every(({ name }) =>
    HARMLESS.includes(name) || name.startsWith(DATABASE)
  );
}

function takeLock(path: string): Deno.FsFile {
  const lockPath = `${path}/${LOCK}`;
  const file = Deno.openSync(lockPath, { create: true, read: true, write: true, mode: 0o600 });
  try {
    Deno.chmodSync(lockPath, 0o600);
    if (file.tryLockSync(true)) return file;
  } catch (error) {
    file.close();
    throw error;
  }
  file.close();
  throw new EnvironmentError(
    `Cannot use state directory "${path}": another psp-agent holds its lock`,
  );
}

/** Takes away directories that a start made and that came to nothing; one that holds something stays. */
function unmake(made: readonly string[]): void {
  for (const directory of [...made].reverse()) remove(directory);
}

function remove(what: string): void {
  try {
    Deno.removeSync(what);
  } catch {
    // Not there, or not empty: it stays.
  }
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function whyNot(error: unknown): string {
  // The file systems of the kernel say so of every name that they do not have.
  if (error instanceof Deno.errors.NotFound) return "no directory can be made there";
  if (error instanceof Deno.errors.NotCapable) {
    return "the agent never writes there: name another directory (state_dir)";
  }
  return fileReason(error);
}

function refusal(path: string, why: string, cause?: unknown): ConfigError {
  return new ConfigError(`Cannot use state directory "${path}": ${why}`, [], { cause });
}

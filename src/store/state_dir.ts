// SPDX-License-Identifier: Apache-2.0

/**
 * The state directory: nobody else's to read or to write, and one agent's at a time. What another user put there, or
 * could exchange, is not opened: not through a link, not as a pipe or device.
 */
import { ConfigError, EnvironmentError } from "../config/config.ts";
import { fileReason } from "../config/reasons.ts";
import { TAILS } from "./database.ts";
import { makePlace, refuseForeignFile, refuseForeignPlace, refuseOpenPlace } from "./place.ts";

/** Holds the directory until disposed of. */
export interface StateDir extends Disposable {
  /** Without links. */
  readonly path: string;
  /** Other programs keep files there too: it stays as open as it was. The agent's own files are 0600 anyway. */
  readonly isShared: boolean;
  /** The path of a database in it. */
  database(name: typeof DATABASES[number]): string;
  /** Octets of each database on the disk, with what is written ahead of it; 0: it is not there. */
  sizes(): Readonly<Record<string, number>>;
  /** The agent has started: what it made stays when it ends. */
  keep(): void;
}

const LOCK = "lock";
/** Every database of the agent: what is not named here cannot be opened in the directory. */
export const DATABASES = ["agent.db", "events.db", "directory.db", "leases.db"] as const;
/** What a start puts there. */
const FILES = [...DATABASES.flatMap((db) => [db, ...TAILS.map((tail) => db + tail)]), LOCK];
/** What a volume may hold that was made for the agent. */
const HARMLESS = [LOCK, "lost+found"];

/**
 * Creates the directory (0700) and takes its lock. Disposing of it before `keep` removes the directories that
 * were created, unless others' files are in them by now. Throws `ConfigError` when the path cannot be one, and
 * `EnvironmentError` when the directory cannot be used as it is, or another agent holds it.
 */
export function openStateDir(named: string): StateDir {
  const made: string[] = [];
  let kept = false;
  try {
    const path = makePlace(named, made);
    refuseForeignPlace(path);
    const isShared = shut(path, made.length > 0);
    refuseOpenPlace(path);
    for (const name of FILES) refuseForeignFile(`${path}/${name}`);
    const lock = takeLock(path);
    return {
      path,
      isShared,
      database: (name) => `${path}/${name}`,
      sizes: () =>
        Object.fromEntries(DATABASES.map((name) => {
          const files = [name, ...TAILS.map((tail) => name + tail)];
          return [name, files.reduce((sum, file) => sum + sizeOf(`${path}/${file}`), 0)];
        })),
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
    throw refusal(named, error);
  }
}

/**
 * Why the path cannot become a state directory, however long an agent waits; undefined: it can, as far as can be seen
 * without making it.
 */
export function stateDirFault(named: string): string | undefined {
  try {
    if (Deno.permissions.querySync({ name: "write", path: named }).state === "denied") {
      return `cannot use "${named}": the agent never writes there: name another directory`;
    }
    Deno.lstatSync(named);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (WRONG_PATHS.includes(code)) return `cannot use "${named}": ${fileReason(error)}`;
  }
  return undefined;
}

/** Takes it from others' eyes. Whether others use the directory: then it must not be shut to them. */
function shut(path: string, isNew: boolean): boolean {
  const { mode } = Deno.statSync(path);
  if (((mode ?? 0) & 0o777) === 0o700) return false;
  if (!isNew && !isOurs(path)) return true;
  Deno.chmodSync(path, 0o700);
  return false;
}

/** Whether nothing is there but what agents leave. */
function isOurs(path: string): boolean {
  return [...Deno.readDirSync(path)].every(({ name }) =>
    HARMLESS.includes(name) || DATABASES.some((db) => name.startsWith(db))
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

/** Whether an agent holds the lock of a state directory now; undefined: that cannot be seen, or there is none. */
export function isHeld(named: string): boolean | undefined {
  try {
    using file = Deno.openSync(`${named}/${LOCK}`, { read: true, write: true });
    return !file.tryLockSync(true);
  } catch {
    return undefined;
  }
}

/** Takes away directories that a start made and that came to nothing; one that holds something stays. */
function unmake(made: readonly string[]): void {
  for (const directory of [...made].reverse()) remove(directory);
}

function sizeOf(file: string): number {
  try {
    return Deno.lstatSync(file).size;
  } catch {
    return 0;
  }
}

function remove(what: string): void {
  try {
    Deno.removeSync(what);
  } catch {
    // Not there, or not empty: it stays.
  }
}

/** What no waiting mends: the path itself is wrong. */
const WRONG_PATHS = ["ENAMETOOLONG", "ENOTDIR"];

function refusal(path: string, cause: unknown): ConfigError {
  const because = (why: string) => `Cannot use state directory "${path}": ${why}`;
  // The file systems of the kernel say so of every name that they do not have.
  if (cause instanceof Deno.errors.NotFound) {
    return new ConfigError(because("no directory can be made there"), [], { cause });
  }
  if (cause instanceof Deno.errors.NotCapable) {
    const why = "the agent never writes there: name another directory (state_dir)";
    return new ConfigError(because(why), [], { cause });
  }
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const Refusal = WRONG_PATHS.includes(code) ? ConfigError : EnvironmentError;
  return new Refusal(because(fileReason(cause)), [], { cause });
}

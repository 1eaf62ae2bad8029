// SPDX-License-Identifier: Apache-2.0

/** The state directory: nobody else's to read, and one agent's at a time. */
import { ConfigError } from "../config/config.ts";

/** Holds the directory until disposed of. */
export interface StateDir extends Disposable {
  readonly path: string;
}

/**
 * Creates the directory (0700) and takes its lock. Throws `ConfigError` when it cannot be used or
 * another agent holds it.
 */
export function openStateDir(path: string): StateDir {
  const lock = takeLock(path);
  return { path, [Symbol.dispose]: () => lock.close() };
}

function takeLock(path: string): Deno.FsFile {
  let file: Deno.FsFile | undefined;
  try {
    Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
    Deno.chmodSync(path, 0o700);
    const lockPath = `${path}/lock`;
    file = Deno.openSync(lockPath, { create: true, read: true, write: true, mode: 0o600 });
    Deno.chmodSync(lockPath, 0o600);
    if (file.tryLockSync(true)) return file;
  } catch (cause) {
    file?.close();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`Cannot use state directory "${path}": ${why}`, [], { cause });
  }
  file.close();
  throw new ConfigError(`Cannot use state directory "${path}": another psp-agent holds its lock`);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Says when one of some files has become another one: written over, renamed into place, behind a link that was turned,
 * or written over where a link leads. The directories' events are quick; a look every now and then serves where there
 * are none.
 */

/** How it looks. */
export interface WatchOptions {
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Between two looks; default 400 ms, so that a change is known within a second anywhere. */
  readonly pollMs?: number;
  /** Quiet time after an event: whoever writes files does so in several steps. Default 100 ms. */
  readonly debounceMs?: number;
  /** A file has not been there for `GONE_LOOKS` looks. */
  readonly gone?: (file: string) => void;
}

/** Whoever replaces a file by removing it first is done by then. */
const GONE_LOOKS = 5;

/**
 * Calls `changed` after each change, until the signal aborts. A file that is gone is no change, for it may be about to come
 * back; when it does not, `gone` is called, once.
 */
export function watchFiles(
  files: readonly string[],
  changed: () => void,
  options: WatchOptions,
): void {
  const { signal, pollMs = 400, debounceMs = 100, gone } = options;
  const missed = new Map<string, number>();
  const known = new Map(files.map((file) => [file, identityOf(file)]));
  let pending: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    let any = false;
    for (const file of files) {
      const now = identityOf(file);
      if (now === undefined || now === known.get(file)) continue;
      known.set(file, now);
      any = true;
    }
    if (any) changed();
  };
  const poll = setInterval(() => {
    look();
    for (const file of files) {
      const times = identityOf(file) === undefined ? (missed.get(file) ?? 0) + 1 : 0;
      missed.set(file, times);
      if (times === GONE_LOOKS) gone?.(file);
    }
  }, pollMs);
  Deno.unrefTimer(poll);
  const watcher = watchDirectories(files);
  const soon = () => {
    clearTimeout(pending);
    pending = setTimeout(look, debounceMs);
    Deno.unrefTimer(pending);
  };
  if (watcher !== undefined) follow(watcher, soon).catch(() => {/* the poll remains */});
  signal.addEventListener("abort", () => {
    clearInterval(poll);
    clearTimeout(pending);
    watcher?.close();
  }, { once: true });
}

/** The directories, not the files: most tools replace a file by renaming another over it. */
function watchDirectories(files: readonly string[]): Deno.FsWatcher | undefined {
  const directories = new Set(files.flatMap((file) => [file, target(file)]).map(directoryOf));
  try {
    return Deno.watchFs([...directories], { recursive: false });
  } catch {
    return undefined;
  }
}

function directoryOf(file: string): string {
  return file.replace(/[^/]*$/, "") || ".";
}

/** Where links lead now; the look finds what comes of a link that is turned later. */
function target(file: string): string {
  try {
    return Deno.realPathSync(file);
  } catch {
    return file;
  }
}

async function follow(watcher: Deno.FsWatcher, soon: () => void): Promise<void> {
  for await (const { kind } of watcher) if (kind !== "access") soon();
}

/** Another file, another length or another time: another identity. Links are followed. */
function identityOf(file: string): string | undefined {
  try {
    const { dev, ino, size, mtime, ctime } = Deno.statSync(file);
    return [dev, ino, size, mtime?.getTime(), ctime?.getTime()].join(" ");
  } catch {
    return undefined;
  }
}

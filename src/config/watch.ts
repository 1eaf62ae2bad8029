// SPDX-License-Identifier: Apache-2.0

/**
 * Says when the configuration file has become another one: written over, renamed into place, or behind a link
 * that was turned. The directory's events are quick; a look every now and then serves where there are none.
 */

/** How it looks. */
export interface WatchOptions {
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Between two looks; default 400 ms, so that a change is known within a second anywhere. */
  readonly pollMs?: number;
  /** Quiet time after an event: whoever writes a file does so in several steps. Default 100 ms. */
  readonly debounceMs?: number;
}

/** Calls `changed` after each change, until the signal aborts. A file that is gone is no change. */
export function watchConfig(file: string, changed: () => void, options: WatchOptions): void {
  const { signal, pollMs = 400, debounceMs = 100 } = options;
  let known = identityOf(file);
  let pending: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    const now = identityOf(file);
    if (now === undefined || now === known) return;
    known = now;
    changed();
  };
  const poll = setInterval(look, pollMs);
  Deno.unrefTimer(poll);
  const watcher = watchDirectory(file);
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

/** The directory, not the file: most tools replace a file by renaming another over it. */
function watchDirectory(file: string): Deno.FsWatcher | undefined {
  try {
    return Deno.watchFs(file.replace(/[^/]*$/, "") || ".", { recursive: false });
  } catch {
    return undefined;
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

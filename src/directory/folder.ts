// SPDX-License-Identifier: Apache-2.0

/**
 * A directory of drop-in files, each a peer or a list of peers: `peers.d/`. Files may be written over, renamed into
 * place, or all exchanged at once by a link that is turned, as Kubernetes does with a mounted ConfigMap.
 */
import { fileReason } from "../config/reasons.ts";
import { type Source, type SourceOptions, type SourceState, type Text, Texts } from "./source.ts";

/** How it looks. */
export interface FolderOptions extends SourceOptions {
  /** The directory. */
  readonly path: string;
  readonly wallMs: () => number;
  /** Between two looks at the directory itself; default 400 ms. */
  readonly pollMs?: number;
  /** Between two looks at every file, for what shows in no event; default 30 s, and 2 s where there are no events. */
  readonly sweepMs?: number;
  /** Quiet time after an event: whoever writes files does so in several steps. Default 100 ms. */
  readonly debounceMs?: number;
}

/** Larger than any record: what is no record stays out of memory. */
const MAX_BYTES = 16 * 2 ** 20;
/** Files that are read at one time. */
const AT_ONCE = 64;
const SWEEP_MS = 30_000;
/** Events put a look off for so long at most. */
const MOST_QUIET_MS = 500;
const BLIND_SWEEP_MS = 2_000;

/** Reads it, and follows it until disposed of. The first reading is over when this resolves. */
export async function openFolder(options: FolderOptions): Promise<Source> {
  const folder = new Folder(options);
  await folder.begin();
  return folder;
}

/** The same, and the first reading has only begun. */
export function beginFolder(options: FolderOptions): Source {
  const folder = new Folder(options);
  void folder.begin();
  return folder;
}

class Folder implements Source {
  readonly name = "peers.d";
  readonly #options: FolderOptions;
  readonly #texts: Texts;
  /** What each file was when it was read. */
  readonly #known = new Map<string, string>();
  readonly #end = new AbortController();
  /** Names that events spoke of; "": all of them. */
  readonly #dirty = new Set<string>();
  #looking: Promise<void> = Promise.resolve();
  #watcher: Deno.FsWatcher | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  /** When the first of the dirty ones was. */
  #since = 0;
  #directory = "";
  #currentAtMs: number | undefined;
  #lastError = "";

  constructor(options: FolderOptions) {
    this.#options = options;
    this.#texts = new Texts(options);
  }

  /** Never rejects. */
  async begin(): Promise<void> {
    this.#watch();
    await (this.#looking = this.#look([""]));
    if (this.#end.signal.aborted) return;
    const { pollMs = 400, sweepMs } = this.#options;
    const every = (ms: number, look: () => void) => {
      const timer = setInterval(look, ms);
      Deno.unrefTimer(timer);
      this.#timers.push(timer);
    };
    every(pollMs, () => {
      if (this.#identity() !== this.#directory) this.#later("");
    });
    const blind = this.#watcher === undefined ? BLIND_SWEEP_MS : SWEEP_MS;
    every(sweepMs ?? blind, () => this.#later(""));
  }

  state(): SourceState {
    return {
      isCurrent: this.#lastError === "",
      currentAtMs: this.#currentAtMs,
      lastError: this.#lastError,
      ...this.#texts.state(),
    };
  }

  judgeAgain(): void {
    this.#texts.judgeAgain();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#soon);
    this.#watcher?.close();
    await this.#looking;
  }

  #watch(): void {
    try {
      this.#watcher = Deno.watchFs(this.#options.path, { recursive: false });
    } catch {
      return;
    }
    const follow = async (watcher: Deno.FsWatcher) => {
      for await (const { kind, paths } of watcher) {
        if (kind === "access") continue;
        // A link that is turned changes files of which no event speaks.
        for (const path of paths) {
          const name = path.replace(/^.*\//, "");
          this.#later(isRecord(name) ? name : "");
        }
      }
    };
    follow(this.#watcher).catch(() => {/* the sweep remains */});
  }

  #later(name: string): void {
    // Whoever writes without a pause is not waited for.
    const now = performance.now();
    if (this.#dirty.size === 0) this.#since = now;
    this.#dirty.add(name);
    if (now - this.#since > MOST_QUIET_MS) return;
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => {
      const names = [...this.#dirty];
      this.#dirty.clear();
      this.#looking = this.#looking.then(() => this.#look(names));
    }, this.#options.debounceMs ?? 100);
    Deno.unrefTimer(this.#soon);
  }

  /** Reads what is another file than before. Never rejects. */
  async #look(names: readonly string[]): Promise<void> {
    const { path, log, wallMs } = this.#options;
    try {
      this.#directory = this.#identity();
      const all = names.includes("");
      const there = all ? await list(path) : names;
      const texts: [string, Text | undefined][] = [];
      if (all) {
        const gone = new Set(this.#known.keys()).difference(new Set(there));
        for (const name of gone) texts.push(this.#gone(name));
      }
      for (let i = 0; i < there.length && !this.#end.signal.aborted; i += AT_ONCE) {
        const some = await Promise.all(there.slice(i, i + AT_ONCE).map((name) => this.#read(name)));
        for (const text of some) if (text !== undefined) texts.push(text);
      }
      if (this.#end.signal.aborted) return;
      await this.#texts.takeMany(texts, this.#end.signal);
      if (this.#end.signal.aborted) return;
      if (all) this.#options.onWhole?.();
      if (this.#lastError !== "") {
        log.info("The directory of drop-in files can be read again", { path });
      }
      this.#lastError = "";
      this.#currentAtMs = wallMs();
    } catch (error) {
      const reason = fileReason(error);
      if (this.#lastError !== reason) {
        log.error("The directory of drop-in files cannot be read: what it said last stands", {
          path,
          reason,
        });
      }
      this.#lastError = reason;
    }
  }

  /** What stands in a file now; undefined: what stood there before. */
  async #read(name: string): Promise<[string, Text | undefined] | undefined> {
    const file = `${this.#options.path}/${name}`;
    try {
      const info = await Deno.stat(file);
      if (!info.isFile) return this.#known.has(name) ? this.#gone(name) : undefined;
      const identity = identityOf(info);
      if (this.#known.get(name) === identity) return undefined;
      if (info.size > MAX_BYTES) throw new RangeError(`larger than ${MAX_BYTES} octets`);
      const text = await Deno.readTextFile(file);
      this.#known.set(name, identity);
      return [this.#place(name), { text, order: 0n }];
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) {
        return this.#known.has(name) ? this.#gone(name) : undefined;
      }
      this.#options.log.warn("A drop-in file cannot be read: what it said last stands", {
        file,
        reason: fileReason(error),
      });
      return undefined;
    }
  }

  #gone(name: string): [string, undefined] {
    this.#known.delete(name);
    return [this.#place(name), undefined];
  }

  #place(name: string): string {
    return `${this.#options.path}/${name}`;
  }

  /** Of the directory, and of where the link leads that a ConfigMap is behind. */
  #identity(): string {
    const { path } = this.#options;
    try {
      const of = identityOf(Deno.statSync(path));
      try {
        return `${of} ${Deno.readLinkSync(`${path}/..data`)}`;
      } catch {
        return of;
      }
    } catch {
      return "";
    }
  }
}

/** Names of files that hold records, in order: of two that say something of one peer the first one counts. */
async function list(path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(path)) if (isRecord(name)) names.push(name);
  return names.sort();
}

function isRecord(name: string): boolean {
  return name.endsWith(".json") && !name.startsWith(".");
}

/** Another file, another length or another time: another identity. */
function identityOf({ dev, ino, size, mtime, ctime }: Deno.FileInfo): string {
  return [dev, ino, size, mtime?.getTime(), ctime?.getTime()].join(" ");
}

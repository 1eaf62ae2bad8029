// SPDX-License-Identifier: Apache-2.0

/**
 * The TLS files in force, kept up to date: they are watched, read again now and then, and by `reload()` for SIGHUP.
 * A bad new set changes nothing but the log.
 */
import { createSecureContext, type SecureContext } from "node:tls";
import { ConfigError, type TlsFiles } from "../config/config.ts";
import { watchFiles } from "../config/watch.ts";
import { ChainJudge } from "./chain.ts";
import { type RpcEvents, SILENT } from "./events.ts";
import { contextOptions, loadTls, type TlsKey, type TlsMaterial } from "./tls.ts";
import type { Owner, TlsWarning } from "./tls_checks.ts";

/** How a store behaves; every field has a default. */
export interface TlsStoreOptions {
  /** Where the configuration names the files; default rpc.tls. */
  readonly key?: TlsKey;
  readonly owner?: Owner;
  readonly events?: RpcEvents;
  /** Between two readings that nothing asked for; default 30 s. 0: none, and no watching. */
  readonly pollMs?: number;
  /** Quiet time after the last change on disk; default 250. */
  readonly debounceMs?: number;
  /** Wall clock in milliseconds. */
  readonly wallMs?: () => number;
}

/** Called with the set in force and the one before it. */
export type TlsListener = (now: TlsMaterial, before: TlsMaterial) => void;

const DAY_MS = 86_400_000;
/** Between two looks whether the files are others: where a change shows in no event it is in force a little later. */
const LOOK_MS = 1000;

const SAID: Readonly<Record<TlsWarning["kind"], string>> = {
  "expires-soon": "TLS certificate expires soon",
  "key-mode": "The key of TLS is not safe from other users",
  "not-signed": "TLS certificate is not signed by the CA bundle",
  "refused": "TLS certificate is one that peers refuse",
  "useless-ca": "A certificate of the CA bundle is of no use",
};

/** Owns a watcher and a timer: dispose it. */
export class TlsStore implements Disposable {
  #files: TlsFiles;
  readonly #options: TlsStoreOptions;
  readonly #events: RpcEvents;
  readonly #wallMs: () => number;
  readonly #listeners = new Set<TlsListener>();
  #current: TlsMaterial;
  #context: SecureContext | undefined;
  #judge: ChainJudge;
  #end = new AbortController();
  #poll: ReturnType<typeof setInterval> | undefined;
  #warnedOf = "";
  /** What was warned about, and when, wall clock. */
  readonly #warned = new Map<string, number>();

  /** Loads at once. Throws `ConfigError` when the files cannot be used. */
  constructor(files: TlsFiles, options: TlsStoreOptions = {}) {
    this.#files = files;
    this.#options = options;
    this.#events = options.events ?? SILENT;
    this.#wallMs = options.wallMs ?? Date.now;
    this.#current = this.#load();
    this.#judge = new ChainJudge(this.#current.ca);
    this.#warn(this.#current.warnings);
    if (options.pollMs !== 0) this.#start();
  }

  /** The set in force. */
  get current(): TlsMaterial {
    return this.#current;
  }

  /** The set in force, parsed once: reading a key takes as long as a third of a handshake. */
  get context(): SecureContext {
    return this.#context ??= createSecureContext(contextOptions(this.#current));
  }

  /** Judges certificates by the CA bundle in force. */
  get judge(): ChainJudge {
    return this.#judge;
  }

  /** Earliest expiry, for status and metrics. */
  get expiresAtMs(): number {
    return this.#current.expiresAtMs;
  }

  /** Calls `listener` after each change; the result ends that. */
  onChange(listener: TlsListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Other files take the place of these. Throws `ConfigError` when they cannot be used; else they come into force when
   * the result is called.
   */
  follow(files: TlsFiles): () => void {
    const fresh = loadTls(files, this.#loading());
    return () => {
      const isWatching = this.#poll !== undefined;
      this.#stop();
      this.#files = files;
      if (isWatching) this.#start();
      this.#take(fresh);
    };
  }

  /** Reads the files again. True when a new set came into force. Never throws: a bad set is logged once. */
  reload(): boolean {
    let fresh: TlsMaterial;
    try {
      fresh = this.#load();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#warnExpired();
      if (this.#warnedOf !== error.message) {
        this.#warnedOf = error.message;
        this.#events.count("tls-reload-failed");
        this.#events.log(
          "warning",
          "TLS files on disk cannot be used, the old ones stay in force",
          {
            reason: error.message,
          },
        );
      }
      return false;
    }
    return this.#take(fresh);
  }

  /** True: it is another set than before. */
  #take(fresh: TlsMaterial): boolean {
    this.#warnedOf = "";
    const changed = fresh.digest !== this.#current.digest;
    if (changed) this.#warned.clear();
    this.#warn(fresh.warnings);
    if (!changed) return false;
    const before = this.#current;
    this.#current = fresh;
    this.#context = undefined;
    if (fresh.ca.join() !== before.ca.join()) this.#judge = new ChainJudge(fresh.ca);
    this.#events.count("tls-reloads");
    this.#events.log("info", "New TLS files are in force", { file: this.#files.cert });
    for (const listener of this.#listeners) listener(fresh, before);
    return true;
  }

  /** Stops watching. */
  [Symbol.dispose](): void {
    this.#stop();
    this.#listeners.clear();
  }

  #stop(): void {
    this.#end.abort();
    clearInterval(this.#poll);
    this.#poll = undefined;
    this.#end = new AbortController();
  }

  #start(): void {
    const poll = setInterval(() => this.reload(), this.#options.pollMs ?? 30_000);
    Deno.unrefTimer(poll);
    this.#poll = poll;
    const { cert, key, ca } = this.#files;
    watchFiles([cert, key, ca], () => this.reload(), {
      signal: this.#end.signal,
      pollMs: LOOK_MS,
      debounceMs: this.#options.debounceMs ?? 250,
    });
  }

  #load(): TlsMaterial {
    return loadTls(this.#files, this.#loading());
  }

  #loading() {
    const { owner, key } = this.#options;
    return { nowMs: this.#wallMs(), owner, key };
  }

  #warn(warnings: readonly TlsWarning[]): void {
    for (const { kind, text } of warnings) {
      if (this.#isDue(kind)) this.#events.log("warning", SAID[kind], { reason: text });
    }
  }

  #warnExpired(): void {
    const { expiresAtMs } = this.#current;
    if (this.#wallMs() < expiresAtMs || !this.#isDue("expired")) return;
    const expiresAt = new Date(expiresAtMs).toISOString();
    this.#events.log("error", "TLS certificate has expired: no peer takes it", {
      file: this.#files.cert,
      expiresAt,
    });
  }

  /** Once a day, as long as it holds. */
  #isDue(what: string): boolean {
    const now = this.#wallMs();
    if (now - (this.#warned.get(what) ?? -Infinity) < DAY_MS) return false;
    this.#warned.set(what, now);
    return true;
  }
}

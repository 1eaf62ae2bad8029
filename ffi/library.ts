// SPDX-License-Identifier: Apache-2.0

/**
 * The shim as a loaded library: the one place that says `dlopen`. What its functions return, the handle of an open plane,
 * and what needs no plane: the machine and its service manager.
 */
import { DataPlaneError } from "./plane.ts";
import { LIBC_SYMBOLS, SYMBOLS, type Symbols, VERSION_SYMBOLS } from "./symbols.ts";

/** PSP_DP_ABI_VERSION that this code was written for. */
const ABI_VERSION = 2;

/** <bits/resource.h>, on every architecture that the agent is built for. */
const RLIMIT_NOFILE = 7;

/** A library whose ABI is the one that we speak. */
export interface Library extends Disposable {
  readonly path: string;
  readonly symbols: Symbols;
  /** What the library says of itself: "soft 0.1.0; backends: ...". */
  readonly version: string;
  /** File descriptors that this process may have (the soft limit); undefined: it cannot be read. */
  readonly descriptorLimit: number | undefined;
  /** Unloads. Nothing that came from it may be used afterwards. */
  close(): void;
}

/**
 * Loads the shim at `path` (a plain name is searched by the system's loader).
 * Throws `DataPlaneError` "LOAD" when it cannot be loaded, speaks another ABI or lacks a function.
 */
export function openLibrary(path: string): Library {
  checkAbi(path);
  const { symbols, close } = load(path, SYMBOLS);
  try {
    return {
      path,
      symbols,
      version: readText(
        "Cannot read the library's version",
        (...args) => symbols.psp_dp_version(...args),
      ),
      descriptorLimit: descriptorLimit(path),
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Calls a function that fills (buf, cap, len) until the buffer is large enough. */
export function readText(
  what: string,
  call: (
    buf: Uint8Array<ArrayBuffer>,
    cap: number,
    len: Uint32Array<ArrayBuffer>,
  ) => number,
): string {
  const len = new Uint32Array(1);
  for (let cap = 4096;;) {
    const buf = new Uint8Array(cap);
    const status = call(buf, cap, len);
    const needed = len[0] ?? 0;
    if (status === ERANGE && needed > cap) {
      cap = needed;
      continue;
    }
    unwrap(status, what);
    return new TextDecoder().decode(buf.subarray(0, needed));
  }
}

function descriptorLimit(path: string): number | undefined {
  let libc;
  try {
    libc = load(path, LIBC_SYMBOLS);
  } catch {
    return undefined;
  }
  // rlim_cur, rlim_max
  const limits = new BigUint64Array(2);
  const status = libc.symbols.getrlimit(RLIMIT_NOFILE, limits);
  libc.close();
  return status === 0 ? Number(limits[0]) : undefined;
}

function checkAbi(path: string): void {
  const { symbols, close } = load(path, VERSION_SYMBOLS);
  try {
    const abi = new Uint32Array(1);
    unwrap(symbols.psp_dp_abi_version(abi), "Cannot read the library's ABI version");
    if (abi[0] !== ABI_VERSION) {
      throw new DataPlaneError(
        `Cannot use the data plane library "${path}": its ABI is version ${
          abi[0]
        }, this agent's ${ABI_VERSION}`,
        "LOAD",
      );
    }
  } finally {
    close();
  }
}

function load<S extends Deno.ForeignLibraryInterface>(path: string, symbols: S) {
  try {
    const library = Deno.dlopen(path, symbols);
    return { symbols: library.symbols, close: () => library.close() };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DataPlaneError(
      `Cannot load the data plane library "${path}": ${why.replace(/\s+/g, " ").trim()}`,
      "LOAD",
      { cause },
    );
  }
}

// ---- what its functions return -------------------------------------------------------------------

/** enum psp_dp_status: name and meaning by value. */
const STATUS: Readonly<Record<number, readonly [name: string, meaning: string]>> = {
  [-1]: ["EINVAL", "an argument is wrong"],
  [-2]: ["ENOMEM", "out of memory"],
  [-3]: ["ENOENT", "there is none"],
  [-4]: ["EEXIST", "it is there already"],
  [-5]: ["ENOSPC", "a limit of the configuration is reached"],
  [-6]: ["EIO", "the device or the kernel refused"],
  [-7]: ["EPERM", "CAP_NET_RAW or CAP_NET_ADMIN is missing"],
  [-8]: ["ENODEV", "there is no such interface or device"],
  [-9]: ["EBUSY", "it is still in use"],
  [-10]: ["ECLOSED", "the data plane is closed"],
  [-11]: ["ENOTSUP", "this data plane or backend cannot do it"],
  [-12]: ["ERANGE", "the buffer is too small"],
  [-13]: ["EKEY", "the key is in use already, or its SPIs are exhausted"],
};

/** PSP_DP_ERANGE: the caller's buffer is too small, and the length says what is needed. */
export const ERANGE = -12;
/** PSP_DP_ECLOSED: the plane was stopped. */
export const ECLOSED = -10;
/** PSP_DP_ENOENT: nothing there. */
export const ENOENT = -3;

/**
 * Throws `DataPlaneError` unless `status` is 0: what could not be done ("Cannot ..."), then why. `text`
 * gives the library's own sentence, which wins over the general meaning.
 */
export function unwrap(status: number, what: string, text?: () => string): void {
  if (status !== 0) throw refusalOf(status, what, text);
}

/** The same as an error, of a status that is not 0. */
export function refusalOf(status: number, what: string, text?: () => string): DataPlaneError {
  const [code, meaning] = STATUS[status] ?? [`E${-status}`, `status ${status}`];
  const why = text?.() || meaning;
  return new DataPlaneError(why.startsWith("Cannot ") ? why : `${what}: ${why}`, code);
}

// ---- the handle of a plane -----------------------------------------------------------------------

/** Good until it is taken away to be closed. */
export class Handle {
  readonly #symbols: Symbols;
  #value: bigint | undefined;

  constructor(symbols: Symbols, value: bigint) {
    this.#symbols = symbols;
    this.#value = value;
  }

  /** undefined once it was taken away. */
  get value(): bigint | undefined {
    return this.#value;
  }

  /** Throws `DataPlaneError` "ECLOSED" once it was taken away; `what` begins with "Cannot". */
  need(what: string): bigint {
    if (this.#value === undefined) {
      throw new DataPlaneError(`${what}: the data plane is closed`, "ECLOSED");
    }
    return this.#value;
  }

  /** Throws `DataPlaneError` unless the call returns 0. */
  do(what: string, call: (handle: bigint) => number): void {
    this.unwrap(call(this.need(what)), what);
  }

  /** Throws `DataPlaneError`, with the library's own sentence, unless `status` is 0. */
  unwrap(status: number, what: string): void {
    if (status !== 0) unwrap(status, what, () => this.errorText());
  }

  /** For the one who closes it: from here on no call gets it. */
  take(): bigint | undefined {
    const value = this.#value;
    this.#value = undefined;
    return value;
  }

  /** The library's sentence for the last refusal; "" when it has none. */
  errorText(): string {
    if (this.#value === undefined) return "";
    const buf = new Uint8Array(512);
    const len = new Uint32Array(1);
    const status = this.#symbols.psp_dp_error_text(this.#value, buf, buf.length, len);
    return status === 0 ? new TextDecoder().decode(buf.subarray(0, len[0])) : "";
  }
}

// ---- the machine ---------------------------------------------------------------------------------

/**
 * One message of sd_notify(3). `path`: as in NOTIFY_SOCKET; "@" first means an abstract socket. Throws
 * `DataPlaneError` when the path is none or nobody takes the message.
 */
export function notifyManager({ symbols }: Library, path: string, text: string): void {
  const to = new TextEncoder().encode(path);
  const message = new TextEncoder().encode(text);
  const status = symbols.psp_dp_notify(to, to.length, message, message.length);
  unwrap(status, `Cannot notify the service manager at "${path}"`);
}

/** The calling thread runs sooner when it wakes, and no more than before. False: the kernel has no such turns. */
export function shortTurns({ symbols }: Library): boolean {
  return symbols.psp_dp_short_turns() === 0;
}

/** The lines of `psp_dp_host_report`: page size, capabilities, limits and interfaces. */
export function hostReport({ symbols }: Library): string {
  return readText(
    "Cannot read what the machine says of itself",
    (...args) => symbols.psp_dp_host_report(...args),
  );
}

/** The names of this host's network interfaces. Throws `DataPlaneError` when the kernel does not say. */
export function interfaceNames({ symbols }: Library): ReadonlySet<string> {
  const text = readText(
    "Cannot list the interfaces",
    (...args) => symbols.psp_dp_interfaces(...args),
  );
  return new Set(text.split("\n").filter((name) => name !== ""));
}

/** Gives up the permission to load libraries: what is loaded stays usable, nothing else can be loaded. */
export function dropLoading(): void {
  Deno.permissions.revokeSync({ name: "ffi" });
}

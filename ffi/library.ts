// SPDX-License-Identifier: Apache-2.0

/** The shim as a loaded library: the one place that says `dlopen`. */
import { DataPlaneError } from "./plane.ts";
import { ERANGE, unwrap } from "./status.ts";
import { SYMBOLS, type Symbols, VERSION_SYMBOLS } from "./symbols.ts";

/** PSP_DP_ABI_VERSION that this code was written for. */
const ABI_VERSION = 1;

/** A library whose ABI is the one that we speak. */
export interface Library extends Disposable {
  readonly path: string;
  readonly symbols: Symbols;
  /** What the library says of itself: "soft 0.1.0; backends: ...". */
  readonly version: string;
  /** Where it says that the fields of its structs lie; see layout.ts. */
  layout(): string;
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
  return {
    path,
    symbols,
    version: readText(
      "Cannot read the library's version",
      (...args) => symbols.psp_dp_version(...args),
    ),
    layout: () =>
      readText("Cannot read the library's layout", (...args) => symbols.psp_dp_layout(...args)),
    close,
    [Symbol.dispose]: close,
  };
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

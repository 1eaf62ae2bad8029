// SPDX-License-Identifier: Apache-2.0

/** The stand-in's hooks for tests (c-shim/doca-standin/standin_test.h), of the library that this process has loaded. */
import assert from "node:assert/strict";
import { STANDIN_LIBRARY } from "./standin.ts";

const HOOKS = {
  doca_standin_refuse: { parameters: ["buffer"], result: "void" },
  doca_standin_used: { parameters: ["u32", "buffer"], result: "pointer" },
  doca_standin_refused: { parameters: [], result: "u32" },
  doca_standin_live: { parameters: ["buffer"], result: "void" },
} as const;

/** The 32-bit fields of struct doca_standin_live, in order. "" : of all time, or of what is open. */
const LIVE = [
  "pipes",
  "entries",
  "orders",
  "",
  "mbufs",
  "leaked mbufs",
  "bulks",
  "keys",
  "ids",
  "counters",
  "octets of actions",
  "",
] as const;
const LIVE_OCTETS = 4 * LIVE.length + 8 * 4;

/** Load the plane's library before: it is the same stand-in then. */
export class StandinHooks implements Disposable {
  readonly #library = Deno.dlopen(
    STANDIN_LIBRARY.replace("libpsp_dp_doca.so", "libdoca_flow.so"),
    HOOKS,
  );

  /** "name/3": the third use from now on; "": nothing is refused. Uses are counted anew. */
  refuse(list: string): void {
    this.#library.symbols.doca_standin_refuse(new TextEncoder().encode(`${list}\0`));
  }

  /** How often each function was used. */
  uses(): ReadonlyMap<string, number> {
    const all = new Map<string, number>();
    const count = new Uint32Array(1);
    for (let i = 0;; i++) {
      const name = this.#library.symbols.doca_standin_used(i, count);
      if (name === null) return all;
      all.set(Deno.UnsafePointerView.getCString(name), count[0] ?? 0);
    }
  }

  /** Uses that were refused. */
  refused(): number {
    return this.#library.symbols.doca_standin_refused();
  }

  /** What is alive though nothing is open: "2 pipes, 1 keys"; "": nothing. */
  left(): string {
    const octets = new Uint8Array(LIVE_OCTETS);
    this.#library.symbols.doca_standin_live(octets);
    const view = new DataView(octets.buffer);
    const found = LIVE.map((name, i) => ({ name, n: view.getUint32(4 * i, true) }));
    assert.equal(found.length, LIVE.length);
    return found.filter(({ name, n }) => name !== "" && n > 0)
      .map(({ name, n }) => `${n} ${name}`).join(", ");
  }

  [Symbol.dispose](): void {
    this.#library.close();
  }
}

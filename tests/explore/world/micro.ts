// SPDX-License-Identifier: Apache-2.0

/**
 * Promises on a short lead: the core awaits, and a world that is explored has to know when there is nothing left to
 * await. The runtime's own queue is run dry on the spot, which takes a tenth of a microsecond where a turn of the event
 * loop takes one.
 */

interface Internals {
  readonly core: { runMicrotasks(): void };
}

const { runMicrotasks } = internals().core;

/** Runs every microtask that is due, and those that follow. Works only inside `synchronously`. */
export function drain(): void {
  runMicrotasks();
}

/** Runs `work` outside of any promise, where `drain` works, and returns or throws as it does. */
export function synchronously<T>(work: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    setTimeout(() => {
      try {
        resolve(work());
      } catch (error) {
        reject(error);
      }
    }, 0);
  });
}

function internals(): Internals {
  const deno = Deno as unknown as { readonly [name: symbol]: Internals | undefined } & {
    readonly internal: symbol;
  };
  const found = deno[deno.internal];
  if (typeof found?.core?.runMicrotasks !== "function") {
    throw new Error("Cannot explore: this Deno does not let its microtasks be run");
  }
  return found;
}

// SPDX-License-Identifier: Apache-2.0

/** A wall clock of a process' own, by libfaketime: the machine's is never set. */

/**
 * The variables that make a program, and all that it starts, tell the time by `file`: "+0", or how far it is away, such as
 * "-400d". What is in the file counts at once, or after `cacheS` seconds: each look at the clock reads the file else.
 * Time that never runs backwards stays the machine's.
 */
export function fakeClock(
  file: string,
  { cacheS }: { readonly cacheS?: number } = {},
): Record<string, string> {
  return {
    LD_PRELOAD: library(),
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    ...cacheS === undefined
      ? { FAKETIME_NO_CACHE: "1" }
      : { FAKETIME_CACHE_DURATION: String(cacheS) },
  };
}

function library(): string {
  const place = [...Deno.readDirSync("/usr/lib")].map(({ name }) =>
    `/usr/lib/${name}/faketime/libfaketimeMT.so.1`
  ).find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
  if (place === undefined) throw new Error("There is no libfaketime here: run make deps");
  return place;
}

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { eventually, within } from "../../tests/support/wait.ts";
import { watchFiles } from "./watch.ts";

/** Watches a file in a directory of its own; `next` is the next change. */
async function watching(
  options: { pollMs?: number; debounceMs?: number },
  tell: (paths: { dir: string; file: string }, next: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "psp-watch-" });
  const end = new AbortController();
  try {
    const file = `${dir}/peers.json`;
    Deno.writeTextFileSync(file, "{}");
    let change = Promise.withResolvers<void>();
    watchFiles([file], () => change.resolve(), { signal: end.signal, ...options });
    await tell({ dir, file }, async () => {
      await within(change.promise, "the change of the file", 1000);
      change = Promise.withResolvers();
    });
  } finally {
    end.abort();
    Deno.removeSync(dir, { recursive: true });
  }
}

const SLOW_POLL = { pollMs: 3_600_000 };
const NO_EVENTS = { debounceMs: 3_600_000 };

for (const [how, options] of [["events", SLOW_POLL], ["looks", NO_EVENTS]] as const) {
  Deno.test(`a file that is written over, or replaced, is told by ${how} within a second`, async () => {
    await watching(options, async ({ dir, file }, next) => {
      Deno.writeTextFileSync(file, '{"a": 1}');
      await next();
      Deno.writeTextFileSync(`${dir}/new`, "{}");
      Deno.renameSync(`${dir}/new`, file);
      await next();
    });
  });
}

Deno.test("a link that is turned to another file is a change", async () => {
  await watching({}, async ({ dir, file }, next) => {
    Deno.writeTextFileSync(`${dir}/two`, "{}");
    Deno.symlinkSync("two", `${dir}/link`);
    Deno.renameSync(`${dir}/link`, file);
    await next();
    Deno.writeTextFileSync(`${dir}/two`, '{"a": 1}');
    await next();
  });
});

Deno.test("a file that is written over where a link leads is told by its directory's events", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "psp-watch-" });
  const end = new AbortController();
  try {
    Deno.mkdirSync(`${dir}/h1`);
    Deno.writeTextFileSync(`${dir}/h1/h1.crt`, "one");
    Deno.symlinkSync("h1/h1.crt", `${dir}/h1.crt`);
    const change = Promise.withResolvers<void>();
    watchFiles([`${dir}/h1.crt`], () => change.resolve(), { signal: end.signal, ...SLOW_POLL });
    Deno.writeTextFileSync(`${dir}/h1/h1.crt`, "another");
    await within(change.promise, "the change of the file", 1000);
  } finally {
    end.abort();
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("a file that goes away and comes back with other content is one change", async () => {
  await watching({ pollMs: 20 }, async ({ file }, next) => {
    Deno.removeSync(file);
    Deno.writeTextFileSync(file, '{"b": 2}');
    await next();
  });
});

Deno.test("a file that stays away is told of once, and again when it has been back", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "psp-watch-" });
  const end = new AbortController();
  const file = `${dir}/peers.json`;
  const gone: string[] = [];
  let [changes, seen] = [0, 0];
  try {
    Deno.writeTextFileSync(file, "{}");
    watchFiles([file], () => void changes++, {
      signal: end.signal,
      pollMs: 5,
      debounceMs: 5,
      gone: (path) => void gone.push(path),
    });
    for (const times of [1, 2]) {
      Deno.removeSync(file);
      await eventually(() => gone.length === times, { what: "the file to be missed" });
      assert.equal(changes, seen, "a file that is gone is no change");
      Deno.writeTextFileSync(file, "{}");
      await eventually(() => changes > seen, { what: "the file to be back" });
      seen = changes;
    }
    assert.deepEqual(gone, [file, file]);
  } finally {
    end.abort();
    Deno.removeSync(dir, { recursive: true });
  }
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";

/** Runs a script that says "whole" at its end. */
async function outlives(script: string, ...args: string[]): Promise<void> {
  const path = new URL(script, import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", "--cached-only", path, ...args],
    // glibc then fills what is freed with rubbish, and gives it to nobody at once: what is a matter of luck otherwise
    // shows every time.
    env: { MALLOC_PERTURB_: "165", GLIBC_TUNABLES: "glibc.malloc.tcache_count=0" },
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.equal(code, 0, text);
  assert.match(text, /whole/);
}

Deno.test("a GOAWAY of either side does not make the process read freed memory", async () => {
  await outlives("./goaway_loop.ts");
});

for (const scene of ["bare", "an attacker's client", "an attacker's server"]) {
  Deno.test(`nghttp2 is not entered from within, and the process lives on: ${scene}`, async () => {
    await outlives("./reentry.ts", scene);
  });
}

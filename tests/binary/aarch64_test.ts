// SPDX-License-Identifier: Apache-2.0

/** The file for a DPU's Arm cores, under qemu-user. */
import assert from "node:assert/strict";
import { emulated } from "./emulated.ts";
import { ROOT } from "./run_alone.ts";

const BINARY = `${ROOT}build/bin/psp-agent-aarch64`;

Deno.test("the aarch64 file says its version, checks, passes the known answers, and has no agent to ask", async () => {
  const cache = await Deno.makeTempDir({ prefix: "psp-aarch64-" });
  const run = (...args: string[]) => emulated(BINARY, args, cache);
  try {
    // The first one unpacks; the others share the two cores.
    const version = await run("version");
    assert.match(version.out, /^psp-agent \S+ \(Deno \S+, linux aarch64\)\n$/);
    const vectors = ["kbkdf_cmac_aes256", "psp_packets", "psp_malformed"]
      .map((name) => `${ROOT}tests/vectors/${name}.json`);
    const [check, selftest, status] = await Promise.all([
      run("check", "--config", `${ROOT}examples/peers.json`),
      run("selftest", "--vectors", ...vectors),
      run("status", "--address", "127.0.0.1:9"),
    ]);
    assert.equal(JSON.parse(check.out).id, "h1");
    assert.match(selftest.out, /^[1-9]\d* passed, 0 failed\n$/);
    assert.equal(status.code, 4);
    assert.match(status.err, /^psp-agent: Cannot ask the agent at [^\n]+\n$/);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});

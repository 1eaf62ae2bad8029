// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { scaled } from "../support/scale.ts";

const rounds = scaled(5, 1000);

/** Runs the writer, kills it in the midst of its work, and returns what it had said. */
async function writeAndDie(path: string, ms: number): Promise<string[]> {
  const script = new URL("../support/store_writer.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-check",
      "--cached-only",
      "--allow-read",
      "--allow-write",
      script,
      path,
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let killed = false;
  while (true) {
    const { value, done } = await reader.read();
    if (done) break;
    text += value;
    if (killed || !text.includes("spis")) continue;
    killed = true;
    setTimeout(() => child.kill("SIGKILL"), ms);
  }
  await child.status;
  // The last line may be cut.
  return text.split("\n").slice(0, -1);
}

Deno.test(`killed ${rounds} times while it writes: the database opens, no epoch and no SPI comes twice`, async () => {
  const dir = Deno.makeTempDirSync({ prefix: "psp-kill-" });
  try {
    let epoch = 0n;
    let spis = 0n;
    for (let round = 0; round < rounds; round++) {
      const lines = await writeAndDie(`${dir}/agent.db`, (round * 7) % 40);
      assert.ok(!lines.some((line) => line.includes("corrupt")), `round ${round}: ${lines[0]}`);
      const [, now, from] = /^epoch (\d+) from (\d+)/.exec(lines[0] ?? "") ?? [];
      assert.ok(BigInt(now ?? 0) > epoch, `round ${round}: epoch ${now} after ${epoch}`);
      assert.ok(BigInt(from ?? 0) >= spis, `round ${round}: SPIs from ${from} after ${spis}`);
      epoch = BigInt(now ?? 0);
      for (const line of lines) {
        const [, mark] = /^spis (\d+)/.exec(line) ?? [];
        if (mark !== undefined) spis = BigInt(mark);
      }
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

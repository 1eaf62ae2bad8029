// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { SMALLEST } from "../../tests/support/config_text.ts";
import { isStream } from "./journal.ts";

Deno.test("the journal's stream is known by device and inode, not by the variable alone", () => {
  const stat = () => ({ dev: 8, ino: 1234 });
  const table: readonly (readonly [string | undefined, boolean])[] = [
    ["8:1234", true],
    ["8:1235", false],
    ["9:1234", false],
    ["", false],
    [undefined, false],
    ["8:1234:5", false],
  ];
  for (const [variable, is] of table) assert.equal(isStream(variable, stat), is, variable);
  const closed = () => {
    throw new Error("EBADF");
  };
  assert.equal(isStream("8:1234", closed), false);
});

Deno.test("what the program says has its priority where stderr is the journal's, and nowhere else", async () => {
  const dir = await Deno.makeTempDir();
  try {
    // Its certificate is missing: that is said, and with --once it is the end.
    await Deno.writeTextFile(`${dir}/peers.json`, JSON.stringify(SMALLEST));
    const said = async (journal: string) => {
      const stderr = `${dir}/stderr`;
      const run = `exec "$AGENT" --config "$DIR/peers.json" --once`;
      const stream = `: >"$DIR/stderr"; export JOURNAL_STREAM=${journal}`;
      const { code } = await new Deno.Command("/bin/sh", {
        args: ["-c", `${stream}; ${run} 2>>"$DIR/stderr"`],
        env: { AGENT: new URL("../../bin/psp-agent", import.meta.url).pathname, DIR: dir },
        stdin: "null",
        stdout: "null",
      }).output();
      assert.equal(code, 1);
      return await Deno.readTextFile(stderr);
    };
    assert.match(
      await said(`$(stat -c %d:%i "$DIR/stderr")`),
      /^<3>psp-agent: .*: 3 problems\n(<3> {2}.*no such file\n){3}$/,
    );
    assert.match(await said("8:1234"), /^psp-agent: .*: 3 problems\n( {2}.*no such file\n){3}$/);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

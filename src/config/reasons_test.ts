// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { fileReason } from "./reasons.ts";

function reasonOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return fileReason(error);
  }
  return "";
}

Deno.test("what the system says of a file becomes the end of a sentence", () => {
  const dir = Deno.makeTempDirSync();
  try {
    const file = `${dir}/file`;
    Deno.writeTextFileSync(file, "");
    const table: [() => unknown, string][] = [
      [() => Deno.readTextFileSync(`${dir}/none`), "no such file"],
      [() => Deno.readTextFileSync(dir), "it is a directory"],
      [() => Deno.readTextFileSync(`${file}/x`), "a part of its path is not a directory"],
      [() => Deno.mkdirSync(file), "something else is there under that name"],
      [() => Deno.mkdirSync(`${dir}/${"x".repeat(300)}`), "the name is too long"],
    ];
    for (const [act, expected] of table) assert.equal(reasonOf(act), expected);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("what cannot be had in a test is known by its name", () => {
  const full = Object.assign(new Error("No space left on device (os error 28)"), {
    code: "ENOSPC",
  });
  assert.equal(fileReason(full), "no space is left on the device");
  const refused = new Deno.errors.NotCapable('Requires write access to "/proc/x"');
  assert.equal(fileReason(refused), "outside of what this process may use (see bin/psp-agent)");
});

Deno.test("an error of another kind keeps its own words, in one line", () => {
  assert.equal(fileReason(new Error("Odd thing (os error 99): open 'x'")), "Odd thing");
  assert.equal(fileReason(new Error("one\n  two")), "one two");
  assert.equal(fileReason("text"), "text");
});

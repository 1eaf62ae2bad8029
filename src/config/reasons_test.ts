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
      [() => Deno.writeTextFileSync("/dev/full", "x"), "no space is left on the device"],
      [() => Deno.mkdirSync(`${dir}/${"x".repeat(300)}`), "the name is too long"],
    ];
    for (const [act, expected] of table) assert.equal(reasonOf(act), expected);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("an error of another kind keeps its own words, in one line", () => {
  assert.equal(fileReason(new Error("Odd thing (os error 99): open 'x'")), "Odd thing");
  assert.equal(fileReason(new Error("one\n  two")), "one two");
  assert.equal(fileReason("text"), "text");
});

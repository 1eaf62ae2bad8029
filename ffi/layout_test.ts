// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { libraryPath } from "../tests/support/library.ts";
import { LAYOUT, layoutText } from "./layout.ts";
import { openLibrary } from "./library.ts";

Deno.test("the library lays its structs out as the table says", () => {
  using library = openLibrary(libraryPath());
  assert.deepEqual(
    library.layout().trim().split("\n").sort(),
    layoutText().trim().split("\n").sort(),
  );
});

Deno.test("no field passes the end of its struct, and none overlaps the next", () => {
  for (const [struct, fields] of Object.entries(LAYOUT)) {
    let end = 0;
    for (const [field, [offset, size]] of Object.entries(fields)) {
      if (field === ".") continue;
      assert.ok(offset >= end, `${struct}.${field}`);
      end = offset + size;
    }
    assert.ok(end <= fields["."][1], struct);
  }
});

// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { libraryPath } from "../tests/support/library.ts";
import { ERANGE, openLibrary, readText } from "./library.ts";

Deno.test("a library that is not there is one sentence with code LOAD", () => {
  assert.throws(() => openLibrary("./no/such.so"), (error) => {
    assert.ok(error instanceof Error && "code" in error);
    assert.equal(error.code, "LOAD");
    assert.match(error.message, /^Cannot load the data plane library "\.\/no\/such\.so": [^\n]+$/);
    return true;
  });
});

Deno.test("a library that is not the shim is one sentence with code LOAD", () => {
  assert.throws(() => openLibrary("libc.so.6"), { code: "LOAD", message: /psp_dp_abi_version/ });
});

Deno.test("the shim says what it is", () => {
  using library = openLibrary(libraryPath());
  assert.match(library.version, /^\w+ \S+/);
});

Deno.test("text that needs a larger buffer is read with one", () => {
  const text = "x".repeat(5000);
  const read = readText("Cannot read", (buf, cap, len) => {
    len[0] = text.length;
    if (cap < text.length) return ERANGE;
    new TextEncoder().encodeInto(text, buf);
    return 0;
  });
  assert.equal(read, text);
});

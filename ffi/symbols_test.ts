// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { libraryPath } from "../tests/support/library.ts";
import { openLibrary, readText } from "./library.ts";
import { BUSY_POLL_US_MAX, HOST_PORTS_MAX, LAYOUT, LIMITS, WORKERS_MAX } from "./symbols.ts";

Deno.test("the library lays its structs out as the table says", () => {
  using library = openLibrary(libraryPath());
  const text = readText("Cannot read", (...args) => library.symbols.psp_dp_layout(...args));
  const table = Object.entries(LAYOUT).flatMap(([struct, fields]) =>
    Object.entries(fields).map(([field, [offset, size]]) => `${struct} ${field} ${offset} ${size}`)
  );
  assert.deepEqual(text.trim().split("\n").sort(), table.sort());
});

Deno.test("the library has the limits that the table has", () => {
  using library = openLibrary(libraryPath());
  const text = readText("Cannot read", (...args) => library.symbols.psp_dp_limits(...args));
  const table = Object.entries(LIMITS).map(([name, limit]) =>
    `${name} ${limit.min} ${limit.default} ${limit.max}`
  );
  assert.deepEqual(text.trim().split("\n"), table);
  const fields = { ...LAYOUT.psp_dp_config, ...LAYOUT.psp_dp_port_desc, ...LAYOUT.psp_dp_actions };
  for (const name of Object.keys(LIMITS)) assert.ok(name in fields, name);
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

Deno.test("there is room for as many ports and workers as the header says", async () => {
  const header = await Deno.readTextFile(new URL("../c-shim/psp_dp.h", import.meta.url));
  const most = (name: string) =>
    Number(new RegExp(`^#define PSP_DP_${name}_MAX (\\d+)`, "m").exec(header)?.[1]);
  assert.equal(HOST_PORTS_MAX + 1, most("PORTS"));
  assert.equal(WORKERS_MAX, most("WORKERS"));
  assert.equal(BUSY_POLL_US_MAX, most("BUSY_POLL_US"));
});

// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { nearest } from "./suggest.ts";

const KEYS = ["id", "pip", "plane", "peers", "vips", "svc_address", "state_dir", "next_hop_mac"];

Deno.test("the nearest key is suggested for a slip of the pen", () => {
  const table: [string, string | undefined][] = [
    ["peer", "peers"],
    ["svcAddress", "svc_address"],
    ["svc-adress", "svc_address"],
    ["statedir", "state_dir"],
    ["vpis", "vips"],
    ["pipp", "pip"],
    ["next_mac_hop", undefined],
    ["zzz", undefined],
    ["svc", "svc_address"],
    ["sv", undefined],
    ["x".repeat(10_000), undefined],
  ];
  for (const [word, expected] of table) assert.equal(nearest(word, KEYS), expected, word);
});

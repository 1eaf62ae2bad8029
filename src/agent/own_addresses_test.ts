// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { OwnAddresses } from "./own_addresses.ts";

function interfaces(...cidrs: string[]) {
  return cidrs.map((cidr) => ({ cidr, address: cidr.split("/")[0] ?? "" }));
}

Deno.test("a host's own addresses are known, and those of the networks on its links", () => {
  const list = interfaces("192.0.2.1/24", "198.51.100.4/31", "203.0.113.9/32", "2001:db8::1/64");
  const own = new OwnAddresses({ now: () => 0 }, () => list);
  const rows = [
    "192.0.2.1",
    "192.0.2.0",
    "192.0.2.255",
    "192.0.2.2",
    "198.51.100.5",
    "2001:db8::1",
  ];
  assert.deepEqual(rows.map((address) => own.what(address)), [
    "this host's own",
    "that of a whole network",
    "that of a whole network",
    undefined,
    undefined,
    "this host's own",
  ]);
});

Deno.test("what is on a link of this host is known by the prefixes of its interfaces", () => {
  const list = interfaces("192.0.2.1/24", "203.0.113.9/32", "2001:db8::1/64", "nonsense");
  const own = new OwnAddresses({ now: () => 0 }, () => list);
  const rows = ["192.0.2.200", "203.0.113.9", "203.0.113.8", "2001:db8::7", "2001:db8:1::7"];
  assert.deepEqual(rows.map((address) => own.isOnLink(address)), [true, true, false, true, false]);
});

Deno.test("addresses are followed, and a system that says nothing is no failure", () => {
  let [now, list] = [0, interfaces("192.0.2.1/24")];
  const own = new OwnAddresses({ now: () => now }, () => {
    if (list.length === 0) throw new Error("no right");
    return list;
  });
  assert.equal(own.what("192.0.2.1"), "this host's own");
  list = interfaces("192.0.2.7/24");
  assert.equal(own.what("192.0.2.7"), undefined);
  now = 1000;
  assert.deepEqual([own.what("192.0.2.1"), own.what("192.0.2.7")], [undefined, "this host's own"]);
  [now, list] = [2000, []];
  assert.equal(own.what("192.0.2.7"), undefined);
});

// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { family, isLoopback, parseCidr, parseHostPort, parseIp, parseMac } from "./addresses.ts";

Deno.test("prefixes become canonical", () => {
  const table: [string, string, boolean][] = [
    ["10.1.0.5", "10.1.0.5/32", false],
    ["10.1.0.5/24", "10.1.0.0/24", true],
    ["0.0.0.0/0", "0.0.0.0/0", false],
    ["FD00:0:0::1", "fd00::1/128", false],
    ["fd00:1::/64", "fd00:1::/64", false],
    ["fd00:1::ffff/33", "fd00:1::/33", true],
    ["2001:DB8:0:0:1:0:0:1/127", "2001:db8:0:0:1::/127", true],
    ["::/0", "::/0", false],
  ];
  for (const [input, cidr, hostBits] of table) {
    assert.deepEqual(parseCidr(input), { cidr, hostBits }, input);
  }
});

Deno.test("what is no prefix is refused", () => {
  const table: [unknown, RegExp][] = [
    ["10.1.0.300/24", /not an address or prefix/],
    ["10.1/16", /not an address or prefix/],
    ["010.1.0.0/16", /not an address or prefix/],
    ["10.1.0.0/33", /prefix longer than 32/],
    ["10.1.0.0/08", /not an address or prefix/],
    ["10.1.0.0/", /not an address or prefix/],
    ["10.1.0.0/24/1", /not an address or prefix/],
    ["fe80::1%eth0", /not an address or prefix/],
    ["::ffff:10.0.0.1", /write "10.0.0.1"/],
    ["224.0.0.0/4", /is multicast/],
    ["ff02::1", /is multicast/],
    [12, /not an address or prefix/],
    [null, /not an address or prefix/],
  ];
  for (const [input, expected] of table) {
    assert.throws(() => parseCidr(input), expected, String(input));
  }
});

Deno.test("a prefix has the family of its address", () => {
  assert.equal(family("fd00::/16"), "ipv6");
  assert.equal(family("10.0.0.0/8"), "ipv4");
});

Deno.test("one host's address is needed, not a group's", () => {
  assert.equal(parseIp("2001:DB8::0:1"), "2001:db8::1");
  for (const input of ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "10.0.0.1/24", ""]) {
    assert.throws(() => parseIp(input), RangeError, input);
  }
});

Deno.test("MACs are unicast and lower case", () => {
  assert.equal(parseMac("02-00-00-AA-00-01"), "02:00:00:aa:00:01");
  for (const input of ["01:00:5e:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00", "x", 1]) {
    assert.throws(() => parseMac(input), RangeError, String(input));
  }
});

Deno.test("host and port are told apart, IPv6 in brackets", () => {
  assert.equal(parseHostPort("192.0.2.1:7443").text, "192.0.2.1:7443");
  assert.equal(parseHostPort("[2001:DB8:0::1]:7443").text, "[2001:db8::1]:7443");
  assert.deepEqual(parseHostPort("H2.example:80"), {
    host: "h2.example",
    port: 80,
    text: "h2.example:80",
  });
  // Complete: no search domain is tried with it.
  assert.equal(parseHostPort("h2.example.:80").host, "h2.example.");
  const bad = [
    "h2",
    "h2:",
    ":80",
    "2001:db8::1:80",
    "h2:0",
    "h2:65536",
    "1.2.3:80",
    "[h2]:80",
    "a b:80",
    "h2.example..:80",
    ".:80",
    7,
  ];
  for (const input of bad) assert.throws(() => parseHostPort(input), RangeError, String(input));
});

Deno.test("loopback is known in both families and by name", () => {
  for (const host of ["127.0.0.1", "127.9.9.9", "::1", "localhost"]) {
    assert.ok(isLoopback(host), host);
  }
  for (const host of ["0.0.0.0", "::", "192.0.2.1", "h2"]) assert.ok(!isLoopback(host), host);
});

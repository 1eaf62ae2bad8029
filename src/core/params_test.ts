// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { Key } from "../../ffi/key.ts";
import { configOf } from "../../tests/support/core_config.ts";
import type { PspParams } from "../model/sa.ts";
import { paramsProblem } from "./params.ts";

const OWN = {
  config: configOf(1, { hosts: 2, changes: {} }),
  mac: "02:00:00:00:00:01",
  ownAddress: (address: string) =>
    address === "192.0.2.255" ? "that of a whole network" : undefined,
};

function problem(change: Partial<PspParams>): string | undefined {
  return paramsProblem({
    spi: 0x12345678,
    version: "aes-gcm-128",
    key: new Key(new Uint8Array(16).fill(1)),
    pip: "192.0.2.2",
    mac: "02:00:00:00:00:02",
    cryptOffset: 5,
    mode: "tunnel",
    serial: 1n,
    lifeS: 60,
    ...change,
  }, { version: "aes-gcm-128", mode: "tunnel", own: OWN, peerPip: undefined });
}

Deno.test("a peer's outer address is that of another host, and its MAC that of another station", () => {
  assert.equal(problem({}), undefined);
  const rows: readonly [Partial<PspParams>, RegExp][] = [
    [{ pip: "192.0.2.1" }, /this host's own/],
    [{ pip: "::ffff:192.0.2.1" }, /this host's own/],
    [{ pip: "192.0.2.255" }, /that of a whole network/],
    [{ pip: "127.0.0.1" }, /this host's own/],
    [{ pip: "127.9.9.9" }, /this host's own/],
    [{ pip: "::1" }, /this host's own/],
    [{ pip: "0.0.0.0" }, /not that of one host/],
    [{ pip: "0.1.2.3" }, /not that of one host/],
    [{ pip: "::" }, /not that of one host/],
    [{ pip: "224.0.0.1" }, /not that of one host/],
    [{ pip: "239.1.2.3" }, /not that of one host/],
    [{ pip: "240.0.0.1" }, /not that of one host/],
    [{ pip: "255.255.255.255" }, /not that of one host/],
    [{ pip: "ff02::1" }, /not that of one host/],
    [{ pip: "2001:db8::2" }, /family/],
    [{ pip: "somewhere" }, /is none/],
    [{ mac: "00:00:00:00:00:00" }, /not that of one station/],
    [{ mac: "01:00:5e:00:00:01" }, /not that of one station/],
    [{ mac: "ff:ff:ff:ff:ff:ff" }, /not that of one station/],
    [{ mac: "02:00:00:00:00:01" }, /this host's own/],
    [{ mac: "02:00:00:00:00:0" }, /is none/],
    [{ spi: 0 }, /SPI 0 is reserved/],
  ];
  for (const [change, expected] of rows) {
    assert.match(problem(change) ?? "nothing", expected, JSON.stringify(change));
  }
});

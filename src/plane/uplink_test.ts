// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { DataPlaneError, type PortInfo } from "../../ffi/plane.ts";
import type { Log } from "../model/log.ts";
import { Uplink } from "./uplink.ts";

const LOG = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Log;
const [OLD, NEW] = ["02:00:00:00:00:01", "02:00:00:00:00:02"] as const;

function begin(pip = "192.0.2.1") {
  const port = { mac: OLD as string, identity: 1, present: true, linkUp: true };
  const sent: Uint8Array[] = [];
  const macs: string[] = [];
  const state = { fails: false };
  const uplink = new Uplink({
    plane: {
      port: () => {
        if (state.fails) throw new DataPlaneError("Cannot query the port: it is gone", "ENODEV");
        return port as PortInfo;
      },
      inject: (_, frame) => void sent.push(frame),
    },
    pip,
    log: LOG,
    changed: (mac) => macs.push(mac),
  });
  return { port, sent, macs, state, uplink };
}

const hex = (frame: Uint8Array | undefined) => frame?.toHex() ?? "";

Deno.test("another MAC is told to the segment three times, and to who asked", () => {
  const { port, sent, macs, uplink } = begin();
  uplink.look();
  assert.deepEqual([sent.length, macs], [0, []]);
  port.mac = NEW;
  for (let i = 0; i < 5; i++) uplink.look();
  assert.deepEqual(macs, [NEW]);
  assert.equal(sent.length, 3);
  // RFC 5227, section 3: a broadcast request whose sender and target are the address itself.
  assert.equal(
    hex(sent[0]),
    "ffffffffffff" + "020000000002" + "0806" + "0001080006040001" + "020000000002" + "c0000201" +
      "000000000000" + "c0000201",
  );
});

Deno.test("an IPv6 address is told by an unsolicited neighbour advertisement", () => {
  const { port, sent, uplink } = begin("2001:db8::1");
  port.mac = NEW;
  uplink.look();
  const frame = hex(sent[0]);
  assert.equal(frame.slice(0, 28), "333300000001" + "020000000002" + "86dd");
  assert.equal(frame.slice(28 + 80, 28 + 84), "8800", "type 136");
  assert.equal(frame.slice(28 + 88, 28 + 96), "20000000", "the override flag alone");
});

Deno.test("a neighbour is asked for once, in the name of the outer address", () => {
  const { sent, uplink } = begin();
  for (const address of ["192.0.2.254", "192.0.2.254", "2001:db8::fe"]) uplink.ask(address);
  for (let i = 0; i < 3; i++) uplink.look();
  // RFC 826.
  assert.deepEqual(sent.map(hex), [
    "ffffffffffff" + "020000000001" + "0806" + "0001080006040001" + "020000000001" + "c0000201" +
    "000000000000" + "c00002fe",
  ]);
  const ipv6 = begin("2001:db8::1");
  ipv6.uplink.ask("2001:db8::fe");
  ipv6.uplink.look();
  const frame = hex(ipv6.sent[0]);
  assert.equal(frame.slice(0, 28), "3333ff0000fe" + "020000000001" + "86dd");
  assert.equal(
    frame.slice(28 + 16, 28 + 80),
    "20010db8" + "0".repeat(23) + "1" + "ff0200000000000000000001ff0000fe",
  );
  assert.equal(frame.slice(28 + 80, 28 + 84), "8700", "type 135");
});

Deno.test("another interface of the same name and MAC is told too; one that is gone or down waits", () => {
  const { port, sent, state, uplink } = begin();
  port.identity = 2;
  port.linkUp = false;
  uplink.look();
  state.fails = true;
  uplink.look();
  assert.equal(sent.length, 0);
  state.fails = false;
  port.linkUp = true;
  for (let i = 0; i < 5; i++) uplink.look();
  assert.equal(sent.length, 3);
});

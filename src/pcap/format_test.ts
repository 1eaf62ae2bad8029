// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import fc from "fast-check";
import type { CapturedPacket } from "./capture.ts";
import { readCapture, writeCapture } from "./format.ts";

const PACKETS: readonly CapturedPacket[] = [
  {
    link: "ip",
    timeNs: 1_700_000_000_123_456_789n,
    data: Uint8Array.of(0x45, 1),
    originalLength: 2,
  },
  {
    link: "ip",
    timeNs: 4_294_967_295_999_999_999n,
    data: Uint8Array.of(0x60),
    originalLength: 1500,
  },
];

Deno.test("what is written is read again", () => {
  for (const link of ["ethernet", "ip"] as const) {
    const file = writeCapture(PACKETS, { link, nanoseconds: true });
    const capture = readCapture(file);
    assert.equal(capture.nanoseconds, true);
    assert.equal(capture.problem, undefined);
    assert.deepEqual(capture.packets, PACKETS.map((packet) => ({ ...packet, link })));
  }
});

Deno.test("microseconds are kept as such", () => {
  const capture = readCapture(writeCapture(PACKETS, { link: "ip", nanoseconds: false }));
  assert.equal(capture.nanoseconds, false);
  assert.equal(capture.packets[0]?.timeNs, 1_700_000_000_123_456_000n);
});

/** The same file in the other endianness. */
function swapped(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const out = file.slice();
  const view = new DataView(out.buffer);
  for (const at of [0, 8, 12, 16, 20]) view.setUint32(at, view.getUint32(at, true));
  for (const at of [4, 6]) view.setUint16(at, view.getUint16(at, true));
  for (let at = 24; at < out.length;) {
    const length = view.getUint32(at + 8, true);
    for (const field of [0, 4, 8, 12]) view.setUint32(at + field, view.getUint32(at + field, true));
    at += 16 + length;
  }
  return out;
}

Deno.test("big-endian files are read", () => {
  const file = writeCapture(PACKETS, { link: "ethernet", nanoseconds: true });
  assert.deepEqual(readCapture(swapped(file)), readCapture(file));
});

Deno.test("link types: Ethernet, raw IP under its five numbers, others", () => {
  const read = (linktype: number) => {
    const file = writeCapture(PACKETS, { link: "ip", nanoseconds: false });
    new DataView(file.buffer).setUint32(20, linktype, true);
    return readCapture(file).packets[0]?.link;
  };
  assert.equal(read(1), "ethernet");
  for (const linktype of [12, 14, 101, 228, 229]) assert.equal(read(linktype), "ip");
  assert.equal(read(113), "other");
  assert.equal(read(0x14000001), "ethernet");
});

Deno.test("a file that ends within a packet gives those before it, and says so", () => {
  const file = writeCapture(PACKETS, { link: "ip", nanoseconds: false });
  for (const cut of [1, 5]) {
    const capture = readCapture(file.slice(0, file.length - cut));
    assert.equal(capture.packets.length, 1);
    assert.equal(capture.problem, "the file ends within packet 1");
  }
});

Deno.test("what is no capture is refused", () => {
  for (const octets of [[], [1, 2, 3], new Array(24).fill(0)]) {
    assert.throws(() => readCapture(Uint8Array.from(octets)), { name: "ConfigError" });
  }
});

Deno.test("no octets behind a header make the readers loop or throw", () => {
  const headers = [
    writeCapture([], { link: "ip", nanoseconds: false }),
    Uint8Array.fromHex("0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff1c000000"),
  ];
  fc.assert(fc.property(
    fc.constantFrom(...headers),
    fc.uint8Array({ maxLength: 200 }),
    (header, octets) => void readCapture(Uint8Array.from([...header, ...octets])),
  ));
});

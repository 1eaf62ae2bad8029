// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import fc from "fast-check";
import { addressBytes, macBytes } from "./address.ts";
import { decodeEvents } from "./events.ts";
import { sizeOf } from "./layout.ts";
import { Struct } from "./struct.ts";

function record(
  type: number,
  fill: (event: Struct<"psp_dp_event">) => void = () => {},
  data: Uint8Array = new Uint8Array(0),
): Uint8Array<ArrayBuffer> {
  const header = sizeOf("psp_dp_event");
  const size = Math.ceil((header + data.length) / 8) * 8;
  const bytes = new Uint8Array(size);
  const event = new Struct("psp_dp_event", bytes);
  event.set("record_size", size).set("type", type).set("data_len", data.length);
  bytes.set(data, header);
  fill(event);
  return bytes;
}

function batch(...records: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(records.flatMap((r) => [...r]));
}

Deno.test("each kind of event is decoded, in order", () => {
  const miss = record(1, (e) => {
    e.set("flow", 7).setOctets("src", addressBytes("10.0.0.1")).setOctets(
      "dst",
      addressBytes("fd00::2"),
    );
    e.setOctets("eth_src", macBytes("02:00:00:00:00:0a"));
  });
  const exception = record(2, (e) => e.set("port", 1).set("time_ns", 5n), Uint8Array.of(1, 2, 3));
  const sample = record(3, (e) => {
    e.set("egress", 1).set("spi", 0x9a345678).set("packet_len", 1400);
    e.setOctets("src", addressBytes("10.0.0.1")).setOctets("dst", addressBytes("10.0.0.2"));
  }, Uint8Array.of(0x45));
  const syndrome = record(4, (e) => {
    e.set("spi", 9).set("syndrome", 1);
    e.setOctets("src", addressBytes("192.0.2.1")).setOctets("dst", addressBytes("192.0.2.2"));
  });
  const tooBig = record(5, (e) => e.set("mtu", 1420), Uint8Array.of(0x60));
  assert.deepEqual(decodeEvents(batch(miss, exception, sample, syndrome, tooBig)), [
    { type: "miss", flow: 7, srcVip: "10.0.0.1", dstVip: "fd00::2", ethSrc: "02:00:00:00:00:0a" },
    { type: "exception", port: "host", frame: Uint8Array.of(1, 2, 3), timeNs: 5n },
    {
      type: "sample",
      direction: "egress",
      spi: 0x9a345678,
      srcVip: "10.0.0.1",
      dstVip: "10.0.0.2",
      length: 1400,
      data: Uint8Array.of(0x45),
      timeNs: 0n,
    },
    { type: "syndrome", spi: 9, syndrome: "icv_failed", srcPip: "192.0.2.1", dstPip: "192.0.2.2" },
    { type: "too_big", mtu: 1420, ethSrc: "00:00:00:00:00:00", data: Uint8Array.of(0x60) },
  ]);
});

Deno.test("an event keeps its data when the batch is filled again", () => {
  const bytes = batch(record(2, () => {}, Uint8Array.of(1, 2, 3)));
  const [event] = decodeEvents(bytes);
  bytes.fill(0);
  assert.ok(event?.type === "exception");
  assert.deepEqual(event.frame, Uint8Array.of(1, 2, 3));
});

Deno.test("a type that is not known is passed over", () => {
  const events = decodeEvents(batch(record(99), record(5, (e) => e.set("mtu", 1420))));
  assert.deepEqual(events.map(({ type }) => type), ["too_big"]);
});

Deno.test("records that contradict their batch are refused", () => {
  const cases = [
    record(1, (e) => e.set("record_size", 8)),
    record(1, (e) => e.set("record_size", 4096)),
    record(1, (e) => e.set("data_len", 4096)),
    record(1).subarray(0, 12),
  ];
  for (const bytes of cases) {
    assert.throws(() => decodeEvents(batch(bytes)), { name: "DataPlaneError" });
  }
});

Deno.test("no octets make the decoder loop or fail in another way", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
    try {
      decodeEvents(Uint8Array.from(octets));
    } catch (error) {
      assert.ok(error instanceof Error && error.name === "DataPlaneError");
    }
  }));
});

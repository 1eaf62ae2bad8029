// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import * as http2 from "node:http2";
import { Duplex } from "node:stream";
import { type Flood, H2Meter, MAX_FIELDS } from "./h2_meter.ts";
import { joined } from "../model/octets.ts";

const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

function frame(type: number, flags: number, payload: Uint8Array | number[] = []): Uint8Array {
  const octets = new Uint8Array(9 + payload.length);
  new DataView(octets.buffer).setUint32(0, payload.length << 8);
  octets.set([type, flags], 3);
  octets[8] = 1;
  octets.set(payload, 9);
  return octets;
}

/** In pieces of every size up to `most`. */
function inPieces(meter: H2Meter, octets: Uint8Array, most: number): Flood | undefined {
  for (let at = 0, size = 1; at < octets.length; at += size, size = size % most + 1) {
    const flood = meter.received(octets.subarray(at, at + size));
    if (flood !== undefined) return flood;
  }
  return undefined;
}

const FLOODS: readonly (readonly [Flood, Uint8Array, number])[] = [
  ["h2-pings", frame(6, 0, new Uint8Array(8)), 64],
  ["h2-pings", frame(6, 1, new Uint8Array(8)), 64],
  ["h2-settings", frame(4, 0), 16],
  ["h2-settings", frame(4, 1), 16],
  ["h2-priorities", frame(2, 0, new Uint8Array(5)), 64],
  ["h2-window-updates", frame(8, 0, [0, 0, 0, 1]), 256],
  ["h2-resets", frame(3, 0, [0, 0, 0, 8]), 64],
  ["h2-continuations", frame(9, 0), 32],
  ["h2-small-frames", frame(0, 0), 64],
  ["h2-small-frames", frame(0, 0, [1]), 64],
  ["h2-unknown-frames", frame(0xbe, 0, [1, 2]), 64],
];

for (const [flood, one, burst] of FLOODS) {
  Deno.test(`frames of type ${one[3]} (flags ${one[4]}, ${one.length} octets): ${burst} pass, then they are ${flood}`, () => {
    let now = 0;
    const meter = new H2Meter(() => now);
    assert.equal(meter.received(PREFACE), undefined);
    for (let i = 0; i < burst; i++) assert.equal(inPieces(meter, one, 3), undefined, `${i}`);
    assert.equal(inPieces(meter, one, 3), flood);
    now = 1000;
    assert.equal(meter.received(one), undefined, "a second later there is room again");
  });
}

Deno.test("requests and their bodies are no flood, however many", () => {
  const meter = new H2Meter(() => 0);
  meter.received(PREFACE);
  const request = [frame(1, 4, [0x82]), frame(0, 0, new Uint8Array(1000)), frame(0, 1)];
  // Readers send WINDOW_UPDATE for what they get, gRPC a PING besides.
  const reader = [
    frame(8, 0, [0, 0, 0, 9]),
    frame(8, 0, [0, 0, 0, 9]),
    frame(6, 0, [1, 2, 3, 4, 5, 6, 7, 8]),
  ];
  for (let i = 0; i < 5000; i++) {
    assert.equal(meter.received(joined([...request, ...reader])), undefined);
    meter.sent(frame(0, 0, new Uint8Array(100)));
  }
});

Deno.test("a long answer earns the window updates and pings of its reader", () => {
  const meter = new H2Meter(() => 0);
  meter.received(PREFACE);
  for (let i = 0; i < 5000; i++) {
    meter.sent(frame(0, 0, new Uint8Array(100)));
    assert.equal(
      meter.received(joined([frame(8, 0, [0, 0, 0, 9]), frame(6, 0, new Uint8Array(8))])),
      undefined,
    );
  }
});

/** RFC 7541: each way to write a field, with an integer beyond its prefix where there is one. */
const FIELDS: readonly (readonly [string, readonly number[]])[] = [
  ["indexed", [0x82]],
  ["indexed, a large index", [0xff, 0x80, 0x01]],
  ["literal, name indexed", [0x44, 2, 0x2f, 0x61]],
  ["literal, name indexed beyond the prefix", [0x7f, 0x05, 1, 0x61]],
  ["literal, new name", [0x40, 1, 0x61, 1, 0x62]],
  ["literal, empty strings", [0x00, 0, 0]],
  ["never indexed", [0x10, 1, 0x61, 1, 0x82]],
  ["without indexing, name indexed beyond the prefix", [0x0f, 0x10, 1, 0x82]],
  ["a long value, full of what looks like fields", [
    0x44,
    0x7f,
    0x49,
    ...new Array(200).fill(0x82),
  ]],
  ["Huffman", [0x44, 0x83, 0x82, 0x82, 0x82]],
];

for (const [name, field] of FIELDS) {
  Deno.test(`a header block may have ${MAX_FIELDS} fields and no more: ${name}`, () => {
    const block = (fields: number) =>
      new Uint8Array([0x3f, 0x09, ...new Array(fields).fill(field).flat()]);
    const whole = (fields: number) => [frame(1, 4, block(fields))];
    const padded = (fields: number) => [
      frame(
        1,
        4 | 8 | 0x20,
        new Uint8Array([9, 0, 0, 0, 0, 16, ...block(fields), ...new Array(9).fill(0x82)]),
      ),
    ];
    const split = (fields: number) => {
      const all = block(fields);
      const third = Math.ceil(all.length / 3);
      return [0, 1, 2].map((i) =>
        frame(i === 0 ? 1 : 9, i === 2 ? 4 : 0, all.subarray(i * third, (i + 1) * third))
      );
    };
    for (const make of [whole, padded, split]) {
      for (const most of [1, 7, 4096]) {
        const meter = new H2Meter(() => 0);
        const good = joined([PREFACE, ...make(MAX_FIELDS), ...make(MAX_FIELDS)]);
        assert.equal(inPieces(meter, good, most), undefined, `${make.name} in ${most}`);
        assert.equal(
          inPieces(meter, joined(make(MAX_FIELDS + 1)), most),
          "h2-header-blocks",
          `${make.name} in ${most}`,
        );
      }
    }
  });
}

Deno.test("a header block of few fields is bounded in octets", () => {
  const meter = new H2Meter(() => 0);
  meter.received(PREFACE);
  const name = [0x00, 1, 0x61];
  // Length 16,300 as an integer of RFC 7541, 5.1.
  const value = [0x7f, ...[16_300 - 127].flatMap((n) => [(n & 0x7f) | 0x80, n >> 7])];
  const long = new Uint8Array([...name, ...value, ...new Array(16_300).fill(0x61)]);
  assert.equal(meter.received(frame(1, 0, long)), undefined);
  assert.equal(meter.received(frame(9, 0, new Uint8Array(100))), "h2-header-blocks");
});

Deno.test("an integer without an end is no string of that length, and no error", () => {
  const meter = new H2Meter(() => 0);
  meter.received(PREFACE);
  assert.equal(meter.received(frame(1, 4, [0x44, 0x7f, ...new Array(100).fill(0xff)])), undefined);
});

Deno.test("what a real client sends passes, its fields counted right", async () => {
  const out: Uint8Array[] = [];
  const wire = new Duplex({
    read() {},
    write(chunk, _encoding, done) {
      out.push(new Uint8Array(chunk));
      done();
    },
  });
  const session = http2.connect("http://127.0.0.1", { createConnection: () => wire });
  session.on("error", () => {});
  const send = (fields: number) => {
    const extra = Object.fromEntries(
      Array.from({ length: fields }, (_, i) => [`x-field-${i}`, `value ${i} ${"y".repeat(i)}`]),
    );
    session.request({ ":path": "/", ...extra }).on("error", () => {});
  };
  // Its own: :method, :authority, :scheme, :path. The second time they come out of the table.
  for (const fields of [MAX_FIELDS - 4, MAX_FIELDS - 4, MAX_FIELDS - 3]) {
    send(fields);
    await new Promise((resolve) => setTimeout(resolve));
  }
  while (joined(out).length < 3000) await new Promise((resolve) => setTimeout(resolve, 1));
  session.destroy();
  const meter = new H2Meter(() => 0);
  const verdicts = out.map((chunk) => meter.received(chunk)).filter((flood) => flood !== undefined);
  assert.deepEqual(verdicts.slice(0, 1), ["h2-header-blocks"]);
  const again = new H2Meter(() => 0);
  const heads = out.filter((chunk) => chunk[3] === 1);
  assert.equal(heads.length, 3, "each block in one write");
  again.received(PREFACE);
  assert.deepEqual(heads.map((chunk) => again.received(chunk)), [
    undefined,
    undefined,
    "h2-header-blocks",
  ]);
});

// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readCapture } from "./format.ts";

/** Writes blocks of one endianness. */
class Writer {
  readonly #octets: number[] = [];

  constructor(readonly littleEndian: boolean) {}

  static u(value: number | bigint, size: number, littleEndian: boolean): number[] {
    const octets = Array.from(
      { length: size },
      (_, i) => Number(BigInt(value) >> BigInt(8 * i) & 0xffn),
    );
    return littleEndian ? octets : octets.reverse();
  }

  u(value: number | bigint, size: number): number[] {
    return Writer.u(value, size, this.littleEndian);
  }

  block(type: number, body: readonly number[]): this {
    const padded = [...body, ...new Array((4 - body.length % 4) % 4).fill(0)];
    const length = this.u(padded.length + 12, 4);
    this.#octets.push(...this.u(type, 4), ...length, ...padded, ...length);
    return this;
  }

  section(): this {
    return this.block(0x0a0d0d0a, [
      ...this.u(0x1a2b3c4d, 4),
      ...this.u(1, 2),
      ...this.u(0, 2),
      ...this.u(0xffffffffffffffffn, 8),
    ]);
  }

  interface(linktype: number, options: readonly number[] = [], snapLen = 0): this {
    return this.block(1, [...this.u(linktype, 2), 0, 0, ...this.u(snapLen, 4), ...options]);
  }

  tsresol(value: number): number[] {
    return [...this.u(9, 2), ...this.u(1, 2), value, 0, 0, 0, ...this.u(0, 4)];
  }

  enhanced(of: number, ticks: bigint, data: readonly number[], originalLength = data.length): this {
    return this.block(6, [
      ...this.u(of, 4),
      ...this.u(ticks >> 32n, 4),
      ...this.u(ticks & 0xffffffffn, 4),
      ...this.u(data.length, 4),
      ...this.u(originalLength, 4),
      ...data,
    ]);
  }

  file(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#octets);
  }
}

const TIME_US = 1_700_000_000_123_456n;

Deno.test("several interfaces, each with its link type and its clock, in both endiannesses", () => {
  for (const littleEndian of [true, false]) {
    const w = new Writer(littleEndian);
    const file = w.section().interface(1).interface(101, w.tsresol(9)).interface(
      229,
      w.tsresol(0x83),
    )
      .enhanced(0, TIME_US, [1, 2, 3])
      .enhanced(1, TIME_US * 1000n + 789n, [4], 1500)
      .enhanced(2, 12n, [5, 6, 7, 8]).file();
    assert.deepEqual(readCapture(file), {
      nanoseconds: true,
      packets: [
        {
          link: "ethernet",
          timeNs: TIME_US * 1000n,
          data: Uint8Array.of(1, 2, 3),
          originalLength: 3,
        },
        {
          link: "ip",
          timeNs: TIME_US * 1000n + 789n,
          data: Uint8Array.of(4),
          originalLength: 1500,
        },
        { link: "ip", timeNs: 1_500_000_000n, data: Uint8Array.of(5, 6, 7, 8), originalLength: 4 },
      ],
    });
  }
});

Deno.test("simple packets are cut by the snap length and have no time", () => {
  const w = new Writer(true);
  const file = w.section().interface(1, [], 2).block(3, [...w.u(5, 4), 1, 2]).file();
  assert.deepEqual(readCapture(file).packets, [
    { link: "ethernet", timeNs: 0n, data: Uint8Array.of(1, 2), originalLength: 5 },
  ]);
});

Deno.test("a second section starts anew, also in the other endianness", () => {
  const one = new Writer(true).section().interface(1).enhanced(0, 1n, [1]).file();
  const two = new Writer(false).section().interface(101).enhanced(0, 1n, [2]).file();
  const links = readCapture(Uint8Array.from([...one, ...two])).packets.map(({ link }) => link);
  assert.deepEqual(links, ["ethernet", "ip"]);
});

Deno.test("blocks of other kinds are passed over", () => {
  const file = new Writer(true).section().interface(1).block(5, [1, 2, 3]).enhanced(0, 1n, [1])
    .file();
  assert.equal(readCapture(file).packets.length, 1);
});

Deno.test("damage ends the reading, keeps what came before and is named", () => {
  const good = new Writer(true).section().interface(1).enhanced(0, 1n, [1]).file();
  const cases: readonly (readonly [Uint8Array, RegExp])[] = [
    [new Writer(true).enhanced(9, 1n, [1]).file(), /an interface that was not described/],
    [new Writer(true).enhanced(0, 1n, [1]).file().subarray(0, 20), /ends within a block/],
    [Uint8Array.of(6, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0), /impossible length/],
    [new Writer(true).block(6, [0]).file(), /too short/],
  ];
  for (const [damage, problem] of cases) {
    const capture = readCapture(Uint8Array.from([...good, ...damage]));
    assert.equal(capture.packets.length, 1);
    assert.match(capture.problem ?? "", problem);
  }
});

// SPDX-License-Identifier: Apache-2.0

import assert from "node:assert/strict";
import { DataPlaneError } from "../../ffi/plane.ts";
import type { PeerConfig } from "../config/config.ts";
import { openWithin, type Sizes, sizesFor, smaller } from "./sizes.ts";

const PEER: PeerConfig = { id: "h2", svcAddress: "192.0.2.2:7443", vips: ["10.2.0.0/24"] };

Deno.test("sizes follow the number of peers, from a floor to the plane's own default", () => {
  const rows: [number, number, number][] = [
    [0, 4096, 2048],
    [1, 4096, 2048],
    [16, 4096, 2048],
    [17, 4352, 2176],
    [1000, 256_000, 128_000],
    [65_536, 262_144, 131_072],
  ];
  for (const [n, maxEntries, maxCryptoIds] of rows) {
    const peers = Array<PeerConfig>(n).fill(PEER);
    assert.deepEqual(sizesFor({ plane: {}, peers }), { maxEntries, maxCryptoIds }, `${n} peers`);
  }
});

Deno.test("what the configuration says is asked for as it is", () => {
  const plane = { maxEntries: 300_000, maxCryptoIds: 7, actionsMemory: 2 ** 21 };
  assert.deepEqual(sizesFor({ plane, peers: [PEER] }), plane);
});

Deno.test("halves end at the least, which a small configuration may be below of", () => {
  let sizes: Sizes | undefined = { maxEntries: 4096, maxCryptoIds: 5, actionsMemory: 2 ** 21 };
  const seen: Sizes[] = [];
  while (sizes !== undefined && seen.length < 20) {
    seen.push(sizes);
    sizes = smaller(sizes);
  }
  assert.deepEqual(seen.map((s) => [s.maxEntries, s.maxCryptoIds, s.actionsMemory]), [
    [4096, 5, 2 ** 21],
    [2048, 5, 2 ** 20],
    [1024, 5, 2 ** 20],
    [512, 5, 2 ** 20],
    [256, 5, 2 ** 20],
  ]);
});

/** A device that takes so many entries, and how it was asked. */
function device(room: number, code = "ENOMEM") {
  const asked: number[] = [];
  const steps: number[] = [];
  const opened = openWithin({ maxEntries: 4096, maxCryptoIds: 2048 }, {
    open: (sizes) => {
      asked.push(sizes.maxEntries);
      return sizes.maxEntries <= room
        ? Promise.resolve(sizes)
        : Promise.reject(new DataPlaneError(`no ${sizes.maxEntries}`, code));
    },
    stepped: (_, next) => steps.push(next.maxEntries),
  });
  return { opened, asked, steps };
}

Deno.test("a device without memory is asked for half, and for half of that", async () => {
  const { opened, asked, steps } = device(1500);
  assert.deepEqual(await opened, { maxEntries: 1024, maxCryptoIds: 512 });
  assert.deepEqual(asked, [4096, 2048, 1024]);
  assert.deepEqual(steps, [2048, 1024]);
});

Deno.test("a device that takes not even the least ends it, with its last words", async () => {
  const { opened, asked, steps } = device(0);
  await assert.rejects(opened, /no 256$/);
  assert.equal(asked.length, 6);
  assert.equal(steps.length, 5);
});

Deno.test("any other refusal is asked once", async () => {
  const { opened, asked } = device(0, "EIO");
  await assert.rejects(opened, /no 4096$/);
  assert.deepEqual(asked, [4096]);
});

// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { libraryPath } from "../tests/support/library.ts";
import { Key } from "./key.ts";
import { openLibrary } from "./library.ts";
import { type Backend, backends, offline } from "./offline.ts";

const K0 = "34448a064292601b11a0978f56a2d34cf3fc35ede1a6bc04f8db3e5243a2b0ca";
const K1 = "563952565d3a78ae773ec1b779f2f2d99f4a7f53a6fbb9b07d5b71f39364d739";

function masterKeys(): [Key, Key] {
  return [new Key(Uint8Array.fromHex(K0)), new Key(Uint8Array.fromHex(K1))];
}

// Version 0, tunnel mode, SPI 12345678, IV 7, four octets of payload.
const CLEAR = Uint8Array.fromHex("0401000112345678000000000000000745000004");

Deno.test("every backend derives the specification's keys", () => {
  using library = openLibrary(libraryPath());
  const names = backends(library);
  assert.ok(names.length > 0);
  for (const name of names) {
    const crypto = offline(library, name as Backend);
    const derive = (spi: number, version: 0 | 1) =>
      crypto.derive(masterKeys(), spi, version).key.reveal().toHex();
    assert.equal(derive(0x12345678, 0), "96c22dc799198090b74b70ae468e4e30");
    assert.equal(derive(0x9a345678, 0), "3946da2554eae46ad1ef77a64372edc4");
    assert.equal(
      derive(0x12345678, 1),
      "2b7d72074e42ca334487f2990e3f8c4037e436f38283449b76463e9b7fb2e3de",
    );
  }
});

Deno.test("what one backend seals every backend opens", () => {
  using library = openLibrary(libraryPath());
  const all = backends(library).map((name) => offline(library, name as Backend));
  for (const sealer of all) {
    const key = sealer.derive(masterKeys(), 0x12345678, 0);
    const sealed = sealer.seal(key, CLEAR);
    assert.equal(sealed.length, CLEAR.length + 16);
    for (const opener of all) {
      const opened = opener.unseal(key, sealed);
      assert.equal(opened.verdict, "ok");
      assert.deepEqual(opened.clear, CLEAR);
    }
  }
});

Deno.test("a flipped bit gives the verdict icv and no clear text", () => {
  using library = openLibrary(libraryPath());
  const crypto = offline(library);
  const key = crypto.derive(masterKeys(), 0x12345678, 0);
  const sealed = crypto.seal(key, CLEAR);
  sealed[18] = (sealed[18] ?? 0) ^ 1;
  const opened = crypto.unseal(key, sealed);
  assert.equal(opened.verdict, "icv");
  assert.equal(opened.clear.length, 0);
});

Deno.test("a packet whose crypt offset passes its end is not sealed", () => {
  using library = openLibrary(libraryPath());
  const crypto = offline(library);
  const key = crypto.derive(masterKeys(), 0x12345678, 0);
  const packet = CLEAR.slice();
  packet[2] = 63;
  assert.throws(() => crypto.seal(key, packet), {
    name: "DataPlaneError",
    code: "EINVAL",
    message: /^Cannot seal a packet with SPI 12345678: /,
  });
});

Deno.test("a backend that is not usable here is refused by name", () => {
  using library = openLibrary(libraryPath());
  assert.throws(() => offline(library, "wolfssl" as Backend), {
    code: "ENOTSUP",
    message: /"wolfssl"/,
  });
});

Deno.test("keys of another length than the library reads are refused", () => {
  using library = openLibrary(libraryPath());
  const crypto = offline(library);
  const [k0] = masterKeys();
  const short = new Key(new Uint8Array(16).fill(7));
  const fixed = new Uint8Array(16);
  assert.throws(() => crypto.kbkdf(short, fixed, 16), { code: "EINVAL", message: /32 octets/ });
  for (const keys of [[short, k0], [k0, short]] as const) {
    assert.throws(() => crypto.derive(keys, 0x12345678, 0), {
      code: "EINVAL",
      message: /^Cannot derive the key of SPI 12345678: .*not 16$/,
    });
  }
  const spi = 0x12345678;
  for (const [version, key] of [[1, short], [0, k0]] as const) {
    assert.throws(() => crypto.seal({ spi, version, key }, CLEAR), { code: "EINVAL" });
    assert.throws(() => crypto.unseal({ spi, version, key }, new Uint8Array(64)), {
      code: "EINVAL",
      message: /^Cannot open a packet with SPI 12345678: a key of/,
    });
  }
});

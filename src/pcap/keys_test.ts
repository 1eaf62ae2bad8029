// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { parseKeys, parseSpi, wipeKeys } from "./keys.ts";

const HEX = "0123456789abcdef".repeat(4);

Deno.test("two master keys, or a key for each SPI", () => {
  const master = parseKeys(JSON.stringify({ mk0: HEX, mk1: HEX }));
  assert.ok(master.kind === "master");
  assert.equal(master.masterKeys[1].reveal().toHex(), HEX);
  const sa = parseKeys(JSON.stringify({ sa: { "9a345678": HEX, "0x7": HEX.slice(0, 32) } }));
  assert.ok(sa.kind === "sa");
  assert.equal(sa.keys.get(0x9a345678)?.length, 32);
  assert.equal(sa.keys.get(7)?.length, 16);
  wipeKeys(sa);
  assert.equal(sa.keys.get(7)?.reveal().toHex(), "00".repeat(16));
});

Deno.test("a key file that is wrong is refused without showing what is in it", () => {
  const secret = "5ec2e7";
  const cases = [
    `{"mk0": "${secret}`,
    `"${secret}"`,
    "{}",
    JSON.stringify({ mk0: secret, mk1: HEX }),
    JSON.stringify({ mk0: HEX }),
    JSON.stringify({ sa: { "12345678": secret } }),
    JSON.stringify({ sa: { spi: HEX } }),
    JSON.stringify({ sa: [HEX] }),
  ];
  for (const text of cases) {
    assert.throws(() => parseKeys(text), (error) => {
      assert.ok(error instanceof Error && error.name === "ConfigError", text);
      assert.ok(!error.message.includes(secret) && error.cause === undefined, text);
      return true;
    });
  }
});

Deno.test("an SPI is up to 8 hexadecimal digits", () => {
  assert.equal(parseSpi("0xffffffff"), 0xffffffff);
  assert.equal(parseSpi("abc"), 0xabc);
  for (const text of ["", "0x", "123456789", "xyz"]) assert.throws(() => parseSpi(text));
});

// SPDX-License-Identifier: Apache-2.0

/** The key file of `psp-agent pcap`: two master keys, or a key for each SPI. */
import { Key } from "../../ffi/key.ts";
import type { Offline } from "../../ffi/offline.ts";
import type { PspVersionNumber, SpiKey } from "../../ffi/plane.ts";
import { ConfigError } from "../config/config.ts";

export type PcapKeys =
  | { readonly kind: "master"; readonly masterKeys: readonly [Key, Key] }
  | { readonly kind: "sa"; readonly keys: ReadonlyMap<number, Key> };

/** `{"mk0": hex, "mk1": hex}` or `{"sa": {"<spi hex>": hex}}`. Throws `ConfigError`; it shows no key. */
export function parseKeys(text: string): PcapKeys {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    // The parser's own sentence would quote what it read.
    throw new ConfigError("Cannot read the key file: it is not JSON");
  }
  if (!isRecord(file)) throw new ConfigError("Cannot read the key file: it is not an object");
  if ("mk0" in file && "mk1" in file) {
    return {
      kind: "master",
      masterKeys: [hexKey("mk0", file.mk0, [32]), hexKey("mk1", file.mk1, [32])],
    };
  }
  if (isRecord(file.sa)) {
    const keys = Object.entries(file.sa).map(([spi, hex]) =>
      [parseSpi(spi), hexKey(`the key of SPI ${spi}`, hex, [16, 32])] as const
    );
    return { kind: "sa", keys: new Map(keys) };
  }
  throw new ConfigError(`Cannot read the key file: it has neither "mk0" and "mk1" nor "sa"`);
}

/** "12345678" or "0x12345678". Throws `ConfigError`. */
export function parseSpi(text: string): number {
  const digits = text.replace(/^0x/i, "");
  if (!/^[0-9a-f]{1,8}$/i.test(digits)) {
    throw new ConfigError(`Cannot read the SPI "${text}": up to 8 hexadecimal digits are needed`);
  }
  return parseInt(digits, 16) >>> 0;
}

/** The key of an SPI and version, or a sentence that says why there is none. The caller wipes it. */
export function keyFor(
  keys: PcapKeys,
  { crypto, spi, version }: {
    readonly crypto: Offline;
    readonly spi: number;
    readonly version: PspVersionNumber;
  },
): SpiKey | string {
  if (keys.kind === "master") return crypto.derive(keys.masterKeys, spi, version);
  const key = keys.keys.get(spi);
  if (key === undefined) return `there is no key for SPI ${spiText(spi)}`;
  if (key.length !== (version % 2 === 0 ? 16 : 32)) {
    return `the key of SPI ${
      spiText(spi)
    } has ${key.length} octets, version ${version} needs others`;
  }
  return { spi, version, key: new Key(key.reveal().slice()) };
}

/** Zero-fills all keys of the file. */
export function wipeKeys(keys: PcapKeys): void {
  for (const key of keys.kind === "master" ? keys.masterKeys : keys.keys.values()) key.wipe();
}

/** 8 hexadecimal digits. */
export function spiText(spi: number): string {
  return (spi >>> 0).toString(16).padStart(8, "0");
}

/** A key from hexadecimal digits. Throws `ConfigError` that names it and does not show it. */
export function hexKey(name: string, hex: unknown, lengths: readonly number[]): Key {
  const valid = typeof hex === "string" && /^([0-9a-f]{2})*$/i.test(hex) &&
    lengths.includes(hex.length / 2);
  if (!valid) {
    throw new ConfigError(
      `Cannot read ${name}: ${lengths.join(" or ")} octets in hexadecimal digits are needed`,
    );
  }
  return new Key(Uint8Array.fromHex(hex));
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

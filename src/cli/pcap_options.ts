// SPDX-License-Identifier: Apache-2.0

/** The options of `psp-agent pcap`, read into what src/pcap takes. */
import { message } from "@optique/core/message";
import { optional, withDefault } from "@optique/core/modifiers";
import { argument, option } from "@optique/core/primitives";
import { choice, integer, string, type ValueParser } from "@optique/core/valueparser";
import { path } from "@optique/run/valueparser";
import type { PspVersionNumber } from "../../ffi/plane.ts";
import { PSP_VERSIONS } from "../model/sa.ts";
import { FILE, number, toggle } from "./options.ts";

/** A number of up to `bits` bits: decimal, or hexadecimal after "0x". */
function unsigned(bits: number): ValueParser<"sync", bigint> {
  return {
    mode: "sync",
    metavar: "N",
    placeholder: 0n,
    parse(input) {
      const ok = /^(0x[0-9a-f]{1,16}|[0-9]{1,20})$/i.test(input) &&
        BigInt(input) < 1n << BigInt(bits);
      return ok ? { success: true, value: BigInt(input) } : {
        success: false,
        error: message`Expected a number of ${String(bits)} bits, but got ${input}.`,
      };
    },
    format: (value) => `0x${value.toString(16)}`,
  };
}

/** "0x9a345678", or 8 hexadecimal digits as captures and `tunnels` show them. */
const SPI: ValueParser<"sync", number> = {
  mode: "sync",
  metavar: "SPI",
  placeholder: 0,
  parse(input) {
    const digits = input.replace(/^0x/i, "");
    return /^[0-9a-f]{1,8}$/i.test(digits)
      ? { success: true, value: parseInt(digits, 16) >>> 0 }
      : { success: false, error: message`Expected up to 8 hexadecimal digits, but got ${input}.` };
  },
  format: (value) => `0x${value.toString(16)}`,
};

/** "aes-gcm-256", or the number in the header. */
const VERSION: ValueParser<"sync", PspVersionNumber> = {
  mode: "sync",
  metavar: "VERSION",
  placeholder: 0,
  parse(input) {
    const index = /^[0-3]$/.test(input)
      ? Number(input)
      : PSP_VERSIONS.findIndex((v) => v === input);
    return index >= 0 ? { success: true, value: index as PspVersionNumber } : {
      success: false,
      error: message`Expected 0 to 3 or one of ${PSP_VERSIONS.join(", ")}, but got ${input}.`,
    };
  },
  format: (value) => String(value),
};

const BACKENDS = ["auto", "openssl", "ipsec-mb", "vaes"] as const;
const ADDRESS = string({ metavar: "ADDRESS" });

/** Options of `pcap seal`; `pcap open` takes some of them. */
export const sealing = {
  keys: option("--keys", FILE, {
    description: message`The keys: {"mk0": hex, "mk1": hex}, or {"sa": {"<spi hex>": hex}}.`,
  }),
  spi: option("--spi", SPI, { description: message`The SPI, in hexadecimal digits.` }),
  iv: optional(option("--iv", unsigned(64), {
    description: message`IV of the first packet, default 1; each packet takes the next.`,
  })),
  version: optional(option("--version", VERSION, {
    description: message`PSP version, default aes-gcm-128.`,
  })),
  cryptOffset: number("--crypt-offset", message`4-octet units in clear after the IV.`, {
    min: 0,
    max: 63,
  }),
  vc: optional(option("--vc", unsigned(64), { description: message`Virtualization cookie.` })),
  mode: withDefault(
    option("--mode", choice(["tunnel", "transport"], { metavar: "MODE" }), {
      description: message`Tunnel or transport mode.`,
    }),
    "tunnel",
  ),
  src: optional(option("--src", ADDRESS, { description: message`Outer source, in tunnel mode.` })),
  dst: optional(option("--dst", ADDRESS, {
    description: message`Outer destination, in tunnel mode.`,
  })),
  ttl: number("--ttl", message`Outer TTL or hop limit.`, { min: 1, max: 255 }),
  port: optional(option("--port", integer({ min: 1, max: 65_535, metavar: "PORT" }), {
    description: message`UDP port of PSP, default 1000.`,
  })),
  srcPort: optional(option("--src-port", integer({ min: 0, max: 65_535, metavar: "PORT" }), {
    description: message`UDP source port, default: a hash of the inner flow.`,
  })),
  s: toggle("--sample", message`Set the S bit.`),
  d: toggle("--drop", message`Set the D bit.`),
  backend: withDefault(
    option("--backend", choice(BACKENDS, { metavar: "NAME" }), {
      description: message`Crypto backend.`,
    }),
    "auto",
  ),
  input: argument(path({ metavar: "IN" }), { description: message`A pcap or pcapng file.` }),
  output: argument(path({ metavar: "OUT" }), { description: message`The pcap file to write.` }),
};

/** Versions that `pcap open` accepts. */
export const accept = option("--accept", VERSION, {
  description: message`Accept this PSP version; may be repeated, default 0 and 1.`,
});

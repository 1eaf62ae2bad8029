// SPDX-License-Identifier: Apache-2.0

/** Known answers: the vector files of tests/vectors/, or others of their formats, against the shim. */
import { Key } from "../../ffi/key.ts";
import type { Offline } from "../../ffi/offline.ts";
import type { PspVersionNumber } from "../../ffi/plane.ts";
import { ConfigError } from "../config/config.ts";
import { hexKey, parseSpi } from "../pcap/keys.ts";
import { pspPacket } from "../pcap/psp_header.ts";
import { openPacket } from "../pcap/open.ts";
import { type OuterCase, vectorFrame } from "./selftest_frame.ts";
import { messageOf } from "../model/errors.ts";

export interface SelftestResult {
  readonly name: string;
  readonly pass: boolean;
  /** What went otherwise; absent when it passed. */
  readonly reason?: string;
}

type Vector = Readonly<Record<string, unknown>>;

/**
 * Runs every vector of a file: `psp_packets.json` (derive, seal byte for byte, open), `psp_malformed.json` (the
 * verdict, with the frame around the packet) or `kbkdf_cmac_aes256.json`. Master keys are the file's `mk0` and
 * `mk1`, or those of the specification's examples. Throws `ConfigError` when the text is no such file.
 */
export function runVectors(
  text: string,
  { crypto }: { readonly crypto: Offline },
): readonly SelftestResult[] {
  const { vectors, masterKeys } = readVectors(text);
  return vectors.map((vector, index) => {
    const name = typeof vector.name === "string" ? vector.name : `vector ${index}`;
    try {
      const reason = check(vector, { crypto, masterKeys });
      return reason === undefined ? { name, pass: true } : { name, pass: false, reason };
    } catch (error) {
      return { name, pass: false, reason: messageOf(error) };
    }
  });
}

/** K0 and K1 of the specification's examples. */
const K0 = "34448a064292601b11a0978f56a2d34cf3fc35ede1a6bc04f8db3e5243a2b0ca";
const K1 = "563952565d3a78ae773ec1b779f2f2d99f4a7f53a6fbb9b07d5b71f39364d739";

interface Context {
  readonly crypto: Offline;
  readonly masterKeys: readonly [Key, Key];
}

/** The list may stand alone, or in an object beside the master keys under any name. */
function readVectors(text: string) {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError("Cannot read the vectors: the file is not JSON", [], { cause });
  }
  const { mk0 = K0, mk1 = K1, ...rest } = isRecord(file) ? file : { list: file };
  const list = Object.values(rest).find(Array.isArray);
  if (list === undefined || list.length === 0 || !list.every(isRecord)) {
    throw new ConfigError("Cannot read the vectors: the file holds no list of them");
  }
  const masterKeys = [hexKey("mk0", mk0, [32]), hexKey("mk1", mk1, [32])] as const;
  return { vectors: list as readonly Vector[], masterKeys };
}

/** undefined: it passed; else what went otherwise. */
function check(vector: Vector, context: Context): string | undefined {
  if ("KI" in vector) return checkKbkdf(vector, context);
  if ("expect" in vector) return checkVerdict(vector, context);
  if ("payload" in vector) return checkPacket(vector, context);
  return "it is of no known format";
}

function checkKbkdf(vector: Vector, { crypto }: Context): string | undefined {
  const bits = number(vector, "L");
  using key = new Key(octets(vector, "KI"));
  const out = crypto.kbkdf(key, octets(vector, "fixed"), bits / 8);
  return out.toHex() === text(vector, "KO").toLowerCase() ? undefined : "the derived octets differ";
}

function checkPacket(vector: Vector, { crypto, masterKeys }: Context): string | undefined {
  const version = number(vector, "version") as PspVersionNumber;
  const spi = parseSpi(text(vector, "spi"));
  const nextHeader = number(vector, "nexthdr");
  const payload = octets(vector, "payload");
  const extension = octets(vector, "ext");
  const flags = isRecord(vector.flags) ? vector.flags : {};
  const psp = octets(vector, "psp");
  const clear = pspPacket({
    nextHeader,
    version,
    spi,
    iv: BigInt(`0x${text(vector, "iv")}`),
    cryptOffset: number(vector, "cryptoff"),
    extension,
    v: flags.vbit === undefined ? extension.length > 0 : Boolean(flags.vbit),
    s: Boolean(flags.s ?? 0),
    d: Boolean(flags.d ?? 0),
    r: Number(flags.r ?? 0),
  }, payload);

  const key = crypto.derive(masterKeys, spi, version);
  try {
    if (key.key.reveal().toHex() !== text(vector, "key").toLowerCase()) {
      return "the derived key differs";
    }
    const sealed = crypto.seal(key, clear);
    if (sealed.toHex() !== psp.toHex()) return "the sealed packet differs";
    const opened = crypto.unseal(key, psp, ALL_VERSIONS);
    const forwarded = !flags.d && payload.length > 0 && FORWARDED.includes(nextHeader);
    const expected = forwarded ? "ok" : "policy";
    if (opened.verdict !== expected) return `the verdict is "${opened.verdict}", not "${expected}"`;
    return opened.clear.toHex() === clear.toHex() ? undefined : "the opened packet differs";
  } finally {
    key.key.wipe();
  }
}

/** Next headers that a receiver forwards: TCP and UDP, IPv4 and IPv6. */
const FORWARDED: readonly number[] = [4, 6, 17, 41];
const ALL_VERSIONS: readonly PspVersionNumber[] = [0, 1, 2, 3];

function checkVerdict(vector: Vector, { crypto, masterKeys }: Context): string | undefined {
  const outer = isRecord(vector.outer) ? vector.outer as OuterCase : {};
  const frame = vectorFrame(octets(vector, "psp"), outer);
  const verdict = (versions?: readonly PspVersionNumber[]) =>
    openPacket(frame, {
      crypto,
      keys: { kind: "master", masterKeys },
      index: 0,
      ...(versions === undefined ? {} : { versions }),
    }).result.verdict;
  const expected = text(vector, "expect");
  const cases = expected === "ok-if-supported"
    ? [["discard", verdict()], ["ok", verdict(ALL_VERSIONS)]] as const
    : [[expected, verdict()]] as const;
  const wrong = cases.find(([want, got]) => want !== got);
  return wrong && `the verdict is "${wrong[1]}", not "${wrong[0]}"`;
}

function text(vector: Vector, field: string): string {
  const value = vector[field];
  if (typeof value !== "string") throw new RangeError(`its "${field}" is not text`);
  return value;
}

function number(vector: Vector, field: string): number {
  const value = vector[field];
  if (typeof value !== "number") throw new RangeError(`its "${field}" is not a number`);
  return value;
}

function octets(vector: Vector, field: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromHex(text(vector, field));
  } catch (cause) {
    throw new RangeError(`its "${field}" is not in hexadecimal digits`, { cause });
  }
}

function isRecord(value: unknown): value is Vector {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// SPDX-License-Identifier: Apache-2.0
// Writes the vectors of tests/vectors/*.json, and the names of the ABI's structs, as a C header.
// Runs under Node and under Deno.
//   node vectors.mjs <folder of the json files> <psp_dp.h> > vectors.h

import { readFileSync } from "node:fs";
import process from "node:process";

const [folder, abi] = process.argv.slice(2);
const read = (name) => JSON.parse(readFileSync(`${folder}/${name}`, "utf8"));

/** Hexadecimal octets as a C initialiser of `struct octets`. */
function octets(hex) {
  if (hex.length % 2 !== 0 || /[^0-9a-f]/.test(hex)) {
    throw new Error(`Cannot write octets: "${hex.slice(0, 40)}" is not hexadecimal`);
  }
  const escaped = hex.replace(/../g, "\\x$&");
  return `{${hex.length / 2}, (const uint8_t *)"${escaped}"}`;
}

/** `items` as a C table of `struct type`, each row the list that `row` makes of it. */
function table(type, name, items, row) {
  const rows = items.map((item) => `\t{${row(item).join(", ")}},`);
  return [`static const struct ${type} ${name}[] __attribute__((unused)) = {`, ...rows, "};", ""]
    .join("\n");
}

const packets = read("psp_packets.json");
const malformed = read("psp_malformed.json");
const kbkdf = read("kbkdf_cmac_aes256.json");
const structs = readFileSync(abi, "utf8").matchAll(/^struct (\w+) \{/gm);

process.stdout.write([
  "/* Made by vectors.mjs from tests/vectors. Do not edit. */",
  '#include "vectors_types.h"',
  `static const struct octets vector_mk0 __attribute__((unused)) = ${octets(packets.mk0)};`,
  `static const struct octets vector_mk1 __attribute__((unused)) = ${octets(packets.mk1)};`,
  "",
  table("packet_vector", "packet_vectors", packets.packets, (p) => [
    JSON.stringify(p.name),
    p.version,
    p.nexthdr,
    `0x${p.spi}u`,
    `0x${p.iv}u`,
    p.cryptoff,
    p.flags.s ?? 0,
    p.flags.d ?? 0,
    p.flags.r ?? 0,
    p.flags.vbit ?? (p.ext.length > 0 ? 1 : 0),
    octets(p.ext),
    octets(p.key),
    octets(p.payload),
    octets(p.psp),
  ]),
  table("malformed_vector", "malformed_vectors", malformed, (m) => [
    JSON.stringify(m.name),
    JSON.stringify(m.expect),
    octets(m.psp),
  ]),
  table("kbkdf_vector", "kbkdf_vectors", kbkdf, (k) => [
    octets(k.KI),
    octets(k.fixed),
    octets(k.KO),
  ]),
  table("abi_struct", "abi_structs", [...structs], (match) => [JSON.stringify(match[1])]),
].join("\n"));

// SPDX-License-Identifier: Apache-2.0

/**
 * Cuts a program that `deno compile` made back to the runtime it was made of: what was appended lies behind
 * the ELF image, and the image ends with its section headers. For tests; a release takes Deno's own denort.
 *   deno run tools/binary/denort.ts PROGRAM DENORT
 */
import { Buffer } from "node:buffer";

if (import.meta.main) {
  const [program, denort] = Deno.args;
  if (program === undefined || denort === undefined) {
    console.error("Usage: denort.ts PROGRAM DENORT");
    Deno.exit(2);
  }
  const octets = Deno.readFileSync(program);
  Deno.writeFileSync(denort, octets.subarray(0, elfEnd(octets)), { mode: 0o755 });
}

/** Where a 64-bit little-endian ELF image ends. Throws a sentence for anything else. */
export function elfEnd(octets: Uint8Array<ArrayBuffer>): number {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  const magic = Buffer.from(octets.subarray(0, 6)).toString("hex");
  if (magic !== "7f454c460201") throw new Error(`Cannot cut the program: not ELF64 (${magic})`);
  // e_shoff, e_shentsize, e_shnum
  const end = Number(view.getBigUint64(40, true)) +
    view.getUint16(58, true) * view.getUint16(60, true);
  if (end > octets.length) throw new Error("Cannot cut the program: its section headers are cut");
  return end;
}

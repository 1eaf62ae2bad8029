// SPDX-License-Identifier: Apache-2.0

/** A pcapng file that grows sample by sample (draft-ietf-opsawg-pcapng): raw IP, nanoseconds. */
import { dirname } from "node:path";
import { cannotWrite } from "./io.ts";
import type { SampleView } from "../model/status.ts";

/** Where samples go until disposed of. */
interface PcapngFile extends Disposable {
  /** Throws `CommandError`. */
  write(sample: SampleView): void;
  /** There are no more: without any, the file is made all the same, and has none in it. */
  end(): void;
}

/**
 * A file that is created, or emptied, with the first sample: what was in it stays until there is something to put in its
 * place. Throws `CommandError` at once where it could not be.
 */
export async function openPcapng(path: string): Promise<PcapngFile> {
  let file = await existing(path);
  let begun = false;
  const append = (bytes: Uint8Array) => {
    for (let sent = 0; sent < bytes.length;) sent += file?.writeSync(bytes.subarray(sent)) ?? 0;
  };
  const begin = () => {
    if (begun) return;
    begun = true;
    if (file === undefined) file = Deno.openSync(path, { write: true, create: true });
    else if (file.statSync().isFile) file.truncateSync(0);
    append(sectionHeader());
    append(interfaceDescription());
  };
  const attempt = (act: () => void) => {
    try {
      act();
    } catch (cause) {
      throw cannotWrite(path, cause);
    }
  };
  return {
    write: (sample) =>
      attempt(() => {
        begin();
        append(enhancedPacket(sample));
      }),
    end: () => attempt(begin),
    [Symbol.dispose]: () => file?.close(),
  };
}

/** undefined: there is none, and a place for it. */
async function existing(path: string): Promise<Deno.FsFile | undefined> {
  try {
    return await Deno.open(path, { write: true });
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cannotWrite(path, cause);
    await Deno.stat(dirname(path)).catch((cause) => {
      throw cannotWrite(path, cause);
    });
    return undefined;
  }
}

/** A block: type, total length, body padded to 4 octets, total length again. Little endian. */
function block(type: number, body: Uint8Array): Uint8Array {
  const total = 12 + Math.ceil(body.length / 4) * 4;
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, total, true);
  bytes.set(body, 8);
  view.setUint32(total - 4, total, true);
  return bytes;
}

function sectionHeader(): Uint8Array {
  const body = new DataView(new ArrayBuffer(16));
  body.setUint32(0, 0x1a2b3c4d, true);
  body.setUint16(4, 1, true);
  // Section length unknown.
  body.setBigInt64(8, -1n, true);
  return block(0x0a0d0d0a, new Uint8Array(body.buffer));
}

function interfaceDescription(): Uint8Array {
  const body = new DataView(new ArrayBuffer(20));
  // LINKTYPE_RAW: the packet starts with its IP header.
  body.setUint16(0, 101, true);
  // if_tsresol: 10^-9.
  body.setUint16(8, 9, true);
  body.setUint16(10, 1, true);
  body.setUint8(12, 9);
  return block(1, new Uint8Array(body.buffer));
}

function enhancedPacket({ timeNs, length, data, direction }: SampleView): Uint8Array {
  const padded = Math.ceil(data.length / 4) * 4;
  const bytes = new Uint8Array(20 + padded + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, Number(timeNs >> 32n), true);
  view.setUint32(8, Number(timeNs & 0xffffffffn), true);
  view.setUint32(12, data.length, true);
  view.setUint32(16, length, true);
  bytes.set(data, 20);
  // epb_flags: 1 inbound, 2 outbound; then the end of options.
  view.setUint16(20 + padded, 2, true);
  view.setUint16(22 + padded, 4, true);
  view.setUint32(24 + padded, direction === "ingress" ? 1 : 2, true);
  return block(6, bytes);
}

// SPDX-License-Identifier: Apache-2.0

/** Capture files: classic pcap is read and written, pcapng is read (pcapng.ts). */
import { ConfigError } from "../config/config.ts";
import { type Capture, type CapturedPacket, linkOf, LINKTYPE } from "./capture.ts";
import { readPcapng } from "./pcapng.ts";

/** Reads pcap of either endianness (us or ns), or pcapng. Throws `ConfigError` when it is neither. */
export function readCapture(file: Uint8Array<ArrayBuffer>): Capture {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length >= 4 && view.getUint32(0) === PCAPNG_MAGIC) return readPcapng(file);
  for (const littleEndian of [true, false]) {
    const magic = file.length >= HEADER ? view.getUint32(0, littleEndian) : 0;
    if (magic === MAGIC_US || magic === MAGIC_NS) {
      return readPcap(file, { littleEndian, nanoseconds: magic === MAGIC_NS });
    }
  }
  throw new ConfigError("Cannot read the capture: it is neither pcap nor pcapng");
}

/** Classic pcap, little-endian. `link` says what every packet starts with. */
export function writeCapture(
  packets: readonly CapturedPacket[],
  options: { readonly link: "ethernet" | "ip"; readonly nanoseconds: boolean },
): Uint8Array<ArrayBuffer> {
  const size = packets.reduce((sum, { data }) => sum + RECORD + data.length, HEADER);
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  view.setUint32(0, options.nanoseconds ? MAGIC_NS : MAGIC_US, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, SNAPLEN, true);
  view.setUint32(20, options.link === "ethernet" ? LINKTYPE.ETHERNET : LINKTYPE.RAW, true);
  const unit = options.nanoseconds ? 1n : 1000n;
  let at = HEADER;
  for (const { data, timeNs, originalLength } of packets) {
    view.setUint32(at, Number(timeNs / 1_000_000_000n), true);
    view.setUint32(at + 4, Number(timeNs % 1_000_000_000n / unit), true);
    view.setUint32(at + 8, data.length, true);
    view.setUint32(at + 12, Math.max(originalLength, data.length), true);
    file.set(data, at + RECORD);
    at += RECORD + data.length;
  }
  return file;
}

/** https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html */
const MAGIC_US = 0xa1b2c3d4;
const MAGIC_NS = 0xa1b23c4d;
const PCAPNG_MAGIC = 0x0a0d0d0a;
const HEADER = 24;
const RECORD = 16;
const SNAPLEN = 262144;

function readPcap(
  file: Uint8Array<ArrayBuffer>,
  { littleEndian, nanoseconds }: { readonly littleEndian: boolean; readonly nanoseconds: boolean },
): Capture {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  // The upper bits say how long a frame check sequence is: it lies behind IP, like padding.
  const link = linkOf(view.getUint32(20, littleEndian) & 0xffff);
  const unit = nanoseconds ? 1n : 1000n;
  const packets: CapturedPacket[] = [];
  for (let at = HEADER; at < file.length;) {
    const length = file.length - at < RECORD ? 0 : view.getUint32(at + 8, littleEndian);
    if (file.length - at < RECORD + length) {
      return { packets, nanoseconds, problem: `the file ends within packet ${packets.length}` };
    }
    packets.push({
      link,
      timeNs: BigInt(view.getUint32(at, littleEndian)) * 1_000_000_000n +
        BigInt(view.getUint32(at + 4, littleEndian)) * unit,
      data: file.subarray(at + RECORD, at + RECORD + length),
      originalLength: view.getUint32(at + 12, littleEndian),
    });
    at += RECORD + length;
  }
  return { packets, nanoseconds };
}

// SPDX-License-Identifier: Apache-2.0

/** Reads pcapng: sections of either endianness, several interfaces, enhanced, simple and old packet blocks. */
import { type Capture, type CapturedPacket, type Link, linkOf } from "./capture.ts";

interface Interface {
  readonly link: Link;
  /** 0: unlimited. */
  readonly snapLen: number;
  /** A time of 1 lasts this fraction of a second: 10^-n or 2^-n. */
  readonly ticksPerSecond: bigint;
  readonly offsetS: bigint;
}

/** Numbers of draft-ietf-opsawg-pcapng. */
const BLOCK = { SECTION: 0x0a0d0d0a, INTERFACE: 1, PACKET: 2, SIMPLE: 3, ENHANCED: 6 };
const BYTE_ORDER = 0x1a2b3c4d;
const OPTION = { END: 0, TSRESOL: 9, TSOFFSET: 14 };
const NS_PER_S = 1_000_000_000n;

/** The octets start with a section header block. */
export function readPcapng(file: Uint8Array<ArrayBuffer>): Capture {
  const packets: CapturedPacket[] = [];
  let nanoseconds = false;
  let littleEndian = true;
  let interfaces: Interface[] = [];
  const whole = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at < file.length;) {
    const stop = (why: string): Capture => ({
      packets,
      nanoseconds,
      problem: `${why} at octet ${at}`,
    });
    if (file.length - at < 12) return stop("the file ends within a block");
    if (whole.getUint32(at) === BLOCK.SECTION) {
      littleEndian = whole.getUint32(at + 8, true) === BYTE_ORDER;
      if (!littleEndian && whole.getUint32(at + 8) !== BYTE_ORDER) return stop("no byte order");
      interfaces = [];
    }
    const length = whole.getUint32(at + 4, littleEndian);
    if (length < 12 || length % 4 !== 0) return stop("a block of impossible length");
    if (length > file.length - at) return stop("the file ends within a block");
    const body = file.subarray(at + 8, at + length - 4);
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    switch (whole.getUint32(at, littleEndian)) {
      case BLOCK.INTERFACE: {
        if (body.length < 8) return stop("an interface block that is too short");
        const added = readInterface(view, littleEndian);
        interfaces.push(added);
        if (added.ticksPerSecond > 1_000_000n) nanoseconds = true;
        break;
      }
      case BLOCK.ENHANCED:
      case BLOCK.PACKET: {
        if (body.length < 20) return stop("a packet block that is too short");
        const old = whole.getUint32(at, littleEndian) === BLOCK.PACKET;
        const from =
          interfaces[old ? view.getUint16(0, littleEndian) : view.getUint32(0, littleEndian)];
        const captured = view.getUint32(12, littleEndian);
        if (from === undefined) return stop("a packet of an interface that was not described");
        if (captured > body.length - 20) return stop("a packet that passes the end of its block");
        packets.push({
          link: from.link,
          timeNs: time(view, { littleEndian, from }),
          data: body.subarray(20, 20 + captured),
          originalLength: view.getUint32(16, littleEndian),
        });
        break;
      }
      case BLOCK.SIMPLE: {
        const from = interfaces[0];
        if (from === undefined || body.length < 4) {
          return stop("a simple packet without an interface");
        }
        const originalLength = view.getUint32(0, littleEndian);
        const limit = from.snapLen === 0 ? originalLength : Math.min(originalLength, from.snapLen);
        const captured = Math.min(limit, body.length - 4);
        packets.push({
          link: from.link,
          timeNs: 0n,
          data: body.subarray(4, 4 + captured),
          originalLength,
        });
        break;
      }
    }
    at += length;
  }
  return { packets, nanoseconds };
}

function readInterface(view: DataView, littleEndian: boolean): Interface {
  let ticksPerSecond = 1_000_000n;
  let offsetS = 0n;
  for (let at = 8; at + 4 <= view.byteLength;) {
    const code = view.getUint16(at, littleEndian);
    const length = view.getUint16(at + 2, littleEndian);
    if (code === OPTION.END || at + 4 + length > view.byteLength) break;
    if (code === OPTION.TSRESOL && length === 1) {
      const resolution = view.getUint8(at + 4);
      const base = (resolution & 0x80) === 0 ? 10n : 2n;
      ticksPerSecond = base ** BigInt(resolution & 0x7f);
    }
    if (code === OPTION.TSOFFSET && length === 8) {
      offsetS = view.getBigInt64(at + 4, littleEndian);
    }
    at += 4 + length + (4 - length % 4) % 4;
  }
  const link = linkOf(view.getUint16(0, littleEndian));
  return { link, snapLen: view.getUint32(4, littleEndian), ticksPerSecond, offsetS };
}

function time(
  view: DataView,
  { littleEndian, from }: { readonly littleEndian: boolean; readonly from: Interface },
): bigint {
  const ticks = BigInt(view.getUint32(4, littleEndian)) << 32n |
    BigInt(view.getUint32(8, littleEndian));
  const ns = ticks * NS_PER_S / from.ticksPerSecond + from.offsetS * NS_PER_S;
  // pcap holds unsigned 32 bit seconds.
  return ns < 0n ? 0n : ns;
}

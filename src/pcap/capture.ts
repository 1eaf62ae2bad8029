// SPDX-License-Identifier: Apache-2.0

/** A capture in memory: what every file format is read into and written from. */

/** What a captured packet starts with; "other": a link type that is not known here. */
export type Link = "ethernet" | "ip" | "other";

/** One packet of a capture. `data` may be a view of the file's octets. */
export interface CapturedPacket {
  readonly link: Link;
  /** Since 1970. */
  readonly timeNs: bigint;
  readonly data: Uint8Array<ArrayBuffer>;
  /** On the wire; more than `data` has when the capture cut it. */
  readonly originalLength: number;
}

/** A capture file in memory. */
export interface Capture {
  readonly packets: readonly CapturedPacket[];
  /** Times are finer than microseconds. */
  readonly nanoseconds: boolean;
  /** Why the rest of the file could not be read, when it could not. */
  readonly problem?: string;
}

/** https://www.tcpdump.org/linktypes.html */
export const LINKTYPE = { ETHERNET: 1, RAW: 101 } as const;

/** What a LINKTYPE number means here. */
export function linkOf(linktype: number): Link {
  switch (linktype) {
    case LINKTYPE.ETHERNET:
      return "ethernet";
    case LINKTYPE.RAW:
    case 12: // DLT_RAW where LINKTYPE was not yet told apart from it
    case 14: // the same on OpenBSD
    case 228: // IPv4
    case 229: // IPv6
      return "ip";
    default:
      return "other";
  }
}

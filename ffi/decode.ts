// SPDX-License-Identifier: Apache-2.0

/** Structs that the library filled in, as plain objects. */
import { addressText, macText } from "./address.ts";
import { Key } from "./key.ts";
import { sizeOf } from "./layout.ts";
import type {
  MasterKeyInfo,
  NextHop,
  PipeStats,
  PortInfo,
  PspVersionNumber,
  SpiKey,
  Stats,
} from "./plane.ts";
import { Struct } from "./struct.ts";

/** struct psp_dp_port_info */
export function decodePort(struct: Struct<"psp_dp_port_info">): PortInfo {
  return {
    ifindex: struct.number("ifindex"),
    mac: macText(struct.octets("mac")),
    mtu: struct.number("mtu"),
    linkUp: struct.number("link_up") !== 0,
    forwards: forwardedFamilies(struct.number("forwards")),
  };
}

/** The bits of `psp_dp_port_info.forwards`. */
export function forwardedFamilies(bits: number): PortInfo["forwards"] {
  return [...bits & 1 ? ["ipv4"] as const : [], ...bits & 2 ? ["ipv6"] as const : []];
}

/** struct psp_dp_next_hop */
export function decodeNextHop(struct: Struct<"psp_dp_next_hop">): NextHop {
  return {
    viaGateway: struct.number("via_gateway") !== 0,
    address: addressText(struct.octets("address")),
    ...struct.number("resolved") === 0 ? {} : { mac: macText(struct.octets("mac")) },
  };
}

/** struct psp_dp_stats, of an entry or a crypto id */
export function decodeStats(struct: Struct<"psp_dp_stats">): Stats {
  return {
    packets: struct.bigint("packets"),
    bytes: struct.bigint("bytes"),
    lastUsedNs: struct.bigint("last_used_ns"),
  };
}

/** struct psp_dp_stats, of a pipe */
export function decodePipeStats(struct: Struct<"psp_dp_stats">): PipeStats {
  return {
    ...decodeStats(struct),
    entries: struct.number("entries"),
    missPackets: struct.bigint("miss_packets"),
    missBytes: struct.bigint("miss_bytes"),
  };
}

/** struct psp_dp_master_key_info */
export function decodeMasterKey(struct: Struct<"psp_dp_master_key_info">): MasterKeyInfo {
  return {
    active: struct.number("active") === 0 ? 0 : 1,
    rotations: struct.bigint("rotations"),
    spisLeft: struct.bigint("spis_left"),
  };
}

/** An array of struct psp_dp_key for the library to fill in; wipe it after use. */
export function keyArray(n: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(n * sizeOf("psp_dp_key"));
  const view = viewOf(bytes);
  for (let i = 0; i < n; i++) keyAt(bytes, i, view).setSize();
  return bytes;
}

/** Copies the keys out of the array. */
export function decodeKeys(bytes: Uint8Array<ArrayBuffer>, version: PspVersionNumber): SpiKey[] {
  const n = bytes.length / sizeOf("psp_dp_key");
  const view = viewOf(bytes);
  return Array.from({ length: n }, (_, i) => {
    const struct = keyAt(bytes, i, view);
    return {
      spi: struct.number("spi"),
      version,
      key: new Key(struct.copyOf("key", keyLength(version))),
    };
  });
}

/** Octets in the key of a PSP version. */
export function keyLength(version: PspVersionNumber): 16 | 32 {
  return version % 2 === 0 ? 16 : 32;
}

function keyAt(
  bytes: Uint8Array<ArrayBuffer>,
  i: number,
  view: DataView,
): Struct<"psp_dp_key"> {
  return new Struct("psp_dp_key", bytes, i * sizeOf("psp_dp_key"), view);
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

// SPDX-License-Identifier: Apache-2.0

/** SAs as entries of the pipes: pure builders, and the header that ENCAP puts in front. */
import ipaddr from "ipaddr.js";
import type { EntryDescriptor } from "../../ffi/plane.ts";
import type { PspMode, RxSa, TxSa } from "../sa/sa.ts";

/** What the outer header of a transmit SA needs beyond the SA. */
export interface OuterHeader {
  /** Outer address of this host, of the family of the SA's `pip`. */
  readonly localPip: string;
  /** MAC of the uplink. */
  readonly ethSrc: string;
  /** MAC of the next hop towards the peer. */
  readonly ethDst: string;
  /** Hop limit. */
  readonly ttl: number;
}

/** A transmit SA in EGR_ACL. */
export interface EgrAclOptions extends OuterHeader {
  readonly cryptoId: number;
  /** The topology samples: EGR_ACL marks the packet, PSP_ENCRYPT encrypts. */
  readonly sampling: boolean;
  readonly copyDscp: boolean;
}

/** vip pair -> outer header and crypto id. Throws RangeError as `encapHeader` does. */
export function egrAclEntry(sa: TxSa, options: EgrAclOptions): EntryDescriptor<never> {
  return {
    match: { outer: { src_ip: sa.localVip, dst_ip: sa.remoteVip } },
    actions: {
      crypto_encap: {
        action: "encap",
        net_type: netType(sa.mode),
        encap_data: encapHeader(sa, options),
        copy_dscp: options.copyDscp,
      },
      ...(options.sampling
        ? { meta: { pkt_meta: options.cryptoId } }
        : { crypto: { action: "encrypt", crypto_id: options.cryptoId } }),
    },
    monitor: { counter: true },
  };
}

/** pkt_meta -> the crypto id of the same number. */
export function pspEncryptEntry(cryptoId: number): EntryDescriptor<never> {
  return {
    match: { meta: { pkt_meta: cryptoId } },
    actions: { crypto: { action: "encrypt", crypto_id: cryptoId } },
    monitor: { counter: true },
  };
}

/** What the workload's side of a receive SA looks like. */
export interface IngrAclOptions {
  /** MAC of the workload, or broadcast while it is not known. */
  readonly ethDst: string;
  /** MAC that the workload knows as its gateway's. */
  readonly ethSrc: string;
  /** INGR_ACL compares the virtualization cookie: `RxSa.vc`, 0 without one. */
  readonly vc: boolean;
}

/**
 * Good packets of this SPI between these two vips, and no others.
 * Throws RangeError when the SA has a virtualization cookie that INGR_ACL would not compare.
 */
export function ingrAclEntry(sa: RxSa, options: IngrAclOptions): EntryDescriptor<never> {
  if (sa.vc !== undefined && !options.vc) {
    throw new RangeError(
      `Cannot accept SPI ${
        hex(sa.spi)
      }: it has a virtualization cookie, and INGR_ACL compares none`,
    );
  }
  const addresses = { src_ip: sa.remoteVip, dst_ip: sa.localVip };
  return {
    match: {
      parser_meta: { psp_syndrome: "ok" },
      tun: { psp: { spi: sa.spi, ...(options.vc ? { vc: sa.vc ?? 0n } : {}) } },
      ...(sa.mode === "tunnel" ? { inner: addresses } : { outer: addresses }),
    },
    actions: {
      crypto_encap: {
        action: "decap",
        net_type: netType(sa.mode),
        eth_dst: options.ethDst,
        eth_src: options.ethSrc,
      },
    },
    monitor: { counter: true },
  };
}

/** The parts of an SA that stand in its packets' headers. */
export type EncapSa = Pick<
  TxSa,
  "localVip" | "pip" | "spi" | "version" | "vc" | "cryptOffset" | "mode"
>;

/**
 * Tunnel mode: Ethernet, outer IPv4 or IPv6, UDP, PSP (with VC). Transport mode: the same without IP.
 * 0 where the plane fills in: lengths, checksums, id, flow label, UDP source port, next header, IV.
 * No VLAN tag: the port adds it. Throws RangeError when a field does not fit or the pips' families differ.
 */
export function encapHeader(sa: EncapSa, outer: OuterHeader): Uint8Array<ArrayBuffer> {
  const ip = sa.mode === "tunnel" ? outerIp(sa, outer) : new Uint8Array(0);
  const v6 = ipaddr.parse(sa.mode === "tunnel" ? sa.pip : sa.localVip).kind() === "ipv6";
  return concat([
    macBytes(outer.ethDst),
    macBytes(outer.ethSrc),
    v6 ? [0x86, 0xdd] : [0x08, 0x00],
    ip,
    UDP,
    pspHeader(sa),
  ]);
}

/** Source port 0: the plane hashes the inner flow; destination port 1000; no checksum. */
const UDP = [0, 0, 1000 >> 8, 1000 & 0xff, 0, 0, 0, 0];

function outerIp(sa: EncapSa, { localPip, ttl }: OuterHeader): Uint8Array {
  if (!Number.isInteger(ttl) || ttl < 1 || ttl > 255) {
    throw new RangeError(`Cannot build an outer header: the TTL is ${ttl}, not 1 to 255`);
  }
  const src = ipaddr.parse(localPip);
  const dst = ipaddr.parse(sa.pip);
  if (src.kind() !== dst.kind()) {
    throw new RangeError(
      `Cannot build an outer header: "${localPip}" and "${sa.pip}" are of different families`,
    );
  }
  const addresses = [...src.toByteArray(), ...dst.toByteArray()];
  if (src.kind() === "ipv6") {
    return Uint8Array.from([0x60, 0, 0, 0, 0, 0, PROTO_UDP, ttl, ...addresses]);
  }
  // DF: the plane reports what does not fit instead of having it cut on the way.
  return Uint8Array.from([0x45, 0, 0, 0, 0, 0, 0x40, 0, ttl, PROTO_UDP, 0, 0, ...addresses]);
}

const PROTO_UDP = 17;
const PSP_FLAG_V = 0x02;
const PSP_FLAG_ALWAYS = 0x01;

function pspHeader({ spi, version, vc, cryptOffset }: EncapSa): Uint8Array {
  if (!Number.isInteger(cryptOffset) || cryptOffset < 0 || cryptOffset > 63) {
    throw new RangeError(
      `Cannot build a PSP header: the crypt offset is ${cryptOffset}, not 0 to 63`,
    );
  }
  const bytes = new Uint8Array(vc === undefined ? 16 : 24);
  const view = new DataView(bytes.buffer);
  view.setUint8(1, vc === undefined ? 1 : 2);
  view.setUint8(2, cryptOffset);
  const v = vc === undefined ? 0 : PSP_FLAG_V;
  view.setUint8(3, VERSION_NUMBER[version] << 2 | v | PSP_FLAG_ALWAYS);
  view.setUint32(4, spi);
  if (vc !== undefined) view.setBigUint64(16, vc);
  return bytes;
}

/** As PSP_VERSIONS of sa.ts: this folder imports types alone. */
const VERSION_NUMBER: Readonly<Record<TxSa["version"], number>> = {
  "aes-gcm-128": 0,
  "aes-gcm-256": 1,
  "aes-gmac-128": 2,
  "aes-gmac-256": 3,
};

function netType(mode: PspMode): "psp_tunnel" | "psp_transport" {
  return mode === "tunnel" ? "psp_tunnel" : "psp_transport";
}

function macBytes(mac: string): number[] {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) {
    throw new RangeError(`Cannot build an Ethernet header: "${mac}" is not a MAC address`);
  }
  return mac.split(":").map((octet) => parseInt(octet, 16));
}

function concat(parts: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function hex(spi: number): string {
  return (spi >>> 0).toString(16).padStart(8, "0");
}

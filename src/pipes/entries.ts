// SPDX-License-Identifier: Apache-2.0

/** SAs as entries of the pipes: pure builders, and the header that ENCAP puts in front. */
import ipaddr from "ipaddr.js";
import type { EntryDescriptor, Fwd } from "../../ffi/plane.ts";
import type { PspMode, RxSa, TxSa } from "../model/sa.ts";

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
  /** Octets of outer IP that the way to the peer carries; undefined: what the uplink does. */
  readonly pathMtu?: number | undefined;
  /** Handle of the workload's port, where EGR_ACL tells ports apart. */
  readonly port?: number | undefined;
}

/** vip pair -> outer header and crypto id. Throws RangeError as `encapHeader` does. */
export function egrAclEntry(sa: TxSa, options: EgrAclOptions): EntryDescriptor {
  return {
    match: {
      ...options.port === undefined ? {} : { parser_meta: { port_id: options.port } },
      outer: { src_ip: sa.localVip, dst_ip: sa.remoteVip },
    },
    actions: {
      crypto_encap: {
        action: "encap",
        net_type: netType(sa.mode),
        encap_data: encapHeader(sa, options),
        copy_dscp: options.copyDscp,
        ...(options.pathMtu === undefined ? {} : { path_mtu: options.pathMtu }),
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
  /** MAC of the workload. */
  readonly ethDst: string;
  /** Where it goes, unless where INGR_ACL says. */
  readonly fwd?: Fwd | undefined;
  /** MAC that the workload knows as its gateway's. */
  readonly ethSrc: string;
  /** IVs of the replay window; 0 or absent: none. */
  readonly window?: number;
  /** INGR_ACL compares the virtualization cookie: `RxSa.vc`, 0 without one. */
  readonly vc: boolean;
}

/**
 * Good packets of this SPI between these two vips, sealed with the crypt offset that was asked for, and no others.
 * Throws RangeError when the SA has a virtualization cookie that INGR_ACL would not compare.
 */
export function ingrAclEntry(sa: RxSa, options: IngrAclOptions): EntryDescriptor {
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
        crypt_offset: sa.cryptOffset,
        ...options.window === undefined ? {} : { replay_window: options.window },
      },
    },
    monitor: { counter: true },
    ...options.fwd === undefined ? {} : { fwd: options.fwd },
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
  const v6 = (sa.mode === "tunnel" ? sa.pip : sa.localVip).includes(":");
  const udp = ETHERNET + (sa.mode === "transport" ? 0 : v6 ? 40 : 20);
  const psp = udp + UDP.length;
  const header = new Uint8Array(psp + (sa.vc === undefined ? 16 : 24));
  put(header, macOctets(outer.ethDst), 0);
  put(header, macOctets(outer.ethSrc), 6);
  put(header, v6 ? [0x86, 0xdd] : [0x08, 0x00], 12);
  if (sa.mode === "tunnel") putOuterIp(header, sa, outer);
  put(header, UDP, udp);
  putPsp(header, sa, psp);
  return header;
}

const ETHERNET = 14;
/** Source port 0: the plane hashes the inner flow; destination port 1000; no checksum. */
const UDP = [0, 0, 1000 >> 8, 1000 & 0xff, 0, 0, 0, 0];

function putOuterIp(header: Uint8Array, sa: EncapSa, { localPip, ttl }: OuterHeader): void {
  if (!Number.isInteger(ttl) || ttl < 1 || ttl > 255) {
    throw new RangeError(`Cannot build an outer header: the TTL is ${ttl}, not 1 to 255`);
  }
  const src = ipOctets(localPip);
  const dst = ipOctets(sa.pip);
  if (src.length !== dst.length) {
    throw new RangeError(
      `Cannot build an outer header: "${localPip}" and "${sa.pip}" are of different families`,
    );
  }
  const fixed = src.length === 16
    ? [0x60, 0, 0, 0, 0, 0, PROTO_UDP, ttl]
    // DF: the plane reports what does not fit instead of having it cut on the way.
    : [0x45, 0, 0, 0, 0, 0, 0x40, 0, ttl, PROTO_UDP, 0, 0];
  put(header, fixed, ETHERNET);
  put(header, src, ETHERNET + fixed.length);
  put(header, dst, ETHERNET + fixed.length + src.length);
}

const PROTO_UDP = 17;
const PSP_FLAG_V = 0x02;
const PSP_FLAG_ALWAYS = 0x01;

function putPsp(header: Uint8Array<ArrayBuffer>, sa: EncapSa, at: number): void {
  const { spi, version, vc, cryptOffset } = sa;
  if (!Number.isInteger(cryptOffset) || cryptOffset < 0 || cryptOffset > 63) {
    throw new RangeError(
      `Cannot build a PSP header: the crypt offset is ${cryptOffset}, not 0 to 63`,
    );
  }
  const flags = VERSION_NUMBER[version] << 2 | (vc === undefined ? 0 : PSP_FLAG_V);
  put(header, [0, vc === undefined ? 1 : 2, cryptOffset, flags | PSP_FLAG_ALWAYS], at);
  put(header, [spi >>> 24, spi >>> 16, spi >>> 8, spi], at + 4);
  if (vc !== undefined) new DataView(header.buffer).setBigUint64(at + 16, vc);
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

function macOctets(mac: string): readonly number[] {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) {
    throw new RangeError(`Cannot build an Ethernet header: "${mac}" is not a MAC address`);
  }
  return [0, 3, 6, 9, 12, 15].map((at) => parseInt(mac.slice(at, at + 2), 16));
}

const DOTTED = /^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/;

/** The one spelling of IPv4, which nearly every address has, is read without ipaddr.js: that takes 20 times as long. */
function ipOctets(text: string): readonly number[] {
  const octets = DOTTED.test(text) ? text.split(".").map(Number) : [];
  const ipv4 = octets.length === 4 && octets.every((octet) => octet < 256);
  return ipv4 ? octets : ipaddr.parse(text).toByteArray();
}

/** The low 8 bits of each. `set` of a typed array is slow for so few. */
function put(bytes: Uint8Array, octets: readonly number[], at: number): void {
  for (let i = 0; i < octets.length; i++) bytes[at + i] = octets[i] ?? 0;
}

function hex(spi: number): string {
  return (spi >>> 0).toString(16).padStart(8, "0");
}

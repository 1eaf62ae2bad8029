// SPDX-License-Identifier: Apache-2.0

/** What a security association is, in the words of the field: shapes, and what numbers mean. */
import type { Key } from "../../ffi/key.ts";
import type { PspVersionNumber } from "../../ffi/plane.ts";

/** PSP versions by name; the index is the version field on the wire. */
export const PSP_VERSIONS = ["aes-gcm-128", "aes-gcm-256", "aes-gmac-128", "aes-gmac-256"] as const;
export type PspVersion = (typeof PSP_VERSIONS)[number];
export type PspMode = "tunnel" | "transport";

/** The number of a version on the wire. */
export function versionNumber(version: PspVersion): PspVersionNumber {
  return PSP_VERSIONS.indexOf(version) as PspVersionNumber;
}

/** Octets of a version's key. */
export function keyLength(version: PspVersion): 16 | 32 {
  return version === "aes-gcm-256" || version === "aes-gmac-256" ? 32 : 16;
}

/** Bit 31 names the master key; the other 31 are never all 0. */
export function isReservedSpi(spi: number): boolean {
  return (spi & 0x7fff_ffff) === 0;
}

/** As people read and type it, everywhere the same: "0x" and eight digits. */
export function spiText(spi: number): string {
  return `0x${spi.toString(16).padStart(8, "0")}`;
}

/**
 * The crypt offset where none is configured. Tunnel mode: 5 and 10 leave the inner IP header readable, as DOCA's
 * gateway does. Transport mode: 0, because the IP header stands outside. A VC in clear adds its two units.
 */
export function defaultCryptOffset(
  { family, vc, mode }: {
    readonly family: "ipv4" | "ipv6";
    readonly vc: boolean;
    readonly mode: PspMode;
  },
): number {
  const header = family === "ipv4" ? 5 : 10;
  return (mode === "tunnel" ? header : 0) + (vc ? 2 : 0);
}

/** The two ends of a tunnel as this host sees them. Canonical text (IPv6 compressed, lower case). */
export interface VipPair {
  readonly localVip: string;
  readonly remoteVip: string;
}

/** A pair as the key of a map. */
export function pairKey({ localVip, remoteVip }: VipPair): string {
  return `${localVip} ${remoteVip}`;
}

/** Everything a sender needs; written by the receiver, who derived the key from the SPI. */
export interface PspParams {
  readonly spi: number;
  readonly version: PspVersion;
  readonly key: Key;
  /** Outer address of the receiver. */
  readonly pip: string;
  /** MAC of the receiver's uplink. */
  readonly mac: string;
  readonly vc?: bigint;
  /** In 4-octet units from the end of the IV. */
  readonly cryptOffset: number;
  readonly mode: PspMode;
  /** Grows within a boot epoch: the newest (epoch, serial) wins. */
  readonly serial: bigint;
  /** Seconds that the receiver accepts the SPI; 0: no limit. */
  readonly lifeS: number;
}

/** I derived its key, I accept its SPI. The key itself went to the peer and is not kept. */
export interface RxSa extends VipPair {
  readonly peer: string;
  readonly spi: number;
  readonly version: PspVersion;
  readonly vc?: bigint;
  /** What the peer was asked for: packets that were sealed with another are not accepted. */
  readonly cryptOffset: number;
  readonly mode: PspMode;
  /** The peer says that its IVs count, or is expected to: an IV that comes again is a replay. */
  readonly ivCounts?: boolean;
  readonly serial: bigint;
  readonly createdAtMs: number;
}

/** The peer derived its key, I send with it. The key went to the plane and is not kept. */
export interface TxSa extends VipPair {
  readonly peer: string;
  readonly spi: number;
  readonly version: PspVersion;
  readonly pip: string;
  readonly mac: string;
  readonly vc?: bigint;
  readonly cryptOffset: number;
  readonly mode: PspMode;
  readonly epoch: bigint;
  readonly serial: bigint;
  readonly createdAtMs: number;
  /** 0: no limit. */
  readonly expiresAtMs: number;
}

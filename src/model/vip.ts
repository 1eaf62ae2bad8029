// SPDX-License-Identifier: Apache-2.0

/** Addresses and prefixes in one canonical form, and the longest-prefix lookup on them. */
import ipaddr from "ipaddr.js";
import { ipv4Bits } from "../../ffi/address.ts";
import { addressOf, inNetwork, isNetworkName } from "./network.ts";

/** A set of addresses of one network: the first `length` bits of `bits`. */
export interface Prefix {
  /** "": the default one. */
  readonly network: string;
  readonly family: 4 | 6;
  /** The address as a number, bits beyond `length` cleared. */
  readonly bits: bigint;
  readonly length: number;
}

/**
 * One spelling per address: dotted IPv4, compressed lower-case IPv6, v4-mapped IPv6 as IPv4.
 * Undefined when the text is no address (zones, octal and shortened IPv4 are none).
 */
export function canonicalVip(text: string): string | undefined {
  if (ipv4Bits(text) !== undefined) return text;
  const { address, network } = splitVip(text);
  if (network === undefined) return undefined;
  const canonical = parseAddress(address)?.toString();
  return canonical === undefined ? undefined : inNetwork(canonical, network);
}

/** Address or prefix, and network; undefined: it has none that could be one. */
function splitVip(text: string): { address: string; network: string | undefined } {
  const at = text.indexOf("@");
  if (at < 0) return { address: text, network: "" };
  const network = text.slice(at + 1);
  return { address: text.slice(0, at), network: isNetworkName(network) ? network : undefined };
}

/** "ipv4" or "ipv6" of a canonical address. */
export function familyOf(vip: string): "ipv4" | "ipv6" {
  return vip.includes(":") ? "ipv6" : "ipv4";
}

/**
 * Whether a canonical address is multicast, broadcast, link-local or unspecified: packets from or to it never
 * leave their link, so no tunnel carries them.
 */
export function isLinkScope(vip: string): boolean {
  const address = addressOf(vip);
  if (address.includes(":")) return /^(?:ff|fe[89ab])/.test(address) || address === "::";
  return Number.parseInt(address) >= 224 || address.startsWith("169.254.") ||
    address === "0.0.0.0";
}

/** Whether a canonical address is within a host. */
export function isLoopback(address: string): boolean {
  return address.includes(":") ? address === "::1" : address.startsWith("127.");
}

/** Whether a canonical address can be that of one host: neither unspecified nor of a group, nor kept for later. */
export function isOneHost(address: string): boolean {
  if (address.includes(":")) return address !== "::" && !address.startsWith("ff");
  const first = Number.parseInt(address);
  return first > 0 && first < 224;
}

/** Reads "10.1.0.0/16" or a bare address (a prefix of full length). Undefined when it is neither. */
export function parsePrefix(text: string): Prefix | undefined {
  const host = ipv4Bits(text);
  if (host !== undefined) return { network: "", family: 4, bits: BigInt(host), length: 32 };
  const { address: cidr, network } = splitVip(text);
  if (network === undefined) return undefined;
  const [head = "", tail, ...rest] = cidr.split("/");
  if (rest.length > 0 || (tail !== undefined && !/^(0|[1-9]\d{0,2})$/.test(tail))) return undefined;
  const v4 = ipv4Bits(head);
  if (v4 !== undefined) {
    const length = tail === undefined ? 32 : Number(tail);
    if (length > 32) return undefined;
    const bits = length === 0 ? 0 : (v4 >>> (32 - length) << (32 - length)) >>> 0;
    return { network, family: 4, bits: BigInt(bits), length };
  }
  const mapped = ipaddr.IPv6.isValid(head) && ipaddr.IPv6.parse(head).isIPv4MappedAddress();
  const address = parseAddress(head);
  if (address === undefined) return undefined;
  const width = address.kind() === "ipv4" ? 32 : 128;
  const length = tail === undefined ? width : Number(tail) - (mapped ? 96 : 0);
  if (length < 0 || length > width) return undefined;
  const family = width === 32 ? 4 : 6;
  return { network, family, bits: cleared({ bits: toBits(address), width, length }), length };
}

/** Whether a prefix has full length: nothing else is within it. */
export function isOneAddress({ family, length }: Prefix): boolean {
  return length === (family === 4 ? 32 : 128);
}

/** The address that a prefix of full length holds; undefined: it holds more of them. */
export function addressIn(prefix: string): string | undefined {
  const parsed = parsePrefix(prefix);
  if (parsed === undefined || !isOneAddress(parsed)) return undefined;
  return canonicalVip(prefix.replace(/\/\d+(?=@|$)/, ""));
}

/** Values by prefix; a lookup finds the longest prefix of the vip's network that holds its address. */
export class PrefixTable<T> {
  readonly #networks = new Map<string, NetworkTable<T>>();

  /** False when the very prefix is there already; the first value stays. */
  add(prefix: Prefix, value: T): boolean {
    let table = this.#networks.get(prefix.network);
    if (table === undefined) this.#networks.set(prefix.network, table = new NetworkTable());
    return table.add(prefix, value);
  }

  /** Takes out the very prefix. False when it is not there. */
  delete(prefix: Prefix): boolean {
    return this.#networks.get(prefix.network)?.delete(prefix) ?? false;
  }

  /** The value of the longest prefix that holds all of `prefix`, itself included, or undefined. */
  covering({ network, family, bits, length }: Prefix): T | undefined {
    return this.#networks.get(network)?.find({ family, bits, most: length });
  }

  /** The value of the longest prefix that holds `vip` (any spelling), or undefined. */
  lookup(vip: string): T | undefined {
    const found = addressBits(vip);
    return found && this.#networks.get(found.network)?.find({ ...found, most: 128 });
  }
}

/** Part of an address as the key of a map: of IPv4 a number, which is quicker and takes less than a bigint. */
type Bits = number | bigint;

/** The prefixes of one network. */
class NetworkTable<T> {
  readonly #lengths = {
    4: new Map<number, Map<Bits, T>>(),
    6: new Map<number, Map<Bits, T>>(),
  };
  readonly #order: { 4: number[]; 6: number[] } = { 4: [], 6: [] };

  add({ family, bits, length }: Prefix, value: T): boolean {
    const byLength = this.#lengths[family];
    let entries = byLength.get(length);
    if (entries === undefined) {
      byLength.set(length, entries = new Map());
      this.#order[family] = [...byLength.keys()].sort((a, b) => b - a);
    }
    const key = keyOf({ family, bits, length });
    if (entries.has(key)) return false;
    entries.set(key, value);
    return true;
  }

  delete({ family, bits, length }: Prefix): boolean {
    const byLength = this.#lengths[family];
    const entries = byLength.get(length);
    if (entries === undefined || !entries.delete(keyOf({ family, bits, length }))) return false;
    if (entries.size === 0) {
      byLength.delete(length);
      this.#order[family] = this.#order[family].filter((other) => other !== length);
    }
    return true;
  }

  /** Of the prefixes that have at most so many bits. */
  find({ family, bits, most }: { family: 4 | 6; bits: Bits; most: number }): T | undefined {
    for (const length of this.#order[family]) {
      if (length > most) continue;
      const key = keyOf({ family, bits, length });
      const found = this.#lengths[family].get(length)?.get(key);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** The first bits of an address. */
function keyOf(
  { family, bits, length }: { family: 4 | 6; bits: Bits; length: number },
): Bits {
  if (family === 6) return BigInt(bits) >> BigInt(128 - length);
  return length === 0 ? 0 : Number(bits) >>> (32 - length);
}

function addressBits(
  text: string,
): { network: string; family: 4 | 6; bits: Bits } | undefined {
  const { address: bare, network } = splitVip(text);
  if (network === undefined) return undefined;
  const v4 = ipv4Bits(bare);
  if (v4 !== undefined) return { network, family: 4, bits: v4 };
  const address = parseAddress(bare);
  if (address === undefined) return undefined;
  return { network, family: address.kind() === "ipv4" ? 4 : 6, bits: toBits(address) };
}

function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (text.includes("%") || !ipaddr.IPv6.isValid(text)) return undefined;
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

function toBits(address: ipaddr.IPv4 | ipaddr.IPv6): bigint {
  return address.toByteArray().reduce((bits, octet) => (bits << 8n) | BigInt(octet), 0n);
}

function cleared(
  { bits, width, length }: { bits: bigint; width: number; length: number },
): bigint {
  const host = BigInt(width - length);
  return (bits >> host) << host;
}

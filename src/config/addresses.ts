// SPDX-License-Identifier: Apache-2.0

/**
 * Addresses as a configuration may write them, in canonical text: IPv6 compressed and lower case,
 * prefixes without host bits, MACs "02:00:00:00:00:01". Each function throws `RangeError`, which says
 * what is wrong and what would be right.
 */
import ipaddr from "ipaddr.js";
import { ipv4Bits } from "../../ffi/address.ts";
import { isUnicastMac } from "../model/mac.ts";
import { addressOf, inNetwork, isNetworkName, networkOf } from "../model/network.ts";
import { quote } from "./durations.ts";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** A unicast address: "192.0.2.1", "2001:db8::1". */
export function parseIp(input: unknown): string {
  const address = address4or6(input);
  if (!address) {
    throw new RangeError(
      `${quote(input)} is not an address: write it like "192.0.2.1" or "2001:db8::1"`,
    );
  }
  refuseMapped(address, input);
  const range = address.range();
  if (range === "unspecified" || range === "multicast" || range === "broadcast") {
    throw new RangeError(`${quote(input)} is ${range}: the address of one host is needed`);
  }
  return text(address);
}

/**
 * An address or prefix in canonical form, of a network where it names one ("10.1.0.0/24@blue"), and whether bits beyond
 * the prefix length were set.
 */
export function parseCidr(input: unknown): { cidr: string; hostBits: boolean } {
  const wrong = () =>
    new RangeError(
      `${quote(input)} is not an address or prefix: write it like "10.1.0.0/24" or "fd00:1::/64"`,
    );
  if (typeof input !== "string") throw wrong();
  if (input.includes("@") && !isNetworkName(networkOf(input))) {
    throw new RangeError(
      `${quote(input)} has no name of a network after "@": write it like "10.1.0.0/24@blue"`,
    );
  }
  const [host = "", bits, ...more] = addressOf(input).split("/");
  const plain = more.length === 0 ? ipv4Bits(host) : undefined;
  const quick = plain === undefined ? undefined : cidrOf(plain, bits);
  if (quick !== undefined) {
    return { cidr: inNetwork(quick.cidr, networkOf(input)), hostBits: quick.hostBits };
  }
  const address = address4or6(host);
  if (!address || more.length > 0) throw wrong();
  refuseMapped(address, input);
  const max = address.kind() === "ipv4" ? 32 : 128;
  if (bits !== undefined && !/^(0|[1-9]\d{0,2})$/.test(bits)) throw wrong();
  const length = bits === undefined ? max : Number(bits);
  if (length > max) {
    throw new RangeError(`${quote(input)} has a prefix longer than ${max}: use 0 to ${max}`);
  }
  const network = mask(address, length);
  if (network.range() === "multicast") {
    throw new RangeError(`${quote(input)} is multicast: tunnels carry unicast only`);
  }
  return {
    cidr: inNetwork(`${text(network)}/${length}`, networkOf(input)),
    hostBits: text(network) !== text(address),
  };
}

/** Of an IPv4 address that is written as it should be, as nearly all are; undefined: it takes a closer look. */
function cidrOf(
  address: number,
  bits: string | undefined,
): { cidr: string; hostBits: boolean } | undefined {
  if (bits !== undefined && !/^(?:0|[1-9]|[12]\d|3[0-2])$/.test(bits)) return undefined;
  const length = bits === undefined ? 32 : Number(bits);
  const network = length === 0 ? 0 : (address >>> (32 - length) << (32 - length)) >>> 0;
  if (network >>> 28 === 0b1110) return undefined;
  const octets = [24, 16, 8, 0].map((shift) => (network >>> shift) & 0xff);
  return { cidr: `${octets.join(".")}/${length}`, hostBits: network !== address };
}

/** Whether a prefix, "10.1.0.5/32", is that of one address. */
export function isOneAddress(cidr: string): boolean {
  return addressOf(cidr).endsWith(family(cidr) === "ipv4" ? "/32" : "/128");
}

/** "ipv4" or "ipv6" of a canonical address or prefix. */
export function family(address: string): "ipv4" | "ipv6" {
  return address.includes(":") ? "ipv6" : "ipv4";
}

/** A unicast MAC, colons or dashes. */
export function parseMac(input: unknown): string {
  const mac = typeof input === "string" ? input.toLowerCase().replaceAll("-", ":") : "";
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) {
    throw new RangeError(`${quote(input)} is not a MAC: write it like "02:00:00:00:00:01"`);
  }
  if (!isUnicastMac(mac)) {
    throw new RangeError(`${quote(input)} is not the MAC of one station: use a unicast MAC`);
  }
  return mac;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
  /** Canonical: "192.0.2.1:7443", "[2001:db8::1]:7443", "h2.example:7443". */
  readonly text: string;
}

/** "host:port" with an address or a DNS name; IPv6 stands in brackets. */
export function parseHostPort(input: unknown): HostPort {
  const wrong = () =>
    new RangeError(
      `${quote(input)} is not "host:port": write it like "192.0.2.1:7443", "[2001:db8::1]:7443" ` +
        `or "h2.example:7443"`,
    );
  const parts = typeof input === "string"
    ? /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(input)
    : null;
  const port = Number(parts?.[3]);
  if (!parts) throw wrong();
  if (port < 1 || port > 65_535) {
    throw new RangeError(`${quote(input)} has no usable port: use 1 to 65535`);
  }
  if (parts[1] !== undefined) {
    const address = address4or6(parts[1]);
    if (address?.kind() !== "ipv6") throw wrong();
    const host = text(address);
    return { host, port, text: `[${host}]:${port}` };
  }
  const name = parts[2] ?? "";
  if (ipv4Bits(name) !== undefined) return { host: name, port, text: `${name}:${port}` };
  // An all-numeric name can only be a mistyped address.
  const host = address4or6(name) ? name : /^[\d.]*$/.test(name) ? "" : name.toLowerCase();
  // A name with a dot at its end is complete: no search domain is tried with it.
  if (!isDnsName(host.replace(/\.$/, ""))) throw wrong();
  return { host, port, text: `${host}:${port}` };
}

/** Where the control channel listens when the file does not say: the host's own address, port 7443. */
export function defaultListen(pip: string): string {
  return parseIp(pip).includes(":") ? `[${pip}]:7443` : `${pip}:7443`;
}

/** Whether it can be a DNS name (a plain IPv4 address is one in form). */
export function isDnsName(name: string): boolean {
  return name.length > 0 && name.length <= 253 &&
    name.split(".").every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label));
}

/** Whether it can be the id of a host: the last part of a SPIFFE id, or a DNS name. */
export function isIdentity(text: string): boolean {
  return /^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(text);
}

/** Whether a host of `HostPort` is reachable from this machine only. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || address4or6(host)?.range() === "loopback";
}

function address4or6(input: unknown): Address | undefined {
  if (typeof input !== "string" || input.length > 64) return undefined;
  // A name is found out by an exception otherwise, which takes longer than all the rest of a peer.
  if (!input.includes(":") && !/^[\d.]*$/.test(input)) return undefined;
  if (ipaddr.IPv4.isValidFourPartDecimal(input)) return ipaddr.IPv4.parse(input);
  // A zone ("%eth0") means something on one link only.
  if (input.includes("%") || !ipaddr.IPv6.isValid(input)) return undefined;
  return ipaddr.IPv6.parse(input);
}

function refuseMapped(address: Address, input: unknown): void {
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress()) {
    throw new RangeError(
      `${quote(input)} is an IPv4 address in IPv6 clothes: write ${
        quote(address.toIPv4Address().toString())
      }`,
    );
  }
}

function mask(address: Address, length: number): Address {
  const bytes = address.toByteArray().map((byte, i) => {
    const keep = Math.min(8, Math.max(0, length - 8 * i));
    return byte & (0xff << (8 - keep)) & 0xff;
  });
  return ipaddr.fromByteArray(bytes);
}

function text(address: Address): string {
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();
}

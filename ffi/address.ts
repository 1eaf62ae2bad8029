// SPDX-License-Identifier: Apache-2.0

/** Addresses between text and the octets of the ABI: IPv4 is v4-mapped, all in network order. */
import ipaddr from "ipaddr.js";

/** 16 octets of an address. Throws RangeError when the text is not an address. */
export function addressBytes(text: string): Uint8Array<ArrayBuffer> {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) {
    return Uint8Array.from(ipaddr.IPv4.parse(text).toIPv4MappedAddress().toByteArray());
  }
  if (text.includes(":") && !text.includes("%") && ipaddr.IPv6.isValid(text)) {
    return Uint8Array.from(ipaddr.IPv6.parse(text).toByteArray());
  }
  throw new RangeError(`"${text}" is not an IP address`);
}

/** Canonical text (RFC 5952) of 16 octets: "10.0.0.1" when v4-mapped. */
export function addressText(bytes: Uint8Array): string {
  const address = new ipaddr.IPv6([...bytes]);
  return address.isIPv4MappedAddress()
    ? address.toIPv4Address().toString()
    : address.toRFC5952String();
}

/** 6 octets of a MAC. Throws RangeError when the text is none. */
export function macBytes(text: string): Uint8Array<ArrayBuffer> {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw new RangeError(`"${text}" is not a MAC address`);
  }
  return Uint8Array.from(text.split(":"), (octet) => parseInt(octet, 16));
}

/** "02:00:00:00:00:01" */
export function macText(bytes: Uint8Array): string {
  return [...bytes].map((octet) => octet.toString(16).padStart(2, "0")).join(":");
}

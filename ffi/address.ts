// SPDX-License-Identifier: Apache-2.0

/** Addresses between text and the octets of the ABI: IPv4 is v4-mapped, all in network order. */
import ipaddr from "ipaddr.js";

/**
 * The 32 bits of an IPv4 address in its one spelling ("10.0.0.1"), undefined for any other text. Every SA that is
 * set up reads a dozen addresses, nearly all of this kind: hence not ipaddr.js, which takes 20 times as long.
 */
export function ipv4Bits(text: string): number | undefined {
  let [bits, octet, dots] = [0, -1, 0];
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit >= 0 && digit <= 9 && octet !== 0) {
      octet = (octet < 0 ? 0 : octet * 10) + digit;
      if (octet > 255) return undefined;
    } else if (digit === -2 && octet >= 0 && dots < 3) {
      bits = bits * 256 + octet;
      octet = -1;
      dots++;
    } else {
      return undefined;
    }
  }
  return octet < 0 || dots < 3 ? undefined : bits * 256 + octet;
}

/** 16 octets of an address. Throws RangeError when the text is not an address. */
export function addressBytes(text: string): Uint8Array<ArrayBuffer> {
  const bits = ipv4Bits(text);
  if (bits !== undefined) {
    const mapped = new Uint8Array(16);
    mapped[10] = mapped[11] = 0xff;
    for (let i = 0; i < 4; i++) mapped[12 + i] = bits >>> (24 - 8 * i);
    return mapped;
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
  const octets = new Uint8Array(6);
  for (let i = 0; i < 6; i++) octets[i] = parseInt(text.slice(3 * i, 3 * i + 2), 16);
  return octets;
}

/** "02:00:00:00:00:01" */
export function macText(bytes: Uint8Array): string {
  let text = "";
  for (const octet of bytes) text += (text === "" ? "" : ":") + (HEX[octet] ?? "");
  return text;
}

const HEX = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, "0"));

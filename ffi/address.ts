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
  const octets = new Uint8Array(16);
  putAddress(octets, text);
  return octets;
}

/** Writes the 16 octets of an address at `at`. Throws RangeError when the text is not an address. */
export function putAddress(octets: Uint8Array, text: string, at = 0): void {
  const bits = ipv4Bits(text);
  if (bits !== undefined) {
    octets.fill(0, at, at + 10);
    octets[at + 10] = octets[at + 11] = 0xff;
    for (let i = 0; i < 4; i++) octets[at + 12 + i] = bits >>> (24 - 8 * i);
    return;
  }
  if (!text.includes(":") || text.includes("%") || !ipaddr.IPv6.isValid(text)) {
    throw new RangeError(`"${text}" is not an IP address`);
  }
  octets.set(ipaddr.IPv6.parse(text).toByteArray(), at);
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
  const octets = new Uint8Array(6);
  putMac(octets, text);
  return octets;
}

/** Writes the 6 octets of a MAC at `at`. Throws RangeError when the text is none. */
export function putMac(octets: Uint8Array, text: string, at = 0): void {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw new RangeError(`"${text}" is not a MAC address`);
  }
  for (let i = 0; i < 6; i++) {
    octets[at + i] = nibble(text.charCodeAt(3 * i)) << 4 | nibble(text.charCodeAt(3 * i + 1));
  }
}

/** Of a hexadecimal digit's code, either case. */
function nibble(code: number): number {
  return code < 0x40 ? code - 0x30 : (code | 0x20) - 0x57;
}

/** "02:00:00:00:00:01" */
export function macText(bytes: Uint8Array): string {
  let text = "";
  for (const octet of bytes) text += (text === "" ? "" : ":") + (HEX[octet] ?? "");
  return text;
}

const HEX = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, "0"));

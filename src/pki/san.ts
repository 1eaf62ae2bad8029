// SPDX-License-Identifier: Apache-2.0

/**
 * The subject alternative names of a certificate, read from its DER. The printed form that runtimes offer
 * ("URI:..., DNS:...") is ambiguous, and an identity must not be; so it is not used.
 */

/** The names that can be an identity; addresses and other kinds are left out. */
export interface SubjectAltNames {
  readonly uris: readonly string[];
  readonly dns: readonly string[];
}

interface Element {
  readonly tag: number;
  readonly body: Uint8Array;
}

const SEQUENCE = 0x30;
const OID = 0x06;
const OCTET_STRING = 0x04;
/** TBSCertificate: `extensions [3] EXPLICIT`, RFC 5280, 4.1. */
const EXTENSIONS = 0xa3;
/** GeneralName, RFC 5280, 4.2.1.6: `dNSName [2]`, `uniformResourceIdentifier [6]`. */
const DNS_NAME = 0x82;
const URI = 0x86;
/** 2.5.29.17, id-ce-subjectAltName. */
const SUBJECT_ALT_NAME = "551d11";

/** Reads the names. Throws `RangeError` when `der` is not a certificate. No extension: no names. */
export function subjectAltNames(der: Uint8Array): SubjectAltNames {
  const uris: string[] = [];
  const dns: string[] = [];
  const [certificate] = elements(der);
  const [tbs] = elements(expect(certificate, SEQUENCE));
  const extensions = elements(expect(tbs, SEQUENCE)).find((e) => e.tag === EXTENSIONS);
  if (extensions === undefined) return { uris, dns };
  const [list] = elements(extensions.body);
  for (const extension of elements(expect(list, SEQUENCE))) {
    const parts = elements(expect(extension, SEQUENCE));
    if (hex(expect(parts[0], OID)) !== SUBJECT_ALT_NAME) continue;
    const [names] = elements(expect(parts.at(-1), OCTET_STRING));
    for (const name of elements(expect(names, SEQUENCE))) {
      if (name.tag === DNS_NAME) dns.push(ia5(name.body));
      if (name.tag === URI) uris.push(ia5(name.body));
    }
  }
  return { uris, dns };
}

function elements(der: Uint8Array): Element[] {
  const found: Element[] = [];
  let at = 0;
  while (at < der.length) {
    const tag = octet(der, at);
    let length = octet(der, at + 1);
    at += 2;
    if (length > 0x80) {
      const octets = length - 0x80;
      if (octets > 4) throw new RangeError("Cannot read certificate: a length is too long");
      length = 0;
      for (let i = 0; i < octets; i++) length = length * 256 + octet(der, at + i);
      at += octets;
    } else if (length === 0x80) {
      throw new RangeError("Cannot read certificate: a length is indefinite");
    }
    if (at + length > der.length) {
      throw new RangeError("Cannot read certificate: it is cut short");
    }
    found.push({ tag, body: der.subarray(at, at + length) });
    at += length;
  }
  return found;
}

function octet(der: Uint8Array, at: number): number {
  const value = der[at];
  if (value === undefined) throw new RangeError("Cannot read certificate: it is cut short");
  return value;
}

function expect(element: Element | undefined, tag: number): Uint8Array {
  if (element?.tag !== tag) {
    throw new RangeError(`Cannot read certificate: tag ${tag} was expected, found ${element?.tag}`);
  }
  return element.body;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** Anything beyond printable ASCII becomes U+FFFD, which no identity contains. */
function ia5(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b > 0x20 && b < 0x7f ? String.fromCharCode(b) : "\ufffd").join(
    "",
  );
}

// SPDX-License-Identifier: Apache-2.0

/**
 * The subject alternative names of a certificate, read from its DER. The printed form that runtimes offer
 * ("URI:..., DNS:...") is ambiguous, and an identity must not be; so it is not used.
 */
import { DER, elements, expect } from "./der.ts";

/** The names that can be an identity; addresses and other kinds are left out. */
export interface SubjectAltNames {
  readonly uris: readonly string[];
  readonly dns: readonly string[];
}

/** TBSCertificate: `extensions [3] EXPLICIT`, RFC 5280, 4.1. */
const EXTENSIONS = 0xa3;
/** GeneralName, RFC 5280, 4.2.1.6: `dNSName [2]`, `uniformResourceIdentifier [6]`. */
const DNS_NAME = 0x82;
const URI = 0x86;
/** 2.5.29.17, id-ce-subjectAltName. */
const SUBJECT_ALT_NAME = "551d11";

/** Reads the names. Throws `RangeError` when `der` is not a certificate. No extension: no names. */
export function subjectAltNames(der: Uint8Array): SubjectAltNames {
  const [certificate] = elements(der);
  const [tbs] = elements(expect(certificate, DER.sequence));
  const extensions = elements(expect(tbs, DER.sequence)).find((e) => e.tag === EXTENSIONS);
  const names: SubjectAltNames[] = [];
  if (extensions !== undefined) {
    const [list] = elements(extensions.body);
    for (const extension of elements(expect(list, DER.sequence))) {
      const parts = elements(expect(extension, DER.sequence));
      if (expect(parts[0], DER.oid).toHex() !== SUBJECT_ALT_NAME) continue;
      names.push(generalNames(expect(parts.at(-1), DER.octetString)));
    }
  }
  return { uris: names.flatMap((n) => n.uris), dns: names.flatMap((n) => n.dns) };
}

/** The names in the value of the extension, `GeneralNames`. Throws `RangeError` when that is not one. */
export function generalNames(value: Uint8Array): SubjectAltNames {
  const uris: string[] = [];
  const dns: string[] = [];
  const [names] = elements(value);
  for (const name of elements(expect(names, DER.sequence))) {
    if (name.tag === DNS_NAME) dns.push(ia5(name.body));
    if (name.tag === URI) uris.push(ia5(name.body));
  }
  return { uris, dns };
}

/** Anything beyond printable ASCII becomes U+FFFD, which no identity contains. */
function ia5(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b > 0x20 && b < 0x7f ? String.fromCharCode(b) : "\ufffd").join(
    "",
  );
}

// SPDX-License-Identifier: Apache-2.0

/** Certificates of any kind, odd ones above all. */
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { joined } from "../../src/model/octets.ts";
import { DER, elements } from "../../src/pki/der.ts";

export const ALGORITHMS = {
  "P-256": { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  "P-384": { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
  "P-521": { name: "ECDSA", namedCurve: "P-521", hash: "SHA-512" },
  "RSA": rsa("RSASSA-PKCS1-v1_5", 2048),
  "RSA 1024": rsa("RSASSA-PKCS1-v1_5", 1024),
  "RSA with SHA-1": { ...rsa("RSASSA-PKCS1-v1_5", 2048), hash: "SHA-1" },
  "Ed25519": { name: "Ed25519" },
} as const;
export type KeyKind = keyof typeof ALGORITHMS;

export const DAY_MS = 86_400_000;
export const { serverAuth, clientAuth, codeSigning } = x509.ExtendedKeyUsage;
export const { keyCertSign, cRLSign, digitalSignature, keyEncipherment } = x509.KeyUsageFlags;

/** A certificate with its key. */
export interface Made {
  readonly certificate: x509.X509Certificate;
  readonly keys: CryptoKeyPair;
  readonly kind: KeyKind;
  readonly der: Uint8Array;
  readonly pem: string;
}

/** How it differs from a good one. */
export interface Oddity {
  readonly name?: string;
  /** Absent: it signs itself. */
  readonly by?: Made;
  readonly kind?: KeyKind;
  /** Instead of a new key. */
  readonly keys?: CryptoKeyPair;
  /** Relative to now. */
  readonly fromMs?: number;
  readonly untilMs?: number;
  /** Basic constraints; "absent": none. */
  readonly ca?: boolean | "absent";
  readonly pathLength?: number;
  readonly usage?: x509.KeyUsageFlags | "absent";
  readonly extended?: readonly string[] | "absent";
  readonly uri?: string;
  /** Its SANs instead of `uri`. */
  readonly names?: readonly x509.JsonGeneralName[];
  readonly extra?: readonly x509.Extension[];
}

/** Makes one: that of a CA when `ca` is true, else that of h1. */
export async function make(oddity: Oddity = {}): Promise<Made> {
  const { by, kind = "P-256", ca = false, pathLength } = oddity;
  const isCa = ca === true;
  const keys = oddity.keys ??
    await crypto.subtle.generateKey(ALGORITHMS[kind], true, ["sign", "verify"]) as CryptoKeyPair;
  const usage = oddity.usage ?? (isCa ? keyCertSign | cRLSign : digitalSignature);
  const extended = oddity.extended ?? (isCa ? "absent" : [serverAuth, clientAuth]);
  const subject = `CN=${oddity.name ?? (isCa ? "ca" : "h1")}`;
  const { fromMs = -DAY_MS, untilMs = DAY_MS } = oddity;
  const names = oddity.names ?? [
    { type: "url" as const, value: oddity.uri ?? "spiffe://example.org/psp/h1" },
    { type: "ip" as const, value: "127.0.0.1" },
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: crypto.getRandomValues(new Uint8Array(8)).toHex().replace(/^./, "1"),
    subject,
    issuer: by?.certificate.subject ?? subject,
    notBefore: new Date(Date.now() + fromMs),
    notAfter: new Date(Date.now() + untilMs),
    publicKey: keys.publicKey,
    signingKey: (by?.keys ?? keys).privateKey,
    signingAlgorithm: ALGORITHMS[by?.kind ?? kind],
    extensions: [
      ...(ca === "absent" ? [] : [new x509.BasicConstraintsExtension(isCa, pathLength, true)]),
      ...(usage === "absent" ? [] : [new x509.KeyUsagesExtension(usage, true)]),
      ...(extended === "absent" ? [] : [new x509.ExtendedKeyUsageExtension([...extended])]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension([...names])]),
      ...(oddity.extra ?? []),
    ],
  });
  const der = new Uint8Array(certificate.rawData);
  return { certificate, keys, kind, der, pem: certificate.toString("pem") };
}

/** Its private key, PEM. */
export async function keyPem({ keys }: Made): Promise<string> {
  const der = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return x509.PemConverter.encode(der, "PRIVATE KEY");
}

/** An extension that nobody knows. */
export function unknown(critical: boolean): x509.Extension {
  return new x509.Extension("1.3.6.1.4.1.99999.1", critical, new Uint8Array([5, 0]));
}

/** Name constraints that permit everything under ".example.org". */
export function nameConstraints(critical: boolean): x509.Extension {
  const value = Uint8Array.fromHex("3012a010300e820c6578616d706c652e6f7267");
  return new x509.Extension("2.5.29.30", critical, value);
}

function rsa(name: string, modulusLength: number) {
  return {
    name,
    modulusLength,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-256",
  } as const;
}

/** One value in DER. */
export function der(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = joined(content);
  const size = body.length.toString(16);
  const length = Uint8Array.fromHex(size.length % 2 === 0 ? size : `0${size}`);
  const head = body.length < 128 ? [tag, body.length] : [tag, 0x80 + length.length, ...length];
  return joined([Uint8Array.from(head), body]);
}

/** An unknown critical extension whose object identifier is this long. */
export function endlessOid(octets: number): Uint8Array {
  const oid = new Uint8Array(octets).fill(0xff, 0, -1);
  const critical = Uint8Array.of(0xff);
  return der(DER.sequence, der(DER.oid, oid), der(DER.boolean, critical), der(DER.octetString));
}

/** The certificate with one more extension, which its signature does not cover. */
export function withExtension(certificate: Uint8Array, extension: Uint8Array): Uint8Array {
  const [outer] = elements(certificate);
  const [tbs, ...signature] = elements(outer?.body ?? new Uint8Array());
  const fields = elements(tbs?.body ?? new Uint8Array()).map(({ tag, body, whole }) => {
    if (tag !== 0xa3) return whole;
    const [list] = elements(body);
    return der(tag, der(DER.sequence, list?.body ?? new Uint8Array(), extension));
  });
  const whole = signature.map((each) => each.whole);
  return der(DER.sequence, der(DER.sequence, ...fields), ...whole);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * What an X.509 certificate says (RFC 5280, 4), read from its DER, and whether another one signed it. Nothing is
 * judged here: chain.ts does that.
 */
import { Buffer } from "node:buffer";
import { constants, createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { DER, elements, expect } from "../pki/der.ts";
import { generalNames } from "../pki/san.ts";

/** The parts of a certificate that count when it is judged. */
export interface Certificate {
  /** SHA-256 of the DER, hex, lower case. */
  readonly fingerprint: string;
  /** Names as hex of their DER: they are the same only when they are written the same. */
  readonly issuer: string;
  readonly subject: string;
  /** Wall clock: valid from here ... */
  readonly fromMs: number;
  /** ... and not any more from here on; the last second, notAfter, is included in the validity. */
  readonly untilMs: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** Basic constraints: it may issue others. */
  readonly isCa: boolean;
  /** How many intermediates may stand below it; absent: any number. */
  readonly pathLength: number | undefined;
  /** Absent: any usage. */
  readonly keyUsage: ReadonlySet<KeyUsage> | undefined;
  /** Object identifiers in hex; absent: any purpose. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** Subject alternative names. */
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  /** The object identifier, hex, of a critical extension that this program does not know. */
  readonly unknownCritical: string | undefined;
  /** What was signed, how (AlgorithmIdentifier, hex) and the signature. */
  readonly tbs: Uint8Array;
  readonly algorithm: string;
  readonly signature: Uint8Array;
}

/** The usages that matter here, RFC 5280, 4.2.1.3. */
export type KeyUsage = "digitalSignature" | "keyCertSign";

/** Number of the bit, the first being the most significant of the first octet. */
const KEY_USAGE_BITS: readonly (readonly [KeyUsage, number])[] = [
  ["digitalSignature", 0],
  ["keyCertSign", 5],
];

/** Extensions by their object identifiers (2.5.29.x), hex. */
const EXTENSION = {
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  extendedKeyUsage: "551d25",
} as const;
const KNOWN: ReadonlySet<string> = new Set(Object.values(EXTENSION));

/** TBSCertificate, RFC 5280, 4.1: `version [0]`, `extensions [3]`. */
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
/** Larger than any certificate of use; keeps a stranger's from costing time. */
const MAX_OCTETS = 65_536;

/** Reads a certificate. Throws `RangeError` with a sentence when it is not one, or says something twice. */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_OCTETS) throw unreadable(`it is larger than ${MAX_OCTETS} octets`);
  const outer = only(elements(der), DER.sequence);
  const [tbs, algorithm, signature, ...rest] = elements(outer);
  const fields = elements(expect(tbs, DER.sequence));
  if (tbs === undefined || algorithm === undefined || rest.length > 0) {
    throw unreadable("it has not the three parts of one");
  }
  const version = fields[0]?.tag === VERSION ? fields.shift() : undefined;
  const [serial, inner, issuer, validity, subject, key, ...more] = fields;
  expect(serial, DER.integer);
  const times = elements(expect(validity, DER.sequence)).map(({ tag, body }) => time(tag, body));
  const [from, to] = times;
  if (from === undefined || to === undefined || times.length !== 2) {
    throw unreadable("its validity is not two times");
  }
  const named = algorithm.whole.toHex();
  if (inner?.whole.toHex() !== named) {
    throw unreadable("it names two signature algorithms");
  }
  expect(key, DER.sequence);
  const list = more.find((element) => element.tag === EXTENSIONS);
  if (list !== undefined && version?.body.toHex() !== "020102") {
    throw unreadable("it has extensions, but is not of version 3");
  }
  return {
    fingerprint: createHash("sha256").update(der).digest("hex"),
    issuer: expect(issuer, DER.sequence).toHex(),
    subject: expect(subject, DER.sequence).toHex(),
    fromMs: from,
    untilMs: to + 1000,
    publicKey: key?.whole ?? new Uint8Array(),
    ...extensionsOf(list?.body),
    tbs: tbs.whole,
    algorithm: named,
    signature: bits(expect(signature, DER.bitString)),
  };
}

type FromExtensions = Pick<
  Certificate,
  | "isCa"
  | "pathLength"
  | "keyUsage"
  | "extendedKeyUsage"
  | "uris"
  | "dns"
  | "unknownCritical"
>;

function extensionsOf(body: Uint8Array | undefined): FromExtensions {
  const values = new Map<string, Uint8Array>();
  let unknownCritical: string | undefined;
  const list = body === undefined ? [] : elements(only(elements(body), DER.sequence));
  for (const extension of list) {
    const parts = elements(expect(extension, DER.sequence));
    const oid = expect(parts.shift(), DER.oid).toHex();
    const critical = parts[0]?.tag === DER.boolean && parts.shift()?.body[0] !== 0;
    if (values.has(oid)) throw unreadable("it has an extension twice");
    values.set(oid, only(parts, DER.octetString));
    if (critical && !KNOWN.has(oid)) unknownCritical ??= oid;
  }
  const value = <T>(oid: string, read: (value: Uint8Array) => T): T | undefined => {
    const found = values.get(oid);
    return found === undefined ? undefined : read(found);
  };
  const names = value(EXTENSION.subjectAltName, generalNames);
  return {
    ...(value(EXTENSION.basicConstraints, basicConstraints) ??
      { isCa: false, pathLength: undefined }),
    keyUsage: value(EXTENSION.keyUsage, keyUsage),
    extendedKeyUsage: value(
      EXTENSION.extendedKeyUsage,
      (ids) => elements(only(elements(ids), DER.sequence)).map((id) => expect(id, DER.oid).toHex()),
    ),
    uris: names?.uris ?? [],
    dns: names?.dns ?? [],
    unknownCritical,
  };
}

/** RFC 5280, 4.2.1.9: `cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL`. */
function basicConstraints(value: Uint8Array): Pick<Certificate, "isCa" | "pathLength"> {
  const parts = elements(only(elements(value), DER.sequence));
  const isCa = parts[0]?.tag === DER.boolean && parts.shift()?.body[0] !== 0;
  if (parts.length === 0) return { isCa, pathLength: undefined };
  const length = only(parts, DER.integer);
  // One octet is more than any chain here; a longer number is no constraint that could be reached.
  if (length.length !== 1) return { isCa, pathLength: undefined };
  return { isCa, pathLength: length[0] };
}

function keyUsage(value: Uint8Array): ReadonlySet<KeyUsage> {
  const [unused, ...octets] = only(elements(value), DER.bitString);
  if (unused === undefined) throw unreadable("its key usage is empty");
  const set = (bit: number) => ((octets[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0;
  return new Set(KEY_USAGE_BITS.filter(([, bit]) => set(bit)).map(([name]) => name));
}

/** A bit string of whole octets. */
function bits(body: Uint8Array): Uint8Array {
  if (body[0] !== 0) throw unreadable("its signature is not of whole octets");
  return body.subarray(1);
}

/** UTCTime YYMMDDHHMMSSZ (1950 to 2049) or GeneralizedTime YYYYMMDDHHMMSSZ, RFC 5280, 4.1.2.5. */
function time(tag: number, body: Uint8Array): number {
  const text = new TextDecoder("latin1").decode(body);
  const digits = tag === DER.utcTime
    ? `${Number(text.slice(0, 2)) < 50 ? "20" : "19"}${text}`
    : tag === DER.generalizedTime
    ? text
    : "";
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits)?.slice(1) ?? [];
  const [year, month, day, hour, minute, second] = parts;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(ms)) throw unreadable("a time in it is none");
  return ms;
}

/** The content of the one element that must be there. */
function only(found: ReturnType<typeof elements>, tag: number): Uint8Array {
  if (found.length !== 1) throw unreadable("something stands in it too often, or not at all");
  return expect(found[0], tag);
}

function unreadable(why: string): RangeError {
  return new RangeError(`Cannot read certificate: ${why}`);
}

interface Algorithm {
  readonly key: "ec" | "rsa" | "ed25519";
  readonly hash: "sha256" | "sha384" | "sha512" | null;
  /** RSASSA-PSS: octets of salt. */
  readonly salt?: number;
}

/** AlgorithmIdentifier of RSASSA-PSS with one hash for message and mask, RFC 4055, 3.1; the salt as long as it. */
function pss(hashOid: string, salt: string): string {
  const hash = `300d0609608648016503040${hashOid}0500`;
  return `304106092a864886f70d01010a3034a00f${hash}a11c301a06092a864886f70d010108${hash}a203020${salt}`;
}

/** By the AlgorithmIdentifier as it stands in certificates, hex. SHA-1 is not among them. */
const ALGORITHMS: Readonly<Record<string, Algorithm>> = {
  "300a06082a8648ce3d040302": { key: "ec", hash: "sha256" },
  "300a06082a8648ce3d040303": { key: "ec", hash: "sha384" },
  "300a06082a8648ce3d040304": { key: "ec", hash: "sha512" },
  "300d06092a864886f70d01010b0500": { key: "rsa", hash: "sha256" },
  "300d06092a864886f70d01010c0500": { key: "rsa", hash: "sha384" },
  "300d06092a864886f70d01010d0500": { key: "rsa", hash: "sha512" },
  [pss("201", "120")]: { key: "rsa", hash: "sha256", salt: 32 },
  [pss("202", "130")]: { key: "rsa", hash: "sha384", salt: 48 },
  [pss("203", "140")]: { key: "rsa", hash: "sha512", salt: 64 },
  "300506032b6570": { key: "ed25519", hash: null },
};

/** Shorter ones can be broken. */
const MIN_RSA_BITS = 2048;
/** The curves whose signatures the runtime can check, by its names for them. */
const CURVES: readonly (string | undefined)[] = ["prime256v1", "secp384r1"];

/** Why no signature of this key can be relied on, in words that follow "its key"; undefined: it can. */
export function keyRefusal({ publicKey }: Certificate): string | undefined {
  const key = keyOf(publicKey);
  const { modulusLength = 0, namedCurve } = key?.asymmetricKeyDetails ?? {};
  switch (key?.asymmetricKeyType) {
    case "ed25519":
      return undefined;
    case "rsa":
      return modulusLength >= MIN_RSA_BITS
        ? undefined
        : `is RSA of ${modulusLength} bits, and ${MIN_RSA_BITS} is the least`;
    case "ec":
      return CURVES.includes(namedCurve) ? undefined : `is on the curve ${namedCurve}`;
    default:
      return "is of a kind that is not known here";
  }
}

/** Whether the key of `issuer` made the signature of `certificate`. False too where that cannot be checked. */
export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  const algorithm = ALGORITHMS[certificate.algorithm];
  const key = keyOf(issuer.publicKey);
  if (algorithm === undefined || key?.asymmetricKeyType !== algorithm.key) return false;
  if (keyRefusal(issuer) !== undefined) return false;
  const how = algorithm.salt === undefined
    ? key
    : { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: algorithm.salt };
  try {
    return verify(algorithm.hash, certificate.tbs, how, certificate.signature);
  } catch {
    return false;
  }
}

function keyOf(spki: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch {
    return undefined;
  }
}

// ---- beside this thread -------------------------------------------------------------------------

/** ecdsa-with-SHA256, AlgorithmIdentifier, hex; the curve's coordinates have so many octets. */
const ECDSA_SHA256 = "300a06082a8648ce3d040302";
const P256_OCTETS = 32;
const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;

/** Checks signatures of one issuer off this thread. */
export interface Verifier {
  /** True: the issuer made it. False: it did not, or only `isSignedBy` can tell. */
  isSigned(certificate: Certificate): Promise<boolean>;
}

/**
 * For an issuer whose signatures the runtime checks on another thread, and several times faster than on this one: ECDSA
 * on P-256, what most CAs of fleets have. undefined: `isSignedBy` is the only way.
 */
export async function verifierOf({ publicKey }: Certificate): Promise<Verifier | undefined> {
  if (keyOf(publicKey)?.asymmetricKeyDetails?.namedCurve !== "prime256v1") return undefined;
  const key = await crypto.subtle.importKey("spki", Buffer.from(publicKey), P256, false, [
    "verify",
  ]);
  return {
    async isSigned({ algorithm, tbs, signature }) {
      const raw = algorithm === ECDSA_SHA256 ? rawSignature(signature) : undefined;
      if (raw === undefined) return false;
      const how = { name: "ECDSA", hash: "SHA-256" };
      return await crypto.subtle.verify(how, key, raw, Buffer.from(tbs));
    },
  };
}

/** `SEQUENCE { r INTEGER, s INTEGER }`, RFC 3279, 2.2.3, as r and s of fixed length; undefined: it is no such thing. */
function rawSignature(der: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const raw = new Uint8Array(2 * P256_OCTETS);
  try {
    const numbers = elements(only(elements(der), DER.sequence));
    if (numbers.length !== 2) return undefined;
    for (const [i, number] of numbers.entries()) {
      const body = expect(number, DER.integer);
      // Positive, and no longer than it must be.
      const isPadded = body[0] === 0 && (body[1] ?? 0) >= 0x80;
      const octets = isPadded ? body.subarray(1) : body;
      if (!isPadded && (body[0] ?? 0x80) >= 0x80) return undefined;
      if (octets.length > P256_OCTETS) return undefined;
      raw.set(octets, (i + 1) * P256_OCTETS - octets.length);
    }
  } catch {
    return undefined;
  }
  return raw;
}

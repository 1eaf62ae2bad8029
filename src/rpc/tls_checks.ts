// SPDX-License-Identifier: Apache-2.0

/** What can be wrong with a certificate, its key and its CA bundle: one sentence each, without a full stop. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import type { TlsFiles } from "../config/config.ts";
import { fileReason } from "../config/reasons.ts";
import { type SubjectAltNames, subjectAltNames } from "../pki/san.ts";
import { isSignedBy, keyRefusal, parseCertificate } from "./certificate.ts";
import { ChainJudge, type Purpose } from "./chain.ts";
import { identify, peerIds } from "./identity.ts";

/** Whose certificate it must be; absent: any (the status listener's is for browsers). */
export interface Owner {
  readonly id: string;
  readonly domain: string;
}

/** What works today, but an operator should know. */
export interface TlsWarning {
  readonly kind: "expires-soon" | "key-mode" | "not-signed" | "refused" | "useless-ca";
  readonly text: string;
}

/** Warn of an expiry from here on. */
const EXPIRES_SOON_MS = 14 * 86_400_000;

/** Larger than any of these files; keeps a device or a mistake from filling the memory. */
const MAX_FILE_OCTETS = 4 * 2 ** 20;
/** Certificates between a host's own and its CA's, at most. */
const MAX_CHAIN = 10;

/** The text of a file; "" with a problem noted when there is none. */
export function readPem(path: string, what: string, problems: string[]): string {
  try {
    const { isFile, size } = Deno.statSync(path);
    if (!isFile) throw new RangeError("it is not a file");
    if (size > MAX_FILE_OCTETS) throw new RangeError(`larger than ${MAX_FILE_OCTETS} octets`);
    const text = Deno.readTextFileSync(path);
    if (text.trim() !== "") return text;
    problems.push(`${what} "${path}" is empty`);
  } catch (cause) {
    problems.push(`${what} "${path}" cannot be read: ${fileReason(cause)}`);
  }
  return "";
}

/** The certificates of a PEM text, in their order. */
export function certificatesOf(
  pem: string,
  path: string,
  problems: string[],
): X509Certificate[] {
  if (pem === "") return [];
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) {
    const found = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)
      ? "holds a private key, not a certificate"
      : 'holds no PEM certificate ("-----BEGIN CERTIFICATE-----")';
    problems.push(`"${path}" ${found}`);
  }
  return blocks.flatMap((block, i) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      problems.push(`certificate ${i + 1} in "${path}" cannot be read`);
      return [];
    }
  });
}

/** The private key of a PEM text, whatever stands before it: its certificate may be in the same file. */
export function keyOf(pem: string): string {
  return /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[^]+?-----END \1-----/.exec(pem)?.[0] ?? pem;
}

/** Whether the key belongs to the certificate, and TLS can use it. */
export function checkKey(
  leaf: X509Certificate,
  key: string,
  { files, problems }: { readonly files: TlsFiles; readonly problems: string[] },
): void {
  let parsed: KeyObject;
  let matches: boolean;
  try {
    parsed = createPrivateKey(key);
    matches = leaf.checkPrivateKey(parsed);
  } catch {
    // The parser's own words could quote the file.
    problems.push(`key "${files.key}" cannot be read as a PEM private key without passphrase`);
    return;
  }
  if (!matches) problems.push(`key "${files.key}" does not match certificate "${files.cert}"`);
  const unusable = unusableKind(parsed);
  if (unusable !== undefined) {
    problems.push(
      `key "${files.key}" is ${unusable}, with which no connection comes about: use ECDSA on P-256, ` +
        `P-384 or P-521, Ed25519, or RSA of ${MIN_RSA_BITS} bits`,
    );
  }
}

/** What of RSA the runtime's TLS takes, at least. */
const MIN_RSA_BITS = 2048;
/** RFC 8446, 4.2.3. */
const CURVES: readonly (string | undefined)[] = ["prime256v1", "secp384r1", "secp521r1"];

/** What the key is, where the runtime's TLS 1.3 has no signature for it; undefined: it has. */
function unusableKind(
  { asymmetricKeyType: kind, asymmetricKeyDetails: details }: KeyObject,
): string | undefined {
  const { modulusLength = 0, namedCurve } = details ?? {};
  switch (kind) {
    case "ed25519":
      return undefined;
    case "rsa":
      return modulusLength >= MIN_RSA_BITS ? undefined : `RSA of ${modulusLength} bits`;
    case "ec":
      return CURVES.includes(namedCurve) ? undefined : `on the curve ${namedCurve}`;
    default:
      return `of the kind ${kind}`;
  }
}

/** Whether this is a moment at which the certificate is valid. */
export function checkTime(
  certificate: X509Certificate,
  name: string,
  { nowMs, problems }: { readonly nowMs: number; readonly problems: string[] },
): void {
  const [from, to] = [Date.parse(certificate.validFrom), endMs(certificate)];
  const now = `now is ${new Date(nowMs).toISOString()}`;
  if (nowMs >= to) {
    problems.push(`${name} expired on ${iso(to)}: issue a new one, or set the clock (${now})`);
  }
  if (nowMs < from) {
    problems.push(`${name} is not valid before ${iso(from)}: wait, or set the clock (${now})`);
  }
}

/** Whether the certificate is this host's. */
export function checkOwner(
  leaf: X509Certificate,
  path: string,
  { owner, problems }: { readonly owner: Owner; readonly problems: string[] },
): void {
  const own = `spiffe://${owner.domain}/psp/${owner.id}`;
  const wrong = (why: string) =>
    problems.push(`certificate "${path}" is not that of this host, "${own}": ${why}`);
  const names = namesOf(leaf);
  if (names === undefined) return void wrong("its subject alternative names cannot be read");
  const found = identify({ ...names, fingerprint: "" }, {
    domain: owner.domain,
    peers: peerIds([owner.id]),
    deny: [],
  });
  if (found.ok) return;
  const all = [...names.uris, ...names.dns].map((name) => `"${name}"`).join(", ");
  if (all === "") {
    wrong(`its subject alternative names need that URI, or the DNS name "${owner.id}"`);
  } else if (found.reason === "contradictory-identity") {
    wrong(`it names several (${all}), and may name only one`);
  } else {
    wrong(`it names ${all}; name this host's own certificate, or correct "id" or "domain"`);
  }
}

function namesOf(certificate: X509Certificate): SubjectAltNames | undefined {
  try {
    return subjectAltNames(new Uint8Array(certificate.raw));
  } catch {
    return undefined;
  }
}

/** The CA of the bundle that the chain ends at, if there is one. */
export function issuerOf(
  chain: readonly X509Certificate[],
  cas: readonly X509Certificate[],
): X509Certificate | undefined {
  let [at] = chain;
  for (let steps = 0; at !== undefined && steps <= MAX_CHAIN; steps++) {
    const from = at;
    const signs = (by: X509Certificate) => from.checkIssued(by) && signed(from, by);
    // With an overlap of two CAs of one name and key the later one carries the chain on.
    const roots = cas.filter(signs).sort((a, b) => endMs(b) - endMs(a));
    if (roots[0] !== undefined) return roots[0];
    at = chain.find((by) => by !== from && signs(by));
  }
  return undefined;
}

function signed(certificate: X509Certificate, by: X509Certificate): boolean {
  const parse = ({ raw }: X509Certificate) => parseCertificate(new Uint8Array(raw));
  try {
    return isSignedBy(parse(certificate), parse(by));
  } catch {
    return false;
  }
}

/** Why those who judge by the same bundle refuse the certificate, if they do. */
export function chainWarnings(
  files: TlsFiles,
  { chain, cas, purposes, nowMs }: {
    readonly chain: readonly X509Certificate[];
    readonly cas: readonly X509Certificate[];
    readonly purposes: readonly Purpose[];
    readonly nowMs: number;
  },
): TlsWarning[] {
  const judge = new ChainJudge(cas.map((ca) => ca.toString()));
  const sent = chain.map(({ raw }) => new Uint8Array(raw));
  const refused = purposes.map((purpose) => judge.judge(sent, { purpose, nowMs }))
    .find((verdict) => !verdict.ok);
  if (refused?.ok !== false) return [];
  const text = `certificate "${files.cert}" is refused by peers: ${refused.message}`;
  return [{ kind: "refused", text }];
}

/** Certificates of the bundle that no chain can end at. */
export function bundleWarnings(cas: readonly X509Certificate[], path: string): TlsWarning[] {
  return cas.flatMap(({ raw }, i) => {
    const why = uselessness(new Uint8Array(raw));
    if (why === undefined) return [];
    const text = `certificate ${i + 1} in "${path}" proves nobody's identity: ${why}`;
    return [{ kind: "useless-ca" as const, text }];
  });
}

function uselessness(der: Uint8Array): string | undefined {
  try {
    const certificate = parseCertificate(der);
    if (!certificate.isCa) return "it is not that of a CA (basic constraints)";
    const key = keyRefusal(certificate);
    return key && `its key ${key}`;
  } catch (error) {
    return (error as RangeError).message;
  }
}

/** Whether anybody but its owner and group may touch the key. */
export function keyWarnings(path: string): TlsWarning[] {
  const mode = modeOf(path);
  if ((mode & 0o007) === 0) return [];
  const text = `key "${path}" may be read or written by every user (mode ${
    (mode & 0o777).toString(8).padStart(4, "0")
  }): chmod 0600 it, or 0640 for its group`;
  return [{ kind: "key-mode", text }];
}

/** 0: it has gone since it was read. */
function modeOf(path: string): number {
  try {
    return Deno.statSync(path).mode ?? 0;
  } catch {
    return 0;
  }
}

/** When the first certificate of these ends, if that is soon. */
export function expiryWarnings(
  named: readonly { readonly name: string; readonly certificate: X509Certificate }[],
  nowMs: number,
): TlsWarning[] {
  const [first] = [...named].sort((a, b) => endMs(a.certificate) - endMs(b.certificate));
  if (first === undefined) return [];
  const leftMs = endMs(first.certificate) - nowMs;
  if (leftMs > EXPIRES_SOON_MS) return [];
  const days = Math.floor(leftMs / 86_400_000);
  const end = iso(endMs(first.certificate));
  const when = leftMs <= 0 ? `expired on ${end}` : `expires on ${end}, in ${days} days`;
  const text = `${first.name} ${when}: replace it; a running agent takes new files by itself`;
  return [{ kind: "expires-soon", text }];
}

/** The end of its validity, wall clock. */
export function endMs(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}

function iso(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

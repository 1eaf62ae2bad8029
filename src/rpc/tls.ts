// SPDX-License-Identifier: Apache-2.0

/** Certificate, key and CA bundle from files: checked as a set before anything uses them. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { ConfigError, type TlsFiles } from "../config/config.ts";
import { subjectAltNames } from "../pki/san.ts";
import { identify } from "./identity.ts";

/** A set of files that belong together. The private key is text that `node:tls` wants; never log it. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  /** One PEM block each. */
  readonly ca: readonly string[];
  /** Earliest expiry among the own chain and the CA that issued it. */
  readonly expiresAtMs: number;
  /** Of the own certificate, "AA:BB:...". */
  readonly fingerprint: string;
  /** Changes when any of the files does; says nothing about their content. */
  readonly digest: string;
}

/** Whose certificate it must be; absent: any (the status listener's is for browsers). */
export interface Owner {
  readonly id: string;
  readonly domain: string;
}

/** What every listener and connection uses. */
export const TLS_VERSION = "TLSv1.3";

/** First Deno whose `authorized` can be believed on the server side (client certificates: 2.7.14). */
const FIRST_DENO = [2, 8, 1] as const;

/** Why this Deno must not do mutual TLS, or undefined when it may. `version`: "2.9.6". */
export function runtimeRefusal(version: string): string | undefined {
  const parts = /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  for (const [i, least] of FIRST_DENO.entries()) {
    const part = parts[i] ?? -1;
    if (part > least) return undefined;
    if (part < least) {
      return `Cannot use TLS on Deno ${version}: client certificates are checked correctly from ` +
        `${FIRST_DENO.join(".")} on`;
    }
  }
  return undefined;
}

/** Reads and checks a set. Throws `ConfigError` with all that is wrong. */
export function loadTls(files: TlsFiles, nowMs: number, owner?: Owner): TlsMaterial {
  const problems: string[] = [];
  const cert = read(files.cert, "certificate", problems);
  const key = read(files.key, "key", problems);
  const bundle = read(files.ca, "CA bundle", problems);
  const chain = certificates(cert, files.cert, problems);
  const cas = certificates(bundle, files.ca, problems);
  const leaf = chain[0];
  if (leaf === undefined || problems.length > 0) throw refused(files, problems);
  checkKey(leaf, key, { files, problems });
  checkTime(leaf, files.cert, { nowMs, problems });
  if (owner !== undefined) checkOwner(leaf, files.cert, { owner, problems });
  if (problems.length > 0) throw refused(files, problems);
  const last = chain.at(-1) ?? leaf;
  const issuers = cas.filter((ca) => last.checkIssued(ca));
  // With an overlap of two CAs of one name the later one carries the chain on.
  const issuerEnd = issuers.length > 0 ? [Math.max(...issuers.map(endMs))] : [];
  return {
    cert,
    key,
    ca: cas.map((ca) => ca.toString()),
    expiresAtMs: Math.min(...chain.map(endMs), ...issuerEnd),
    fingerprint: leaf.fingerprint256,
    digest: digest([cert, key, bundle]),
  };
}

/** What `node:tls` takes for a context. */
export function contextOptions(
  material: TlsMaterial,
): { cert: string; key: string; ca: string[]; minVersion: typeof TLS_VERSION } {
  const { cert, key, ca } = material;
  return { cert, key, ca: [...ca], minVersion: TLS_VERSION };
}

interface Findings {
  readonly problems: string[];
}

function read(path: string, what: string, problems: string[]): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (cause) {
    problems.push(`${what} "${path}" cannot be read: ${text(cause)}`);
    return "";
  }
}

function certificates(pem: string, path: string, problems: string[]): X509Certificate[] {
  if (pem === "") return [];
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) problems.push(`"${path}" holds no PEM certificate`);
  return blocks.flatMap((block, i) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      problems.push(`certificate ${i + 1} in "${path}" cannot be read`);
      return [];
    }
  });
}

function checkKey(
  leaf: X509Certificate,
  key: string,
  { files, problems }: Findings & { readonly files: TlsFiles },
): void {
  let matches: boolean;
  try {
    matches = leaf.checkPrivateKey(createPrivateKey(key));
  } catch {
    // The parser's own words could quote the file.
    problems.push(`key "${files.key}" cannot be read as a PEM private key without passphrase`);
    return;
  }
  if (!matches) problems.push(`key "${files.key}" does not match certificate "${files.cert}"`);
}

function checkTime(
  leaf: X509Certificate,
  path: string,
  { nowMs, problems }: Findings & { readonly nowMs: number },
): void {
  if (nowMs >= endMs(leaf)) problems.push(`certificate "${path}" expired on ${leaf.validTo}`);
  if (nowMs < Date.parse(leaf.validFrom)) {
    problems.push(`certificate "${path}" is not valid before ${leaf.validFrom}`);
  }
}

function checkOwner(
  leaf: X509Certificate,
  path: string,
  { owner, problems }: Findings & { readonly owner: Owner },
): void {
  const presented = { ...subjectAltNames(new Uint8Array(leaf.raw)), fingerprint: "" };
  const found = identify(presented, { domain: owner.domain, peers: [owner.id], deny: [] });
  if (!found.ok) {
    problems.push(
      `certificate "${path}" is not that of "spiffe://${owner.domain}/psp/${owner.id}": ${found.message}`,
    );
  }
}

function endMs(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}

/** FNV-1a, 64 bit: enough to see a change, useless to guess content. */
function digest(texts: readonly string[]): string {
  let hash = 0xcbf29ce484222325n;
  for (const part of texts) {
    for (let i = 0; i < part.length; i++) {
      hash = BigInt.asUintN(64, (hash ^ BigInt(part.charCodeAt(i))) * 0x100000001b3n);
    }
  }
  return hash.toString(16);
}

function refused(files: TlsFiles, problems: readonly string[]): ConfigError {
  return new ConfigError(
    `Cannot use TLS certificate "${files.cert}": ${problems.join("; ")}`,
    problems,
  );
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

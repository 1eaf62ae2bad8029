// SPDX-License-Identifier: Apache-2.0

/** Certificate, key and CA bundle from files: checked as a set before anything uses them. */
import type { SecureContext } from "node:tls";
import { EnvironmentError, type TlsFiles } from "../config/config.ts";
import type { Purpose } from "./chain.ts";
import {
  bundleWarnings,
  certificatesOf,
  chainWarnings,
  checkKey,
  checkOwner,
  checkTime,
  endMs,
  expiryWarnings,
  issuerOf,
  keyOf,
  keyWarnings,
  type Owner,
  readPem,
  type TlsWarning,
} from "./tls_checks.ts";

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
  readonly warnings: readonly TlsWarning[];
}

/** What every listener and connection uses. */
const TLS_VERSION = "TLSv1.3";

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

/** The parts of a configuration that name TLS files. */
export type TlsKey = "rpc.tls" | "status.tls";

/** How a set of files is looked at. */
export interface TlsCheck {
  /** Wall clock. */
  readonly nowMs: number;
  /** Absent: anybody's certificate will do. */
  readonly owner?: Owner | undefined;
}

/** Reads a set and says all that is wrong with it. `material` is there when nothing is. */
export function examineTls(files: TlsFiles, { nowMs, owner }: TlsCheck): {
  readonly material?: TlsMaterial;
  readonly problems: readonly string[];
  readonly warnings: readonly TlsWarning[];
} {
  const problems: string[] = [];
  const cert = readPem(files.cert, "certificate", problems);
  const key = keyOf(readPem(files.key, "key", problems));
  const bundle = readPem(files.ca, "CA bundle", problems);
  const chain = certificatesOf(cert, files.cert, problems);
  const cas = certificatesOf(bundle, files.ca, problems);
  const [leaf] = chain;
  if (leaf === undefined || problems.length > 0) return { problems, warnings: [] };
  checkKey(leaf, key, { files, problems });
  const named = chain.map((certificate, i) => ({
    name: i === 0 ? `certificate "${files.cert}"` : `certificate ${i + 1} in "${files.cert}"`,
    certificate,
  }));
  for (const { name, certificate } of named) checkTime(certificate, name, { nowMs, problems });
  if (owner !== undefined) checkOwner(leaf, files.cert, { owner, problems });
  if (problems.length > 0) return { problems, warnings: [] };
  const issuer = issuerOf(chain, cas);
  if (issuer !== undefined) named.push({ name: `CA "${files.ca}"`, certificate: issuer });
  const warnings = [
    ...expiryWarnings(named, nowMs),
    ...keyWarnings(files.key),
    ...bundleWarnings(cas, files.ca),
  ];
  if (issuer === undefined) {
    // Not a problem: hosts may hold certificates of several CAs, each bundle those of its peers.
    warnings.push({
      kind: "not-signed",
      text: `certificate "${files.cert}" is not signed by a CA in "${files.ca}": peers with the ` +
        "same bundle refuse it",
    });
  } else {
    // An agent calls and is called; the status listener is called only.
    const purposes: readonly Purpose[] = owner === undefined ? ["server"] : ["server", "client"];
    warnings.push(...chainWarnings(files, { chain, cas, purposes, nowMs }));
  }
  const material = {
    // As blocks alone: what stands around them, such as a byte order mark, keeps the runtime from finding the first one.
    cert: chain.map((certificate) => certificate.toString()).join(""),
    key,
    ca: cas.map((ca) => ca.toString()),
    expiresAtMs: Math.min(...named.map(({ certificate }) => endMs(certificate))),
    fingerprint: leaf.fingerprint256,
    digest: digest([cert, key, bundle]),
    warnings,
  };
  return { material, problems, warnings };
}

/** Reads and checks a set. Throws `EnvironmentError` with all that is wrong; `key` is where the files are named. */
export function loadTls(
  files: TlsFiles,
  { key = "rpc.tls", ...how }: TlsCheck & { readonly key?: TlsKey | undefined },
): TlsMaterial {
  const { material, problems } = examineTls(files, how);
  if (material !== undefined) return material;
  throw new EnvironmentError(`Cannot use ${key}: ${problems.join("; ")}`, problems);
}

/** What `node:tls` takes for a context. */
export function contextOptions(
  material: Pick<TlsMaterial, "cert" | "key" | "ca">,
): { cert: string; key: string; ca: string[]; minVersion: typeof TLS_VERSION } {
  const { cert, key, ca } = material;
  return { cert, key, ca: [...ca], minVersion: TLS_VERSION };
}

/**
 * What `node:tls` takes for a connection to a peer. All that it checks is written out: left out, environment
 * variables could decide it (NODE_TLS_REJECT_UNAUTHORIZED). There is no `session`: each connection is a handshake of its own.
 */
export function clientOptions(secureContext: SecureContext): {
  readonly secureContext: SecureContext;
  readonly minVersion: typeof TLS_VERSION;
  readonly rejectUnauthorized: true;
  readonly checkServerIdentity: () => undefined;
} {
  return {
    secureContext,
    minVersion: TLS_VERSION,
    rejectUnauthorized: true,
    // Host names are for the web; whose certificate it is, is judged after the handshake (proof.ts).
    checkServerIdentity: () => undefined,
  };
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

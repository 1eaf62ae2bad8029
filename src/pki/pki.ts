// SPDX-License-Identifier: Apache-2.0

/**
 * A development CA: enough to try the agent and to run its tests without OpenSSL. It has one key in one
 * file, no revocation and no serial register; a fleet should use its own CA.
 *
 * Of a directory "pki", `pki/ca` holds the CA and stays where it was made; `pki/<id>` holds all that the host
 * <id> needs, and nothing that another host must not see, so that it can be copied as it is. The last release
 * put everything side by side: its CA is still found, and what names `pki/<id>.crt`, `pki/<id>.key` or `pki/ca.crt`
 * finds links there.
 */
import type { Extension, JsonGeneralNames, PublicKeyType } from "@peculiar/x509";
import { ConfigError } from "../config/config.ts";
import { isDnsName, isIdentity, parseIp } from "../config/addresses.ts";
import { fileReason } from "../config/reasons.ts";
import { messageOf } from "../model/errors.ts";

/** Where `pkiInit` wrote: `ca/ca.crt` and `ca/ca.key` in its directory. */
export interface CaPaths {
  readonly cert: string;
  readonly key: string;
}

/** Where `pkiIssue` wrote, all in the host's own folder: what `rpc.tls` of the configuration wants. */
export interface IssuedPaths extends CaPaths {
  /** A copy of the CA's certificate. */
  readonly ca: string;
  /** The identity in the certificate: "spiffe://example.org/psp/h1". */
  readonly spiffeId: string;
  /** One sentence for each thing that the last release's layout leaves to do, without a full stop. */
  readonly notes: readonly string[];
}

/** Common to both. */
export interface PkiOptions {
  /** Made with mode 0700 when missing. */
  readonly dir: string;
  /** Validity from now; default 3,650 for a CA, 90 for a certificate. */
  readonly days?: number;
  /** Overwrite files that exist; without it that is an error. */
  readonly force?: boolean;
  /** Start of the validity, for tests; default now. */
  readonly nowMs?: number;
}

/** What `pkiInit` needs. */
export interface InitOptions extends PkiOptions {
  /** Common name, for people only. */
  readonly name?: string;
}

/** What `pkiIssue` needs. */
export interface IssueOptions extends PkiOptions {
  /** Last part of the SPIFFE id; the host's folder and files are named after it. */
  readonly id: string;
  /** Trust domain. */
  readonly domain: string;
  /** IP SANs, for tools that check host names. */
  readonly ips?: readonly string[];
  /** DNS SANs; one that equals another peer's id would contradict the SPIFFE id. */
  readonly dns?: readonly string[];
  /** Directory of the CA, or the one above it; default `dir`. */
  readonly caDir?: string;
}

type X509 = typeof import("@peculiar/x509");

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
/** Of file names there is little room beyond it. */
const MAX_ID = 128;
/** Clocks of two hosts differ a little; a fresh certificate must be good on both. */
const BACKDATE_MS = 5 * 60_000;

/** Makes `ca/ca.crt` and `ca/ca.key` (0600, PKCS#8) in `dir`. Throws `ConfigError`. */
export async function pkiInit(options: InitOptions): Promise<CaPaths> {
  const { dir } = options;
  const paths = { cert: `${dir}/ca/ca.crt`, key: `${dir}/ca/ca.key` };
  // Certificates that it signed are in use: even --force makes no second CA beside it.
  if (exists(`${dir}/ca.key`)) {
    throw new ConfigError(
      `Cannot make a CA in "${dir}": it has one of the last release, "${dir}/ca.key", and psp-agent pki ` +
        "issue uses that; name another --dir for a new one",
    );
  }
  prepare(options, { folder: `${dir}/ca`, files: [paths.cert, paths.key] });
  const x509 = await load();
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: [{ CN: [options.name ?? "psp-agent development CA"] }],
    ...validity(options, 3650),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: await caExtensions(x509, keys.publicKey),
  });
  writeSecret(paths.key, await keyPem(x509, keys.privateKey));
  Deno.writeTextFileSync(paths.cert, pem(certificate.toString("pem")));
  link(dir, { name: "ca.crt", to: "ca/ca.crt" });
  return paths;
}

/**
 * Makes the folder `<id>` in `dir`: `<id>.crt`, `<id>.key` (0600, PKCS#8) and the CA's `ca.crt`. Files of the last
 * release (`<id>.crt` and `<id>.key` in `dir` itself) are renewed with it when `force` says so: a configuration may
 * name them. Throws `ConfigError`.
 */
export async function pkiIssue(options: IssueOptions): Promise<IssuedPaths> {
  checkNames(options);
  const { dir, id, caDir = dir } = options;
  const folder = `${dir}/${id}`;
  const paths = {
    cert: `${folder}/${id}.crt`,
    key: `${folder}/${id}.key`,
    ca: `${folder}/ca.crt`,
    spiffeId: `spiffe://${options.domain}/psp/${id}`,
  };
  const flat = { cert: `${dir}/${id}.crt`, key: `${dir}/${id}.key` };
  const renewsFlat = isFile(flat.key) || isFile(flat.cert);
  const x509 = await load();
  // First, so that nothing is made where there is no CA.
  const ca = await readCa(x509, { dir: findCa(caDir), nowMs: options.nowMs ?? Date.now() });
  const files = [paths.cert, paths.key, paths.ca, ...(renewsFlat ? [flat.cert, flat.key] : [])];
  prepare(options, { folder, files });
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: [{ CN: [options.id] }],
    issuer: ca.certificate.subject,
    ...validity(options, 90),
    publicKey: keys.publicKey,
    signingKey: ca.key,
    signingAlgorithm: ALGORITHM,
    extensions: await hostExtensions(x509, {
      names: [
        { type: "url", value: paths.spiffeId },
        ...(options.dns ?? []).map((value) => ({ type: "dns" as const, value })),
        ...(options.ips ?? []).map((value) => ({ type: "ip" as const, value })),
      ],
      publicKey: keys.publicKey,
      issuer: ca.certificate.publicKey,
    }),
  });
  const key = await keyPem(x509, keys.privateKey);
  Deno.writeTextFileSync(paths.ca, ca.pem);
  for (const to of renewsFlat ? [paths, flat] : [paths]) {
    writeSecret(to.key, key);
    Deno.writeTextFileSync(to.cert, pem(certificate.toString("pem")));
  }
  for (const file of [`${id}.crt`, `${id}.key`]) link(dir, { name: file, to: `${id}/${file}` });
  link(dir, { name: "ca.crt", to: `${id}/ca.crt` });
  const notes: string[] = [];
  if (ca.dir === dir) {
    notes.push(
      `the CA's key lies beside what hosts get: mkdir -m 0700 "${dir}/ca" && cp "${dir}/ca.crt" ` +
        `"${dir}/ca/" && mv "${dir}/ca.key" "${dir}/ca/"`,
    );
  }
  if (renewsFlat) {
    notes.push(
      `"${flat.cert}" and "${flat.key}" were renewed, too: once no configuration names them, remove them`,
    );
  }
  return { ...paths, notes };
}

/** What a CA's certificate says besides its name. */
export async function caExtensions(x509: X509, publicKey: CryptoKey): Promise<Extension[]> {
  return [
    new x509.BasicConstraintsExtension(true, 0, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
  ];
}

/** What the certificate of a host says: a peer calls and is called. */
export async function hostExtensions(
  x509: X509,
  { names, publicKey, issuer }: {
    readonly names: JsonGeneralNames;
    readonly publicKey: CryptoKey;
    /** Key of the CA. */
    readonly issuer: PublicKeyType;
  },
): Promise<Extension[]> {
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([
      x509.ExtendedKeyUsage.serverAuth,
      x509.ExtendedKeyUsage.clientAuth,
    ]),
    new x509.SubjectAlternativeNameExtension(names),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
    await x509.AuthorityKeyIdentifierExtension.create(issuer),
  ];
}

function checkNames(options: IssueOptions): void {
  const problems: string[] = [];
  if (!isIdentity(options.id) || options.id.length > MAX_ID) {
    problems.push(
      `id "${options.id}" is not one: use 1 to ${MAX_ID} letters, digits, ".", "-" and "_", such as "h1"`,
    );
  } else if (options.id === "ca") {
    problems.push('id "ca" would take the place of the CA\'s own files');
  }
  if (!isDnsName(options.domain) || options.domain !== options.domain.toLowerCase()) {
    problems.push(`domain "${options.domain}" must be a lower-case name like "example.org"`);
  }
  for (const ip of options.ips ?? []) {
    try {
      parseIp(ip);
    } catch (cause) {
      problems.push(`ip ${text(cause)}`);
    }
  }
  for (const name of options.dns ?? []) {
    if (!isDnsName(name)) problems.push(`dns "${name}" must be a name like "h1.example.org"`);
  }
  if (problems.length > 0) {
    throw new ConfigError(`Cannot issue certificate: ${problems.join("; ")}`, problems);
  }
}

/** Makes the folder. Throws `ConfigError` when it cannot, or when a file is there that must not be overwritten. */
function prepare(
  options: PkiOptions,
  { folder, files }: { readonly folder: string; readonly files: readonly string[] },
): void {
  if (options.days !== undefined && !(options.days > 0 && options.days <= 36_500)) {
    throw new ConfigError(`Cannot issue certificate: ${options.days} days must be 1 to 36500`);
  }
  for (const directory of [options.dir, folder]) {
    try {
      Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
    } catch (cause) {
      const why = cause instanceof Deno.errors.NotFound
        ? "no directory can be made there"
        : fileReason(cause);
      throw new ConfigError(`Cannot make directory "${directory}": ${why}`, [], { cause });
    }
  }
  if (options.force) return;
  for (const file of files) {
    if (!exists(file)) continue;
    throw new ConfigError(`Cannot write "${file}": it exists already (--force overwrites it)`);
  }
}

/** Loaded on demand: the agent itself never needs it. The decorators inside want the polyfill first. */
async function load(): Promise<X509> {
  await import("reflect-metadata");
  return await import("@peculiar/x509");
}

/** The directory of the CA's files: `ca` in `dir`, or `dir` itself, where the last release has it. */
function findCa(dir: string): string {
  const [apart, beside] = [`${dir}/ca`, dir].map((where) => exists(`${where}/ca.key`));
  if (apart && beside) {
    throw new ConfigError(
      `Cannot choose between two CAs: "${dir}/ca/ca.key" and "${dir}/ca.key"; move away the one that ` +
        "signed no certificate in use",
    );
  }
  return beside ? dir : `${dir}/ca`;
}

async function readCa(
  x509: X509,
  { dir, nowMs }: { readonly dir: string; readonly nowMs: number },
) {
  const wrong = (why: string, cause?: unknown) =>
    new ConfigError(`Cannot use the CA in "${dir}": ${why}`, [], { cause });
  const read = (name: string) => {
    try {
      return Deno.readTextFileSync(`${dir}/${name}`);
    } catch (cause) {
      throw wrong(`${name}: ${fileReason(cause)} (psp-agent pki init makes one)`, cause);
    }
  };
  const [cert, keyText] = [read("ca.crt"), read("ca.key")];
  let certificate: InstanceType<X509["X509Certificate"]>;
  let key: CryptoKey;
  try {
    certificate = new x509.X509Certificate(cert);
  } catch (cause) {
    throw wrong("ca.crt is not a PEM certificate", cause);
  }
  try {
    const der = x509.PemConverter.decodeFirst(keyText);
    key = await crypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]);
  } catch {
    // The cause could quote the key.
    throw wrong("ca.key is not a PEM private key (PKCS#8) of P-256, which pki init makes");
  }
  const probe = new Uint8Array(32);
  const signature = await crypto.subtle.sign(ALGORITHM, key, probe);
  const publicKey = await certificate.publicKey.export(ALGORITHM, ["verify"]).catch(() =>
    undefined
  );
  if (
    publicKey === undefined ||
    !await crypto.subtle.verify(ALGORITHM, publicKey, signature, probe)
  ) {
    throw wrong("ca.key does not match ca.crt");
  }
  if (certificate.notAfter.getTime() <= nowMs) {
    throw wrong(`ca.crt expired on ${certificate.notAfter.toISOString()}`);
  }
  return { dir, certificate, pem: cert, key };
}

function validity(options: PkiOptions, days: number): { notBefore: Date; notAfter: Date } {
  const now = options.nowMs ?? Date.now();
  return {
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + (options.days ?? days) * DAY_MS),
  };
}

/** 16 random octets, positive. */
function serial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x01;
  return bytes.toHex();
}

async function keyPem(x509: X509, key: CryptoKey): Promise<string> {
  const der = await crypto.subtle.exportKey("pkcs8", key);
  return pem(x509.PemConverter.encode(der, "PRIVATE KEY"));
}

function pem(encoded: string): string {
  return encoded.endsWith("\n") ? encoded : `${encoded}\n`;
}

/** Never readable by others, not even for a moment: made anew under a name that nobody has open. */
function writeSecret(path: string, content: string): void {
  const fresh = `${path}.new`;
  try {
    if (exists(fresh)) Deno.removeSync(fresh);
    Deno.writeTextFileSync(fresh, content, { mode: 0o600, createNew: true });
    Deno.renameSync(fresh, path);
  } catch (cause) {
    throw new ConfigError(`Cannot write "${path}": ${fileReason(cause)}`, [], { cause });
  }
}

/** Where the last release had a file, a link to it. What is there already stays. */
function link(dir: string, { name, to }: { readonly name: string; readonly to: string }): void {
  const path = `${dir}/${name}`;
  if (exists(path)) return;
  try {
    Deno.symlinkSync(to, path);
  } catch (cause) {
    throw new ConfigError(`Cannot link "${path}": ${fileReason(cause)}`, [], { cause });
  }
}

/** Whether a file itself is there, not a link to one. */
function isFile(path: string): boolean {
  return look(path)?.isFile ?? false;
}

function exists(path: string): boolean {
  return look(path) !== undefined;
}

function look(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch {
    return undefined;
  }
}

function text(cause: unknown): string {
  return messageOf(cause);
}

// SPDX-License-Identifier: Apache-2.0

/**
 * A CA, the agent's certificate and one for each peer, kept in build/ from run to run: ten thousand take a while. All
 * peers have one key, which makes no difference to whoever checks them.
 */
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { caExtensions, hostExtensions } from "../../src/pki/pki.ts";
import { DOMAIN, peerId } from "./plan.ts";

/** What the bench needs of them, PEM. */
export interface FleetCertificates {
  readonly ca: string;
  readonly agent: { readonly cert: string; readonly key: string };
  readonly peers: { readonly certs: readonly string[]; readonly key: string };
}

interface Kept extends FleetCertificates {
  readonly madeMs: number;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAYS = 30;
const DAY_MS = 86_400_000;

/** Certificates of at least so many peers: those of `path`, or new ones. */
export async function fleetCertificates(
  path: string,
  { peers, agent }: { readonly peers: number; readonly agent: string },
): Promise<FleetCertificates> {
  const kept = read(path);
  if (
    kept !== undefined && kept.peers.certs.length >= peers &&
    Date.now() - kept.madeMs < (DAYS - 2) * DAY_MS
  ) return kept;
  const made = await make(peers, agent);
  Deno.writeTextFileSync(path, JSON.stringify({ ...made, madeMs: Date.now() }), { mode: 0o600 });
  return made;
}

function read(path: string): Kept | undefined {
  try {
    return JSON.parse(Deno.readTextFileSync(path)) as Kept;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function make(peers: number, agent: string): Promise<FleetCertificates> {
  const ca = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const validity = {
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAYS * DAY_MS),
  };
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=fleet",
    ...validity,
    keys: ca,
    signingAlgorithm: ALGORITHM,
    extensions: await caExtensions(x509, ca.publicKey),
  });
  const issue = async (id: string, serial: number, publicKey: CryptoKey) => {
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: (0x1000000 + serial).toString(16),
      subject: `CN=${id}`,
      issuer: root.subject,
      ...validity,
      publicKey,
      signingKey: ca.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: await hostExtensions(x509, {
        names: [{ type: "url", value: `spiffe://${DOMAIN}/psp/${id}` }],
        publicKey,
        issuer: ca.publicKey,
      }),
    });
    return `${certificate.toString("pem")}\n`;
  };
  const own = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const theirs = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certs: string[] = [];
  for (let i = 0; i < peers; i++) {
    certs.push(await issue(peerId(i), i, theirs.publicKey));
  }
  return {
    ca: `${root.toString("pem")}\n`,
    agent: { cert: await issue(agent, 0xffffff, own.publicKey), key: await pem(own.privateKey) },
    peers: { certs, key: await pem(theirs.privateKey) },
  };
}

async function pem(key: CryptoKey): Promise<string> {
  const der = await crypto.subtle.exportKey("pkcs8", key);
  return `${x509.PemConverter.encode(der, "PRIVATE KEY")}\n`;
}

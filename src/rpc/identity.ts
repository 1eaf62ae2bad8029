// SPDX-License-Identifier: Apache-2.0

/**
 * Who is at the other end: the configured peer whose identity the certificate carries. Only subject
 * alternative names count, never the common name, and a certificate that says two things says nothing.
 */
import type { SubjectAltNames } from "../pki/san.ts";
import type { ChainReason } from "./chain.ts";

/** The ids of peers. */
export interface PeerIds {
  has(id: string): boolean;
  /** Those that a DNS name stands for, compared without case. */
  named(name: string): readonly string[];
}

/** Of a list that does not change. */
export function peerIds(ids: readonly string[]): PeerIds {
  const known = new Set(ids);
  const folded = Map.groupBy(known, (id) => id.toLowerCase());
  return {
    has: (id) => known.has(id),
    named: (name) => folded.get(name.toLowerCase()) ?? [],
  };
}

/** What a certificate is judged by. */
export interface Trust {
  /** Trust domain: a SPIFFE id of another domain is foreign. */
  readonly domain: string;
  /** Who there is: as it is at the moment of the question. */
  readonly peers: PeerIds;
  /** Ids ("h9"), SPIFFE ids, or "sha256:" and the fingerprint in hex, with or without colons. */
  readonly deny: readonly string[];
}

/** Of a certificate whose chain has been judged already. */
export interface Presented extends SubjectAltNames {
  /** SHA-256 of the DER, hex, in any notation. */
  readonly fingerprint: string;
}

/** Why a certificate is not a peer; also the name of the counter. */
export type RefusalReason =
  | ChainReason
  | "no-identity"
  | "foreign-domain"
  | "contradictory-identity"
  | "unknown-identity"
  | "denied-identity";

/** A certificate that is no peer's. */
export interface Refused {
  readonly ok: false;
  readonly reason: RefusalReason;
  readonly message: string;
  /** Whom it names, where that is one of this domain; it need not be a peer. */
  readonly named?: string;
  /** Its connection has been counted already: its requests are not. */
  readonly isCounted?: true;
}

/** A peer, or why not. */
export type Identity = { readonly ok: true; readonly peer: string } | Refused;

/** Judges a certificate. Pure. */
export function identify(presented: Presented, trust: Trust): Identity {
  const prefix = `spiffe://${trust.domain}/psp/`;
  const spiffe = new Set(presented.uris.filter((uri) => /^spiffe:/i.test(uri)));
  // DNS names are compared without case; a DNS name that is nobody's id says nothing about identity.
  const named = new Set(presented.dns.flatMap((name) => trust.peers.named(name)));
  if (spiffe.size > 1) return contradictory([...spiffe]);
  const [uri] = spiffe;
  if (uri !== undefined && !uri.startsWith(prefix)) {
    const message = `Certificate belongs to ${shown(uri)}, not to "${prefix}..."`;
    return refusal("foreign-domain", message);
  }
  const ids = new Set(named);
  if (uri !== undefined) ids.add(uri.slice(prefix.length));
  if (ids.size > 1) return contradictory([...presented.uris, ...presented.dns]);
  const [id] = ids;
  if (id === undefined) {
    return refusal("no-identity", `Certificate has no SAN of the form "${prefix}<id>"`);
  }
  if (isDenied(id, presented.fingerprint, trust)) {
    return about(id, refusal("denied-identity", `${shown(id)} is denied by the configuration`));
  }
  if (!trust.peers.has(id)) {
    const message = `${shown(id)} is not among the configured peers`;
    return about(id, refusal("unknown-identity", message));
  }
  return { ok: true, peer: id };
}

/** The peer that a certificate names which is not good: it is told what is wrong with it. undefined: it names none. */
export function misled(
  presented: Presented,
  why: Omit<Refused, "ok">,
  trust: Trust,
): Refused | undefined {
  const claimed = identify(presented, trust);
  return claimed.ok ? { ...why, ok: false, named: claimed.peer, isCounted: true } : undefined;
}

/** Whether the deny list names this id (plain or as SPIFFE id) or this certificate. */
export function isDenied(id: string, fingerprint: string, trust: Trust): boolean {
  const print = bare(fingerprint);
  return trust.deny.some((entry) =>
    /^sha256:/i.test(entry)
      ? print !== "" && bare(entry.slice("sha256:".length)) === print
      : entry === id || entry === `spiffe://${trust.domain}/psp/${id}`
  );
}

/** Whether the deny list names this certificate, or anybody whom it names, whatever else it says. */
export function isDeniedCertificate(
  { uris, dns, fingerprint }: Presented,
  trust: Trust,
): boolean {
  const prefix = `spiffe://${trust.domain}/psp/`;
  // A certificate may have thousands of names, and the list 100,000 entries: each of both is looked at once.
  const named = new Set(uris);
  for (const uri of uris) if (uri.startsWith(prefix)) named.add(uri.slice(prefix.length));
  const folded = new Set(dns.map((name) => name.toLowerCase()));
  return isDenied("", fingerprint, trust) ||
    trust.deny.some((entry) => named.has(entry) || folded.has(entry.toLowerCase()));
}

function bare(fingerprint: string): string {
  return fingerprint.replaceAll(":", "").toLowerCase();
}

function contradictory(names: readonly string[]): Refused {
  const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : "";
  return refusal(
    "contradictory-identity",
    `Certificate names several identities: ${
      names.slice(0, MAX_NAMES).map(shown).join(", ")
    }${more}`,
  );
}

/** Longer ones, and more of them, are cut: they go into answers, logs and the record of events. */
const MAX_SHOWN = 253;
const MAX_NAMES = 8;

/** What is longer than any name names nobody: it would be kept wherever names are. */
function about(named: string, refused: Refused): Refused {
  return named.length > MAX_SHOWN ? refused : { ...refused, named };
}

function shown(name: string): string {
  return name.length > MAX_SHOWN
    ? `"${name.slice(0, MAX_SHOWN)}..." (${name.length} characters)`
    : `"${name}"`;
}

function refusal(reason: RefusalReason, message: string): Refused {
  return { ok: false, reason, message };
}

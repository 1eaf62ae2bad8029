// SPDX-License-Identifier: Apache-2.0

/**
 * Whether a certificate is to be believed: our own judgement of a chain up to a CA of the file in force. The TLS
 * library judges once, in a full handshake, and never again: not when a session is resumed, nor when the CA is
 * replaced or the certificate ends while a connection stands.
 *
 * What is checked, of each link (RFC 5280, 6.1): signature, validity, names in sequence, basic constraints, path
 * length, key usage, extended key usage. Revocation is the deny list's. Not read: name constraints, policies
 * and whatever else a critical extension demands; a certificate that has one is refused. Such extensions that
 * are not critical say nothing here. The CA's own certificate is held to the same rules. A host's certificate
 * that stands in the CA file itself is believed as it is.
 */
import { X509Certificate } from "node:crypto";
import {
  type Certificate,
  isSignedBy,
  keyRefusal,
  parseCertificate,
  type Verifier,
  verifierOf,
} from "./certificate.ts";

/** What the owner of a certificate does with it: he calls, or is called. */
export type Purpose = "client" | "server";

/** Why a chain is refused; also the name of the counter. */
export type ChainReason =
  | "certificate-unreadable"
  | "certificate-early"
  | "certificate-expired"
  | "certificate-unfit"
  | "certificate-untrusted";

/** A good chain, or why it is none. */
export type Verdict =
  | {
    readonly ok: true;
    readonly leaf: Certificate;
    /** Wall clock: while all links of the chain are valid, the end excluded. */
    readonly fromMs: number;
    readonly untilMs: number;
  }
  | Refusal;

/** Why a chain is none. */
export interface Refusal {
  readonly ok: false;
  readonly reason: ChainReason;
  readonly message: string;
}

/** Extended key usages, RFC 5280, 4.2.1.12, hex: id-kp-clientAuth, id-kp-serverAuth. */
const EXTENDED: Readonly<Record<Purpose, { readonly oid: string; readonly name: string }>> = {
  client: { oid: "2b06010505070302", name: "clientAuth" },
  server: { oid: "2b06010505070301", name: "serverAuth" },
};

/** Certificates that are looked at beside the first one. */
const MAX_SENT = 10;
/** Signatures checked for one judgement: a stranger's chain must not cost more time than its handshake. */
const MAX_SIGNATURES = 16;
/** Good chains remembered: with fewer than there are peers each of them would cost a signature every time. */
const MAX_REMEMBERED = 16_384;

/** A signature that was checked beside this thread and is good. */
export interface Signed {
  /** Fingerprint of what was signed. */
  readonly leaf: string;
  /** One of the judge's own CAs. */
  readonly issuer: Certificate;
}

/** How a chain is judged. */
export interface JudgeOptions {
  readonly purpose: Purpose;
  readonly nowMs: number;
  /** What `ahead` has found. */
  readonly signed?: Signed | undefined;
}

/** Judges by one CA file. Remembers good chains, so that a known certificate costs no signature. */
export class ChainJudge {
  readonly #anchors: readonly Certificate[];
  /** By purpose and fingerprint. */
  readonly #good = new Map<string, Verdict & { readonly ok: true }>();
  readonly #verifiers = new Map<Certificate, Promise<Verifier | undefined>>();

  /** `ca`: one PEM certificate each. One that is against the rules issues nothing. */
  constructor(ca: readonly string[]) {
    this.#anchors = ca.flatMap((pem) => readable(new Uint8Array(new X509Certificate(pem).raw)));
  }

  /**
   * Checks beside this thread the signature that `judge` would have to check of a certificate that is not known yet, which
   * is most of what a handshake costs here. undefined: nothing was found out; `judge` will.
   */
  async ahead(sent: readonly Uint8Array[], purpose: Purpose): Promise<Signed | undefined> {
    let leaf: Certificate;
    try {
      leaf = parseCertificate(sent[0] ?? new Uint8Array());
    } catch {
      return undefined;
    }
    if (this.#good.has(`${purpose} ${leaf.fingerprint}`)) return undefined;
    let signatures = 0;
    for (const issuer of this.#anchors) {
      if (issuer.subject !== leaf.issuer || signatures++ >= MAX_SIGNATURES) continue;
      let verifier = this.#verifiers.get(issuer);
      if (verifier === undefined) this.#verifiers.set(issuer, verifier = verifierOf(issuer));
      if (await (await verifier)?.isSigned(leaf)) return { leaf: leaf.fingerprint, issuer };
    }
    return undefined;
  }

  /** Judges what the other side sent: its own certificate first, DER, then intermediates in any order. */
  judge(sent: readonly Uint8Array[], options: JudgeOptions): Verdict {
    const { purpose, nowMs } = options;
    const [first, ...others] = sent;
    let leaf: Certificate;
    try {
      leaf = parseCertificate(first ?? new Uint8Array());
    } catch (error) {
      return refusal("certificate-unreadable", (error as RangeError).message);
    }
    const key = `${purpose} ${leaf.fingerprint}`;
    const known = this.#good.get(key);
    if (known !== undefined && known.fromMs <= nowMs && nowMs < known.untilMs) return known;
    const wrong = leafRefusal(leaf, { purpose, nowMs });
    if (wrong !== undefined) return wrong;
    // The file may name a host's certificate itself: then it needs nobody who has issued it.
    const isNamed = this.#anchors.some(({ fingerprint }) => fingerprint === leaf.fingerprint);
    const found = isNamed
      ? { ok: true as const, fromMs: leaf.fromMs, untilMs: leaf.untilMs }
      : new Search(this.#anchors, others, options).from(leaf);
    if (!found.ok) return found;
    const verdict = { ok: true as const, leaf, fromMs: found.fromMs, untilMs: found.untilMs };
    this.#good.delete(key);
    this.#good.set(key, verdict);
    if (this.#good.size > MAX_REMEMBERED) {
      const [oldest] = this.#good.keys();
      this.#good.delete(oldest ?? "");
    }
    return verdict;
  }
}

type Found =
  | { readonly ok: true; readonly fromMs: number; readonly untilMs: number }
  | Refusal;

/** The way up from a certificate to a CA, depth first. */
class Search {
  readonly #anchors: ReadonlySet<Certificate>;
  readonly #issuers: readonly Certificate[];
  readonly #how: JudgeOptions;
  #signatures = 0;

  constructor(
    anchors: readonly Certificate[],
    sent: readonly Uint8Array[],
    how: JudgeOptions,
  ) {
    this.#anchors = new Set(anchors);
    // With an overlap of two CAs of one name and key the later one carries the chain on.
    const last = [...anchors].sort((a, b) => b.untilMs - a.untilMs);
    this.#issuers = [...last, ...sent.slice(0, MAX_SENT).flatMap(readable)];
    this.#how = how;
  }

  /** `below`: those between `at` and the first certificate, `at` included; self-issued ones do not count. */
  from(at: Certificate, path: ReadonlySet<Certificate> = new Set(), below = 0): Found {
    let why: Refusal | undefined;
    for (const issuer of this.#issuers) {
      if (issuer.subject !== at.issuer || path.has(issuer)) continue;
      if (this.#signatures++ >= MAX_SIGNATURES) {
        return refusal("certificate-untrusted", "too many certificates would have to be tried");
      }
      const found = this.#through(issuer, { at, path, below });
      if (found.ok) return found;
      why = graver(why, found);
    }
    return why ?? refusal("certificate-untrusted", "no CA of the file in force has issued it");
  }

  #through(
    issuer: Certificate,
    { at, path, below }: {
      readonly at: Certificate;
      readonly path: ReadonlySet<Certificate>;
      readonly below: number;
    },
  ): Found {
    const { signed } = this.#how;
    const isChecked = signed?.issuer === issuer && signed.leaf === at.fingerprint;
    if (!isChecked && !isSignedBy(at, issuer)) {
      const key = keyRefusal(issuer);
      return refusal(
        "certificate-untrusted",
        key === undefined
          ? "its signature is not that of the CA that it names"
          : `its signature cannot be relied on: the key of its CA ${key}`,
      );
    }
    const wrong = issuerRefusal(issuer, { ...this.#how, below });
    if (wrong !== undefined) return wrong;
    const above = this.#anchors.has(issuer) ? issuer : this.from(
      issuer,
      new Set([...path, issuer]),
      issuer.issuer === issuer.subject ? below : below + 1,
    );
    if ("ok" in above && !above.ok) return above;
    return {
      ok: true,
      fromMs: Math.max(at.fromMs, issuer.fromMs, above.fromMs),
      untilMs: Math.min(at.untilMs, issuer.untilMs, above.untilMs),
    };
  }
}

/** What is wrong with a certificate by itself, as that of one who calls or is called. */
function leafRefusal(
  leaf: Certificate,
  { purpose, nowMs }: { readonly purpose: Purpose; readonly nowMs: number },
): Refusal | undefined {
  const unfit = (why: string) => refusal("certificate-unfit", `it ${why}`);
  if (leaf.isCa) return unfit("is that of a CA");
  if (leaf.keyUsage?.has("digitalSignature") === false) {
    return unfit("is not for signatures (key usage digitalSignature)");
  }
  return usageRefusal(leaf, purpose, unfit) ?? timeRefusal(leaf, nowMs, "it");
}

/** What is wrong with a certificate as the issuer of one that has `below` intermediates below it. */
function issuerRefusal(
  issuer: Certificate,
  { purpose, nowMs, below }: {
    readonly purpose: Purpose;
    readonly nowMs: number;
    readonly below: number;
  },
): Refusal | undefined {
  const unfit = (why: string) => refusal("certificate-unfit", `the certificate of its CA ${why}`);
  if (!issuer.isCa) return unfit("is not that of a CA (basic constraints)");
  if (issuer.keyUsage?.has("keyCertSign") === false) {
    return unfit("is not for issuing (key usage keyCertSign)");
  }
  if (issuer.pathLength !== undefined && below > issuer.pathLength) {
    return unfit("allows fewer intermediates (path length)");
  }
  return usageRefusal(issuer, purpose, unfit) ??
    timeRefusal(issuer, nowMs, "the certificate of its CA");
}

function usageRefusal(
  { extendedKeyUsage, unknownCritical }: Certificate,
  purpose: Purpose,
  unfit: (why: string) => Refusal,
): Refusal | undefined {
  const { oid, name } = EXTENDED[purpose];
  if (extendedKeyUsage?.includes(oid) === false) {
    return unfit(`is not for a ${purpose} (extended key usage ${name})`);
  }
  if (unknownCritical === undefined) return undefined;
  return unfit(`has a critical extension that is not known here (${dotted(unknownCritical)})`);
}

function timeRefusal(
  { fromMs, untilMs }: Certificate,
  nowMs: number,
  who: string,
): Refusal | undefined {
  if (nowMs >= untilMs) {
    const end = new Date(untilMs - 1000).toISOString();
    return refusal("certificate-expired", `${who} expired on ${end}`);
  }
  if (nowMs >= fromMs) return undefined;
  const begin = new Date(fromMs).toISOString();
  return refusal("certificate-early", `${who} is not valid before ${begin}`);
}

/** Of two ways that both fail, the one that came further says more. */
function graver(one: Refusal | undefined, other: Refusal): Refusal {
  return one === undefined || one.reason === "certificate-untrusted" ? other : one;
}

/** A certificate that cannot be read issues nothing. */
function readable(der: Uint8Array): Certificate[] {
  try {
    return [parseCertificate(der)];
  } catch {
    return [];
  }
}

/** Longer object identifiers, in octets, are shown as they are: their numbers would take seconds to write out. */
const MAX_OID = 64;

/** An object identifier as people write it, X.690, 8.19. */
function dotted(hex: string): string {
  if (hex.length > 2 * MAX_OID) return `${hex.slice(0, MAX_OID)}..., ${hex.length / 2} octets`;
  const numbers: bigint[] = [];
  let number = 0n;
  for (const octet of Uint8Array.fromHex(hex)) {
    number = number << 7n | BigInt(octet & 0x7f);
    if (octet & 0x80) continue;
    numbers.push(number);
    number = 0n;
  }
  const [first = 0n, ...rest] = numbers;
  const root = first < 80n ? first / 40n : 2n;
  return [root, first - root * 40n, ...rest].join(".");
}

function refusal(reason: ChainReason, message: string): Refusal {
  return { ok: false, reason, message };
}

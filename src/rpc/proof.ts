// SPDX-License-Identifier: Apache-2.0

/** What a TLS connection proves about its other side, and for how long. */
import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { type Certificate, parseCertificate } from "./certificate.ts";
import type { ChainJudge, Purpose, Refusal, Signed } from "./chain.ts";
import type { RpcCounter, RpcEvents } from "./events.ts";
import type { TlsStore } from "./tls_store.ts";

/** A certificate that was good when it was judged, with all that it takes to judge it again. */
export interface Proof {
  readonly leaf: Certificate;
  /** As it came: DER, its own certificate first. */
  readonly sent: readonly Uint8Array[];
  /** Wall clock: the chain is valid from here to there, the end excluded. */
  readonly fromMs: number;
  readonly untilMs: number;
}

/** A proof, or why there is none. */
export type Proven =
  | { readonly ok: true; readonly proof: Proof }
  | Unproven;

/** Why there is no proof. */
export interface Unproven {
  readonly ok: false;
  /** Also the name of the counter. */
  readonly reason: Refusal["reason"] | "sessions-resumed" | "certificate-missing";
  readonly message: string;
  /** What it says of itself all the same; undefined: nothing that can be read. Nobody has proved it. */
  readonly claim?: Certificate | undefined;
}

/** How a connection is looked at. */
export interface ProofOptions {
  readonly judge: ChainJudge;
  /** Of the certificate: that of one who calls, or is called. */
  readonly purpose: Purpose;
  /** Wall clock. */
  readonly nowMs: number;
  /** What `foresee` has found. */
  readonly signed?: Signed | undefined;
}

/** How often open connections are looked at for certificates that have ended meanwhile. */
export const REVIEW_MS = 1_000;
/** More than a judge looks at. */
const MAX_SENT = 16;

/** Does beside this thread what `prove` would take longest for. */
export async function foresee(
  socket: TLSSocket,
  { judge, purpose }: Pick<ProofOptions, "judge" | "purpose">,
): Promise<Signed | undefined> {
  return await judge.ahead(sentBy(socket), purpose);
}

/** Judges the other side of a connection whose handshake is over. */
export function prove(socket: TLSSocket, options: ProofOptions): Proven {
  // A session of any TLS server of this process may be resumed at any other, whatever each of them trusts, and
  // long after a certificate has ended. The library then repeats what it said of the first handshake.
  if (socket.isSessionReused()) {
    return { ok: false, reason: "sessions-resumed", message: "its TLS session was resumed" };
  }
  const sent = sentBy(socket);
  if (sent.length === 0) {
    return { ok: false, reason: "certificate-missing", message: "it shows no certificate" };
  }
  const verdict = judged(sent, options);
  if (!verdict.ok || socket.authorized) return verdict;
  const { proof: { leaf: claim } } = verdict;
  const message = "the TLS library does not trust its certificate";
  return { ok: false, reason: "certificate-untrusted", message, claim };
}

/** Judges a proof by what is in force now. */
export function proveAgain(proof: Proof, options: ProofOptions): Proven {
  return judged(proof.sent, options);
}

/** Whether it has to be judged again because of the time. */
export function isOver({ fromMs, untilMs }: Proof, nowMs: number): boolean {
  return nowMs < fromMs || nowMs >= untilMs;
}

/** When the first of many proofs has to be judged again: until then nobody looks through them. */
export class FirstOver {
  #fromMs = -Infinity;
  #untilMs = Infinity;

  add({ fromMs, untilMs }: Pick<Proof, "fromMs" | "untilMs">): void {
    this.#fromMs = Math.max(this.#fromMs, fromMs);
    this.#untilMs = Math.min(this.#untilMs, untilMs);
  }

  /** Whether one of those that were added may be over at this time, wall clock; then all are forgotten. */
  take(nowMs: number): boolean {
    if (nowMs >= this.#fromMs && nowMs < this.#untilMs) return false;
    this.#fromMs = -Infinity;
    this.#untilMs = Infinity;
    return true;
  }
}

/** Why a connection ends. */
export interface Ending {
  readonly counter: RpcCounter;
  readonly reason: string;
}

/** What the open connections of a listener have proved. */
export class Proofs<T extends object> {
  readonly #proofs = new Map<T, Proof>();
  readonly #first = new FirstOver();
  readonly #options: {
    readonly store: TlsStore;
    readonly clients: "required" | "optional";
    readonly events: RpcEvents;
  };

  constructor(
    options: {
      readonly store: TlsStore;
      readonly clients: "required" | "optional";
      readonly events: RpcEvents;
    },
  ) {
    this.#options = options;
  }

  /** A connection whose handshake is over. It has proved too little, and must end, where the result says why. */
  enter(connection: T, socket: TLSSocket, signed?: Signed): Unproven | undefined {
    const { clients, events } = this.#options;
    const proven = prove(socket, { ...this.#how(), signed });
    if (proven.ok) {
      this.#proofs.set(connection, proven.proof);
      this.#first.add(proven.proof);
      return undefined;
    }
    const { reason, message, claim } = proven;
    const optional = clients === "optional";
    // Most who read the status with a token have none.
    if (!(optional && reason === "certificate-missing")) events.count(reason);
    if (optional) return undefined;
    events.log("warning", "A connection is refused for want of a good certificate", {
      address: socket.remoteAddress,
      fingerprint: claim?.fingerprint,
      counter: reason,
      reason: message,
    });
    return proven;
  }

  /** A connection that has ended. */
  leave(connection: T): void {
    this.#proofs.delete(connection);
  }

  /** What it has proved; undefined: nothing that counts. */
  of(connection: T): Proof | undefined {
    return this.#proofs.get(connection);
  }

  /** Judges again what is over, or all, and says which connections must end. */
  review(all: boolean): ReadonlyMap<T, Ending> {
    const how = this.#how();
    const ending = new Map<T, Ending>();
    if (!all && !this.#first.take(how.nowMs)) return ending;
    for (const [connection, proof] of this.#proofs) {
      const proven = all || isOver(proof, how.nowMs)
        ? proveAgain(proof, how)
        : { ok: true as const, proof };
      if (proven.ok) {
        this.#proofs.set(connection, proven.proof);
        this.#first.add(proven.proof);
      } else ending.set(connection, { counter: proven.reason, reason: proven.message });
    }
    return ending;
  }

  #how(): ProofOptions {
    return { judge: this.#options.store.judge, purpose: "client", nowMs: Date.now() };
  }
}

function judged(sent: readonly Uint8Array[], { judge, ...how }: ProofOptions): Proven {
  const verdict = judge.judge(sent, how);
  if (!verdict.ok) return { ...verdict, claim: claimOf(sent) };
  const { leaf, fromMs, untilMs } = verdict;
  return { ok: true, proof: { leaf, sent, fromMs, untilMs } };
}

function claimOf([leaf]: readonly Uint8Array[]): Certificate | undefined {
  try {
    return leaf && parseCertificate(leaf);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function sentBy(socket: TLSSocket): Uint8Array[] {
  const sent: Uint8Array[] = [];
  let at: X509Certificate | undefined = socket.getPeerX509Certificate();
  while (at !== undefined && sent.length < MAX_SENT) {
    sent.push(new Uint8Array(at.raw));
    at = at.issuerCertificate === at ? undefined : at.issuerCertificate;
  }
  return sent;
}

// SPDX-License-Identifier: Apache-2.0

/** One request, sent until it is answered: the same id and the same keys every time, each try with a deadline. */
import {
  type ExchangeCode,
  ExchangeError,
  type NewTunnelReply,
  type NewTunnelRequest,
  RATE_REFUSAL,
} from "../model/exchange.ts";
import type { PeerLine } from "./peer_line.ts";
import type { Parts } from "./parts.ts";

/** Most between two tries. */
const RETRY_MAX_MS = 1000;
const RETRY_FIRST_MS = 100;
/** How long a request goes on after the first refusal for the rate: the packets behind it are held meanwhile. */
const RATE_PATIENCE_MS = 10_000;

/** How it ended. `maybe`: the peer may have acted on it although no answer came. */
export type CallResult =
  | { readonly ok: true; readonly reply: NewTunnelReply }
  | { readonly ok: false; readonly error: ExchangeError; readonly maybe: boolean };

/** Asks a peer. An answer that comes after its try was given up is wiped. Rejects only when the core stops. */
export async function callWithRetries(
  parts: Parts,
  line: PeerLine,
  request: NewTunnelRequest,
): Promise<CallResult> {
  const { config: { rpc }, clock, random, tasks, counters, log } = parts;
  const { peer } = line;
  let patientUntil: number | undefined;
  let maybe = false;
  let sent = false;
  const onSent = () => void (sent = true);
  let error = new ExchangeError("internal", "no attempt was made");
  for (let attempt = 1; attempt <= rpc.attempts;) {
    sent = false;
    try {
      return { ok: true, reply: await tryOnce(parts, { peer, request, onSent }) };
    } catch (cause) {
      if (tasks.signal.aborted) throw cause;
      error = ExchangeError.from(cause);
    }
    if (isForRate(error)) {
      // No attempt that failed: the peer lives, did nothing, and wants to be asked more slowly.
      const now = clock.now();
      patientUntil ??= now + RATE_PATIENCE_MS;
      if (now < patientUntil) {
        const delayMs = line.pace.refused(now);
        counters.add("slowed-by-peer");
        log.debug("A peer wants to be asked more slowly", { peer, delayMs });
        await clock.sleep(delayMs * (1 + random.uniform() / 4), tasks.signal);
        continue;
      }
    }
    if (sent && !DECLINED.has(error.code)) maybe = true;
    if (!RETRIED.has(error.code) || attempt === rpc.attempts) break;
    counters.add("initiator-retries");
    // After a deadline enough time has passed; after a fast refusal it has not.
    const full = error.code === "deadline_exceeded"
      ? RETRY_FIRST_MS
      : Math.min(RETRY_FIRST_MS * 2 ** (attempt - 1), RETRY_MAX_MS);
    await clock.sleep(full * (0.5 + random.uniform() / 2), tasks.signal);
    attempt++;
  }
  return { ok: false, error, maybe };
}

function isForRate({ code, reason }: ExchangeError): boolean {
  return code === "resource_exhausted" && reason === RATE_REFUSAL;
}

/** Zero-fills the keys of an answer. */
export function wipeKeys(reply: NewTunnelReply): void {
  for (const outcome of reply.outcomes) if (outcome.ok) outcome.params.key.wipe();
}

const RETRIED: ReadonlySet<ExchangeCode> = new Set([
  "unavailable",
  "aborted",
  "deadline_exceeded",
  "resource_exhausted",
]);

/** Whether a request that failed so can be asked again as it was: nobody answered it. */
export function isUnanswered({ code }: ExchangeError): boolean {
  return RETRIED.has(code) && !DECLINED.has(code);
}

/** Said before anything was done. */
const DECLINED: ReadonlySet<ExchangeCode> = new Set([
  "permission_denied",
  "unauthenticated",
  "failed_precondition",
  "invalid_argument",
  "resource_exhausted",
  "unimplemented",
]);

/** Why the deadline and the call of a try end; one for all, because a fresh error costs its stack trace. */
const OVER = new DOMException("the try is over", "AbortError");

async function tryOnce(
  { client, clock, config: { rpc: { timeoutMs } }, tasks }: Parts,
  { peer, request, onSent }: {
    readonly peer: string;
    readonly request: NewTunnelRequest;
    readonly onSent: () => void;
  },
): Promise<NewTunnelReply> {
  const over = new AbortController();
  const { signal } = over;
  // Not AbortSignal.any: that is a third signal for each try.
  const stop = () => over.abort(tasks.signal.reason);
  if (tasks.signal.aborted) stop();
  tasks.signal.addEventListener("abort", stop, { once: true });
  let answered = false;
  const call = client.newTunnel(peer, request, { timeoutMs, signal, onSent });
  const deadline = clock.sleep(timeoutMs, signal).then(() => {
    throw new ExchangeError("deadline_exceeded", `no answer within ${timeoutMs} ms`);
  });
  deadline.catch(() => {});
  try {
    const reply = await Promise.race([call, deadline]);
    answered = true;
    return reply;
  } finally {
    tasks.signal.removeEventListener("abort", stop);
    over.abort(OVER);
    if (!answered) tasks.add(call.then(wipeKeys, () => {}));
  }
}

// SPDX-License-Identifier: Apache-2.0

/** Errors of the exchange as Connect's, both ways: one table. */
import { Code, ConnectError } from "@connectrpc/connect";
import { type ExchangeCode, ExchangeError } from "../model/exchange.ts";

const CODES: Readonly<Record<ExchangeCode, Code>> = {
  canceled: Code.Canceled,
  invalid_argument: Code.InvalidArgument,
  deadline_exceeded: Code.DeadlineExceeded,
  not_found: Code.NotFound,
  permission_denied: Code.PermissionDenied,
  resource_exhausted: Code.ResourceExhausted,
  failed_precondition: Code.FailedPrecondition,
  aborted: Code.Aborted,
  unimplemented: Code.Unimplemented,
  internal: Code.Internal,
  unavailable: Code.Unavailable,
  unauthenticated: Code.Unauthenticated,
};
const NAMES: ReadonlyMap<Code, ExchangeCode> = new Map(
  Object.entries(CODES).map(([name, code]) => [code, name as ExchangeCode]),
);

/** As it goes over the wire. */
export function toConnect({ code, reason }: ExchangeError): ConnectError {
  return new ConnectError(reason, CODES[code]);
}

/** As it came over the wire, or as Connect made it here. Codes that no agent gives become `internal`. */
export function fromConnect(cause: unknown): ExchangeError {
  const { code, rawMessage } = ConnectError.from(cause);
  const local = isOwnWant(cause);
  return new ExchangeError(NAMES.get(code) ?? "internal", rawMessage, { cause, local });
}

/** What this host lacks when it cannot open a connection at all: descriptors, ports, memory of its kernel. */
const OWN_WANTS: ReadonlySet<unknown> = new Set([
  "EMFILE",
  "ENFILE",
  "EADDRNOTAVAIL",
  "EAGAIN",
  "ENOBUFS",
  "ENOMEM",
]);

function isOwnWant(cause: unknown): boolean {
  for (let at = cause; at instanceof Error; at = at.cause) {
    if (OWN_WANTS.has((at as { code?: unknown }).code)) return true;
  }
  return false;
}

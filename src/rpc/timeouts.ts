// SPDX-License-Identifier: Apache-2.0

/** Deadlines that callers ask for, held within what a timer can wait. */
import type { Request } from "./listener.ts";

/** What a timer waits at most, ms: beyond, it rings at once and the runtime writes a warning to the agent's output. */
const MOST_MS = 2 ** 31 - 1;
/** Of gRPC's units, ms. */
const UNITS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
};

/** Cuts what a request's headers say to 24 days; whatever else they say is for who reads them. */
export function cutTimeouts({ headers }: Pick<Request, "headers">): void {
  const connect = headers["connect-timeout-ms"];
  if (typeof connect === "string" && /^\d{1,10}$/.test(connect) && Number(connect) > MOST_MS) {
    headers["connect-timeout-ms"] = `${MOST_MS}`;
  }
  const grpc = headers["grpc-timeout"];
  const [, value, unit = ""] = (typeof grpc === "string" && /^(\d{1,8})([HMS])$/.exec(grpc)) || [];
  if (Number(value) * (UNITS[unit] ?? 0) > MOST_MS) {
    headers["grpc-timeout"] = `${Math.floor(MOST_MS / 1000)}S`;
  }
}

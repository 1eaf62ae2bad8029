// SPDX-License-Identifier: Apache-2.0

/** What a step of a tunnel means to whoever looks on: at most one event. Pure. */
import { spelled } from "../model/counters.ts";
import type { EventFacts, EventKind } from "../model/events.ts";
import { type Event, isLive, newestRx, type State } from "./tunnel.ts";

/** What happened, and what is to be told with it besides pair and peer. */
export interface Happened {
  readonly kind: EventKind;
  readonly facts: EventFacts;
}

/** A step that was taken. `lastError` is why the last attempt failed. */
export interface Taken {
  readonly before: State;
  readonly after: State;
  readonly event: Pick<Event<unknown>, "type"> & {
    readonly reason?: string;
    readonly by?: string;
  };
  readonly lastError: string;
  readonly now: number;
}

/** undefined: nothing that anybody wants to know. */
export function happened({ before, after, event, lastError, now }: Taken): Happened | undefined {
  if (before === after) return undefined;
  if (isLive(after)) {
    const facts = { ...spis(after), ...role(event.type) };
    if (!isLive(before)) {
      const held = before.kind === "opening" ? { durationMs: now - before.since } : {};
      return { kind: "tunnel-opened", facts: { ...facts, ...held } };
    }
    if (after.tx.sa !== before.tx.sa) return { kind: "tunnel-rekeyed", facts };
    if (after.tx.expired && !before.tx.expired) return { kind: "tunnel-expired", facts };
    return undefined;
  }
  if (isLive(before)) {
    const kind = after.kind === "opening" ? "tunnel-lost" : "tunnel-closed";
    return { kind, facts: { ...spis(before), reason: cause(event) } };
  }
  if (after.kind === "failed" && before.kind !== "failed") {
    const message = lastError === "" ? {} : { message: lastError };
    return {
      kind: "tunnel-failed",
      facts: { reason: spelled(after.reason), ...message },
    };
  }
  return undefined;
}

function spis(state: Extract<State, { readonly tx: unknown }>): EventFacts {
  const rx = newestRx(state.rx);
  return { txSpi: state.tx.sa.spi, ...rx === undefined ? {} : { rxSpi: rx.sa.spi } };
}

function role(type: Event<unknown>["type"]): EventFacts {
  if (type === "answered") return { role: "initiator" };
  return type === "asked" ? { role: "responder" } : {};
}

/** Why a tunnel ended, in a word. */
function cause({ type, reason, by }: Taken["event"]): string {
  switch (type) {
    case "tick":
      return "idle";
    case "close":
      return spelled(by ?? reason ?? "");
    case "lost":
      return "unknown-to-peer";
    case "peer_restarted":
      return "peer-restarted";
    case "closed_by_peer":
      return "closed-by-peer";
    default:
      return spelled(type);
  }
}

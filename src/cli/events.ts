// SPDX-License-Identifier: Apache-2.0

/** `psp-agent events` */
import { type AgentEvent, EVENT_KINDS } from "../model/events.ts";
import { spiText } from "../model/sa.ts";
import { eventJson } from "../rpc/status_json.ts";
import { EXIT, type ExitCode, out } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { connect } from "./target.ts";
import { requirePeer } from "./unknown.ts";

/** What the command line says. */
export interface EventsArgs extends Target {
  readonly output: Output;
  readonly follow: boolean;
  /** Milliseconds. */
  readonly since: number | undefined;
  readonly peer: string | undefined;
  readonly kinds: readonly string[];
}

/** Prints one line for each event: what is kept, and with `follow` what happens until SIGINT. */
export async function events(args: EventsArgs): Promise<ExitCode> {
  await using client = await connect(args);
  const query = {
    peer: args.peer,
    kinds: args.kinds,
    sinceMs: args.since === undefined ? undefined : Date.now() - args.since,
  };
  const print = (event: AgentEvent) =>
    out(args.output === "json" ? `${JSON.stringify(eventJson(event))}\n` : `${eventLine(event)}\n`);
  if (!args.follow) {
    let found = 0;
    for await (const event of client.events(query)) {
      found++;
      print(event);
    }
    // A peer that is gone has left its events.
    if (found === 0) await requirePeer(args.peer, client);
    return EXIT.ok;
  }
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  try {
    for await (const event of client.watchEvents(query, stop.signal)) print(event);
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
    Deno.removeSignalListener("SIGTERM", onSignal);
  }
  return EXIT.ok;
}

/** An event for people: when, what, whom it concerns, and why. */
export function eventLine(event: AgentEvent): string {
  const { timeMs, kind, count, peer, localVip, remoteVip, txSpi, rxSpi, role, reason } = event;
  const facts = [
    localVip === undefined ? undefined : `${localVip} > ${remoteVip}`,
    peer && `peer ${peer}`,
    role && `as ${role}`,
    txSpi === undefined ? undefined : `tx ${spiText(txSpi)}`,
    rxSpi === undefined ? undefined : `rx ${spiText(rxSpi)}`,
    event.durationMs === undefined ? undefined : `after ${event.durationMs.toFixed(1)} ms`,
    reason,
    event.message && `(${event.message})`,
    count > 1 ? `and ${count - 1} more like it` : undefined,
  ].filter((fact) => fact !== undefined && fact !== "");
  const what = EVENT_KINDS[kind]?.text ?? kind;
  return `${new Date(timeMs).toISOString()} ${what}${
    facts.length > 0 ? `: ${facts.join(", ")}` : ""
  }`;
}

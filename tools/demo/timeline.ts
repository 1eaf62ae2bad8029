// SPDX-License-Identifier: Apache-2.0

/** The sequence of events of a first packet, from the logs of both agents. */
import type { AgentProcess, LogLine } from "../../tests/support/agent_process.ts";
import type { HostName } from "../../tests/support/plan.ts";
import { spiText } from "./narrator.ts";

/** Facts worth a place in a line. */
const SHOWN = [
  "peer",
  "localVip",
  "remoteVip",
  "spi",
  "version",
  "timeMs",
  "code",
  "reason",
] as const;

/** Lines written since `marks` (log lengths), in order of time, with milliseconds since the first. */
export function timeline(
  agents: Readonly<Record<HostName, AgentProcess>>,
  marks: Readonly<Record<HostName, number>>,
): string[] {
  const events = Object.values(agents)
    .flatMap((agent) => agent.log.slice(marks[agent.host]).map((line) => ({ agent, line })))
    .sort((a, b) => a.line.atMs - b.line.atMs);
  const start = events[0]?.line.atMs ?? 0;
  return events.map(({ agent, line }) => {
    const ms = (line.atMs - start).toFixed(1).padStart(7);
    return `${ms} ms  ${agent.host.toUpperCase()}  ${line.message}${factsOf(line)}`;
  });
}

function factsOf({ fields }: LogLine): string {
  const facts = SHOWN.flatMap((name) => {
    const value = fields[name];
    if (value === undefined) return [];
    return [`${name}=${name === "spi" ? spiText(Number(value)) : value}`];
  });
  return facts.length === 0 ? "" : `  (${facts.join(", ")})`;
}

// SPDX-License-Identifier: Apache-2.0

/** The sequence of events of a first packet, from the logs of both agents and from the wire. */
import type { AgentProcess, LogLine } from "../../tests/support/agent_process.ts";
import type { WireEvent } from "../../tests/support/capture.ts";
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

/** What the machines say of themselves: the story has what comes of it. */
const STEP = / takes a step$/;

/** What a kind of frame means in the story. */
const FRAMES = {
  psp: "PSP packet",
  neighbour: "ARP or ND",
  control: "control channel (mutual TLS)",
  mark: "mark",
  foreign: "something foreign",
} as const;

interface Event {
  readonly ms: number;
  readonly where: string;
  readonly text: string;
  readonly count: number;
}

/**
 * Log lines written since `marks` (log lengths) and the first frames on the wire, in order of time,
 * with milliseconds since the first. Frames of one kind in a row are one line.
 */
export function timeline(
  { agents, marks, wire, untilMs }: {
    readonly agents: Readonly<Record<HostName, AgentProcess>>;
    readonly marks: Readonly<Record<HostName, number>>;
    readonly wire: readonly WireEvent[];
    /** Wall clock, in milliseconds. */
    readonly untilMs: number;
  },
): string[] {
  const said = Object.values(agents).flatMap((agent) =>
    agent.log.slice(marks[agent.host]).filter(({ message }) => !STEP.test(message)).map((
      line,
    ): Event => ({
      ms: Date.parse(String(line.fields["@timestamp"])),
      where: agent.host.toUpperCase(),
      text: `${line.message}${factsOf(line)}`,
      count: 1,
    }))
  );
  const seen = wire.map(({ timeNs, to, kind }): Event => ({
    ms: Number(timeNs / 1000n) / 1000,
    where: to === "h2" ? "H1 -> H2" : "H2 -> H1",
    text: FRAMES[kind],
    count: 1,
  }));
  const events = [...said, ...seen].filter((event) => event.ms <= untilMs)
    .sort((a, b) => a.ms - b.ms).reduce(joinRepeats, []);
  const start = events[0]?.ms ?? 0;
  return events.map(({ ms, where, text, count }) => {
    const times = count > 1 ? `, ${count} frames` : "";
    return `${(ms - start).toFixed(2).padStart(8)} ms  ${where.padEnd(9)} ${text}${times}`;
  });
}

/** Both directions of the control channel count as one conversation. */
function joinRepeats(events: Event[], event: Event): Event[] {
  const last = events.at(-1);
  if (last === undefined || last.text !== event.text || event.text === FRAMES.psp) {
    return [...events, event];
  }
  const where = last.where === event.where ? last.where : "H1 <> H2";
  return [...events.slice(0, -1), { ...last, where, count: last.count + 1 }];
}

function factsOf({ fields }: LogLine): string {
  const facts = SHOWN.flatMap((name) => {
    const value = fields[name];
    if (value === undefined) return [];
    return [`${name}=${name === "spi" ? spiText(Number(value)) : value}`];
  });
  return facts.length === 0 ? "" : `  (${facts.join(", ")})`;
}

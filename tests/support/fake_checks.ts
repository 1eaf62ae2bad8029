// SPDX-License-Identifier: Apache-2.0

/** What the fake plane refuses, and how it tells matches apart. */
import {
  DataPlaneError,
  type EntryDescriptor,
  type Match,
  type MatchMask,
  type Outcome,
  type PipeDescriptor,
  type Stats,
} from "../../ffi/plane.ts";

/** A refusal: what could not be done, then why. */
export function refuse(what: string, why: string, code: string): DataPlaneError {
  return new DataPlaneError(`${what}: ${why}`, code);
}

/** "outer.src_ip" -> value, for every field that is there. */
function fields(match: Match | MatchMask): [string, unknown][] {
  const walk = (value: unknown, path: string): [string, unknown][] =>
    typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([k, v]) => walk(v, path === "" ? k : `${path}.${k}`))
      : value === undefined
      ? []
      : [[path, value]];
  return walk(match, "");
}

/** The same for entries that a pipe cannot have both. */
export function matchKey(entry: EntryDescriptor): string {
  const text = (m: Match | MatchMask) =>
    fields(m).map(([name, value]) => `${name}=${value}`).sort().join(" ");
  return `${entry.priority ?? 0} ${text(entry.match)} / ${text(entry.match_mask ?? {})}`;
}

/** An entry of a basic pipe compares only what the pipe's mask has, and brings none itself. */
export function checkMatch(what: string, pipe: PipeDescriptor, entry: EntryDescriptor): void {
  if (pipe.type === "control") return;
  if (entry.match_mask !== undefined) {
    throw refuse(what, "only entries of control pipes bring a mask", "EINVAL");
  }
  const mask = new Set(fields(pipe.match_mask ?? {}).map(([name]) => name));
  for (const [name] of fields(entry.match)) {
    if (!mask.has(name)) throw refuse(what, `${name} is not in the pipe's mask`, "EINVAL");
  }
}

/** What an entry or a key has counted that is new. */
export const NO_STATS: Stats = { packets: 0n, bytes: 0n, lastUsedNs: 0n };

/** One change of a list as its outcome. */
export function outcomeOf(act: () => Pick<Outcome, "id" | "stats">): Outcome {
  try {
    return { ...act(), error: undefined };
  } catch (error) {
    if (!(error instanceof DataPlaneError)) throw error;
    return { id: 0, stats: NO_STATS, error };
  }
}

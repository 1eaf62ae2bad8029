// SPDX-License-Identifier: Apache-2.0

/** What is wrong with a topology, before any call to a plane. */
import type { EntryDescriptor, Fwd, Match, MatchMask, PortName } from "../../ffi/plane.ts";
import type { Pipe, Topology } from "./types.ts";

/** One sentence for each problem; empty: the topology can be installed. */
export function validateTopology(topology: Topology): readonly string[] {
  return [
    ...names(topology),
    ...roots(topology),
    ...forwards(topology),
    ...cycles(topology),
    ...topology.pipes.flatMap(entries),
  ];
}

/** The pipes that a pipe forwards to, its entries and its miss included; each once. */
export function targets(pipe: Pipe): readonly string[] {
  const all = [pipe.fwd, pipe.fwd_miss, ...pipe.entries.map((entry) => entry.fwd)];
  return [...new Set(all.flatMap((fwd) => fwd?.type === "pipe" ? [fwd.pipe] : []))];
}

/** Dotted names and values of all fields that a match or a mask has: ["outer.src_ip", "10.0.0.1"]. */
export function matchFields(
  match: Match<PortName> | MatchMask,
): readonly (readonly [string, unknown])[] {
  return Object.entries(match).flatMap(([group, value]) =>
    group === "tun"
      ? Object.entries(value.psp ?? {}).map(([k, v]) => [`tun.psp.${k}`, v] as const)
      : Object.entries(value ?? {}).map(([k, v]) => [`${group}.${k}`, v] as const)
  ).filter(([, value]) => value !== undefined);
}

function names({ pipes }: Topology): readonly string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  for (const { name } of pipes) {
    if (seen.has(name)) problems.push(`There are two pipes "${name}"`);
    seen.add(name);
    const octets = new TextEncoder().encode(name).length;
    if (octets < 1 || octets > 31) {
      problems.push(`The name of pipe "${name}" is not 1 to 31 octets long`);
    }
  }
  return problems;
}

function roots({ pipes }: Topology): readonly string[] {
  const found = pipes.filter((pipe) => pipe.is_root);
  return found.length === 1 ? [] : [`There must be exactly one root pipe, not ${found.length}`];
}

function forwards({ pipes }: Topology): readonly string[] {
  const known = new Set<string>(pipes.map((pipe) => pipe.name));
  return pipes.flatMap((pipe) => {
    const problems = targets(pipe).filter((target) => !known.has(target)).map((target) =>
      `Pipe "${pipe.name}" forwards to "${target}", which is not there`
    );
    // Topologies may come from JSON or tests: the type alone does not hold this.
    if ((pipe.fwd_miss as Fwd<string> | undefined) === undefined) {
      problems.push(`Pipe "${pipe.name}" does not say where a miss goes`);
    }
    return problems;
  });
}

function cycles({ pipes }: Topology): readonly string[] {
  const byName = new Map<string, Pipe>(pipes.map((pipe) => [pipe.name, pipe]));
  const problems: string[] = [];
  const done = new Set<string>();
  const walk = (name: string, path: readonly string[]) => {
    if (path.includes(name)) {
      problems.push(
        `Pipes form a cycle: ${[...path.slice(path.indexOf(name)), name].join(" -> ")}`,
      );
      return;
    }
    const pipe = byName.get(name);
    if (pipe === undefined || done.has(name)) return;
    for (const target of targets(pipe)) walk(target, [...path, name]);
    done.add(name);
  };
  for (const { name } of pipes) walk(name, []);
  return problems;
}

function entries(pipe: Pipe): readonly string[] {
  const problems: string[] = [];
  const seenNames = new Set<string>();
  const seenMatches = new Map<string, string>();
  for (const entry of pipe.entries) {
    const what = `Entry "${entry.name}" of pipe "${pipe.name}"`;
    if (seenNames.has(entry.name)) {
      problems.push(`Pipe "${pipe.name}" has two entries "${entry.name}"`);
    }
    seenNames.add(entry.name);
    if (entry.fwd === undefined && pipe.fwd === undefined) {
      problems.push(`${what} does not say where to forward, nor does its pipe`);
    }
    problems.push(
      ...(pipe.type === "basic" ? basicMatch(pipe, entry, what) : maskedMatch(entry, what)),
    );
    const match = JSON.stringify([
      pipe.type === "control" ? entry.priority ?? 0 : 0,
      matchFields(entry.match).map(([field, value]) => `${field}=${value}`).sort(),
    ]);
    const other = seenMatches.get(match);
    if (other !== undefined) problems.push(`${what} has the match of "${other}"`);
    seenMatches.set(match, entry.name);
  }
  return problems;
}

function basicMatch(pipe: Pipe, entry: EntryDescriptor<string>, what: string): readonly string[] {
  const mask = new Map(matchFields(pipe.match_mask ?? {}));
  const problems = matchFields(entry.match).flatMap(([field, value]) =>
    outside(field, value, mask, what)
  );
  if (entry.match_mask !== undefined) {
    problems.push(`${what} brings a mask, which only entries of control pipes may`);
  }
  if (entry.priority !== undefined) {
    problems.push(`${what} has a priority, which only entries of control pipes may`);
  }
  const own = new Map(matchFields(entry.match));
  for (const [field, value] of matchFields(pipe.constant ?? {})) {
    if (own.get(field) !== value) problems.push(`${what} must match ${field} ${String(value)}`);
  }
  return problems;
}

function maskedMatch(entry: EntryDescriptor<string>, what: string): readonly string[] {
  if (entry.match_mask === undefined) return [];
  const mask = new Map(matchFields(entry.match_mask));
  return matchFields(entry.match).flatMap(([field, value]) => outside(field, value, mask, what));
}

function outside(
  field: string,
  value: unknown,
  mask: ReadonlyMap<string, unknown>,
  what: string,
): string[] {
  const bits = mask.get(field);
  if (bits === undefined) return [`${what} matches ${field}, which is not in the mask`];
  if (typeof bits === "boolean") return [];
  if (typeof value !== "number" && typeof value !== "bigint") {
    return [`${what} matches ${field}, whose mask must be the whole field`];
  }
  const beyond = BigInt(value) & ~BigInt(bits as number | bigint);
  return beyond === 0n ? [] : [`${what} matches bits of ${field} that are not in the mask`];
}

// SPDX-License-Identifier: Apache-2.0

/** Puts a topology onto a plane, downstream first, and takes it off again, upstream first. */
import type {
  EntryDescriptor,
  Fwd,
  Match,
  PipeDescriptor,
  Plane,
  PortName,
} from "../../ffi/plane.ts";
import type { Pipe, PipeEntry, PipeName, Topology } from "./types.ts";
import { targets, validateTopology } from "./validate.ts";

/** What `installTopology` needs of a plane. */
export type PipePlane = Pick<Plane, "ports" | "createPipe" | "destroyPipe" | "addEntry">;

/** What names stand for: pipes by id, ports by handle. */
export interface Numbers {
  readonly pipes: ReadonlyMap<PipeName, number>;
  readonly ports: Plane["ports"];
  readonly hosts: HostPortsForm;
}

/**
 * "one": the host port is the plane's first, for good. "many": they come and go, so no pipe names one: ROOT takes for a
 * host port what is not the uplink, and where packets leave to a host port each entry says which. Handles: those that hardware
 * was opened with, for each of which ROOT has its entries; the rest as for many.
 */
export type HostPortsForm = "one" | "many" | readonly number[];

/** The entry that stands for ROOT's miss on the uplink where there are many host ports. */
export const UPLINK_REST = "uplink-rest";

/** The pipes of a topology as a plane numbered them. */
export interface InstalledTopology {
  readonly topology: Topology;
  /** Pipe ids by name, in the order of installation. */
  readonly pipes: ReadonlyMap<PipeName, number>;
  /** Entry ids of the static entries by "PIPE/entry". */
  readonly entries: ReadonlyMap<string, number>;
  /** Throws RangeError when the topology has no such pipe. */
  pipeId(name: PipeName): number;
  /** Removes the pipes with all their entries. Goes on after a failure, and throws the first. */
  remove(): void;
}

/**
 * Installs a topology. A failure removes what had been installed.
 * Throws RangeError with every problem when the topology is not valid, and what the plane throws.
 */
export function installTopology(
  plane: PipePlane,
  topology: Topology,
  { hosts = "one" }: { readonly hosts?: HostPortsForm } = {},
): InstalledTopology {
  const problems = validateTopology(topology);
  if (problems.length > 0) {
    throw new RangeError(`Cannot install the pipes: ${problems.join("; ")}`);
  }
  const pipes = new Map<PipeName, number>();
  const entries = new Map<string, number>();
  const numbers: Numbers = { pipes, ports: plane.ports, hosts };
  try {
    for (const pipe of downstreamFirst(topology)) {
      pipes.set(pipe.name, createPipe(plane, pipe, numbers));
      for (const entry of staticEntries(pipe, hosts)) {
        entries.set(`${pipe.name}/${entry.name}`, createEntry(plane, entry, { pipe, numbers }));
      }
    }
  } catch (error) {
    unwind(plane, pipes);
    throw error;
  }
  return {
    topology,
    pipes,
    entries,
    pipeId(name) {
      const id = pipes.get(name);
      if (id === undefined) throw new RangeError(`There is no pipe "${name}" in this topology`);
      return id;
    },
    remove() {
      const failures = unwind(plane, pipes);
      entries.clear();
      if (failures.length > 0) throw failures[0];
    },
  };
}

/** One pipe, without entries; those that it forwards to are there. Returns its id. */
export function createPipe(plane: PipePlane, pipe: Pipe, numbers: Numbers): number {
  return plane.createPipe(descriptor(pipe, numbers));
}

/** A static entry of a pipe that is there. Returns its id. */
export function createEntry(
  plane: PipePlane,
  entry: PipeEntry,
  { pipe, numbers }: { readonly pipe: Pipe; readonly numbers: Numbers },
): number {
  const id = numbers.pipes.get(pipe.name);
  if (id === undefined) throw new RangeError(`There is no pipe "${pipe.name}" in this topology`);
  return plane.addEntry(id, numbered(entry, numbers));
}

/** Every pipe after all the pipes that it forwards to. */
export function downstreamFirst({ pipes }: Topology): readonly Pipe[] {
  const byName = new Map<string, Pipe>(pipes.map((pipe) => [pipe.name, pipe]));
  const ordered = new Set<Pipe>();
  const visit = (pipe: Pipe) => {
    if (ordered.has(pipe)) return;
    for (const target of targets(pipe)) {
      const next = byName.get(target);
      if (next !== undefined) visit(next);
    }
    ordered.add(pipe);
  };
  for (const pipe of pipes) visit(pipe);
  return [...ordered];
}

function unwind(plane: PipePlane, pipes: Map<PipeName, number>): unknown[] {
  const failures: unknown[] = [];
  for (const [name, id] of [...pipes].reverse()) {
    try {
      plane.destroyPipe(id);
      pipes.delete(name);
    } catch (error) {
      failures.push(error);
    }
  }
  return failures;
}

/** Those that a pipe has from the start. */
export function staticEntries(pipe: Pipe, hosts: HostPortsForm): readonly PipeEntry[] {
  if (!pipe.is_root || hosts === "one") return pipe.entries;
  return hosts === "many" ? anyHost(pipe) : eachHost(pipe, hosts);
}

/** ROOT's entries for each host port. */
function eachHost({ entries }: Pipe, handles: readonly number[]): readonly PipeEntry[] {
  return entries.flatMap((entry): PipeEntry[] => {
    if (entry.match.parser_meta?.port_id !== "host") return [entry];
    return handles.map((handle) => ({ ...entry, name: `${entry.name}@${handle}`, host: handle }));
  });
}

/** ROOT's entries so that whatever is not the uplink is a host port: as many ports as there are, they cost nothing. */
function anyHost({ entries, fwd_miss }: Pipe): readonly PipeEntry[] {
  const isUplink = (entry: PipeEntry) => entry.match.parser_meta?.port_id === "uplink";
  const rest: PipeEntry = {
    name: UPLINK_REST,
    match: { parser_meta: { port_id: "uplink" } },
    monitor: { counter: true },
    fwd: fwd_miss,
  };
  const others = entries.filter((entry) => !isUplink(entry)).map((entry) => {
    const { port_id: _, ...meta } = entry.match.parser_meta ?? {};
    return { ...entry, match: { ...entry.match, parser_meta: meta } };
  });
  return [...entries.filter(isUplink), rest, ...others].map((entry, priority) => ({
    ...entry,
    priority,
  }));
}

function descriptor(pipe: Pipe, numbers: Numbers): PipeDescriptor {
  const { entries: _entries, constant: _constant, fwd, fwd_miss, ...rest } = pipe;
  return {
    ...rest,
    // ROOT has those alone.
    ...pipe.is_root ? { nr_entries: staticEntries(pipe, numbers.hosts).length } : {},
    ...(fwd === undefined ? {} : { fwd: fwdNumber(fwd, numbers) }),
    fwd_miss: fwdNumber(fwd_miss, numbers),
  };
}

function numbered(entry: PipeEntry, numbers: Numbers): EntryDescriptor {
  const { name: _name, host = numbers.ports.host, fwd, match, ...rest } = entry;
  return {
    ...rest,
    match: matchNumber(match, { ...numbers.ports, host }),
    ...fwd === undefined ? {} : { fwd: fwdNumber(fwd, numbers) },
  };
}

function matchNumber(match: Match<PortName>, ports: Readonly<Record<PortName, number>>): Match {
  if (match.parser_meta === undefined) return match as Match<never>;
  const { port_id, ...rest } = match.parser_meta;
  return {
    ...match,
    parser_meta: { ...rest, ...port_id === undefined ? {} : { port_id: ports[port_id] } },
  };
}

function fwdNumber(fwd: Fwd<PipeName>, { pipes, ports, hosts }: Numbers): Fwd {
  if (fwd.type === "port" && fwd.port === "host" && hosts !== "one") return { type: "drop" };
  if (fwd.type === "port") return { type: "port", port: ports[fwd.port] };
  if (fwd.type !== "pipe") return fwd;
  const pipe = pipes.get(fwd.pipe);
  // validateTopology() has seen to it; a Plane must never get NaN or 0 for a pipe.
  if (pipe === undefined) throw new RangeError(`There is no pipe "${fwd.pipe}" in this topology`);
  return { type: "pipe", pipe };
}

// SPDX-License-Identifier: Apache-2.0

/** `psp-agent pipes` */
import { comparesCookies, type Config, hasManyHosts, hostNames } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { hasLocal } from "../plane/host_ports.ts";
import { mermaid, type MermaidOptions } from "../pipes/mermaid.ts";
import { buildTopology } from "../pipes/topology.ts";
import type { Pipe, PipeName, Topology, TopologyOptions } from "../pipes/types.ts";
import { pipeJson } from "../rpc/status_json.ts";
import { EXIT, type ExitCode, json, out } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { connect } from "./target.ts";

/** Which half of the graph. */
export type Part = "h2n" | "n2h" | "all";

/** What the command line says. */
export interface PipesArgs extends Target {
  readonly topology: Part;
  readonly sampling: boolean;
  readonly live: boolean;
  /** "json": of the running agent, always. */
  readonly output: Output;
}

const REFERENCE: TopologyOptions = {
  sampling: false,
  sampleRateLog2: 0,
  mode: "tunnel",
  onDemand: true,
  exceptions: true,
};
/** One in 2^7, unless the configuration says otherwise. */
const DEFAULT_SAMPLE_RATE_LOG2 = 7;

/** Prints the pipes as configured, or the reference ones; with `live`, the running agent's counters too. */
export async function pipes(args: PipesArgs): Promise<ExitCode> {
  if (args.output === "json") {
    await using client = await connect(args);
    out(json((await client.pipes()).map(pipeJson)));
    return EXIT.ok;
  }
  const config = args.config === undefined
    ? undefined
    : (await loadConfig(args.config, { files: "told" })).config;
  const counters = args.live ? await liveCounters(args) : undefined;
  // What runs tells by its names whether it samples.
  const sampling = args.sampling || counters?.has("EGR_SAMP") || false;
  out(picture({ topology: args.topology, sampling, config, counters }));
  return EXIT.ok;
}

/** The picture of a topology: as `config` makes it, or the reference one. */
export function picture(
  { topology, sampling, config, counters }: {
    readonly topology: Part;
    readonly sampling: boolean;
    readonly config?: Config | undefined;
    readonly counters?: Awaited<ReturnType<typeof liveCounters>> | undefined;
  },
): string {
  return mermaid(part(buildTopology(topologyOptions(config, sampling)), topology), {
    ...config?.plane.kind === "soft"
      ? { ports: { uplink: config.plane.uplink, host: hostNames(config.plane).join(" ") } }
      : {},
    ...counters ? { counters: (pipe: PipeName) => counters.get(pipe) } : {},
  });
}

/** The half of a topology that packets from one side meet, ROOT reduced to the entries of that side. */
export function part(topology: Topology, which: Part): Topology {
  if (which === "all") return topology;
  const side = which === "h2n" ? "host" : "uplink";
  const pipes = topology.pipes.map((pipe): Pipe => {
    if (!pipe.is_root) return pipe;
    const entries = pipe.entries.filter(({ match }) => match.parser_meta?.port_id === side);
    // Only the uplink has a kernel behind it.
    return { ...pipe, entries, fwd_miss: side === "host" ? { type: "drop" } : pipe.fwd_miss };
  });
  const byName = new Map(pipes.map((pipe) => [pipe.name, pipe]));
  const reached = new Set<PipeName>();
  const visit = (pipe: Pipe | undefined) => {
    if (!pipe || reached.has(pipe.name)) return;
    reached.add(pipe.name);
    for (const fwd of [pipe.fwd, pipe.fwd_miss, ...pipe.entries.map((entry) => entry.fwd)]) {
      if (fwd?.type === "pipe") visit(byName.get(fwd.pipe));
    }
  };
  visit(pipes.find((pipe) => pipe.is_root));
  return { pipes: pipes.filter(({ name }) => reached.has(name)) };
}

function topologyOptions(config: Config | undefined, sampling: boolean): TopologyOptions {
  const rate = config?.psp.sampleRateLog2 ?? 0;
  const on = sampling || rate > 0;
  return {
    ...REFERENCE,
    ...config
      ? {
        mode: config.psp.mode,
        onDemand: config.tunnel.onDemand,
        local: hasLocal(config.plane),
        ports: hasManyHosts(config.plane),
        vc: comparesCookies(config),
      }
      : {},
    sampling: on,
    sampleRateLog2: on ? rate || DEFAULT_SAMPLE_RATE_LOG2 : 0,
  };
}

async function liveCounters(
  target: Target,
): Promise<Map<string, NonNullable<ReturnType<NonNullable<MermaidOptions["counters"]>>>>> {
  await using client = await connect(target);
  return new Map((await client.pipes()).map((pipe) => [pipe.name, pipe]));
}

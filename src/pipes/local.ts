// SPDX-License-Identifier: Apache-2.0

/** From one workload of this host to another: LOCAL, which what comes in by a host port meets before EGR_ACL. */
import type { EntryDescriptor, Fwd } from "../../ffi/plane.ts";
import { EXPECTED_TUNNELS } from "./egress.ts";
import type { Pipe, TopologyOptions } from "./types.ts";

/** The pipe; whatever it does not know is for other hosts. */
export function localPipe({ ports }: TopologyOptions): Pipe {
  return {
    name: "LOCAL",
    type: "basic",
    domain: "default",
    miss_counter: true,
    nr_entries: EXPECTED_TUNNELS,
    match_mask: {
      ...ports ? { parser_meta: { port_id: true } } : {},
      outer: { src_ip: true, dst_ip: true },
    },
    monitor: { counter: true },
    fwd: { type: "port", port: "host" },
    fwd_miss: { type: "pipe", pipe: "EGR_ACL" },
    entries: [],
  };
}

/** Two workloads of this host, in one direction: addresses, for the port says whose network they are of. */
export interface LocalPair {
  readonly src: string;
  readonly dst: string;
  /** Handle of the port of `src`, where LOCAL tells ports apart. */
  readonly port?: number | undefined;
}

function matchOf({ src, dst, port }: LocalPair): EntryDescriptor["match"] {
  return {
    ...port === undefined ? {} : { parser_meta: { port_id: port } },
    outer: { src_ip: src, dst_ip: dst },
  };
}

/** Packets of the pair go to the workload's port, as a router sends them on. */
export function localEntry(
  pair: LocalPair,
  to: { readonly ethDst: string; readonly ethSrc: string; readonly port: number },
): EntryDescriptor {
  const fwd: Fwd = { type: "port", port: to.port };
  return {
    match: matchOf(pair),
    actions: { route: { eth_dst: to.ethDst, eth_src: to.ethSrc } },
    monitor: { counter: true },
    fwd,
  };
}

/** Packets of the pair go to the agent, which says that nobody gets them. */
export function tellEntry(pair: LocalPair): EntryDescriptor {
  return {
    match: matchOf(pair),
    monitor: { counter: true },
    fwd: { type: "rss", rss: "exception" },
  };
}

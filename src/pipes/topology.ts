// SPDX-License-Identifier: Apache-2.0

/** The reference topologies: ROOT, which classifies, and the two directions behind it. */
import type { Fwd, Match, PortName } from "../../ffi/plane.ts";
import { egressPipes } from "./egress.ts";
import { ingressPipes } from "./ingress.ts";
import { localPipe } from "./local.ts";
import type { Pipe, PipeEntry, PipeName, Topology, TopologyOptions } from "./types.ts";

/** UDP destination port of PSP packets. */
const PSP_UDP_PORT = 1000;

/**
 * The graph for these options, upstream first.
 * Throws RangeError when `sampleRateLog2` is not an integer from 0 to 16 (the width of `random`).
 */
export function buildTopology(options: TopologyOptions): Topology {
  const { sampleRateLog2 } = options;
  if (!Number.isInteger(sampleRateLog2) || sampleRateLog2 < 0 || sampleRateLog2 > 16) {
    throw new RangeError(
      `Cannot build the pipes: the sample rate is one in 2^${sampleRateLog2}, not one in 2^0 to 2^16`,
    );
  }
  const local = options.local ? [localPipe(options)] : [];
  return { pipes: [root(options), ...local, ...egressPipes(options), ...ingressPipes(options)] };
}

function root({ exceptions, local }: TopologyOptions): Pipe {
  const entries = [...exceptions ? EXCEPTIONS : [], ...classification(local ? "LOCAL" : "EGR_ACL")];
  return {
    name: "ROOT",
    type: "control",
    domain: "default",
    is_root: true,
    miss_counter: true,
    nr_entries: entries.length,
    // Isolated mode: what is not ours goes to the kernel, untouched. The host port has none: dropped.
    fwd_miss: { type: "kernel" },
    entries: entries.map((entry, priority) => ({
      ...entry,
      priority,
      monitor: { counter: true },
    })),
  };
}

type RootEntry = Omit<PipeEntry, "priority" | "monitor">;

function fromHost(name: string, match: Match<PortName>): RootEntry {
  return {
    name,
    match: { ...match, parser_meta: { port_id: "host", ...match.parser_meta } },
    fwd: { type: "rss", rss: "exception" },
  };
}

function neighbor(name: string, icmpType: number): RootEntry {
  return fromHost(name, {
    parser_meta: { outer_l4_type: "icmp6" },
    outer: { icmp_type: icmpType },
  });
}

function dhcp(name: string, ports: { readonly client: number; readonly server: number }) {
  return fromHost(name, {
    parser_meta: { outer_l4_type: "udp" },
    outer: { src_port: ports.client, dst_port: ports.server },
  });
}

const EXCEPTIONS: readonly RootEntry[] = [
  fromHost("arp", { outer: { eth_type: 0x0806 } }),
  // RFC 4861: router solicitation, neighbour solicitation, neighbour advertisement.
  neighbor("nd-rs", 133),
  neighbor("nd-ns", 135),
  neighbor("nd-na", 136),
  dhcp("dhcp", { client: 68, server: 67 }),
  dhcp("dhcp6", { client: 546, server: 547 }),
];

function classification(first: PipeName): readonly RootEntry[] {
  const fwd: Fwd<PipeName> = { type: "pipe", pipe: first };
  return [
    {
      name: "host-ipv4",
      match: { parser_meta: { port_id: "host", outer_l3_type: "ipv4" } },
      fwd,
    },
    {
      name: "host-ipv6",
      match: { parser_meta: { port_id: "host", outer_l3_type: "ipv6" } },
      fwd,
    },
    {
      name: "uplink-psp",
      match: {
        parser_meta: { port_id: "uplink", outer_l4_type: "udp" },
        outer: { dst_port: PSP_UDP_PORT },
      },
      fwd: { type: "pipe", pipe: "PSP_DECRYPT" },
    },
  ];
}

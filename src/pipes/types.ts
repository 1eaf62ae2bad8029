// SPDX-License-Identifier: Apache-2.0

/** Pipes as data: the descriptors of the ABI with pipes named instead of numbered. */
import type { EntryDescriptor, Match, PipeDescriptor, PortName } from "../../ffi/plane.ts";

export type PipeName =
  | "ROOT"
  | "LOCAL"
  | "EGR_ACL"
  | "EGR_SAMP"
  | "PSP_ENCRYPT"
  | "PSP_DECRYPT"
  | "INGR_SAMP"
  | "INGR_ACL"
  | "SYND_STATS";

export type Pipe = PipeDescriptor<PipeName> & {
  readonly name: PipeName;
  /** Fields that have this value in every entry, the dynamic ones included. */
  readonly constant?: Match<PortName>;
  /** Entries that are there from the start; the dynamic ones come with tunnels. */
  readonly entries: readonly PipeEntry[];
};

/** A static entry; its name is unique within its pipe. */
export type PipeEntry = EntryDescriptor<PipeName> & {
  readonly name: string;
  /** Handle that "host" stands for in its match; absent: of the plane's first host port. */
  readonly host?: number;
};

/** A graph, in any order; `validateTopology` says whether it can be installed. */
export interface Topology {
  readonly pipes: readonly Pipe[];
}

export interface TopologyOptions {
  readonly sampling: boolean;
  /** One packet in 2^n is sampled; 0..16. */
  readonly sampleRateLog2: number;
  readonly mode: "tunnel" | "transport";
  /** false: static tunnels only, a miss in EGR_ACL is dropped. */
  readonly onDemand: boolean;
  /** ROOT sends ARP, ND and DHCP of the host port to RSS. */
  readonly exceptions: boolean;
  /** Workloads of this host reach one another. Default: false. */
  readonly local?: boolean;
  /** Host ports come and go: EGR_ACL tells them apart. Default: false. */
  readonly ports?: boolean;
  /** INGR_ACL compares the virtualization cookie too (0 where a packet has none). Default: false. */
  readonly vc?: boolean;
}

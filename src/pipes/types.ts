// SPDX-License-Identifier: Apache-2.0

/** Pipes as data: the descriptors of the ABI with pipes named instead of numbered. */
import type { EntryDescriptor, PipeDescriptor } from "../../ffi/plane.ts";

export type PipeName =
  | "ROOT"
  | "EGR_ACL"
  | "EGR_SAMP"
  | "PSP_ENCRYPT"
  | "PSP_DECRYPT"
  | "INGR_SAMP"
  | "INGR_ACL"
  | "SYND_STATS";

export type Pipe = PipeDescriptor<PipeName> & {
  readonly name: PipeName;
  /** Entries that are there from the start; the dynamic ones come with tunnels. */
  readonly entries: readonly (EntryDescriptor<PipeName> & { readonly name: string })[];
};

/** A validated graph, in any order. */
export interface Topology {
  readonly pipes: readonly Pipe[];
}

export interface TopologyOptions {
  readonly sampling: boolean;
  /** One packet in 2^n is sampled. */
  readonly sampleRateLog2: number;
  readonly mode: "tunnel" | "transport";
  /** false: static tunnels only, a miss in EGR_ACL is dropped. */
  readonly onDemand: boolean;
  /** ROOT sends ARP, ND and DHCP of the host port to RSS. */
  readonly exceptions: boolean;
}

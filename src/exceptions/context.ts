// SPDX-License-Identifier: Apache-2.0

/** What the answerers of host exceptions know. Shapes only. */
import type { LocalVip } from "../config/config.ts";
import type { Bytes } from "./frame.ts";

export interface ExceptionContext {
  /** MAC under which this agent appears to workloads. */
  readonly gatewayMac: string;
  /** Link-local IPv6 address made of it. */
  readonly gatewayLinkLocal: string;
  /** IPv4 address that the gateway speaks with. */
  readonly gateway: string;
  /** Vips that the configuration gives to this host, canonical CIDRs. */
  readonly localVips: readonly LocalVip[];
  /**
   * Is this address a peer's vip, a gateway of ours, or that of a workload behind another port? For anything else we
   * stay silent. `isClaim`: who asks wants the address for itself.
   */
  answersFor(address: string, isClaim: boolean): boolean;
  /** Is it an address of the gateway itself? Whoever asks whether it is there is answered. */
  isGateway(address: string): boolean;
  /** Does this address belong to a workload of this host? */
  isLocal(address: string): boolean;
  /** Octets of IP that fit a tunnel: the MTU that workloads are told. */
  readonly mtu: number;
  /** Addresses for those who ask for one. */
  readonly leases: LeaseDesk;
}

/** Who gives addresses to workloads, of the network and for the port of who asks; see `Leases`. */
export interface LeaseDesk {
  /** Kept for it for seconds, the one that it asked for where it may have that; undefined: none is free. */
  offer(mac: string, options?: { readonly asked?: string | undefined }): Lease | undefined;
  /** Its own from now on; undefined: it may not have it. */
  accept(mac: string, address: string): Lease | undefined;
  /** What a workload with an address of its own is told. */
  about(address: string): Lease | undefined;
  /** The workload does not have it any more. True: it had. */
  release(mac: string, address: string, options?: { readonly declined?: boolean }): boolean;
}

/** What DHCP tells a workload. */
export interface Lease {
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly dns: readonly string[];
}

/** What came of an exception frame: a reply for the host port, and an address that was learned. */
export interface Answer {
  readonly reply?: Bytes;
  readonly learned?: { readonly vip: string; readonly mac: string };
  /** An address at which nobody is any more. */
  readonly left?: { readonly vip: string; readonly mac: string };
}

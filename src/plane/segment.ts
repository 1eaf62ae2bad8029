// SPDX-License-Identifier: Apache-2.0

/**
 * What the gateway of one network knows: its vips and prefixes without the network's name, as frames have them. Each
 * network has its own, with its own leases; equal addresses of two have nothing to do with one another.
 */
import type { Config, LocalVip } from "../config/config.ts";
import type { ExceptionContext } from "../exceptions/context.ts";
import { Leases } from "../exceptions/leases.ts";
import { linkLocal } from "../exceptions/nd.ts";
import { DEFAULT_GATEWAY, gatewayOf } from "../exceptions/pools.ts";
import type { LeaseBook } from "../model/lease.ts";
import { addressOf, inNetwork, networkOf } from "../model/network.ts";
import { isLinkScope } from "../model/vip.ts";

/** Of all networks. */
export interface SegmentOptions {
  readonly gatewayMac: string;
  /** Who owns which vip: a peer, or this host. */
  readonly peers: { byVip(vip: string): unknown; isLocal(vip: string): boolean };
  /** Octets of IP that fit a tunnel. */
  readonly mtu: number;
  readonly networks?: Config["networks"] | undefined;
  readonly wallMs: () => number;
  /** Where a network's leases outlive the process. */
  readonly book?: ((network: string) => LeaseBook) | undefined;
}

/** One network, as its guests see it. */
export interface Segment {
  readonly context: ExceptionContext;
  readonly leases: Leases;
}

/** The segments of these vips by network, the default one always; leases of before go on where they can. */
export function segmentsOf(
  vips: readonly LocalVip[],
  options: SegmentOptions,
  before: ReadonlyMap<string, Segment> = new Map(),
): ReadonlyMap<string, Segment> {
  const names = new Set(["", ...vips.map(({ vip }) => networkOf(vip))]);
  return new Map([...names].map((network) => {
    const own = vips.filter(({ vip }) => networkOf(vip) === network)
      .map((vip) => ({ ...vip, vip: addressOf(vip.vip) }));
    const leases = before.get(network)?.leases.renewed(own) ??
      new Leases(own, { wallMs: options.wallMs, book: options.book?.(network) });
    return [network, segment({ network, vips: own, leases }, options)] as const;
  }));
}

function segment(
  { network, vips, leases }: {
    readonly network: string;
    readonly vips: readonly LocalVip[];
    readonly leases: Leases;
  },
  { gatewayMac, peers, mtu, networks }: SegmentOptions,
): Segment {
  const settings = networks?.find(({ name }) => name === network);
  const gateways = new Set(vips.flatMap((vip) => vip.gateway ?? gatewayOf(vip)));
  const gatewayLinkLocal = linkLocal(gatewayMac);
  const vipOf = (address: string) => inNetwork(address, network);
  const context: ExceptionContext = {
    gatewayMac,
    gatewayLinkLocal,
    gateway: vips.map(gatewayOf).find((gateway) => !gateway.includes(":")) ?? DEFAULT_GATEWAY,
    localVips: vips,
    // Whoever owns 0.0.0.0/0 owns no address of the segment: guests look there for each other's.
    answersFor: (address) =>
      gateways.has(address) ||
      (!isLinkScope(address) && peers.byVip(vipOf(address)) !== undefined),
    isGateway: (address) => gateways.has(address) || address === gatewayLinkLocal,
    isLocal: (address) => peers.isLocal(vipOf(address)),
    mtu: Math.min(mtu, settings?.mtu ?? mtu),
    leases: {
      offer: (mac, asked) => leases.offer(mac, { asked }),
      accept: (mac, address) => leases.accept(mac, address),
      about: (address) => leases.about(address),
      release: (mac, address, how) => leases.release(mac, address, how),
    },
  };
  return { context, leases };
}

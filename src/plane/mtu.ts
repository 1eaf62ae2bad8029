// SPDX-License-Identifier: Apache-2.0

/**
 * What PSP adds to a packet: what fits through a tunnel, and how octets of inner packets are counted. A transmit key counts
 * them by itself; an entry of INGR_ACL counts packets as they came in, with all that was added. Source of the overheads: PSP
 * Architecture Specification, figures 1 and 2.
 */
import type { Stats } from "../../ffi/plane.ts";
import { type Config, hasCookies } from "../config/config.ts";
import type { PspMode, RxSa } from "../model/sa.ts";
import type { StatusView } from "../model/status.ts";

const OUTER_IPV4 = 20;
const OUTER_IPV6 = 40;
const UDP = 8;
const PSP_HEADER = 16;
const VC = 8;
const ICV = 16;
const DEFAULT_ROUTE_MTU = 1500;

/** Octets that PSP adds to the packets of one SA. */
export function overheadOf(
  { pip, mode, vc }: {
    readonly pip: string;
    readonly mode: PspMode;
    readonly vc?: bigint | undefined;
  },
): number {
  const outer = pip.includes(":") ? OUTER_IPV6 : OUTER_IPV4;
  const ip = mode === "tunnel" ? outer : 0;
  return ip + UDP + PSP_HEADER + (vc === undefined ? 0 : VC) + ICV;
}

/** Octets that PSP adds to an inner IP packet; the VC counts when any peer or network uses one. */
export function overhead(config: Pick<Config, "pip" | "psp" | "peers" | "networks">): number {
  const { pip, psp: { mode } } = config;
  return overheadOf({ pip, mode, ...hasCookies(config) ? { vc: 0n } : {} });
}

/** The three numbers of `psp-agent status`. */
export function mtuOf(
  config: Pick<Config, "pip" | "psp" | "peers" | "networks">,
  uplink: number = DEFAULT_ROUTE_MTU,
): StatusView["mtu"] {
  const added = overhead(config);
  const carries = Math.min(uplink, config.psp.pathMtu ?? uplink);
  return { uplink, overhead: added, largestInnerPacket: carries - added };
}

/** What an entry of a receive SA counts of each packet besides the inner one. `pip`: where its packets arrive. */
export function rxOverhead({ mode, vc }: Pick<RxSa, "mode" | "vc">, pip: string): bigint {
  return BigInt(overheadOf({ pip, mode, vc }));
}

/** The same packets, `each` octets less. */
export function inner<S extends Pick<Stats, "packets" | "bytes">>(stats: S, each: bigint): S {
  const { packets, bytes } = stats;
  return { ...stats, bytes: bytes > packets * each ? bytes - packets * each : 0n };
}

// SPDX-License-Identifier: Apache-2.0

/** What fits through a tunnel. Source of the overheads: PSP Architecture Specification, figures 1 and 2. */
import type { Config } from "../config/config.ts";
import { hasCookies } from "../config/forms.ts";
import type { PspMode } from "../model/sa.ts";
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

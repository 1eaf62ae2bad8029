// SPDX-License-Identifier: Apache-2.0

/** What an operator may order a running agent to do about its tunnels. */

/** Which tunnels: all conditions hold, and there is at least one. */
export interface TunnelSelector {
  readonly peer?: string | undefined;
  /** One address or both of the pair, in any order, canonical. */
  readonly vips: readonly string[];
  /** Of one of its SAs, in either direction. */
  readonly spi?: number | undefined;
}

/** What came of an order. */
export interface OrderView {
  /** So many tunnels are concerned. */
  readonly tunnels: number;
  /** One sentence: what happens, or why nothing does. */
  readonly message: string;
}

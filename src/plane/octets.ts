// SPDX-License-Identifier: Apache-2.0

/**
 * Octets of inner IP packets, as SAs are counted in both directions. A transmit key counts them by itself; an entry of
 * INGR_ACL counts packets as they came in, with all that PSP has added.
 */
import type { Stats } from "../../ffi/plane.ts";
import type { RxSa } from "../model/sa.ts";
import { overheadOf } from "./mtu.ts";

/** What an entry of a receive SA counts of each packet besides the inner one. `pip`: where its packets arrive. */
export function rxOverhead({ mode, vc }: Pick<RxSa, "mode" | "vc">, pip: string): bigint {
  return BigInt(overheadOf({ pip, mode, vc }));
}

/** The same packets, `each` octets less. */
export function inner<S extends Pick<Stats, "packets" | "bytes">>(stats: S, each: bigint): S {
  const { packets, bytes } = stats;
  return { ...stats, bytes: bytes > packets * each ? bytes - packets * each : 0n };
}

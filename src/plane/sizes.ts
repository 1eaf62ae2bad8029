// SPDX-License-Identifier: Apache-2.0

/**
 * How large a plane is asked for. Memory of a device is taken when the plane opens, used or not, and how much a device
 * has is nowhere to be read: hardware is asked for what this host's peers need, and for half of it when it refuses.
 */
import { DataPlaneError } from "../../ffi/plane.ts";
import { LIMITS } from "../../ffi/symbols.ts";
import type { Config } from "../config/config.ts";

/** Of a plane in hardware. */
export interface Sizes {
  readonly maxEntries: number;
  readonly maxCryptoIds: number;
  /** Octets; absent: what maxEntries may need. */
  readonly actionsMemory?: number;
}

/** Tunnels that a host has with one peer, by the rule of thumb of nobody; more are a matter of configuration. */
const TUNNELS_PER_PEER = 64;
const TUNNELS_MIN = 1024;
/** EGR_ACL, PSP_ENCRYPT where samples are taken, and INGR_ACL twice while a tunnel is rekeyed. */
const ENTRIES_PER_TUNNEL = 4;

/** Less than this is no plane: what remains is a device without room at all. */
export const LEAST: Sizes = { maxEntries: 256, maxCryptoIds: 64, actionsMemory: 2 ** 20 };

/** What the configuration says, and for the rest what so many peers need. */
export function sizesFor(
  { plane, peers }: Pick<Config, "peers"> & { readonly plane: Partial<Sizes> },
): Sizes {
  const tunnels = Math.max(TUNNELS_MIN, peers.length * TUNNELS_PER_PEER);
  const maxEntries = plane.maxEntries ??
    Math.min(tunnels * ENTRIES_PER_TUNNEL, LIMITS.max_entries.default);
  return {
    maxEntries,
    maxCryptoIds: plane.maxCryptoIds ?? cryptoIdsFor(maxEntries),
    ...plane.actionsMemory === undefined ? {} : { actionsMemory: plane.actionsMemory },
  };
}

/** Half as many as entries: one in use and one that retires, for tunnels of four entries each. */
export function cryptoIdsFor(maxEntries: number): number {
  return Math.ceil(maxEntries / 2);
}

/** Half of each, down to the least; undefined: there is nothing smaller. */
export function smaller(sizes: Sizes): Sizes | undefined {
  const half = (value: number, least: number) =>
    Math.max(Math.min(value, least), Math.floor(value / 2));
  const next: Sizes = {
    maxEntries: half(sizes.maxEntries, LEAST.maxEntries),
    maxCryptoIds: half(sizes.maxCryptoIds, LEAST.maxCryptoIds),
    ...sizes.actionsMemory === undefined
      ? {}
      : { actionsMemory: half(sizes.actionsMemory, LEAST.actionsMemory ?? 0) },
  };
  const same = next.maxEntries === sizes.maxEntries &&
    next.maxCryptoIds === sizes.maxCryptoIds && next.actionsMemory === sizes.actionsMemory;
  return same ? undefined : next;
}

/**
 * Opens with `sizes`, and as long as the device says that it has no memory with half of them. `stepped` hears of each refusal
 * that is followed by another attempt. Throws what `open` throws.
 */
export async function openWithin<T>(
  sizes: Sizes,
  { open, stepped }: {
    readonly open: (sizes: Sizes) => Promise<T>;
    readonly stepped: (error: DataPlaneError, next: Sizes) => void;
  },
): Promise<T> {
  for (let now = sizes;;) {
    try {
      return await open(now);
    } catch (error) {
      const next = smaller(now);
      if (!(error instanceof DataPlaneError) || error.code !== "ENOMEM" || next === undefined) {
        throw error;
      }
      stepped(error, next);
      now = next;
    }
  }
}

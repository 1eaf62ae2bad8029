// SPDX-License-Identifier: Apache-2.0

/** What the functions of `c-shim/psp_dp.h` return. */
import { DataPlaneError } from "./plane.ts";

/** enum psp_dp_status: name and meaning by value. */
const STATUS: Readonly<Record<number, readonly [name: string, meaning: string]>> = {
  [-1]: ["EINVAL", "an argument is wrong"],
  [-2]: ["ENOMEM", "out of memory"],
  [-3]: ["ENOENT", "there is none"],
  [-4]: ["EEXIST", "it is there already"],
  [-5]: ["ENOSPC", "a limit of the configuration is reached"],
  [-6]: ["EIO", "the device or the kernel refused"],
  [-7]: ["EPERM", "CAP_NET_RAW or CAP_NET_ADMIN is missing"],
  [-8]: ["ENODEV", "there is no such interface or device"],
  [-9]: ["EBUSY", "it is still in use"],
  [-10]: ["ECLOSED", "the data plane is closed"],
  [-11]: ["ENOTSUP", "this data plane or backend cannot do it"],
  [-12]: ["ERANGE", "the buffer is too small"],
  [-13]: ["EKEY", "the key is in use already, or its SPIs are exhausted"],
};

/** PSP_DP_ERANGE: the caller's buffer is too small, and the length says what is needed. */
export const ERANGE = -12;
/** PSP_DP_ECLOSED: the plane was closed. */
export const ECLOSED = -10;
/** PSP_DP_ENOENT: nothing there. */
export const ENOENT = -3;

/**
 * Throws `DataPlaneError` unless `status` is 0: what could not be done ("Cannot ..."), then why. `text`
 * gives the library's own sentence, which wins over the general meaning.
 */
export function unwrap(status: number, what: string, text?: () => string): void {
  if (status === 0) return;
  const [code, meaning] = STATUS[status] ?? [`E${-status}`, `status ${status}`];
  const why = text?.() || meaning;
  throw new DataPlaneError(why.startsWith("Cannot ") ? why : `${what}: ${why}`, code);
}

// SPDX-License-Identifier: Apache-2.0

/** The shim that tests load: what `make -C c-shim libpsp_dp_soft.so` built. */
import { fileURLToPath } from "node:url";

/** Its path; PSP_DP_LIBRARY in the environment names another. */
export function libraryPath(): string {
  return Deno.env.get("PSP_DP_LIBRARY") ??
    fileURLToPath(new URL("../../build/shim/libpsp_dp_soft.so", import.meta.url));
}

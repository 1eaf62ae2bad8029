// SPDX-License-Identifier: Apache-2.0

/** The shim that tests load: what `make -C c-shim` built for the plane that PSP_PLANE names. */
import { fileURLToPath } from "node:url";
import { PLANE, STANDIN_LIBRARY } from "./standin.ts";

/** Its path; PSP_DP_LIBRARY in the environment names another. */
export function libraryPath(): string {
  return Deno.env.get("PSP_DP_LIBRARY") ??
    (PLANE === "doca"
      ? STANDIN_LIBRARY
      : fileURLToPath(new URL("../../build/shim/libpsp_dp_soft.so", import.meta.url)));
}

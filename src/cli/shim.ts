// SPDX-License-Identifier: Apache-2.0

/** Which shim to load: what the command or the configuration says, the environment, or our own. */
import { join } from "node:path";
import type { PlaneConfig } from "../config/config.ts";
import { extractShim } from "./embedded_shim.ts";
import { CommandError, EXIT } from "./io.ts";

/** The variable that names a shim, or the directory that holds it. */
const SHIM_VARIABLE = "PSP_AGENT_SHIM";

/**
 * A program that lies below this is the self-extracting form (tools/launcher): it uses its files through the
 * directory that the launcher has looked at. The runtime's permissions do not let us look there, only load.
 */
const DESCRIPTORS = "/proc/self/fd/";

/** What there is to choose from. */
export interface ShimOptions {
  /** `--library` or `plane.library`. */
  readonly library?: string | undefined;
  /** Default: soft. */
  readonly kind?: PlaneConfig["kind"];
}

/**
 * Path of the shared library. Throws `CommandError` when it is nowhere. In a compiled binary our own one is
 * embedded, and extracted first.
 */
export function shimPath({ library, kind = "soft" }: ShimOptions = {}): string {
  const name = `libpsp_dp_${kind}.so`;
  const named = library ?? Deno.env.get(SHIM_VARIABLE);
  if (named !== undefined && named !== "") {
    const path = isDirectory(named) ? join(named, name) : named;
    if (!exists(path)) {
      throw new CommandError(`Cannot load the shim "${path}": no such file`, EXIT.config);
    }
    return path;
  }
  // In a binary all of the program is one folder; in the sources it is not.
  for (const place of [`./${name}`, `../../build/shim/${name}`]) {
    const own = new URL(place, import.meta.url).pathname;
    if (own.startsWith(DESCRIPTORS)) return own;
    if (exists(own)) return Deno.build.standalone ? extractShim(own) : own;
  }
  throw new CommandError(
    `Cannot load the shim: ${name} is not built (${
      kind === "soft" ? 'run "make shim"' : "docs/doca.md says how"
    }, or name one in ${SHIM_VARIABLE})`,
    EXIT.config,
  );
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

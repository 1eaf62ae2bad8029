// SPDX-License-Identifier: Apache-2.0

/** `psp-agent check` */
import { toFile } from "../config/file_form.ts";
import { loadConfig } from "../config/load.ts";
import { err, EXIT, type ExitCode, json, out } from "./io.ts";

/** Prints the effective configuration, loadable again, on stdout; warnings on stderr. Throws `ConfigError`. */
export async function check({ config: file }: { readonly config: string }): Promise<ExitCode> {
  const { config, warnings } = await loadConfig(file, { files: "warn" });
  for (const warning of warnings) err(`warning: ${warning}`);
  out(json(toFile(config)));
  return EXIT.ok;
}

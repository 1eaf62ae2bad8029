// SPDX-License-Identifier: Apache-2.0

/** `psp-agent config import` */
import { importGateway, type ImportOptions } from "../config/import_gateway.ts";
import { fileReason } from "../config/reasons.ts";
import { CommandError, err, EXIT, type ExitCode, json, out } from "./io.ts";

/** Prints a configuration of ours on stdout, what to look at on stderr. Throws `ConfigError`. */
export async function configImport(
  { file, ...options }: ImportOptions & { readonly file: string },
): Promise<ExitCode> {
  const { file: ours, notes } = importGateway(await read(file), file, options);
  for (const note of notes) err(`note: ${note}`);
  out(json(ours));
  return EXIT.ok;
}

async function read(file: string): Promise<string> {
  try {
    return await Deno.readTextFile(file);
  } catch (cause) {
    throw new CommandError(`Cannot import "${file}": ${fileReason(cause)}`, EXIT.config, { cause });
  }
}

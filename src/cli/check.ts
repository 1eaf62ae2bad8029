// SPDX-License-Identifier: Apache-2.0

/** `psp-agent check` */
import { ConfigError } from "../config/config.ts";
import { toFile } from "../config/file_form.ts";
import { loadConfig } from "../config/load.ts";
import { examineCertificates } from "./certificates.ts";
import { err, errSome, EXIT, type ExitCode, json, out } from "./io.ts";

/**
 * Prints the effective configuration, loadable again, on stdout; warnings on stderr. Certificates are looked
 * at where they can be read: the file may be for another machine. Throws `ConfigError`.
 */
export async function check({ config: file }: { readonly config: string }): Promise<ExitCode> {
  const loaded = await loadConfig(file, { files: "told" });
  const { config, warnings, unreadable } = loaded;
  const certificates = examineCertificates(loaded, Date.now());
  errSome(warnings.map((warning) => `warning: ${warning}`));
  for (const { text } of unreadable) err(`warning: ${text}; the agent does not start without it`);
  for (const warning of certificates.warnings) err(`warning: ${file}: ${warning}`);
  const { problems } = certificates;
  const [only = ""] = problems;
  if (problems.length === 1) throw new ConfigError(`Cannot use configuration ${file}: ${only}`);
  if (problems.length > 1) {
    throw new ConfigError(
      `Cannot use configuration "${file}": ${problems.length} problems`,
      problems.map((problem) => `${file}: ${problem}`),
    );
  }
  out(json(toFile(config)));
  return EXIT.ok;
}

// SPDX-License-Identifier: Apache-2.0

/** `psp-agent check` */
import { etcdFindings } from "../doctor/etcd.ts";
import { toFile } from "../config/config.ts";
import { loadConfig, report } from "../config/load.ts";
import { err, errSome, EXIT, type ExitCode, json, out } from "./io.ts";
import { examineStart } from "./start_faults.ts";

/**
 * Prints the effective configuration, loadable again, on stdout; warnings on stderr. Files that it names are looked
 * at where they can be read: the configuration may be for another machine. Throws `ConfigError` for whatever an agent
 * would refuse. That etcd does not answer here, or not to these certificates, is a warning likewise.
 */
export async function check({ config: file }: { readonly config: string }): Promise<ExitCode> {
  const loaded = await loadConfig(file, { files: "told" });
  const { config, warnings, unreadable, place } = loaded;
  const start = await examineStart(loaded, Date.now());
  const placed = ({ key, text }: { readonly key: string; readonly text: string }) =>
    `${place(key)}: ${key}: ${text}`;
  errSome(warnings.map((warning) => `warning: ${warning}`));
  for (const { text } of unreadable) err(`warning: ${text}; the agent does not start without it`);
  for (const warning of start.warnings) err(`warning: ${placed(warning)}`);
  const { etcd } = config.directory;
  for (const { what, verdict, found } of etcd === undefined ? [] : await etcdFindings(etcd)) {
    if (verdict !== "ok") {
      err(`warning: ${placed({ key: "directory.etcd", text: `${what}: ${found}` })}`);
    }
  }
  if (start.problems.length > 0) throw report(file, start.problems.map(placed));
  out(json(toFile(config)));
  // For people: who reads the output of a program has its exit code.
  if (Deno.stderr.isTerminal()) {
    err(`${file}: an agent takes it, as it stands above with every default`);
  }
  return EXIT.ok;
}

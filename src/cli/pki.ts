// SPDX-License-Identifier: Apache-2.0

/** `psp-agent pki`: a CA and certificates, so that nobody needs OpenSSL for a trial. */
import { compact } from "./options.ts";
import { pkiInit, pkiIssue } from "../pki/pki.ts";
import { err, EXIT, type ExitCode, out } from "./io.ts";

interface Args {
  readonly dir: string;
  readonly days: number | undefined;
  readonly force: boolean;
}

/** `pki init`. Throws `ConfigError`. */
export async function init(args: Args & { readonly name: string | undefined }): Promise<ExitCode> {
  const { cert, key } = await pkiInit(compact(args));
  out(`${cert}\n${key}\n`);
  return EXIT.ok;
}

/** What `pki issue` takes beside a directory. */
export interface IssueArgs extends Args {
  readonly id: string;
  readonly domain: string;
  readonly caDir: string | undefined;
  readonly ips: readonly string[];
  readonly dns: readonly string[];
}

/** `pki issue`. Throws `ConfigError`. */
export async function issue(args: IssueArgs): Promise<ExitCode> {
  const { cert, key, spiffeId, notes } = await pkiIssue(compact(args));
  out(`${cert}\n${key}\n${spiffeId}\n`);
  for (const note of notes) err(`note: ${note}`);
  return EXIT.ok;
}

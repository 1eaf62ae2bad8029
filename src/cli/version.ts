// SPDX-License-Identifier: Apache-2.0

/** `psp-agent version` */
import { VERSION } from "../model/version.ts";
import { EXIT, type ExitCode, out } from "./io.ts";

/** One line for people, or with the parts apart for programs. */
export function version({ json }: { readonly json: boolean }): ExitCode {
  const { os, arch } = Deno.build;
  out(
    json
      ? `${JSON.stringify({ version: VERSION, deno: Deno.version.deno, os, arch })}\n`
      : `psp-agent ${VERSION} (Deno ${Deno.version.deno}, ${os} ${arch})\n`,
  );
  return EXIT.ok;
}

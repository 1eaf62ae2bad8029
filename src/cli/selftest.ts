// SPDX-License-Identifier: Apache-2.0

/** `psp-agent selftest` */
import { openLibrary } from "../../ffi/library.ts";
import { type Backend, backends, offline } from "../../ffi/offline.ts";
import { fileReason } from "../config/reasons.ts";
import { runVectors } from "../selftest/selftest.ts";
import { CommandError, EXIT, type ExitCode, naming, out } from "./io.ts";
import { shimPath } from "./shim.ts";

/** What the command line says. */
export interface SelftestArgs {
  readonly files: readonly string[];
  /** "all": each one that this machine can use. */
  readonly backend: Backend | "all";
  readonly library: string | undefined;
}

/** One line per vector that fails, and last "N passed, N failed". Throws `ConfigError` for a file of another kind. */
export async function selftest(
  { files, backend, library: named }: SelftestArgs,
): Promise<ExitCode> {
  using library = openLibrary(shimPath({ library: named }));
  const usable = backend === "all" ? backends(library).filter(isBackend) : [backend];
  let passed = 0;
  let failed = 0;
  for (const name of usable) {
    const crypto = offline(library, name);
    for (const file of files) {
      const text = await read(file);
      for (const result of naming("vectors", file, () => runVectors(text, { crypto }))) {
        if (result.pass) passed++;
        else {
          failed++;
          out(`FAILED ${file}: ${result.name} (${name}): ${result.reason ?? "no reason given"}\n`);
        }
      }
    }
  }
  out(`${passed} passed, ${failed} failed\n`);
  return failed === 0 && passed > 0 ? EXIT.ok : EXIT.failure;
}

function isBackend(name: string): name is Backend {
  return name === "openssl" || name === "ipsec-mb" || name === "vaes";
}

async function read(file: string): Promise<string> {
  try {
    return await Deno.readTextFile(file);
  } catch (cause) {
    const why = fileReason(cause);
    throw new CommandError(`Cannot read vectors "${file}": ${why}`, EXIT.failure, { cause });
  }
}

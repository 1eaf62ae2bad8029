// SPDX-License-Identifier: Apache-2.0

/** `psp-agent config example` */
import { EXAMPLE } from "../config/example.ts";
import { EXIT, type ExitCode, out } from "./io.ts";

/** Prints a configuration with every key and what each is for. */
export function configExample(): ExitCode {
  out(EXAMPLE);
  return EXIT.ok;
}

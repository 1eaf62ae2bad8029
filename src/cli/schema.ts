// SPDX-License-Identifier: Apache-2.0

/** `psp-agent schema` */
import { outputSchema } from "../rpc/output_schema.ts";
import { EXIT, type ExitCode, json, out } from "./io.ts";

/** Prints the JSON Schema of what the API answers and of what the commands print. */
export function schema(): ExitCode {
  out(json(outputSchema()));
  return EXIT.ok;
}

// SPDX-License-Identifier: Apache-2.0

/** `--watch`: the same again and again, on a terminal the latest only. */
import { type ExitCode, out } from "./io.ts";
import type { Output } from "./options.ts";

const INTERVAL_MS = 1000;
/** To the top left, and nothing below: on terminals alone. */
const CLEAR = "\x1b[H\x1b[2J";

/** What the command line says. */
export interface WatchArgs {
  readonly output: Output;
  readonly watch: boolean;
}

/**
 * Lets `look` print once, or once a second until a signal ends the process. What is watched is printed when all of it is
 * there, what is looked at once as it comes.
 */
export async function watching(
  { output, watch }: WatchArgs,
  look: (print: (text: string) => void) => Promise<ExitCode>,
): Promise<ExitCode> {
  if (!watch) return await look(out);
  for (;;) {
    let text = "";
    await look((part) => text += part);
    out(output === "table" && Deno.stdout.isTerminal() ? `${CLEAR}${text}` : text);
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}

// SPDX-License-Identifier: Apache-2.0

/** `--watch`: the same again and again, on a terminal the latest only. */
import { CommandError, err, EXIT, type ExitCode, out, sentence } from "./io.ts";
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
 * there, what is looked at once as it comes. An agent that has answered once is asked again when it does not answer.
 */
export async function watching(
  { output, watch }: WatchArgs,
  look: (print: (text: string) => void) => Promise<ExitCode>,
): Promise<ExitCode> {
  if (!watch) return await look(out);
  let isKnown = false;
  for (;;) {
    let text = "";
    try {
      await look((part) => text += part);
      isKnown = true;
    } catch (error) {
      // Whoever watches an agent wants to see it go, and come back.
      if (!isKnown || !isUnreachable(error)) throw error;
      err(sentence(error));
      text = "";
    }
    if (text !== "") out(output === "table" && Deno.stdout.isTerminal() ? `${CLEAR}${text}` : text);
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}

function isUnreachable(error: unknown): boolean {
  return error instanceof CommandError && error.exitCode === EXIT.unreachable;
}

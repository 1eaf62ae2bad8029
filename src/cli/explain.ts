// SPDX-License-Identifier: Apache-2.0

/** `psp-agent explain` */
import { canonicalVip } from "../model/vip.ts";
import type { ExplainView } from "../model/status.ts";
import { explainJson } from "../rpc/status_json.ts";
import { CommandError, EXIT, type ExitCode, json, out } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { connect } from "./target.ts";

/** What the command line says. */
export interface ExplainArgs extends Target {
  readonly output: Output;
  readonly src: string;
  readonly dst: string;
}

/** Prints what would become of a packet. Ends with `degraded` where it would be dropped. */
export async function explain(args: ExplainArgs): Promise<ExitCode> {
  const [src, dst] = [address(args.src), address(args.dst)];
  await using client = await connect(args);
  const view = await client.explain({ src, dst });
  out(args.output === "json" ? json(explainJson(view)) : explainText(view));
  return view.verdict === "dropped" ? EXIT.degraded : EXIT.ok;
}

/** One line for each step, then the verdict. */
export function explainText({ verdict, counter, steps }: ExplainView): string {
  const lines = steps.map(({ at, verdict, text }) =>
    `${at.padEnd(12)} ${verdict.padEnd(8)} ${text}\n`
  );
  const last = {
    passes: "The packet passes.",
    held: "The packet waits for a tunnel.",
    dropped: `The packet is dropped${counter === undefined ? "" : `, and counted as ${counter}`}.`,
  };
  return `${lines.join("")}${last[verdict]}\n`;
}

function address(given: string): string {
  const found = canonicalVip(given);
  if (found === undefined) throw new CommandError(`"${given}" is not an address`, EXIT.usage);
  return found;
}

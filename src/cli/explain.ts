// SPDX-License-Identifier: Apache-2.0

/** `psp-agent explain` */
import { type ExplainView, verdictText } from "../model/status.ts";
import { explainJson } from "../rpc/status_json.ts";
import { address, EXIT, type ExitCode, json, out } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { connect } from "./target.ts";

/** What the command line says. */
export interface ExplainArgs extends Target {
  readonly output: Output;
  readonly src: string;
  readonly dst: string;
  readonly length?: number | undefined;
  readonly ttl?: number | undefined;
  readonly port?: string | undefined;
}

/** Prints what would become of a packet. Ends with `degraded` where it would be dropped. */
export async function explain(args: ExplainArgs): Promise<ExitCode> {
  const [src, dst] = [address(args.src), address(args.dst)];
  await using client = await connect(args);
  const { length, ttl, port } = args;
  const view = await client.explain({ src, dst, length, ttl, port });
  out(args.output === "json" ? json(explainJson(view)) : explainText(view));
  return view.verdict === "dropped" ? EXIT.degraded : EXIT.ok;
}

/** One line for each step, those of the peer under its name, then the verdict. */
function explainText(view: ExplainView): string {
  const { steps } = view;
  const several = steps.some(({ host }) => host !== undefined);
  let said: string | undefined;
  const lines = steps.map(({ at, verdict, text, host = "this host" }) => {
    const head = several && host !== said ? `${host}:\n` : "";
    said = host;
    return `${head}${several ? "  " : ""}${at.padEnd(12)} ${verdict.padEnd(8)} ${text}\n`;
  });
  return `${lines.join("")}${verdictText(view)}\n`;
}

// SPDX-License-Identifier: Apache-2.0

/** `psp-agent reload` */
import { reloadJson } from "../rpc/status_json.ts";
import { EXIT, type ExitCode, json, out } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { openProgress } from "./progress.ts";
import { connect } from "./target.ts";

/** Lets the agent read its configuration again, waits, and prints what came of it. Fails when the agent refuses. */
export async function reload(
  args: Target & { readonly output: Output; readonly plan: boolean },
): Promise<ExitCode> {
  await using client = await connect(args);
  using progress = openProgress();
  const view = await progress.during(
    "The agent reads its configuration",
    client.reload({ plan: args.plan }),
  );
  const said = args.plan ? "Would reload" : "Reloaded";
  if (args.output === "json") out(json(reloadJson(view)));
  else out(`${view.done ? `${said}: ` : ""}${view.message}\n`);
  return view.done ? EXIT.ok : EXIT.failure;
}

// SPDX-License-Identifier: Apache-2.0

/** `psp-agent rotate` */
import { rotateJson } from "../rpc/status_json.ts";
import { EXIT, type ExitCode, json, out } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { connect } from "./target.ts";

/** Peers in the text; the JSON has them all. */
const NAMED = 10;

/** Rotates, or says what that would mean. Fails when the agent refuses. */
export async function rotate(
  args: Target & { readonly output: Output; readonly plan: boolean },
): Promise<ExitCode> {
  await using client = await connect(args);
  const view = await client.rotate({ plan: args.plan });
  if (args.output === "json") out(json(rotateJson(view)));
  else {
    const { rotation, peers, message } = view;
    const named = peers.slice(0, NAMED).join(", ");
    const more = peers.length > NAMED ? ` and ${peers.length - NAMED} more` : "";
    out(`${message}${named && `: ${named}${more}`}\n`);
    out(`So far: ${rotation.rotations} rotations, ${rotation.sasOnOldKey} SAs on the old key\n`);
  }
  return args.plan || view.started ? EXIT.ok : EXIT.failure;
}

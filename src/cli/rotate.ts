// SPDX-License-Identifier: Apache-2.0

/** `psp-agent rotate` */
import { rotateJson } from "../rpc/status_json.ts";
import { EXIT, type ExitCode, json, out } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { connect } from "./target.ts";

/** Rotates, or says what that would mean. Fails when the agent refuses. */
export async function rotate(
  args: Target & { readonly output: Output; readonly plan: boolean },
): Promise<ExitCode> {
  await using client = await connect(args);
  const view = await client.rotate({ plan: args.plan });
  if (args.output === "json") out(json(rotateJson(view)));
  else {
    const { rotation, peers, tunnels, message } = view;
    out(`${message}\n`);
    out(
      `${tunnels} tunnels with ${peers.length} peers${
        peers.length > 0 ? ` (${peers.join(", ")})` : ""
      }, ` +
        `${rotation.sasOnOldKey} SAs on the old key, ${rotation.rotations} rotations so far\n`,
    );
  }
  return args.plan || view.started ? EXIT.ok : EXIT.failure;
}

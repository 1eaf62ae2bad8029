// SPDX-License-Identifier: Apache-2.0

/** `psp-agent ping` */
import type { PingView } from "../model/ping.ts";
import { pingJson } from "../rpc/status_json.ts";
import { address, CommandError, EXIT, type ExitCode, json, out, table } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { connect } from "./target.ts";

/** The agent waits no longer for a leg. */
const MOST_MS = 10_000;

/** What the command line says. */
export interface PingArgs extends Target {
  readonly output: Output;
  readonly dst: string;
  readonly from: string | undefined;
  /** Milliseconds, for each leg. */
  readonly timeout: number;
}

/** Prints one line for each leg. Ends with `degraded` unless all of them are well. */
export async function ping(args: PingArgs): Promise<ExitCode> {
  const dst = address(args.dst);
  const src = args.from === undefined ? undefined : address(args.from);
  if (args.timeout > MOST_MS) throw new CommandError("--timeout: at most 10s a leg", EXIT.usage);
  await using client = await connect(args);
  const view = await client.ping({ src, dst, timeoutMs: args.timeout });
  out(args.output === "json" ? json(pingJson(view)) : pingText(view));
  return view.legs.every(({ verdict }) => verdict === "ok") ? EXIT.ok : EXIT.degraded;
}

/** For people. */
function pingText({ legs }: PingView): string {
  const rows = legs.map(({ name, verdict, ms, text }) => [
    name,
    verdict,
    ms === undefined ? "-" : `${ms.toFixed(1)} ms`,
    text,
  ]);
  return table(["LEG", "IS", "TIME", "WHAT"], rows, [2]);
}

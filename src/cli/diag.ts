// SPDX-License-Identifier: Apache-2.0

/** `psp-agent diag`: what a bug report needs, in one file without a secret. */
import { loadConfig } from "../config/load.ts";
import { toFile } from "../config/config.ts";
import { VERSION } from "../model/version.ts";
import { eventJson, pipeJson, statusJson, tunnelJson } from "../rpc/status_json.ts";
import { findingsOf } from "./doctor.ts";
import { cannotWrite, CommandError, EXIT, type ExitCode, json, out, sentence } from "./io.ts";
import type { Target } from "./options.ts";
import { openProgress } from "./progress.ts";
import { connect } from "./target.ts";

/** Keys of a configuration whose values are nobody's business. */
const SECRET = /password|secret|token$/;
/** Tunnels in it, of the first that the agent lists. */
const TUNNELS = 500;

/** Writes it. What cannot be had is named with the reason instead; without an agent that is most of it. */
export async function diag(args: Target & { readonly out: string | undefined }): Promise<ExitCode> {
  await using client = await connect(args);
  using progress = openProgress();
  let gone: { readonly missing: string } | undefined;
  const part = async (get: () => unknown): Promise<unknown> => {
    try {
      return await get();
    } catch (error) {
      const missing = { missing: sentence(error) };
      if (error instanceof CommandError && error.exitCode === EXIT.unreachable) gone = missing;
      return missing;
    }
  };
  // Nobody waits for each answer of an agent that gives none.
  const told = async (get: () => Promise<unknown>) => gone ?? await part(get);
  const bundle = {
    madeAt: new Date().toISOString(),
    command: { version: VERSION, deno: Deno.version, os: Deno.osRelease(), arch: Deno.build.arch },
    status: await told(async () => statusJson(await client.status())),
    pipes: await told(async () => (await client.pipes()).map(pipeJson)),
    tunnels: await told(async () => {
      const found = [];
      for await (const page of client.tunnels()) {
        found.push(...page.map(tunnelJson));
        progress.to(() => `${found.length} tunnels`);
        if (found.length >= TUNNELS) break;
      }
      return found.slice(0, TUNNELS);
    }),
    events: await told(async () => {
      const found = [];
      for await (const event of client.events({})) {
        found.push(eventJson(event));
        progress.to(() => `${found.length} events`);
      }
      return found;
    }),
    log: await told(async () =>
      await client.logLines() ?? { missing: "This agent is of a version that keeps no lines" }
    ),
    metrics: await told(async () => (await client.metrics()).split("\n")),
    doctor: await part(() => findingsOf({ config: args.config, library: undefined })),
    // Files are named in it, not read.
    ...args.config === undefined ? {} : { config: await part(() => configOf(args.config ?? "")) },
  };
  progress.clear();
  if (args.out === undefined) {
    out(json(bundle));
    return EXIT.ok;
  }
  try {
    Deno.writeTextFileSync(args.out, json(bundle), { createNew: true, mode: 0o600 });
  } catch (cause) {
    throw cannotWrite(args.out, cause);
  }
  return EXIT.ok;
}

async function configOf(path: string): Promise<unknown> {
  const { config } = await loadConfig(path, { files: "told" });
  return JSON.parse(JSON.stringify(toFile(config), (key, value) => {
    if (typeof value === "bigint") return value.toString();
    return SECRET.test(key) ? "(hidden)" : value;
  }));
}

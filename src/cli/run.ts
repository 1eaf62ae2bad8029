// SPDX-License-Identifier: Apache-2.0

/** `psp-agent run`: the agent itself, until a signal ends it. */
import type { RunOptions } from "../agent/agent.ts";
import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { watchFiles } from "../config/watch.ts";
import type { Log } from "../model/log.ts";
import { openLog } from "../agent/logging.ts";
import { EXIT, type ExitCode, sentence } from "./io.ts";
import { shimPath } from "./shim.ts";

/** Loads the configuration and runs. Throws `ConfigError`, or what the agent throws when it cannot start. */
export async function run(
  args: { readonly config: string; readonly library?: string | undefined },
): Promise<ExitCode> {
  const { config, warnings } = await load(args);
  const log = openLog(config.log);
  for (const reason of warnings) log.warn("Configuration warning", { reason });
  const { signal, onHangup, hangUp } = listen(log);
  watchFiles([args.config], hangUp, { signal });
  const reload = async () => {
    const again = await load(args);
    for (const reason of again.warnings) log.warn("Configuration warning", { reason });
    return again.config;
  };
  const { runAgent } = await import("../agent/agent.ts");
  await runAgent(config, { log, signal, onHangup, reload });
  return EXIT.ok;
}

async function load(
  { config: file, library }: { readonly config: string; readonly library?: string | undefined },
): Promise<{ config: Config; warnings: readonly string[] }> {
  const { config, warnings } = await loadConfig(file);
  const { kind } = config.plane;
  const path = shimPath({ library: library ?? config.plane.library, kind });
  return { config: { ...config, plane: { ...config.plane, library: path } }, warnings };
}

/** The signals of the process, and what nobody caught. */
function listen(
  log: Log,
): Pick<RunOptions, "signal" | "onHangup"> & { readonly hangUp: () => void } {
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(name, () => stop.abort(name));
  }
  const hangups = new Set<() => void>();
  const hangUp = () => {
    for (const listener of hangups) listener();
  };
  Deno.addSignalListener("SIGHUP", hangUp);
  // Its default would end a compiled agent. Under `deno run` it opens the inspector, listener or not:
  // bin/psp-agent blocks it there.
  Deno.addSignalListener("SIGUSR1", () => {});
  const fatal = (error: unknown) => {
    log.error("Cannot go on after an unexpected error", {
      reason: sentence(error),
      cause: error instanceof Error ? error.stack : undefined,
    });
    Deno.exit(EXIT.failure);
  };
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    fatal(event.error);
  });
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    fatal(event.reason);
  });
  return { signal: stop.signal, onHangup: (listener) => void hangups.add(listener), hangUp };
}

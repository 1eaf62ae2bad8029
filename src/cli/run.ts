// SPDX-License-Identifier: Apache-2.0

/** `psp-agent run`: the agent itself, until a signal ends it. */
import type { RunOptions } from "../agent/agent.ts";
import { type Config, EnvironmentError } from "../config/config.ts";
import { loadConfig, type Loaded, requireFiles } from "../config/load.ts";
import { systemClock } from "../model/clock.ts";
import { Slices } from "../model/slices.ts";
import { watchFiles } from "../config/watch.ts";
import { stderrPriority } from "../agent/journal.ts";
import { type OpenLogs, openLogs } from "../agent/logging.ts";
import { EXIT, type ExitCode, sentence } from "./io.ts";
import { shimPath } from "./shim.ts";

/** What `run` is told. */
interface RunArgs {
  readonly config: string;
  readonly library?: string | undefined;
  /** A machine that is not ready ends it. */
  readonly once?: boolean;
}

/**
 * Loads the configuration and runs. What is not there yet (an interface, an address, a certificate, the right time) is
 * waited for. Throws `ConfigError`, or what the agent throws when it cannot start.
 */
export async function run(args: RunArgs): Promise<ExitCode> {
  let first: Loaded | undefined = await load(args);
  const logs = openLogs({ ...first.config.log, priority: stderrPriority() });
  const log = logs.of("agent");
  const { signal, onHangup, hangUp } = listen(logs);
  watchFiles([args.config], hangUp, {
    signal,
    gone: (path) =>
      logs.of("agent").warn("The configuration file is gone: what it said stays in force", {
        path,
      }),
  });
  const warned = new Set<string>();
  const read = async () => {
    const loaded = first ?? await load(args);
    first = undefined;
    requireFiles(args.config, loaded);
    for (const reason of loaded.warnings) {
      if (!warned.has(reason)) log.warn("Configuration warning", { reason });
      warned.add(reason);
    }
    return loaded.config;
  };
  const { runAgent } = await import("../agent/agent.ts");
  const { RETRY_MS, Waiting } = await import("../agent/waiting.ts");
  const clock = systemClock();
  await using ending = new AsyncDisposableStack();
  ending.defer(() => logs.flush());
  await using waiting = new Waiting({ log, now: () => clock.now() });
  while (!signal.aborted) {
    let config: Config | undefined;
    try {
      config = await read();
      await waiting.release();
      await runAgent(config, { logs, signal, onHangup, reload: read, logAs: logs.follow });
      break;
    } catch (error) {
      if (args.once || !(error instanceof EnvironmentError)) throw error;
      await waiting.say(sentence(error), config);
      await clock.sleep(RETRY_MS, signal).catch(() => {/* told to end */});
    }
  }
  return EXIT.ok;
}

async function load({ config: file, library }: RunArgs): Promise<Loaded> {
  const loaded = await loadConfig(file, { files: "told", slices: new Slices() });
  const { plane } = loaded.config;
  const path = shimPath({ library: library ?? plane.library, kind: plane.kind });
  return { ...loaded, config: { ...loaded.config, plane: { ...plane, library: path } } };
}

/** The signals of the process, and what nobody caught. */
function listen(
  logs: OpenLogs,
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
    logs.of("agent").error("Cannot go on after an unexpected error", {
      reason: sentence(error),
      cause: error instanceof Error ? error.stack : undefined,
    });
    void logs.flush().then(() => Deno.exit(EXIT.failure));
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

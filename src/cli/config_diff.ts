// SPDX-License-Identifier: Apache-2.0

/** `psp-agent config diff`: each key that differs, with what it says in both files and whether an agent takes it. */
import { differences, listKey, peerChanges, restartKeys } from "../config/changes.ts";
import { type Config, toFile } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { EXIT, type ExitCode, json, out } from "./io.ts";

/** A key that differs. */
interface Difference {
  /** "tunnel.life", "peers[h2].vips". */
  readonly key: string;
  /** As the files say; absent: not there, or a default. */
  readonly before?: unknown;
  readonly after?: unknown;
  readonly restart: boolean;
}

/** Prints what differs. Fails when a reload would be refused. Throws `ConfigError`. */
export async function configDiff(
  args: { readonly config: string; readonly file: string; readonly json: boolean },
): Promise<ExitCode> {
  const [before, after] = await Promise.all(
    [args.config, args.file].map(async (file) =>
      (await loadConfig(file, { files: "told" })).config
    ),
  ) as [Config, Config];
  const all = differencesOf(before, after);
  const refused = all.some(({ restart }) => restart);
  if (args.json) out(json({ done: !refused, differences: all }));
  else out(text(all, peerChanges(before.peers, after.peers)));
  return refused ? EXIT.failure : EXIT.ok;
}

function differencesOf(before: Config, after: Config): readonly Difference[] {
  const restart = new Set(restartKeys(before, after));
  const [old, now] = [toFile(before), toFile(after)];
  return differences(before, after).map((key) => {
    const [was, is] = [valueAt(old, key), valueAt(now, key)];
    // A peer that is new differs as a whole.
    const isRefused = [...restart].some((one) => one === key || one === `${key}.vc`);
    return {
      key,
      ...(was === undefined ? {} : { before: was }),
      ...(is === undefined ? {} : { after: is }),
      restart: isRefused,
    };
  });
}

function text(
  all: readonly Difference[],
  { changed, removed }: ReturnType<typeof peerChanges>,
): string {
  if (all.length === 0) return "Nothing differs\n";
  const lines = all.map(({ key, before, after, restart }) =>
    `${restart ? "restart" : "live   "}  ${key}: ${shown(before)} -> ${shown(after)}`
  );
  const refused = all.filter(({ restart }) => restart).map(({ key }) => key);
  const last = refused.length > 0
    ? `A reload would be refused: ${refused.join(", ")} need the agent to be restarted`
    : `A reload would take all of it (${changed.length} peers new or changed, ${removed.length} removed)`;
  return `${lines.join("\n")}\n${last}\n`;
}

function shown(value: unknown): string {
  return value === undefined ? "absent" : JSON.stringify(value);
}

/** What a file's tree says under "peers[h2].vips". */
function valueAt(tree: unknown, key: string): unknown {
  let at = tree;
  for (const [, name = "", id] of key.matchAll(/([^.[\]]+)|\[([^\]]*)\]/g)) {
    if (at === undefined || at === null) return undefined;
    at = id === undefined
      ? (at as Record<string, unknown>)[name]
      : (at as unknown[]).find((item) => listKey(item) === id);
  }
  return at;
}

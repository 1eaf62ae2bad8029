// SPDX-License-Identifier: Apache-2.0

/**
 * The core as it stands in src/core, loaded so that its state can be looked at: a copy of its files in build/, in which
 * `#name` is `_name` and `createCore` shows its parts. Nothing else differs, but for what a test plants.
 */
import type { createCore } from "../../../src/core/core.ts";
import type { Peers } from "../../../src/core/directory.ts";

const ROOT = new URL("../../../", import.meta.url);

/** What is planted: a piece of a file of src/core, and what stands there instead. */
export interface Patch {
  /** Such as "tunnel.ts". */
  readonly file: string;
  /** Has to be there once. */
  readonly find: string | RegExp;
  readonly replace: string;
}

/** The modules of a copy. */
export interface CoreModules {
  readonly createCore: typeof createCore;
  readonly Peers: typeof Peers;
}

/** The parts of a core by the names that src/core/core.ts gives them. Their private fields begin with `_`. */
export type Parts = Readonly<Record<string, object>>;

const loaded = new Map<string, Promise<CoreModules>>();

/** Loads the core, with what is planted. Throws when a patch does not fit the file as it is. */
export function loadCore(patches: readonly Patch[] = []): Promise<CoreModules> {
  const id = JSON.stringify(patches.map(({ file, find, replace }) => [file, `${find}`, replace]));
  let modules = loaded.get(id);
  if (modules === undefined) loaded.set(id, modules = load(patches));
  return modules;
}

/** The parts of a core that came from a copy. */
export function partsOf(core: object): Parts {
  const { parts } = core as { readonly parts?: Parts };
  if (parts === undefined) throw new Error("Cannot look into a core that was not loaded for it");
  return parts;
}

async function load(patches: readonly Patch[]): Promise<CoreModules> {
  const files = new Map<string, string>();
  for await (const { name } of Deno.readDir(new URL("src/core/", ROOT))) {
    if (!name.endsWith(".ts") || name.endsWith("_test.ts")) continue;
    files.set(name, await Deno.readTextFile(new URL(`src/core/${name}`, ROOT)));
  }
  for (const { file, find, replace } of patches) {
    const text = files.get(file);
    const pieces = text?.split(find) ?? [];
    if (pieces.length !== 2) {
      throw new Error(`Cannot plant into ${file}: ${find} is there ${pieces.length - 1} times`);
    }
    files.set(file, pieces.join(replace));
  }
  for (const [name, text] of files) files.set(name, opened(name, text));
  const all = [...files].sort().map(([name, text]) => `${name}\n${text}`).join("\n");
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(all));
  const dir = new URL(`build/explore/${new Uint8Array(digest).toHex().slice(0, 16)}/`, ROOT);
  await Deno.mkdir(dir, { recursive: true });
  for (const [name, text] of files) {
    // Whole or not at all: others may be loading the same copy.
    const to = new URL(name, dir);
    const made = await Deno.makeTempFile({ dir: dir.pathname });
    await Deno.writeTextFile(made, text);
    await Deno.rename(made, to);
  }
  const [core, directory] = await Promise.all([
    import(new URL("core.ts", dir).href),
    import(new URL("directory.ts", dir).href),
  ]);
  return { createCore: core.createCore, Peers: directory.Peers };
}

/** The file with its private fields in the open, and its imports of other folders made absolute. */
function opened(name: string, text: string): string {
  const outside = new URL("src/", ROOT).href;
  const open = text
    .replaceAll(/(?<![\w"'`$/])#([A-Za-z_]\w*)/g, "_$1")
    .replaceAll(/from "\.\.\/\.\.\//g, `from "${ROOT.href}`)
    .replaceAll(/from "\.\.\//g, `from "${outside}`);
  return name === "core.ts" ? withParts(open) : open;
}

/** `createCore` gives its parts, whatever they are. */
function withParts(text: string): string {
  const made = /^ {2}const (\w+) = new \w+\(/gm;
  const many = /^ {2}const \[([\w, ]+)\] = \[$/gm;
  const names = [
    ...[...text.matchAll(made)].map(([, name = ""]) => name),
    ...[...text.matchAll(many)].flatMap(([, list = ""]) => list.split(", ")),
  ];
  const [head, tail, ...more] = text.split("\n  return {\n    bootEpoch,");
  if (tail === undefined || more.length > 0 || names.length < 10) {
    throw new Error("Cannot find the parts of createCore: tests/explore/world/load.ts must follow");
  }
  return `${head}\n  return {\n    parts: { ${names.join(", ")} },\n    bootEpoch,${tail}`;
}

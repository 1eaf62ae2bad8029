// SPDX-License-Identifier: Apache-2.0

/**
 * The core as it stands in src/core, loaded so that its state can be looked at, written down and put back: a copy of its files
 * in build/, in which `#name` is `_name`, `createCore` shows its parts, and what is waited for is of `promise.ts`. Nothing
 * else differs, but for what a test plants.
 */
import type { createCore } from "../../src/core/core.ts";
import type { Peers } from "../../src/core/directory.ts";
import { lowered } from "./lower.ts";

const ROOT = new URL("../../", import.meta.url);
const BUILD = new URL("build/explore/", ROOT);
/** What makes the lowered files: they are made anew when it is another one. */
const LOWERED_BY = Deno.readTextFileSync(new URL("./lower.ts", import.meta.url));

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

/** Files beside src/core with state, or that wait; the others are those that everybody has. */
const BESIDE: readonly string[] = [
  "src/model/aborts.ts",
  "src/model/counters.ts",
  "src/model/rounds.ts",
  "src/model/tasks.ts",
  "src/model/vip.ts",
];

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
  for (const path of BESIDE) files.set(nameOf(path), await Deno.readTextFile(new URL(path, ROOT)));
  for (const { file, find, replace } of patches) {
    const text = files.get(file);
    const pieces = text?.split(find) ?? [];
    if (pieces.length !== 2) {
      throw new Error(`Cannot plant into ${file}: ${find} is there ${pieces.length - 1} times`);
    }
    files.set(file, pieces.join(replace));
  }
  for (const [name, text] of files) files.set(name, opened(name, text));
  const made = new Map<string, string>();
  for (const [name, text] of files) made.set(name, await awaiting(name, text));
  const dir = new URL(`${await digestOf([...made].sort().join("\n"))}/`, BUILD);
  await Deno.mkdir(dir, { recursive: true });
  for (const [name, text] of made) await put(new URL(name, dir), text);
  const [core, directory] = await Promise.all([
    import(new URL("core.ts", dir).href),
    import(new URL("directory.ts", dir).href),
  ]);
  return { createCore: core.createCore, Peers: directory.Peers };
}

/** The file with what it waits for in the open; what was made of the same text before is taken as it is. */
async function awaiting(name: string, text: string): Promise<string> {
  const from = new URL("./promise.ts", import.meta.url).href;
  const names = "Promised as Promise, OpenController as AbortController";
  const imports = `import { ${names} } from "${from}";\n`;
  if (!/\basync\b/.test(text)) return imports + text;
  const kept = new URL(`lowered/${await digestOf(LOWERED_BY + text)}.ts`, BUILD);
  try {
    return await Deno.readTextFile(kept);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const made = imports + lowered(name, text);
  await Deno.mkdir(new URL("./", kept), { recursive: true });
  await put(kept, made);
  return made;
}

/** Of a copy: they all lie in one folder. */
function nameOf(path: string): string {
  return path.replaceAll("/", "-");
}

/** Whole or not at all: others may be loading the same file. */
async function put(to: URL, text: string): Promise<void> {
  const made = await Deno.makeTempFile({ dir: new URL("./", to).pathname });
  await Deno.writeTextFile(made, text);
  await Deno.rename(made, to);
}

async function digestOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(digest).toHex().slice(0, 16);
}

/** The file with its private fields in the open, and its imports of other folders made absolute. */
function opened(name: string, text: string): string {
  const from = new URL(BESIDE.find((path) => nameOf(path) === name) ?? `src/core/${name}`, ROOT);
  const open = text
    .replaceAll(/(?<![\w"'`$/])#([A-Za-z_]\w*)/g, "_$1")
    .replaceAll(/from "(\.[^"]+)"/g, (_, to: string) => {
      const { href } = new URL(to, from);
      const path = href.slice(ROOT.href.length);
      if (BESIDE.includes(path)) return `from "./${nameOf(path)}"`;
      return `from "${path.startsWith("src/core/") ? `./${path.slice(9)}` : href}"`;
    });
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
  const variables = [...text.matchAll(/^ {2}let (\w+) = /gm)].map(([, name = ""]) =>
    `get ${name}() { return ${name}; }, set ${name}(value) { ${name} = value; }`
  );
  const [head, tail, ...more] = text.split("\n  return {\n    bootEpoch,");
  if (tail === undefined || more.length > 0 || names.length < 10) {
    throw new Error("Cannot find the parts of createCore: tests/sim/load.ts must follow");
  }
  const parts = [...names, `variables: { ${variables.join(", ")} }`].join(", ");
  return `${head}\n  return {\n    parts: { ${parts} },\n    bootEpoch,${tail}`;
}

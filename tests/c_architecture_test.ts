// SPDX-License-Identifier: Apache-2.0

/** Holds ARCHITECTURE.md's picture of c-shim/: which folder uses which, and no circle between files. */
import assert from "node:assert/strict";

const SHIM = new URL("../c-shim/", import.meta.url);

/** Each folder, and those whose headers and functions it may use besides its own. */
const MAY_USE: Readonly<Record<string, readonly string[]>> = {
  psp: [],
  common: ["psp"],
  soft: ["psp", "common"],
  doca: ["psp", "common"],
};

/** What common/ wants of a plane, whichever the linker finds: declared in common/, given by each plane. */
const HOOK = /^plane_/;

/** The folders of one library: in each of them a name is defined once. */
const LIBRARIES = [["psp", "common", "soft"], ["psp", "common", "doca"]];

/** A function, or an object with its value, at the top of a file. */
interface Definition {
  readonly name: string;
  /** Only its own file knows it; of a header, whoever includes that. */
  readonly isStatic: boolean;
  /** Names that stand in it. */
  readonly words: ReadonlySet<string>;
}

interface Source {
  /** From the top of c-shim/: "soft/run.c". */
  readonly path: string;
  readonly folder: string;
  readonly definitions: readonly Definition[];
  /** Files of ours, from the top of c-shim/. */
  readonly includes: readonly string[];
}

/** A file uses what another one defines. */
interface Use {
  readonly from: string;
  readonly to: string;
  readonly name: string;
}

/** Comments, literals and directives make room; offsets stay. */
function codeOf(text: string): string {
  const noise =
    /\/\*[^]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|^[ \t]*#(?:[^\n\\]|\\[^])*/gm;
  return text.replace(noise, (found) => found.replace(/[^\n]/g, " "));
}

/** The pieces that stand side by side at the top of a file: definitions and declarations. */
function piecesOf(code: string): string[] {
  const pieces: string[] = [];
  let [depth, start] = [0, 0];
  for (let i = 0; i < code.length; i++) {
    const c = code[i];
    if (c === "{" || c === "(") depth++;
    if (c === "}" || c === ")") depth--;
    if (depth > 0) continue;
    // A function ends with its brace; what has a value, or is a type, with the semicolon behind it.
    const body = c === "}" && /\)\s*\{/.test(code.slice(start, i)) &&
      !/^[^({]*=/.test(code.slice(start, i));
    if (c !== ";" && !body) continue;
    pieces.push(code.slice(start, i + 1).trim());
    start = i + 1;
  }
  return pieces;
}

/** Names that may be functions or objects: not what follows `struct` or `->`. */
function wordsOf(code: string): Set<string> {
  const words = new Set<string>();
  for (
    const [, before, word = ""] of code.matchAll(
      /(\.|->|\b(?:struct|enum|union)\s+)?\b([a-z]\w*)/gi,
    )
  ) {
    if (before === undefined) words.add(word);
  }
  return words;
}

function definitionsOf(text: string): Definition[] {
  return piecesOf(codeOf(text)).flatMap((piece) => {
    const name = /^[^=;{]*?\b(\w+)\s*\([^]*\)\s*\{/.exec(piece)?.[1] ??
      /^[^={(]*?\b(\w+)\s*(?:\[[^\]]*\]\s*)*=/.exec(piece)?.[1];
    if (name === undefined) return [];
    return [{ name, isStatic: /^static\b/.test(piece), words: wordsOf(piece) }];
  });
}

async function sources(): Promise<Map<string, Source>> {
  const found = new Map<string, Source>();
  for (const folder of Object.keys(MAY_USE)) {
    for await (const { name } of Deno.readDir(new URL(`${folder}/`, SHIM))) {
      if (!/\.[ch]$/.test(name)) continue;
      const path = `${folder}/${name}`;
      const text = await Deno.readTextFile(new URL(path, SHIM));
      const includes = [...text.matchAll(/^#include "([^"]+)"/gm)].map(([, target = ""]) =>
        new URL(target, new URL(path, SHIM)).pathname.slice(SHIM.pathname.length)
      );
      found.set(path, { path, folder, definitions: definitionsOf(text), includes });
    }
  }
  return found;
}

const FILES = await sources();

/** A name of a header's own function stands for what that function uses. */
function inlines(): Map<string, ReadonlySet<string>> {
  const headers = [...FILES.values()].filter(({ path }) => path.endsWith(".h"));
  return new Map(headers.flatMap((h) => h.definitions.map((d) => [d.name, d.words] as const)));
}

/** Who uses whose functions and objects, in the library of these folders. */
function usesOf(folders: readonly string[]): Use[] {
  const files = [...FILES.values()].filter(({ path, folder }) =>
    path.endsWith(".c") && folders.includes(folder)
  );
  const owners = new Map<string, string[]>();
  for (const { path, definitions } of files) {
    for (const { name, isStatic } of definitions) {
      if (!isStatic) owners.set(name, [...owners.get(name) ?? [], path]);
    }
  }
  const inline = inlines();
  return files.flatMap(({ path: from, definitions }) => {
    const own = new Set(definitions.map(({ name }) => name));
    const used = new Set(definitions.flatMap(({ words }) => [...words]));
    for (const word of used) for (const more of inline.get(word) ?? []) used.add(more);
    return [...used].filter((name) => !own.has(name)).flatMap((name) =>
      (owners.get(name) ?? []).map((to) => ({ from, to, name }))
    );
  });
}

function folderOf(path: string): string {
  return path.slice(0, path.indexOf("/"));
}

/** A plane gives what common/ declares: that way common/ knows no plane. */
function isHook({ from, to, name }: Use): boolean {
  return HOOK.test(name) && folderOf(from) === "common" && folderOf(to) !== "common";
}

/** The files that lead to themselves, in the order of a way around; one way each. */
function circles(edges: readonly { readonly from: string; readonly to: string }[]): string[] {
  const next = new Map<string, Set<string>>();
  for (const { from, to } of edges) next.set(from, (next.get(from) ?? new Set()).add(to));
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, way: readonly string[]): void => {
    if (way.includes(file)) found.push([...way.slice(way.indexOf(file)), file].join(" -> "));
    if (way.includes(file) || done.has(file)) return;
    for (const to of next.get(file) ?? []) visit(to, [...way, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
  return found;
}

for (const [folder, below] of Object.entries(MAY_USE)) {
  Deno.test(`c-shim/${folder}/ uses ${["itself", ...below].join(", ")} and nothing else`, () => {
    const allowed = [folder, ...below];
    const uses = LIBRARIES.flatMap(usesOf).filter(({ from }) => folderOf(from) === folder);
    const wrong = uses.filter((use) => !allowed.includes(folderOf(use.to)) && !isHook(use));
    assert.ok(uses.length > 0, "the rule binds no file");
    assert.deepEqual(wrong.map(({ from, to, name }) => `${from} -> ${to}: ${name}`), []);
    const included = [...FILES.values()].filter((file) => file.folder === folder)
      .flatMap(({ path, includes }) => includes.map((to) => `${path} -> ${to}`))
      .filter((edge) => !/-> psp_dp\.h$/.test(edge));
    assert.deepEqual(
      included.filter((edge) => !allowed.includes(folderOf(edge.split(" -> ")[1] ?? ""))),
      [],
    );
  });
}

for (const folders of LIBRARIES) {
  Deno.test(`no C file of ${folders.join(", ")} uses one that uses it, however far around`, () => {
    const uses = usesOf(folders);
    const plain = uses.filter((use) => !isHook(use));
    assert.ok(plain.length > 100 && plain.length < uses.length, "uses are not found");
    assert.deepEqual(circles(plain), []);
  });
}

Deno.test("no header of c-shim/ includes one that includes it", () => {
  const edges = [...FILES.values()].flatMap(({ path, includes }) =>
    includes.map((to) => ({ from: path, to }))
  );
  assert.ok(edges.length > 100, "includes are not found");
  assert.deepEqual(circles(edges), []);
});

Deno.test("what a C file defines and uses is read past comments, literals, members and tags", () => {
  const read = definitionsOf(`
#define NOT(x) \\
	not_this(x)
/* not_this() { } */
struct pair {
	int a;
};
int outer(struct pair *p);
static const char *const names[] = {"not_this()", other_name};
const struct table the_table = {.hook = a_function};
_Static_assert(sizeof(int) == 4, "not_this");
static int inner(const struct pair *p, void (*each)(void *arg))
{
	if (p->not_this == '{')
		return called(p->a);
	return 0;
}

struct pair *outer_pair(void)
{
	return inner(NULL, NULL);
}
`);
  assert.deepEqual(read.map(({ name, isStatic }) => [name, isStatic]), [
    ["names", true],
    ["the_table", false],
    ["inner", true],
    ["outer_pair", false],
  ]);
  const words = new Set(read.flatMap((d) => [...d.words]));
  for (const word of ["other_name", "a_function", "called", "inner"]) assert.ok(words.has(word));
  for (const word of ["not_this", "hook", "pair"]) assert.ok(!words.has(word), word);
});

Deno.test("a first packet meets the files that ARCHITECTURE.md names: at most 16, each used by another of them or its plane's own thread", async () => {
  const text = await Deno.readTextFile(new URL("../ARCHITECTURE.md", import.meta.url));
  const walk = /<!-- c-walk:begin -->([^]*)<!-- c-walk:end -->/.exec(text)?.[1] ?? "";
  const named = [...walk.matchAll(/\b(?:soft|common|psp)\/(?:\w|\*)+\.c\b/g)]
    .map(([path]) => path === "psp/crypto_*.c" ? "psp/crypto_vaes.c" : path);
  const files = new Set(named);
  assert.ok(files.size > 10 && files.size <= 16, `${files.size} files`);
  assert.deepEqual([...files].filter((path) => !FILES.has(path)), []);
  const used = new Set(
    usesOf(["psp", "common", "soft"]).filter(({ from }) => files.has(from))
      .map(({ to }) => to),
  );
  // A backend is a struct that is found by its name.
  const alone = [...files].filter((path) => !used.has(path) && path !== "psp/crypto_vaes.c");
  assert.deepEqual(alone, []);
});

/** Functions of DOCA's and DPDK's that refuse nothing: they return no answer, or one that is no refusal. */
const REFUSES_NOTHING = new Set([
  "doca_error_get_descr",
  "doca_error_get_name",
  "doca_version",
  "doca_version_runtime",
  "doca_flow_destroy",
  "doca_flow_pipe_destroy",
  "rte_align32pow2",
  "rte_eth_dev_is_valid_port",
  // On the way of a packet: inline, and what they do not take is what a full queue does not.
  "rte_eth_rx_burst",
  "rte_eth_tx_burst",
  "rte_flow_dynf_metadata_get",
  "rte_flow_dynf_metadata_set",
  "rte_pktmbuf_alloc",
  "rte_pktmbuf_append",
  "rte_pktmbuf_data_len",
  "rte_pktmbuf_free",
  "rte_pktmbuf_linearize",
  "rte_pktmbuf_mtod",
  "rte_mempool_free",
  "rte_socket_id",
  "rte_strerror",
  "rte_thread_unregister",
  "rte_version",
]);

Deno.test("whatever the DOCA plane asks for can be refused by the stand-in, for the tests that refuse it", async () => {
  const calls = new Set<string>();
  for await (const { name } of Deno.readDir(new URL("doca/", SHIM))) {
    const code = codeOf(await Deno.readTextFile(new URL(`doca/${name}`, SHIM)));
    for (const [, call] of code.matchAll(/\b((?:doca|rte)_[a-z0-9_]+)\b(?=\(|,)/g)) {
      // Also as an argument, of what notes the name: COMPAT_ASK(call, doca_dev_open, ...).
      if (call !== undefined && !/_t$|_offset$|_mask$/.test(call)) calls.add(call);
    }
  }
  assert.ok(calls.size > 80, `${calls.size} functions`);
  let standin = "";
  for await (const { name } of Deno.readDir(new URL("doca-standin/", SHIM))) {
    if (name.endsWith(".c")) {
      standin += await Deno.readTextFile(new URL(`doca-standin/${name}`, SHIM));
    }
  }
  const refused = (call: string) => {
    const begin = new RegExp(`\\b${call}\\([^;{}]*\\)\\s*(?:#[^\\n]*\\n)*\\{`).exec(standin);
    if (begin === null) return false;
    const body = standin.slice(begin.index, standin.indexOf("\n}", begin.index));
    return /SI_ASK|si_refuses\(__func__\)|si_said\(__func__\)/.test(body);
  };
  const never = [...calls].filter((call) => !REFUSES_NOTHING.has(call) && !refused(call));
  assert.deepEqual(never.sort(), []);
  assert.deepEqual([...REFUSES_NOTHING].filter((call) => !calls.has(call)), []);
});

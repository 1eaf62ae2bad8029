// SPDX-License-Identifier: Apache-2.0

/** Holds ARCHITECTURE.md: who may know whom, the pictures of folders and pipes, the lists of counters and fields. */
import assert from "node:assert/strict";
import { COUNTER_TEXTS, COUNTERS } from "../src/agent/counter_texts.ts";
import { picture } from "../src/cli/pipes.ts";
import { countersDoc } from "./support/counters_doc.ts";
import { circleOf, folderGraphDoc, folderOf, FOLDERS } from "./support/folder_graph.ts";

const ROOT = new URL("../", import.meta.url);

interface Import {
  /** Path from the top of the tree. */
  readonly from: string;
  readonly to: string;
  readonly typesOnly: boolean;
}

interface Rule {
  readonly why: string;
  /** The files that it binds. */
  readonly who: RegExp;
  /** What they may import in order to run it; their own kind always. */
  readonly values: RegExp;
  /** What they may import besides, as types alone. */
  readonly types?: RegExp;
}

const RULES: readonly Rule[] = [
  {
    why: "src/pipes/ is pure data: it runs nothing of ours but itself",
    who: /^src\/pipes\//,
    values: /^src\/pipes\//,
    types: /./,
  },
  {
    why: "src/exceptions/ is pure: frames in, frames out",
    who: /^src\/exceptions\//,
    values: /^src\/exceptions\//,
    types: /./,
  },
  {
    why: "src/model/ is the leaf: of the C ABI it knows shapes, and how an address is read",
    who: /^src\/model\//,
    values: /^(src\/model\/\w+\.ts|ffi\/address\.ts|deno\.json)$/,
    types: /^ffi\/(plane|key)\.ts$/,
  },
  {
    why: "the core takes interfaces: it never opens a plane, a connection or a listener",
    who: /^src\/core\//,
    values: /^(src\/(core|model|config)\/\w+|ffi\/(plane|key))\.ts$/,
  },
  {
    why: "src/rpc/ knows keys and addresses of the C ABI, and no plane",
    who: /^src\/rpc\//,
    values: /^(src\/.*|ffi\/(key|address)\.ts)$/,
  },
];

async function sources(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const visit = async (dir: string): Promise<void> => {
    for await (const entry of Deno.readDir(new URL(dir, ROOT))) {
      const path = `${dir}${entry.name}`;
      if (entry.isDirectory) await visit(`${path}/`);
      else if (path.endsWith(".ts") && !path.endsWith("_test.ts")) {
        files.set(path, await Deno.readTextFile(new URL(path, ROOT)));
      }
    }
  };
  for (const dir of ["src/", "ffi/"]) await visit(dir);
  files.set("main.ts", await Deno.readTextFile(new URL("main.ts", ROOT)));
  return files;
}

/** Imports of files of ours. */
function importsOf(path: string, text: string): Import[] {
  const found: Import[] = [];
  const statements = /^(?:import|export)\s+(type\s+)?([^"';]*?)\s*from\s+"(\.[^"]+)"/gm;
  for (const [, type, what = "", target = ""] of text.matchAll(statements)) {
    const names = /^\{([^]*)\}$/.exec(what)?.[1]?.split(",").map((name) => name.trim());
    const allTypes = names?.every((name) => name === "" || name.startsWith("type ")) ?? false;
    const to = new URL(target, new URL(path, ROOT)).pathname.slice(ROOT.pathname.length);
    found.push({ from: path, to, typesOnly: type !== undefined || allTypes });
  }
  for (const [, target = ""] of text.matchAll(/\bimport\("(\.[^"]+)"\)/g)) {
    const to = new URL(target, new URL(path, ROOT)).pathname.slice(ROOT.pathname.length);
    found.push({ from: path, to, typesOnly: false });
  }
  return found;
}

const FILES = await sources();
const IMPORTS = [...FILES].flatMap(([path, text]) => importsOf(path, text));

Deno.test("folders import downwards, and each import is allowed", () => {
  const seen: Record<string, Set<string>> = {};
  for (const { from, to } of IMPORTS) {
    const [above, below] = [folderOf(from), folderOf(to)];
    if (above !== below && FILES.has(to)) (seen[above] ??= new Set()).add(below);
  }
  const edges = (graph: Readonly<Record<string, Iterable<string>>>) =>
    Object.entries(graph).flatMap(([from, all]) => [...all].map((to) => `${from} -> ${to}`)).sort();
  // Equal, not only allowed: an edge that nobody needs any more goes from the list as well.
  assert.deepEqual(edges(seen), edges(FOLDERS));
  assert.equal(circleOf(FOLDERS), undefined);
  const order = Object.keys(FOLDERS);
  const upward = Object.entries(FOLDERS).flatMap(([from, all]) =>
    all.filter((to) => order.indexOf(to) <= order.indexOf(from)).map((to) => `${from} -> ${to}`)
  );
  assert.deepEqual(upward, []);
});

Deno.test("a circle of folders is found", () => {
  assert.deepEqual(circleOf({ a: ["b"], b: ["c"], c: ["b"] }), ["b", "c", "b"]);
  assert.equal(circleOf({ a: ["b", "c"], b: ["c"], c: [] }), undefined);
});

for (const { why, who, values, types } of RULES) {
  Deno.test(why, () => {
    const bound = IMPORTS.filter(({ from }) => who.test(from));
    assert.ok([...FILES.keys()].some((path) => who.test(path)), "the rule binds no file");
    const wrong = bound.filter(({ to, typesOnly }) =>
      !values.test(to) && !(typesOnly && types?.test(to))
    );
    assert.deepEqual(wrong.map(({ from, to }) => `${from} -> ${to}`), []);
  });
}

Deno.test("only ffi/ says dlopen, pointer or buffer of the foreign interface", () => {
  const foreign = /\bDeno\.(dlopen|Unsafe\w+)/;
  const wrong = [...FILES].filter(([path, text]) => !path.startsWith("ffi/") && foreign.test(text));
  assert.deepEqual(wrong.map(([path]) => path), []);
});

Deno.test("only src/rpc/, and the page that is a client of it, know the types of proto/", () => {
  const wrong = IMPORTS.filter(({ from, to }) =>
    to.startsWith("src/rpc/gen/") && !/^src\/(rpc|page)\//.test(from)
  );
  assert.deepEqual(wrong, []);
});

Deno.test("nobody below the listeners and clients knows Connect or protobuf", () => {
  const theirs = /from "@(connectrpc|bufbuild)\//;
  // The command line words what a status client throws; the page is one.
  const above = /^src\/(rpc|cli|page)\//;
  const wrong = [...FILES].filter(([path, text]) => !above.test(path) && theirs.test(text));
  assert.deepEqual(wrong.map(([path]) => path), []);
});

Deno.test("the core asks nobody for anything but its parameters", () => {
  const world =
    /\b(Deno|performance|Date|Math\.random|setTimeout|setInterval|fetch|crypto)\b(?!:)|from "node:/;
  const code = (text: string) => text.replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, "");
  const wrong = [...FILES].filter(([path, text]) =>
    path.startsWith("src/core/") && world.test(code(text))
  );
  assert.deepEqual(wrong.map(([path]) => path), []);
});

Deno.test("only the set-up of the plane opens one", () => {
  const wrong = IMPORTS.filter(({ from, to, typesOnly }) =>
    to === "ffi/data_plane.ts" && !typesOnly && from !== "src/plane/plane_setup.ts"
  );
  assert.deepEqual(wrong, []);
});

Deno.test("nobody but the command line starts the agent", () => {
  const wrong = IMPORTS.filter(({ from, to, typesOnly }) =>
    to === "src/agent/agent.ts" && !typesOnly && !/^(main\.ts|src\/cli\/)/.test(from)
  );
  assert.deepEqual(wrong, []);
});

Deno.test("what the log says begins like a sentence", () => {
  const said =
    /\blog\??\.?(?:debug|info|warn|error)?\(\s*(?:"(?:info|warning|error)",\s*)?"((?!(?:info|warning|error)")[^"]+)"/g;
  const first = [...FILES].flatMap(([path, text]) =>
    [...text.matchAll(said)].map(([, message = ""]) => `${path}: ${message}`)
  );
  assert.ok(first.length > 20, "no log line was found");
  assert.deepEqual(first.filter((line) => !/: [A-Z]/.test(line)), []);
});

Deno.test("ARCHITECTURE.md has the pipes as psp-agent prints them", async () => {
  const text = await Deno.readTextFile(new URL("ARCHITECTURE.md", ROOT));
  const between = /<!-- pipes:begin -->\n([^]*)<!-- pipes:end -->/.exec(text)?.[1];
  assert.equal(
    between,
    [false, true].map((sampling) => {
      const command = `psp-agent pipes --topology all${sampling ? " --sampling" : ""}`;
      return `\n\`${command}\`\n\n\`\`\`mermaid\n${picture({ topology: "all", sampling })}\`\`\`\n`;
    }).join("") + "\n",
    "put the output of psp-agent pipes between the marks",
  );
});

Deno.test("ARCHITECTURE.md draws the graph of folders", async () => {
  const text = await Deno.readTextFile(new URL("ARCHITECTURE.md", ROOT));
  const between = /<!-- folders:begin -->\n\n([^]*)\n<!-- folders:end -->/.exec(text)?.[1];
  assert.equal(
    between,
    folderGraphDoc(),
    "put the output of tests/support/folder_graph.ts between the marks",
  );
});

Deno.test("each claim of docs/security.md is shown by a test that is there", () => {
  const text = Deno.readTextFileSync(new URL("docs/security.md", ROOT));
  const claims = [...text.matchAll(/\| `((?:tests|src)\/\S+_test\.ts)`: (.+?)\s*\|$/gm)];
  assert.ok(claims.length >= 30, `${claims.length} claims`);
  for (const [, path = "", name = ""] of claims) {
    const test = Deno.readTextFileSync(new URL(path, ROOT));
    assert.ok(test.includes(name), `${path} has no test "${name}"`);
  }
});

Deno.test("every counter has its words, and is listed once", () => {
  const header = Deno.readTextFileSync(new URL("c-shim/common/counters.h", ROOT));
  const counted = [...header.matchAll(/X\(\w+, "([^"]+)"\)/g)].map(([, name]) => name);
  assert.deepEqual(Object.keys(COUNTERS["Data plane"] ?? {}), counted);
  const names = Object.values(COUNTERS).flatMap((texts) => Object.keys(texts));
  assert.deepEqual(names.filter((name, i) => names.indexOf(name) !== i), []);
  for (const [path, text] of FILES) {
    for (
      const [, group = "", body = ""] of text.matchAll(
        /^export const (\w+_COUNTERS) = \{\n([^]*?)^\}/gm,
      )
    ) {
      for (const [, name = ""] of body.matchAll(/^ {2}"([a-z0-9-]+)":/gm)) {
        assert.ok(name in COUNTER_TEXTS, `${name} of ${group} in ${path} has no words`);
      }
    }
  }
});

Deno.test("ARCHITECTURE.md lists every counter and log field", async () => {
  const text = await Deno.readTextFile(new URL("ARCHITECTURE.md", ROOT));
  const between = /<!-- counters:begin -->\n\n([^]*)\n<!-- counters:end -->/.exec(text)?.[1];
  assert.equal(
    between,
    countersDoc(),
    "put the output of tests/support/counters_doc.ts between the marks",
  );
});

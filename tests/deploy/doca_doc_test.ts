// SPDX-License-Identifier: Apache-2.0

/**
 * docs/doca.md is followed by somebody who was never here: whatever it names of this repository is there. Commands of the
 * agent parse, targets of make and files exist, keys are the schema's, sentences are those of the sources, questions are
 * the self-test's, and rules the stand-in's. What is NVIDIA's, or Linux's, nobody here can look up.
 */
import { parse } from "@optique/core/parser";
import assert from "node:assert/strict";
import { type Command, COMMANDS, type Group, RUN_WITHOUT_NAME } from "../../src/cli/commands.ts";
import { parseConfig } from "../../src/config/load.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const DOC = read("docs/doca.md");

function read(path: string): string {
  return Deno.readTextFileSync(ROOT + path);
}

/** The text of all files of a folder. */
function readAll(folder: string, end: RegExp): string {
  return [...Deno.readDirSync(ROOT + folder)].filter(({ name, isFile }) => isFile && end.test(name))
    .map(({ name }) => read(`${folder}/${name}`)).join("\n");
}

/** Pieces of code: between backticks, and indented lines. */
const CODE = [
  ...[...DOC.matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code),
  ...[...DOC.matchAll(/^ {4}(\S[^\n]*)$/gm)].map(([, code = ""]) => code),
];

/** A section, by its heading. */
function section(title: string): string {
  const at = DOC.indexOf(`# ${title}\n`);
  assert.ok(at >= 0, title);
  const body = DOC.slice(at + title.length + 3);
  const end = body.search(/^#{2,3} /m);
  return end < 0 ? body : body.slice(0, end);
}

/** The first cell of each row of a section's tables. */
function firstCells(title: string): string[] {
  return section(title).split("\n").filter((line) => line.startsWith("| ") && !/^\| -/.test(line))
    .map((line) => line.split(" | ")[0]?.slice(2).trim() ?? "");
}

function isGroup(one: Command | Group): one is Group {
  return "commands" in one;
}

Deno.test("each command of the agent parses as it stands", () => {
  const commands = CODE.map((code) => /(?:^|\s)psp-agent( [^>#]*|$)/.exec(code)?.[1])
    .filter((rest) => rest !== undefined).map((rest) => rest.trim().split(/\s+/).filter(Boolean))
    .filter(([first]) => first !== undefined);
  assert.ok(commands.length > 5, `${commands.length}`);
  for (const words of commands) {
    const [first = "", ...rest] = words;
    // "psp-agent-aarch64" and the like are names of files.
    const found = COMMANDS.find(({ name }) => name === first);
    const parsed = first.startsWith("-")
      ? parse(RUN_WITHOUT_NAME, words)
      : found === undefined
      ? undefined
      : isGroup(found)
      ? parse(
        found.commands.find(({ name }) => name === rest[0])?.parser ?? RUN_WITHOUT_NAME,
        rest.slice(1),
      )
      : parse(found.parser, rest);
    assert.ok(parsed?.success, `psp-agent ${words.join(" ")}`);
  }
});

Deno.test("each target of make is one", () => {
  const makefiles = ["Makefile", "c-shim/Makefile", "c-shim/doca.mk", "c-shim/standin.mk"]
    .map(read).join("\n");
  const targets = CODE.flatMap((code) => {
    const words = /^make ([^#]*)/.exec(code)?.[1]?.trim().split(/\s+/) ?? [];
    return words.filter((word, i) =>
      !word.startsWith("-") && !word.includes("=") && !/^-[Cf]$/.test(words[i - 1] ?? "")
    );
  });
  assert.ok(targets.length >= 4);
  for (const target of targets) {
    const name = target.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
    assert.match(makefiles, new RegExp(`^(?:[\\w-]+ )*${name}(?: [\\w-]+)*:`, "m"), target);
  }
});

Deno.test("each file and folder that it names is there", () => {
  const paths = [...DOC.matchAll(/\b((?:deploy|tests|tools|c-shim|bench|src)\/[\w./-]*\w)/g)]
    .map(([, path = ""]) => path);
  const linked = [...DOC.matchAll(/\]\(([\w./-]+\.md)(#[\w-]+)?\)/g)]
    .map(([, path = "", anchor]) => [`docs/${path}`, anchor] as const);
  assert.ok(paths.length > 8 && linked.length > 1);
  for (const path of paths) {
    const there = [path, `${path}.h`, `${path}.ts`, `${path}_test.ts`].some((one) => exists(one));
    assert.ok(there, path);
  }
  for (const [path, anchor] of linked) {
    assert.ok(exists(path), path);
    if (anchor === undefined) continue;
    const titles = [...read(path).matchAll(/^#+ (.*)$/gm)]
      .map(([, title = ""]) =>
        `#${title.toLowerCase().replaceAll(/[^\w -]/g, "").replaceAll(" ", "-")}`
      );
    assert.ok(titles.includes(anchor), `${path}${anchor}`);
  }
  for (const [, name = ""] of DOC.matchAll(/\b(standin_\w+_test\.c)\b/g)) {
    assert.ok(exists(`c-shim/tests/${name}`), name);
  }
});

function exists(path: string): boolean {
  try {
    Deno.statSync(ROOT + path);
    return true;
  } catch {
    return false;
  }
}

Deno.test("its configuration is one, and each key of the plane is the schema's", () => {
  const [, fragment = ""] = /```json\n([^]*?)```/.exec(DOC) ?? [];
  const common =
    '"id":"h1","pip":"192.0.2.1","vips":["10.1.0.0/24"],"rpc":{"insecure":true},"peers":[]';
  const parsed = parseConfig(`{${common},${fragment}}`, "peers.json");
  assert.ok(parsed.config.plane.kind === "doca");
  const known = /known here: ([^"]*)/.exec(
    refusalOf(
      `{${common},"plane":{"kind":"doca","pci":"0000:03:00.0","representor":"pf0vf0","xyzzy":1}}`,
    ),
  )?.[1]
    ?.split(", ") ?? [];
  assert.ok(known.length > 10, `${known}`);
  const keys = firstCells("9. Configuration and sizes").flatMap((cell) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, key = ""]) => key)
  );
  const dotted = CODE.flatMap((code) => /^plane\.(\w+)$/.exec(code)?.[1] ?? []);
  assert.ok(keys.length >= 6 && dotted.length >= 3);
  for (const key of [...keys, ...dotted]) assert.ok(known.includes(key), `plane.${key}`);
});

function refusalOf(text: string): string {
  try {
    parseConfig(text, "peers.json");
    return "";
  } catch (error) {
    return String(error);
  }
}

/** What the agent says, without what stands for something else, and without DOCA's own words. */
Deno.test("each sentence of a failure is one that the sources can say", () => {
  const sources = readAll("c-shim/doca", /\.[ch]$/) + readAll("c-shim/psp", /\.[ch]$/);
  const text = sources.replaceAll(/"\s*\n\s*"/g, "").replaceAll('\\"', '"');
  const cells = firstCells("What each failure looks like")
    .flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code))
    .filter((code) => code.includes(" "));
  assert.ok(cells.length > 12, `${cells.length}`);
  for (const cell of cells) {
    const pieces = cell.split(
      /: |\.\.\.|"[^"]*"|\bfrom N to M\b|\b[NM]\b|-> |\b(?:DOCA_ERROR_\w+|NO_MEMORY|TOO_BIG|CAP_\w+)\b/,
    )
      .map((piece) => piece.replace(/^[\s:,"]+|[\s:,"]+$/g, "")).filter((piece) =>
        piece.length > 3
      );
    for (const piece of pieces) assert.ok(text.includes(piece), `${cell}: ${piece}`);
  }
});

Deno.test("each question that settles a claim is one of the self-test's", () => {
  const sources = readAll("src/doctor", /^hardware.*(?<!_test)\.ts$/);
  const stages = new Set(
    [...sources.matchAll(/id: [`"]([A-I])/g)].map(([, stage = ""]) => stage),
  );
  const rows = section("Never run on hardware").split("\n").filter((line) =>
    line.startsWith("| **")
  );
  assert.ok(rows.length > 15);
  for (const row of rows) {
    const questions = row.split(" | ")[1]?.trim() ?? "";
    for (const [, stage = "", number = ""] of questions.matchAll(/\b([A-I])(\d)\b/g)) {
      assert.ok(stages.has(stage), `${stage}${number}`);
      const literal = sources.includes(`id: "${stage}${number}"`);
      const made = new RegExp(`id: \`${stage}\\$\\{`).test(sources);
      assert.ok(literal || made, `${stage}${number}`);
    }
  }
  const listed = firstCells("Asking the device: `doctor --hardware`").filter((cell) =>
    /^[A-I]$/.test(cell)
  );
  assert.deepEqual(new Set(listed), stages);
});

Deno.test("each variable and each rule of the stand-in is read somewhere", () => {
  const sources = readAll("c-shim/doca", /\.[ch]$/) + readAll("c-shim/doca-standin", /\.[ch]$/);
  for (const [name] of DOC.matchAll(/\b(?:PSP_DOCA|DOCA_STANDIN)_[A-Z]+\b/g)) {
    assert.ok(sources.includes(`"${name}"`), name);
  }
  const rules = [
    ...read("c-shim/doca-standin/rules.c").matchAll(/^\t\[DOCA_STANDIN_\w+\] = \{"([\w-]+)"/gm),
  ]
    .map(([, rule = ""]) => rule);
  const told = firstCells("Tests on the stand-in").flatMap((cell) =>
    [...cell.matchAll(/`([\w-]+)`/g)].map(([, rule = ""]) => rule)
  );
  assert.deepEqual(told.filter((rule) => /^[a-z-]+$/.test(rule)).sort(), rules.sort());
});

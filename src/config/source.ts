// SPDX-License-Identifier: Apache-2.0

/** JSON with comments and trailing commas, with the place of everything in it. */
import {
  createScanner,
  findNodeAtLocation,
  type Node,
  type ParseError,
  type ParseErrorCode,
  parseTree,
  printParseErrorCode,
  stripComments as withoutComments,
} from "jsonc-parser";
import type { Remark } from "./rules.ts";

/** A remark with its place: line and column count from 1. */
export interface Problem extends Remark {
  readonly line: number;
  readonly column: number;
}

export interface Source {
  /** The JSON value; plain objects, duplicate keys keep the first, whole numbers beyond 2^53 are bigints. */
  readonly value: unknown;
  /** Everything that is not JSON, and keys that stand twice. */
  readonly problems: readonly Problem[];
  /** Where a path stands, or the nearest thing around it that exists. */
  locate(remark: Remark): Problem;
}

/** Deeper than any configuration; keeps hostile files from exhausting the stack. */
const MAX_DEPTH = 32;
const MAX_SYNTAX_ERRORS = 10;
/** The text of the one problem of a file that says nothing. */
export const EMPTY = "is empty";

/** Reads a text. Never throws: what is wrong is in `problems`. */
export function parseSource(text: string): Source {
  const place = lineIndex(text);
  if (nesting(text) > MAX_DEPTH) {
    const problem = {
      path: [],
      text: `is nested deeper than ${MAX_DEPTH} levels`,
      line: 1,
      column: 1,
    };
    return {
      value: undefined,
      problems: [problem],
      locate: (remark) => ({ ...remark, ...place(0) }),
    };
  }
  if (withoutComments(text).trim() === "") {
    const problem = { path: [], text: EMPTY, ...place(0) };
    return {
      value: undefined,
      problems: [problem],
      locate: (remark) => ({ ...remark, ...place(0) }),
    };
  }
  const errors: ParseError[] = [];
  const root = parseTree(text.replace(/^\uFEFF/, " "), errors, { allowTrailingComma: true });
  const problems = firstOfLines(
    errors.map(({ error, offset }) => ({
      path: [],
      text: `is not JSON: ${
        text[offset] === "'" ? "text stands between double quotes" : wording(error)
      }`,
      ...place(offset),
    })),
  );
  const locate = (remark: Remark) => ({ ...remark, ...place(offsetOf(root, remark.path)) });
  if (!root || problems.length > 0) return { value: undefined, problems, locate };
  const odd: Problem[] = [];
  const value = valueOf(root, [], {
    text,
    onOddKey: (path, node, text) => odd.push({ path, text, ...place(node.offset) }),
  });
  return { value, problems: odd, locate };
}

/** What follows on a line after its first mistake is seldom another one. */
function firstOfLines(problems: readonly Problem[]): Problem[] {
  const seen = new Set<number>();
  return problems.filter(({ line }) => !seen.has(line) && seen.add(line))
    .slice(0, MAX_SYNTAX_ERRORS);
}

/** Keys that could reach prototypes, and that valibot skips for that reason: never ours. */
const FORBIDDEN = ["__proto__", "prototype", "constructor"];

interface Reading {
  /** The source. */
  readonly text: string;
  readonly onOddKey: (path: readonly (string | number)[], node: Node, text: string) => void;
}

function valueOf(node: Node, path: readonly (string | number)[], reading: Reading): unknown {
  if (node.type === "array") {
    return (node.children ?? []).map((child, i) => valueOf(child, [...path, i], reading));
  }
  if (node.type === "number") return numberOf(node, reading);
  if (node.type !== "object") return node.value;
  const object: Record<string, unknown> = {};
  for (const property of node.children ?? []) {
    const [key, child] = property.children ?? [];
    if (!key || !child) continue;
    const name = String(key.value);
    const odd = (text: string) => reading.onOddKey([...path, name], key, text);
    if (FORBIDDEN.includes(name)) odd("is not a known key: remove it");
    else if (Object.hasOwn(object, name)) odd("stands there twice: remove one");
    else object[name] = valueOf(child, [...path, name], reading);
  }
  return object;
}

/** As it stands there: what a number of JavaScript would round is a bigint. */
function numberOf({ value, offset, length }: Node, { text }: Reading): number | bigint {
  const digits = text.slice(offset, offset + length);
  return Number.isSafeInteger(value) || !/^-?\d+$/.test(digits) ? value : BigInt(digits);
}

function offsetOf(root: Node | undefined, path: readonly (string | number)[]): number {
  for (let length = path.length; root && length > 0; length--) {
    const node = findNodeAtLocation(root, path.slice(0, length));
    if (!node) continue;
    const last = length === path.length;
    // The key's own place when all of the path exists, so that the editor lands on the line's start.
    return last && node.parent?.type === "property" ? node.parent.offset : node.offset;
  }
  return root?.offset ?? 0;
}

function lineIndex(text: string): (offset: number) => { line: number; column: number } {
  const starts = [0];
  for (let i = text.indexOf("\n"); i >= 0; i = text.indexOf("\n", i + 1)) starts.push(i + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - (starts[low] ?? 0) + 1 };
  };
}

function nesting(text: string): number {
  const scanner = createScanner(text, true);
  let depth = 0;
  let deepest = 0;
  for (let token = scanner.scan(); token !== 17 /* EOF */; token = scanner.scan()) {
    if (token === 1 /* { */ || token === 3 /* [ */) deepest = Math.max(deepest, ++depth);
    if (token === 2 /* } */ || token === 4 /* ] */) depth--;
  }
  return deepest;
}

const WORDING: Readonly<Record<string, string>> = {
  InvalidSymbol: "a word that is not true, false, null, a number or text in quotes",
  InvalidNumberFormat: "a number that is not well formed",
  PropertyNameExpected: "a key in double quotes is expected",
  ValueExpected: "a value is expected",
  ColonExpected: 'a ":" is expected between key and value',
  CommaExpected: 'a "," is expected before this',
  CloseBraceExpected: 'a "}" is missing',
  CloseBracketExpected: 'a "]" is missing',
  EndOfFileExpected: "something follows after the end",
  UnexpectedEndOfComment: 'a comment does not end with "*/"',
  UnexpectedEndOfString: "text without its closing quote",
  UnexpectedEndOfNumber: "a number stops in the middle",
  InvalidUnicode: 'a "\\u" without four hex digits',
  InvalidEscapeCharacter: 'a "\\" before a letter that has no such meaning',
  InvalidCharacter: "a control character inside text",
};

function wording(code: ParseErrorCode): string {
  const name = printParseErrorCode(code);
  return WORDING[name] ?? name;
}

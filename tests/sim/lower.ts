// SPDX-License-Identifier: Apache-2.0

/**
 * Source text in which no function is suspended by the runtime: each `async` one is rewritten by the TypeScript compiler into
 * a function that is called again and again, with a label for where it stands, and its variables can be read and written.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";

/** As much of a node of its tree as is looked at. */
interface Node {
  readonly end: number;
  readonly modifiers?: readonly { readonly kind: number }[];
  readonly asteriskToken?: object;
  readonly name?: Node;
  readonly body?: Node;
  readonly parameters: readonly Node[];
  getStart(file: Node): number;
  getText(file: Node): string;
}

type Is = (node: Node) => boolean;

/** As much of the TypeScript compiler as is used. */
interface Compiler {
  readonly ScriptTarget: { readonly ESNext: number; readonly ES5: number };
  readonly ModuleKind: { readonly ESNext: number };
  readonly SyntaxKind: { readonly AsyncKeyword: number };
  readonly isMethodDeclaration: Is;
  readonly isArrowFunction: Is;
  readonly isFunctionDeclaration: Is;
  readonly isFunctionExpression: Is;
  readonly isBlock: Is;
  createSourceFile(name: string, text: string, target: number, setParents: boolean): Node;
  forEachChild(node: Node, visit: (node: Node) => void): void;
  transpileModule(
    text: string,
    how: { readonly compilerOptions: Readonly<Record<string, unknown>> },
  ): { readonly outputText: string };
}

const ROOT = new URL("../../", import.meta.url);
/** The compiler of tools/gen.lock, which the generator of the Connect code needs: `make deps` has fetched it. */
const LOCK = new URL("tools/gen.lock", ROOT);

/** The text with every `async` function lowered; the same text where there is none. Private names must be gone from it. */
export function lowered(name: string, text: string): string {
  if (!/\basync\b/.test(text)) return text;
  const ts = compiler();
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.ESNext, true);
  const pieces: string[] = [];
  let at = 0;
  const visit = (node: Node): void => {
    if (!isAsync(ts, node)) return ts.forEachChild(node, visit);
    pieces.push(text.slice(at, node.getStart(file)), functionOf(ts, { node, file }));
    at = node.end;
  };
  visit(file);
  const body = pieces.join("") + text.slice(at);
  const from = new URL("./promise.ts", import.meta.url).href;
  return `import { routine as __routine, Walk as __Walk } from "${from}";\n${HELPERS}${body}`;
}

function compiler(): Compiler {
  const cache = Deno.env.get("DENO_DIR") ?? new URL(".toolchain/cache", ROOT).pathname;
  const version = /"typescript@([0-9.]+)"/.exec(Deno.readTextFileSync(LOCK))?.[1];
  // Packages lie below the name of whichever host they came from.
  const found = [...Deno.readDirSync(`${cache}/npm`)]
    .map(({ name }) => `${cache}/npm/${name}/typescript/${version}/lib/typescript.js`)
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error(`No TypeScript ${version} in ${cache}: make deps`);
  return createRequire(import.meta.url)(found);
}

function isAsync(ts: Compiler, node: Node): boolean {
  const isFunction = ts.isMethodDeclaration(node) || ts.isArrowFunction(node) ||
    ts.isFunctionDeclaration(node) || ts.isFunctionExpression(node);
  if (!isFunction || node.asteriskToken !== undefined) return false;
  return node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.AsyncKeyword) ?? false;
}

/** What stands instead of an `async` function. */
function functionOf(
  ts: Compiler,
  { node, file }: { readonly node: Node; readonly file: Node },
): string {
  const parameters = node.parameters.map((parameter) => parameter.getText(file)).join(", ");
  const body = node.body?.getText(file) ?? "{}";
  const isArrow = ts.isArrowFunction(node);
  const text = isArrow && node.body !== undefined && !ts.isBlock(node.body)
    ? `{ return ${body}; }`
    : body;
  const source = isArrow
    ? `(async (${parameters}) => ${text})`
    : `(async function (${parameters}) ${text})`;
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: {
      target: ts.ScriptTarget.ES5,
      module: ts.ModuleKind.ESNext,
      noEmitHelpers: true,
      downlevelIteration: true,
    },
  });
  const code = withLocals(outputText.trim().replace(/;$/, ""));
  if (isArrow && /\b_?this\b/.test(source)) {
    throw new Error(`Cannot lower an async arrow function with "this": ${source}`);
  }
  const name = node.name?.getText(file) ?? "";
  if (ts.isMethodDeclaration(node)) return `${name}(...args) { return ${code}.apply(this, args); }`;
  if (ts.isFunctionDeclaration(node)) {
    return `function ${name}(...args) { return ${code}.apply(this, args); }`;
  }
  return code;
}

/** The compiler's output with the variables of each function given to its helper. */
function withLocals(code: string): string {
  const args = /(?:void 0|arguments|\[[^\]]*\])/.source;
  const head = new RegExp(`__awaiter\\((?:this|void 0), ${args}, void 0, function \\([^)]*\\) \\{`);
  const tail = /return __generator\(this, /;
  const between = new RegExp(`(${head.source})([^]*?)(${tail.source})`, "g");
  return code.replaceAll(between, (_, begin: string, variables: string, end: string) => {
    const names = namesIn(variables);
    const put = names.map((name, i) => `${name} = _values[${i}];`).join(" ");
    const locals = `{ read: () => [${names.join(", ")}], write: (_values) => { ${put} } }`;
    return `${begin}${variables}${end}${locals}, `;
  });
}

/** Of `var a = 1, b; var c;`. */
function namesIn(text: string): string[] {
  return [...text.matchAll(/\bvar ([^;]+);/g)].flatMap(([, list = ""]) =>
    list.split(/,(?![^([{]*[)\]}])/).map((part) => part.trim().split(/\s*=/)[0] ?? "")
  );
}

/** What the compiler's output calls besides; written for how it calls them. */
const HELPERS = `
const __awaiter = (that, args, _, begin) => __routine(that, { args, begin });
const __generator = (that, locals, body) => ({ body: (one) => body.call(that, one), locals });
const __assign = Object.assign;
const __spreadArray = (to, from) => [...to, ...from];
const __read = (from) => [...from];
const __values = (from) => new __Walk([...from]);
const __rest = (from, names) =>
  Object.fromEntries(Object.entries(from).filter(([name]) => !names.includes(name)));
const __addDisposableResource = (scope, value) => {
  if (value != null) scope.stack.push(value);
  return value;
};
const __disposeResources = (scope) => {
  while (scope.stack.length > 0) scope.stack.pop()[Symbol.dispose]();
  if (scope.hasError) throw scope.error;
};
`;

// SPDX-License-Identifier: Apache-2.0

/**
 * The Helm chart rendered without Helm: the templates use `{{ .Path }}`, `{{ .Path | default .Path }}` and
 * `{{- toYaml .Path | nindent N }}`, the last one also within `with`, and nothing else, so that this is enough. Any other action is an error.
 */
import { parse, stringify } from "yaml";

/** A tree of YAML. */
export type Tree = { readonly [key: string]: unknown };

const CHART = new URL("../../deploy/kubernetes/psp-agent/", import.meta.url);

/** The documents of all templates, with `values` laid over the chart's own. */
export function renderChart(values: Tree = {}): Tree[] {
  const chart = parse(read("Chart.yaml")) as Tree;
  const context = {
    Values: merge(parse(read("values.yaml")) as Tree, values),
    Chart: { Name: chart["name"], Version: chart["version"], AppVersion: chart["appVersion"] },
    Release: { Name: "trial", Namespace: "trials" },
  };
  const names = [...Deno.readDirSync(new URL("templates/", CHART))].map(({ name }) => name).sort();
  return names.map((name) => parse(render(read(`templates/${name}`), context), strict) as Tree);
}

/** A key that stands twice is an error. */
export const strict = { uniqueKeys: true, strict: true } as const;

function read(name: string): string {
  return Deno.readTextFileSync(new URL(name, CHART));
}

/** `{{- with .Path }}{{- toYaml . | nindent N }}{{- end }}`: nothing where the list is empty. */
const WITH =
  /\s*\{\{- with (\.[\w.]+) \}\}\s*\{\{- toYaml \. \| nindent (\d+) \}\}\s*\{\{- end \}\}/g;

function render(template: string, context: Tree): string {
  const whole = template.replaceAll(WITH, (_, path: string, indent: string) => {
    const value = lookUp(context, path);
    if (!Array.isArray(value)) throw new Error(`${path} is no list: ${value}`);
    return value.length === 0 ? "" : ` {{- toYaml ${path} | nindent ${indent} }}`;
  });
  return whole.replaceAll(
    /(\s*)\{\{-? ([^}]*?) ?\}\}/g,
    (whole, space: string, action: string) => {
      const block = /^toYaml (\.[\w.]+) \| nindent (\d+)$/.exec(action);
      if (block !== null && whole.includes("{{-")) {
        const indent = " ".repeat(Number(block[2]));
        const text = stringify(lookUp(context, block[1] ?? "")).trimEnd();
        return `\n${text.split("\n").map((line) => indent + line).join("\n")}`;
      }
      const [, path, or] = /^(\.[\w.]+)(?: \| default (\.[\w.]+))?$/.exec(action) ?? [];
      if (path === undefined) throw new Error(`Cannot render "${whole.trim()}"`);
      const value = lookUp(context, path) || (or !== undefined && lookUp(context, or));
      if (typeof value !== "string") throw new Error(`${action} is no text: ${value}`);
      return space + value;
    },
  );
}

function lookUp(context: Tree, path: string): unknown {
  return path.slice(1).split(".").reduce<unknown>((value, key) => {
    if (typeof value !== "object" || value === null || !(key in value)) {
      throw new Error(`Cannot render "${path}": the values have no "${key}"`);
    }
    return (value as Tree)[key];
  }, context);
}

function merge(base: Tree, over: Tree): Tree {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = base[key];
    merged[key] = isTree(below) && isTree(value) ? merge(below, value) : value;
  }
  return merged;
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

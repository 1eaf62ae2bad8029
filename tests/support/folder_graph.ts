// SPDX-License-Identifier: Apache-2.0

/** Which folder may import which, type imports too, as ARCHITECTURE.md draws it. Run it to print the picture. */

/** Each folder, the upper ones first, with those that it imports. An import that is not here is not allowed. */
export const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  "main.ts": ["src/cli"],
  "src/cli": [
    "src/agent",
    "src/doctor",
    "src/selftest",
    "src/pcap",
    "src/plane",
    "src/rpc",
    "src/store",
    "src/pipes",
    "src/pki",
    "src/config",
    "src/model",
    "ffi",
  ],
  "src/agent": [
    "src/plane",
    "src/core",
    "src/rpc",
    "src/store",
    "src/directory",
    "src/pipes",
    "src/config",
    "src/model",
    "ffi",
  ],
  "src/doctor": [
    "src/plane",
    "src/pcap",
    "src/pipes",
    "src/rpc",
    "src/store",
    "src/config",
    "src/model",
    "ffi",
  ],
  "src/selftest": ["src/pcap", "src/config", "src/model", "ffi"],
  "src/plane": ["src/exceptions", "src/pipes", "src/config", "src/model", "ffi"],
  "src/core": ["src/config", "src/model", "ffi"],
  "src/page": ["src/rpc", "src/model"],
  "src/rpc": ["src/pki", "src/config", "src/model", "ffi"],
  "src/store": ["src/config", "src/model"],
  "src/directory": ["src/config", "src/model"],
  "src/pcap": ["src/config", "src/model", "ffi"],
  "src/exceptions": ["src/config", "src/model"],
  "src/pki": ["src/config", "src/model"],
  "src/pipes": ["src/model", "ffi"],
  "src/config": ["src/model", "ffi"],
  "src/model": ["ffi"],
  "ffi": [],
};

/** The folder of a file: "src/x", "ffi", or the file itself at the top. */
export function folderOf(path: string): string {
  const parts = path.split("/");
  return parts.slice(0, parts[0] === "src" ? 2 : 1).join("/");
}

/** A way through `graph` that ends where it began; undefined: there is none. */
export function circleOf(graph: Readonly<Record<string, readonly string[]>>): string[] | undefined {
  const done = new Set<string>();
  const visit = (node: string, way: readonly string[]): string[] | undefined => {
    if (way.includes(node)) return [...way.slice(way.indexOf(node)), node];
    if (done.has(node)) return undefined;
    for (const next of graph[node] ?? []) {
      const circle = visit(next, [...way, node]);
      if (circle !== undefined) return circle;
    }
    done.add(node);
    return undefined;
  };
  for (const node of Object.keys(graph)) {
    const circle = visit(node, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

/** Markdown for the part between the marks. What an arrow leads to by way of others has none of its own. */
export function folderGraphDoc(): string {
  const reaches = (from: string, to: string): boolean =>
    (FOLDERS[from] ?? []).some((next) => next === to || reaches(next, to));
  const arrows = Object.entries(FOLDERS).flatMap(([from, all]) =>
    all.filter((to) => !all.some((other) => other !== to && reaches(other, to)))
      .map((to) => `    ${id(from)}-->${id(to)}\n`)
  );
  const nodes = Object.keys(FOLDERS).map((folder) => `    ${id(folder)}["${folder}"]\n`);
  return `\`\`\`mermaid\nflowchart TD\n${nodes.join("")}${arrows.join("")}\`\`\`\n`;
}

/** What Mermaid takes as a name: "end" and the like are words of its own. */
function id(folder: string): string {
  return folder.replaceAll(/\W/g, "_");
}

if (import.meta.main) console.log(folderGraphDoc());

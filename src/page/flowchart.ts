// SPDX-License-Identifier: Apache-2.0

/** The agent's Mermaid flowchart, read and laid out in columns from left to right. Pure. */

/** A node: a pipe, or where packets come from and go. */
export interface Node {
  readonly id: string;
  readonly lines: readonly string[];
  /** A pipe or a handler, a port or the kernel, where packets end. */
  readonly shape: "box" | "port" | "end";
}

/** An edge; dashed: a miss. */
export interface Edge {
  readonly from: string;
  readonly to: string;
  /** Without its count. */
  readonly label: string;
  readonly dashed: boolean;
  /** Packets that passed, when the agent counts them. */
  readonly packets: number | undefined;
}

export interface Flowchart {
  readonly nodes: readonly Node[];
  readonly edges: readonly Edge[];
}

const NODE = /^(\w+)(?:\["(.*)"\]|\{\{(.*)\}\}|\[\[(.*)\]\])?$/;
const EDGE = /^\s*(\w+(?:\{\{.*?\}\}|\[\[.*?\]\])?)(-->|-\.->)(?:\|"?(.*?)"?\|)?(.+)$/;

/** What `src/pipes/mermaid.ts` writes; a line that is nothing of it is left out. */
export function parse(text: string): Flowchart {
  const nodes = new Map<string, Node>();
  const edges: Edge[] = [];
  const node = (part: string): string => {
    const found = NODE.exec(part.trim());
    const id = found?.[1] ?? part.trim();
    const [, , box, port, end] = found ?? [];
    const label = box ?? port ?? end;
    if (label !== undefined || !nodes.has(id)) {
      const shape = port !== undefined ? "port" : end !== undefined ? "end" : "box";
      nodes.set(id, { id, lines: (label ?? id).split("\\n"), shape });
    }
    return id;
  };
  for (const line of text.split("\n")) {
    const [, from, arrow, label = "", to] = EDGE.exec(line) ?? [];
    if (from === undefined || to === undefined) continue;
    const count = /(?:^|: )(\d+)$/.exec(label);
    edges.push({
      from: node(from),
      to: node(to),
      dashed: arrow === "-.->",
      label: count === null ? label : label.slice(0, count.index),
      packets: count === null ? undefined : Number(count[1]),
    });
  }
  return { nodes: [...nodes.values()], edges };
}

/** Where a node stands, in pixels. */
export interface Placed extends Node {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Layout {
  readonly nodes: ReadonlyMap<string, Placed>;
  readonly width: number;
  readonly height: number;
}

const CHARACTER = 6.2;
const BOLD = 8;
const LINE = 15;
const GAP_X = 128;
const GAP_Y = 34;
const MARGIN = 16;

/** Columns by the longest way from the start; within a column near to where the edges come from. */
export function layOut({ nodes, edges }: Flowchart): Layout {
  const columns = columnsOf(nodes, edges);
  const placed = new Map<string, Placed>();
  let x = MARGIN;
  let height = 0;
  for (const column of columns) {
    const sized = column.map((node) => ({
      ...node,
      width: Math.max(
        56,
        ...node.lines.map((line, i) => line.length * (i === 0 ? BOLD : CHARACTER) + 20),
      ),
      height: node.lines.length * LINE + 14,
    }));
    const wanted = (node: Node) => {
      const ys = edges.filter(({ to }) => to === node.id)
        .flatMap(({ from }) => placed.get(from) ?? []).map((from) => from.y + from.height / 2);
      return ys.length === 0 ? 0 : ys.reduce((a, b) => a + b) / ys.length;
    };
    sized.sort((a, b) => wanted(a) - wanted(b));
    let y = MARGIN;
    for (const node of sized) {
      const top = Math.max(y, wanted(node) - node.height / 2);
      placed.set(node.id, { ...node, x, y: top });
      y = top + node.height + GAP_Y;
    }
    height = Math.max(height, y - GAP_Y);
    x += Math.max(...sized.map(({ width }) => width)) + GAP_X;
  }
  return { nodes: placed, width: x - GAP_X + MARGIN, height: height + MARGIN + 30 };
}

function columnsOf(nodes: readonly Node[], edges: readonly Edge[]): Node[][] {
  const rank = new Map<string, number>();
  const visit = (id: string, at: number, way: readonly string[]) => {
    // An edge back, such as that of a packet that is resubmitted, moves nothing.
    if (way.includes(id) || (rank.get(id) ?? -1) >= at) return;
    rank.set(id, at);
    for (const { from, to } of edges) if (from === id) visit(to, at + 1, [...way, id]);
  };
  const [first] = nodes;
  if (first !== undefined) visit(first.id, 0, []);
  const columns: Node[][] = [];
  for (const node of nodes) (columns[rank.get(node.id) ?? 0] ??= []).push(node);
  return columns.filter((column) => column !== undefined);
}

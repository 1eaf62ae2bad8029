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

/** Where an edge passes a column, from its left to its right, in pixels. */
export interface Passage {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

export interface Layout {
  readonly nodes: ReadonlyMap<string, Placed>;
  /** By the number of the edge: the columns between its ends, from left to right. */
  readonly passages: ReadonlyMap<number, readonly Passage[]>;
  readonly width: number;
  readonly height: number;
}

const CHARACTER = 6.2;
const BOLD = 8;
const LINE = 15;
const GAP_X = 128;
const GAP_Y = 34;
const MARGIN = 16;

/** Room for an edge that passes a column. */
const LANE = 22;

/** What stands in a column: a node, or an edge that passes. */
type Item =
  & { readonly width: number; readonly height: number; readonly gap: number }
  & ({ readonly node: Node } | { readonly edge: number });

/**
 * Columns by the longest way from the start; within a column near to where the edges come from. An edge over several
 * columns has a lane of its own in those between, so that it passes no node.
 */
export function layOut({ nodes, edges }: Flowchart): Layout {
  const columns = columnsOf(nodes, edges);
  const columnOf = new Map(columns.flatMap((column, i) => column.map(({ id }) => [id, i])));
  const placed = new Map<string, Placed>();
  const passages = new Map<number, Passage[]>();
  let x = MARGIN;
  let height = 0;
  columns.forEach((column, at) => {
    const passing = edges.flatMap(({ from, to }, edge): Item[] => {
      const [first, last] = [columnOf.get(from) ?? 0, columnOf.get(to) ?? 0];
      return first < at && at < last ? [{ edge, width: 0, height: LANE, gap: GAP_Y / 2 }] : [];
    });
    const items = [...column.map(sized), ...passing];
    /** The middle of where its edges come from. */
    const wanted = (item: Item) => {
      const into = edges.map((edge, i) => [edge, i] as const).filter(([{ to }, i]) =>
        "node" in item ? to === item.node.id : i === item.edge
      );
      const ys = into.flatMap(([{ from }, i]) => {
        const last = passages.get(i)?.at(-1);
        if (last !== undefined) return last.y;
        const node = placed.get(from);
        return node === undefined ? [] : node.y + node.height / 2;
      });
      return ys.length === 0 ? 0 : ys.reduce((a, b) => a + b) / ys.length;
    };
    items.sort((a, b) => wanted(a) - wanted(b));
    const width = Math.max(...items.map((item) => item.width));
    let y = MARGIN;
    for (const item of items) {
      const top = Math.max(y, wanted(item) - item.height / 2);
      if ("node" in item) placed.set(item.node.id, { ...item.node, ...size(item), x, y: top });
      else {
        const way = passages.get(item.edge) ?? [];
        passages.set(item.edge, [...way, { x, y: top + item.height / 2, width }]);
      }
      y = top + item.height + item.gap;
      height = Math.max(height, top + item.height);
    }
    x += width + GAP_X;
  });
  return {
    nodes: placed,
    passages,
    width: x - GAP_X + MARGIN,
    height: height + MARGIN,
  };
}

function sized(node: Node): Item {
  const widths = node.lines.map((line, i) => line.length * (i === 0 ? BOLD : CHARACTER) + 20);
  const width = Math.max(56, ...widths);
  return { node, width, height: node.lines.length * LINE + 14, gap: GAP_Y };
}

function size({ width, height }: Item): { readonly width: number; readonly height: number } {
  return { width, height };
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

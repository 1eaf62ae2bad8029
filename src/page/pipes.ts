// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** The packet path as a picture: rates on pipes and edges, the busiest edge thicker, drops red. */
import type { VNode } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { PipeStatus } from "../rpc/gen/psp/v1/status_pb.ts";
import { type Feed, useFeed } from "./feed.ts";
import { type Edge, layOut, parse, type Passage, type Placed } from "./flowchart.ts";
import { html } from "./html.ts";
import { grouped, short } from "./rates.ts";

/** The second tab. */
export function Pipes({ feed }: { readonly feed: Feed }): VNode {
  const { pipes } = useFeed(feed);
  const [chosen, choose] = useState("EGR_ACL");
  const shown = pipes?.pipes.find(({ name }) => name === chosen);
  return html`
    <${Picture} feed=${feed} marks=${new Map([[chosen, "chosen"]])} choose=${choose} />
    <p class="faint">Beside each edge: packets a second. A dashed edge is a miss. Choose a pipe for its
      entries, with all that passed since the start.</p>
    ${shown === undefined ? null : html`<${Entries} pipe=${shown} />`}
  `;
}

/** The flowchart with rates. `marks`: classes of nodes, by id. */
export function Picture({ feed, marks, choose }: {
  readonly feed: Feed;
  readonly marks: ReadonlyMap<string, string>;
  readonly choose?: (pipe: string) => void;
}): VNode {
  const { pipes } = useFeed(feed);
  const chart = parse(pipes?.mermaid ?? "");
  // Counts in nodes and labels change each second; where things stand does not.
  const shape = chart.nodes.map(({ id }) => id).join() + chart.edges.length;
  const layout = useMemo(() => layOut({ ...chart, nodes: chart.nodes.map(still) }), [shape]);
  if (pipes === undefined) return html`<p class="faint">Asking the agent ...</p>`;
  const rates = chart.edges.map((edge, i) =>
    edge.packets === undefined ? 0 : feed.rate(`edge ${i} ${edge.from} ${edge.to}`, edge.packets)
  );
  const busiest = Math.max(1, ...rates);
  const names = new Set(pipes.pipes.map(({ name }) => name));
  const size = { maxWidth: layout.width };
  return html`
    <div class="chart" tabindex="0" role="region" aria-label="The pipes">
      <svg viewBox="0 0 ${layout.width} ${layout.height}" style=${size} role="group"
        aria-label="The packet path">
        <defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"
          markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z" /></marker></defs>
        ${chart.edges.map((edge, i) => {
          const [from, to] = [layout.nodes.get(edge.from), layout.nodes.get(edge.to)];
          if (from === undefined || to === undefined) return null;
          return html`
            <${Arrow} key=${i} edge=${edge} from=${from} to=${to}
              passages=${layout.passages.get(i) ?? []} rate=${rates[i] ??
                0} share=${(rates[i] ?? 0) / busiest} />
          `;
        })}
        ${[...layout.nodes.values()].map((node) =>
          html`
            <${Box} key=${node.id} node=${node} mark=${marks.get(node.id) ?? ""}
              choose=${choose && names.has(node.id) ? () => choose(node.id) : undefined} />
          `
        )}
      </svg>
    </div>
  `;
}

/** A node without what changes. */
function still<T extends { readonly lines: readonly string[] }>(node: T): T {
  const lines = node.lines.filter((line) =>
    !/\b\d+ packets$/.test(line) && !/^\w+ \d+,/.test(line)
  );
  return { ...node, lines };
}

function Arrow({ edge, from, to, passages, rate, share }: {
  readonly edge: Edge;
  readonly from: Placed;
  readonly to: Placed;
  readonly passages: readonly Passage[];
  readonly rate: number;
  readonly share: number;
}): VNode {
  const { path, at: [tx, ty] } = to.x <= from.x ? back(from, to) : forth(from, to, passages);
  const lost = edge.to === "drop" && rate > 0;
  const name = edge.label.replace(/^M: (port=\w+, )?/, "").replace(/ \(.*\)$/, "");
  const count = edge.packets === undefined ? "" : `${short(rate)}/s`;
  return html`
    <g class="edge ${lost ? "lost" : rate > 0 ? "busy" : ""}">
      <path d=${path} stroke-width=${1.2 + 4 * share} stroke-dasharray=${edge.dashed ? "4 4" : null}
        marker-end="url(#tip)">
        <title>${edge.label}: ${edge.packets ?? "not counted"}</title>
      </path>
      <text x=${tx} y=${ty - 4}>${name}</text>
      <text x=${tx} y=${ty + 9} class="count">${count}</text>
    </g>
  `;
}

/** A path, and where its label stands. */
interface Drawn {
  readonly path: string;
  readonly at: readonly [number, number];
}

/** To the right, through the lanes of the columns between. */
function forth(from: Placed, to: Placed, passages: readonly Passage[]): Drawn {
  const y1 = from.y + from.height / 2;
  const end = { x: to.x - 2, y: to.y + to.height / 2, width: 0 };
  const [first = end] = passages;
  const x1 = from.x + from.width;
  let [x, y] = [x1, y1];
  let path = `M${x} ${y}`;
  for (const next of [...passages, end]) {
    const bend = Math.max(40, (next.x - x) / 2);
    path += ` C${x + bend} ${y} ${next.x - bend} ${next.y} ${next.x} ${next.y}`;
    [x, y] = [next.x + next.width, next.y];
    if (next.width > 0) path += ` H${x}`;
  }
  // Beyond the middle: edges that leave one pipe have parted there.
  return { path, at: [x1 + 0.6 * (first.x - x1), y1 + 0.68 * (first.y - y1)] };
}

/** Back to the column before, below the edge that came from there. */
function back(from: Placed, to: Placed): Drawn {
  const [y1, y2] = [from.y + 0.8 * from.height, to.y + 0.85 * to.height];
  const [x1, x2] = [from.x, to.x + to.width + 2];
  const bend = Math.max(40, (x1 - x2) / 2);
  return {
    path: `M${x1} ${y1} C${x1 - bend} ${y1} ${x2 + bend} ${y2} ${x2} ${y2}`,
    at: [x1 - 0.5 * (x1 - x2), y1 - 0.45 * (y1 - y2) + 18],
  };
}

function Box({ node, mark, choose }: {
  readonly node: Placed;
  readonly mark: string;
  readonly choose: (() => void) | undefined;
}): VNode {
  const { x, y, width, height, lines, shape, id } = node;
  const pressed = (event: KeyboardEvent) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose?.();
  };
  const can = choose === undefined ? {} : {
    tabindex: 0,
    role: "button",
    "aria-pressed": mark === "chosen",
    onClick: choose,
    onKeyDown: pressed,
  };
  const drop = id === "drop" ? "lost" : "";
  return html`<g class="node ${shape} ${drop} ${mark}" aria-label=${id} ...${can}>
    <rect x=${x} y=${y} width=${width} height=${height} rx=${shape === "box" ? 4 : height / 2} />
    ${
    lines.map((line, i) =>
      html`<text x=${x + width / 2} y=${y + 19 + i * 15} class=${
        i === 0 ? "name" : ""
      }>${line}</text>`
    )
  }</g>`;
}

function Entries({ pipe }: { readonly pipe: PipeStatus }): VNode {
  const rows = [
    ...pipe.staticEntries.map(({ name, packets, bytes }) => [name, packets, bytes] as const),
    ["all that matched", pipe.packets, pipe.bytes] as const,
    ["missed", pipe.missPackets, pipe.missBytes] as const,
  ];
  return html`
    <h2 id="entries">${pipe.name}: ${grouped(pipe.entries)} ${pipe.entries === 1
      ? "entry"
      : "entries"}</h2>
    <table class="narrow" aria-labelledby="entries">
      <thead>
        <tr>
          <th scope="col">Entry</th>
          <th scope="col" class="n">Packets</th>
          <th scope="col" class="n">Octets</th>
        </tr>
      </thead>
      <tbody>${rows.map(([name, packets, bytes]) =>
        html`
          <tr>
            <td>${name}</td>
            <td class="n">${grouped(packets)}</td>
            <td class="n">${grouped(bytes)}</td>
          </tr>
        `
      )}</tbody>
    </table>
  `;
}

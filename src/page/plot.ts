// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

/** A plot of the last quarter of an hour. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { VNode } from "preact";
import uPlot from "uplot";
import { html } from "./html.ts";
import type { History } from "./rates.ts";
import { amount, short } from "./rates.ts";

/** What is drawn in it. */
export interface Line {
  /** Of `History.series`. */
  readonly name: string;
  readonly label: string;
  /** A custom property of the style sheet, such as "--tx". */
  readonly color: string;
}

const HEIGHT = 150;

/** Lines over time, with their newest values. */
export function Plot({ title, unit, lines, history }: {
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly Line[];
  readonly history: History;
}): VNode {
  const at = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const isDark = useDark();
  const names = lines.map(({ name }) => name).join();
  useEffect(() => {
    const element = at.current;
    if (element === null) return;
    const made = new uPlot(options(element.clientWidth, lines), [[]], element);
    plot.current = made;
    const resized = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: HEIGHT })
    );
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [names, isDark]);
  useEffect(() => {
    const values = lines.map(({ name }) =>
      history.times.map((_, i) => history.series[name]?.[i] ?? null)
    );
    // Without any point the axis would show some other year.
    const { times } = history;
    const [x, y] = times.length > 0
      ? [[...times], values]
      : [[Date.now() / 1000], lines.map(() => [null])];
    plot.current?.setData([x, ...y]);
  });
  const newest = lines.map(({ name, label, color }) => {
    const value = history.series[name]?.findLast((v) => v !== undefined);
    const text = value === undefined ? "none yet" : amount(value, unit);
    return html`<li><i style=${{ background: `var(${color})` }}></i>${label} <b>${text}</b></li>`;
  });
  return html`
    <section class="plot">
      <h2 class="small">${title}</h2>
      <div ref=${at} aria-hidden="true"></div>
      <ul class="legend">${newest}</ul>
    </section>
  `;
}

/** Whether the page is dark now: a canvas does not follow a style sheet. */
function useDark(): boolean {
  const query = matchMedia("(prefers-color-scheme: dark)");
  const [isDark, set] = useState(query.matches);
  useEffect(() => {
    const changed = () => set(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, []);
  return isDark;
}

function options(width: number, lines: readonly Line[]): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: of("--faint"),
    grid: { stroke: of("--line"), width: 1 },
    ticks: { stroke: of("--line"), width: 1 },
    font: "11px system-ui, sans-serif",
  };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      // At least a minute, so that the first points do not run.
      x: { time: true, range: (_, min, max) => [Math.min(min, max - 60), max] },
      y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] },
    },
    axes: [
      { ...axis, size: 26 },
      { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => short(tick)) },
    ],
    series: [
      {},
      ...lines.map(({ label, color }) => ({
        label,
        stroke: of(color),
        width: 1.5,
        spanGaps: true,
      })),
    ],
  };
}

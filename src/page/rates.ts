// SPDX-License-Identifier: Apache-2.0

/** From counters that grow to what happens now. Pure. */
import type { GetStatusResponse, Histogram } from "../rpc/gen/psp/v1/status_pb.ts";

/** Points that are kept: a quarter of an hour of seconds. */
export const KEPT = 900;

/** What is drawn, one value for each second; `undefined` where nothing can be said. */
export interface History {
  /** Seconds since 1970. */
  readonly times: readonly number[];
  readonly series: Readonly<Record<string, readonly (number | undefined)[]>>;
}

/** One look at the agent. */
export interface Look {
  readonly atMs: number;
  readonly status: GetStatusResponse;
}

/** Nothing was seen yet. */
export const EMPTY: History = { times: [], series: {} };

/** What the two looks say about the time between them, by name of the series. */
export function between(before: Look, now: Look): Record<string, number | undefined> {
  const seconds = (now.atMs - before.atMs) / 1000;
  const [a, b] = [before.status, now.status];
  // Another start of the agent: its counters begin anew.
  if (seconds <= 0 || a.bootEpoch !== b.bootEpoch) return {};
  const rate = (name: string) =>
    Number((b.counters[name] ?? 0n) - (a.counters[name] ?? 0n)) / seconds;
  const values: Record<string, number | undefined> = {
    tx: rate("tx-bytes") * 8,
    rx: rate("rx-bytes") * 8,
    exchanges: rate("initiator-exchanges") + rate("responder-exchanges"),
    p50: quantile(0.5, a.latencies?.firstPacket, b.latencies?.firstPacket),
    p99: quantile(0.99, a.latencies?.firstPacket, b.latencies?.firstPacket),
  };
  for (const [reason, count] of Object.entries(b.drops)) {
    const dropped = Number(count - (a.drops[reason] ?? 0n)) / seconds;
    if (count > 0n) values[`drop ${reason}`] = dropped;
  }
  return values;
}

/** The history with one more point. */
export function grown(
  { times, series }: History,
  atMs: number,
  values: Readonly<Record<string, number | undefined>>,
): History {
  const names = new Set([...Object.keys(series), ...Object.keys(values)]);
  const next = [...names].map((name) => {
    const old = series[name] ?? times.map(() => undefined);
    return [name, [...old, values[name]].slice(-KEPT)];
  });
  return { times: [...times, atMs / 1000].slice(-KEPT), series: Object.fromEntries(next) };
}

/** Milliseconds below which so many of what was counted between the two lie; undefined: nothing was. */
export function quantile(
  of: number,
  before: Histogram | undefined,
  now: Histogram | undefined,
): number | undefined {
  const counts = now?.buckets.map(({ le, count }, i) => ({
    le,
    count: Number(count - (before?.buckets[i]?.count ?? 0n)),
  })) ?? [];
  const all = counts.at(-1)?.count ?? 0;
  if (all <= 0) return undefined;
  let [lowest, below] = [0, 0];
  for (const { le, count } of counts) {
    if (count >= of * all) {
      // The last bucket has no end: more than the end before it is all that is known.
      const end = Number.isFinite(le) ? le : lowest;
      const share = count === below ? 1 : (of * all - below) / (count - below);
      return 1000 * (lowest + (end - lowest) * share);
    }
    [lowest, below] = [le, count];
  }
  return undefined;
}

/** "1.25 Mbit/s": three digits, a prefix and the unit. */
export function amount(value: number, unit: string): string {
  const [digits, prefix] = split(value);
  return `${digits} ${prefix}${unit}`.trimEnd();
}

/** "1,234,567": a count to the last one. */
export function grouped(count: number | bigint): string {
  return count.toLocaleString("en-US");
}

/** "1.25M": the same without a unit, in little room. */
export function short(value: number): string {
  return split(value).join("");
}

function split(value: number): [digits: string, prefix: string] {
  const units = ["", "k", "M", "G", "T"];
  let at = 0;
  while (Math.abs(value) >= 999.5 && at < units.length - 1) {
    value /= 1000;
    at++;
  }
  const digits = value === 0 || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const text = value.toFixed(digits);
  return [digits === 0 ? text : text.replace(/\.?0+$/, ""), units[at] ?? ""];
}

/** "2h5m": the two largest units of a span. */
export function span(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const parts: [number, string][] = [
    [Math.floor(s / 86_400), "d"],
    [Math.floor(s / 3600) % 24, "h"],
    [Math.floor(s / 60) % 60, "m"],
    [s % 60, "s"],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return "0s";
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, u]) => `${n}${u}`).join("");
}

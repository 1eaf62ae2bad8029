// SPDX-License-Identifier: Apache-2.0

/** What benches share: a network namespace of their own, times, and how figures are printed. */
import { ip } from "./own_namespace.ts";

const INSIDE = "PSP_BENCH_OWN_NAMESPACE";

/**
 * Outside: runs the file again in a network namespace of its own, with the same arguments, and exits with its
 * code. Inside: two veth pairs, up0-up1 and host0-host1, then `run`. Throws without root.
 */
export async function inNamespace(file: string, run: () => Promise<void>): Promise<void> {
  if (Deno.env.get(INSIDE) !== undefined) {
    await ip("link add up0 type veth peer name up1");
    await ip("link add host0 type veth peer name host1");
    for (const name of ["lo", "up0", "up1", "host0", "host1"]) await ip(`link set ${name} up`);
    return await run();
  }
  if (Deno.uid() !== 0) throw new Error("Cannot make a network namespace: this needs root");
  const deno = [Deno.execPath(), "run", "-A", "--quiet", "--no-check", "--frozen"];
  deno.push("--v8-flags=--expose-gc");
  const { code } = await new Deno.Command("unshare", {
    args: ["--net", ...deno, new URL(file).pathname, ...Deno.args],
    env: { [INSIDE]: "1" },
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (code !== 0) Deno.exit(code);
}

/** Of a series of times in milliseconds. */
export interface Figures {
  readonly n: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** How many fit into a second, one after the other. */
  readonly perS: number;
}

/** Sorts them out. */
export function figures(ms: readonly number[]): Figures {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? NaN;
  const perS = 1000 * ms.length / ms.reduce((a, b) => a + b, 0);
  return { n: ms.length, p50: at(0.5), p99: at(0.99), max: at(1), perS };
}

/** Milliseconds that `act` takes. */
export async function timed(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

/** One line, with the ratio to `base` at p50 and p99. */
export function row(name: string, f: Figures, base?: Figures): string {
  const number = (value: number) => value.toFixed(3).padStart(9);
  const ratio = base === undefined
    ? ""
    : `   x ${(f.p50 / base.p50).toFixed(2)} / ${(f.p99 / base.p99).toFixed(2)}`;
  return `${name.padEnd(30)} p50 ${number(f.p50)}  p99 ${number(f.p99)}  max ${
    number(f.max)
  }${ratio}`;
}

/** Milliseconds that this very thread has run. */
export function threadCpuMs(): number {
  const [ns = ""] = Deno.readTextFileSync("/proc/thread-self/schedstat").split(" ");
  return Number(ns) / 1e6;
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Who used the processors: /proc/stat minus what the bench and its children used, and minus kernel threads, whose work
 * here is the bench's own packets.
 */

/** A second has so many ticks: USER_HZ, 100 on every architecture that Linux runs on here. */
const TICKS_PER_S = 100;
/** Parent of all kernel threads. */
const KTHREADD = 2;

/** Counters at one moment. */
export interface CpuMark {
  readonly atMs: number;
  /** Busy in any way, of all processors, in seconds. */
  readonly busyS: number;
  readonly stealS: number;
  readonly ownS: number;
  readonly kernelS: number;
}

/** Shares of all processors' time between two moments, 0 to 1. */
export interface CpuUse {
  readonly own: number;
  readonly foreign: number;
  readonly steal: number;
}

interface ProcessLine {
  readonly pid: number;
  readonly parent: number;
  /** With that of children that have been waited for. */
  readonly seconds: number;
}

/** Reads the counters; `root` is the process whose tree is the bench's own. */
export function mark(root: number = Deno.pid): CpuMark {
  const [, user, nice, system, , , irq, softirq, steal] = field("/proc/stat");
  const processes = readProcesses();
  const own = treeOf(root, processes);
  let [ownS, kernelS] = [0, 0];
  for (const { pid, parent, seconds } of processes) {
    if (own.has(pid)) ownS += seconds;
    else if (parent === KTHREADD) kernelS += seconds;
  }
  const busy = [user, nice, system, irq, softirq].map(Number).reduce((a, b) => a + b, 0);
  return {
    atMs: performance.now(),
    busyS: busy / TICKS_PER_S,
    stealS: Number(steal) / TICKS_PER_S,
    ownS,
    kernelS,
  };
}

/** What happened since. Time that no process is charged with (interrupts of an idle processor) counts as foreign. */
export function since(start: CpuMark, end: CpuMark = mark()): CpuUse {
  const whole = navigator.hardwareConcurrency * (end.atMs - start.atMs) / 1000;
  const own = end.ownS - start.ownS;
  const rest = end.busyS - start.busyS - own - (end.kernelS - start.kernelS);
  return {
    own: own / whole,
    foreign: Math.max(0, rest) / whole,
    steal: (end.stealS - start.stealS) / whole,
  };
}

/** Seconds that these processes and their children have run, to the nanosecond; threads that ended are not in it. */
export function ranS(roots: readonly number[]): number {
  const processes = readProcesses();
  let ns = 0;
  for (const root of roots) {
    for (const pid of treeOf(root, processes)) ns += threadsNs(pid);
  }
  return ns / 1e9;
}

function threadsNs(pid: number): number {
  let ns = 0;
  try {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
      ns += Number(Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`).split(" ")[0]);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // a thread or process that just ended
  }
  return ns;
}

function treeOf(root: number, processes: readonly ProcessLine[]): Set<number> {
  const children = Map.groupBy(processes, ({ parent }) => parent);
  const tree = new Set<number>();
  const visit = (pid: number) => {
    tree.add(pid);
    for (const child of children.get(pid) ?? []) visit(child.pid);
  };
  visit(root);
  return tree;
}

function readProcesses(): ProcessLine[] {
  const found: ProcessLine[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const text = Deno.readTextFileSync(`/proc/${name}/stat`);
      // The name, in brackets, may hold blanks: proc_pid_stat(5) counts from 3 behind it.
      const rest = text.slice(text.lastIndexOf(")") + 2).split(" ");
      const ticks = [11, 12, 13, 14].reduce((sum, i) => sum + Number(rest[i]), 0);
      found.push({ pid: Number(name), parent: Number(rest[1]), seconds: ticks / TICKS_PER_S });
    } catch (error) {
      // It has ended: ESRCH, or its directory is gone.
      if (!(error instanceof Deno.errors.NotFound) && !/os error 3\b/.test(String(error))) {
        throw error;
      }
    }
  }
  return found;
}

function field(path: string): string[] {
  return (Deno.readTextFileSync(path).split("\n")[0] ?? "").split(/\s+/);
}

// SPDX-License-Identifier: Apache-2.0

/** Memory of processes, from /proc. */

/** MiB that a process has in memory (VmRSS), or had at most (VmHWM). Throws when there is no such process. */
export function memoryMib(pid: number, what: "VmRSS" | "VmHWM" = "VmRSS"): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(new RegExp(`^${what}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
}

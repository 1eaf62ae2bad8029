// SPDX-License-Identifier: Apache-2.0

/** The next few frames on an interface, by tcpdump. */
import { kill, spawn } from "./netns.ts";
import { lines } from "./ns_worker.ts";
import { readPcap } from "./pcap_read.ts";
import { within } from "./wait.ts";
import type { World } from "./world.ts";

export interface SniffOptions {
  readonly in: string;
  readonly device: string;
  /** pcap-filter(7). */
  readonly filter: string;
  readonly count: number;
}

/** Resolves once it listens, with a promise of the frames. */
export async function sniff(
  world: World,
  options: SniffOptions,
): Promise<() => Promise<Uint8Array<ArrayBuffer>[]>> {
  const path = world.path(`${crypto.randomUUID().slice(0, 8)}.pcap`);
  const child = spawn(
    ["tcpdump", "-i", options.device, "-n", "-Z", "root", "-U", "-c", String(options.count)]
      .concat(["-w", path, options.filter]),
    { ns: world.ns(options.in) },
  );
  const what = `${options.count} frames "${options.filter}" in ${options.in}`;
  const listening = Promise.withResolvers<void>();
  const said = (async () => {
    for await (const line of lines(child.stderr)) {
      if (line.includes("listening on")) listening.resolve();
    }
    listening.reject(new Error(`tcpdump ended before ${what}`));
  })();
  listening.promise.catch(() => {});
  const frames = (async () => {
    try {
      await within(child.status, what);
    } finally {
      kill(child.pid, "SIGKILL");
      await child.status;
      await Promise.allSettled([said, child.stdin.close(), child.stdout.cancel()]);
    }
    return [...readPcap(path)].map(({ data }) => data.slice());
  })();
  frames.catch(() => {});
  await listening.promise;
  return () => frames;
}

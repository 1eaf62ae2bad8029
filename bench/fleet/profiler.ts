// SPDX-License-Identifier: Apache-2.0

/** What the agent's JavaScript thread does, and what its heap holds: V8's own profilers, through Deno's inspector. */

/** A node of a CPU profile, as V8 gives it. */
interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    readonly lineNumber: number;
  };
  readonly children?: readonly number[];
}

/** A CPU profile, as V8 gives it; times in microseconds. */
interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Lines of each list that is printed. */
const LINES = 40;
const OPEN_TRIES = 100;

/** A session with the inspector of a process. */
export class Profiler implements Disposable {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #chunks: string[] = [];
  #next = 1;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      const { id, result, method, params } = JSON.parse(data);
      if (method === "HeapProfiler.addHeapSnapshotChunk") this.#chunks.push(params.chunk);
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
    };
  }

  /** Waits until the process listens. */
  static async open(port: number): Promise<Profiler> {
    for (let tries = 0;; tries++) {
      try {
        const targets = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
        const socket = new WebSocket(targets[0].webSocketDebuggerUrl);
        await new Promise((resolve, reject) => {
          socket.onopen = resolve;
          socket.onerror = reject;
        });
        return new Profiler(socket);
      } catch (error) {
        if (tries === OPEN_TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** Begins to take samples. */
  async begin(): Promise<void> {
    await this.#call("Profiler.enable");
    await this.#call("Profiler.setSamplingInterval", { interval: 500 });
    await this.#call("Profiler.start");
  }

  /** Ends it: writes `path`.cpuprofile, and `path`.txt with what took most by itself and with what it called. */
  async end(path: string): Promise<void> {
    const { profile } = await this.#call("Profiler.stop") as { profile: CpuProfile };
    Deno.writeTextFileSync(`${path}.cpuprofile`, JSON.stringify(profile));
    Deno.writeTextFileSync(`${path}.txt`, summary(profile));
  }

  /** Writes `path`.heapsnapshot. */
  async heap(path: string): Promise<void> {
    this.#chunks = [];
    await this.#call("HeapProfiler.takeHeapSnapshot", { reportProgress: false });
    // The last chunks may come after that answer, but before the next.
    await this.#call("Runtime.getHeapUsage");
    using file = Deno.openSync(`${path}.heapsnapshot`, {
      write: true,
      create: true,
      truncate: true,
    });
    const encoder = new TextEncoder();
    for (const chunk of this.#chunks) {
      const octets = encoder.encode(chunk);
      for (let done = 0; done < octets.length;) done += file.writeSync(octets.subarray(done));
    }
    this.#chunks = [];
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  #call(method: string, params: unknown = {}): Promise<unknown> {
    const id = this.#next++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const file = url.replace(/^.*\/(src|ffi|npm)\//, "$1/");
  return `${functionName || "(anonymous)"} ${file}:${lineNumber + 1}`;
}

/** Milliseconds by function: by itself, and with all that it called. */
function summary({ nodes, samples, timeDeltas }: CpuProfile): string {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const selfOf = new Map<number, number>();
  for (const [i, id] of samples.entries()) {
    selfOf.set(id, (selfOf.get(id) ?? 0) + (timeDeltas[i] ?? 0) / 1000);
  }
  const [self, total] = [new Map<string, number>(), new Map<string, number>()];
  const add = (to: Map<string, number>, name: string, ms: number) =>
    to.set(name, (to.get(name) ?? 0) + ms);
  // A function that calls itself counts once: `above` has the names on the way down.
  const walk = (id: number, above: ReadonlySet<string>): number => {
    const node = byId.get(id);
    if (node === undefined) return 0;
    const name = nameOf(node);
    const own = selfOf.get(id) ?? 0;
    add(self, name, own);
    const within = new Set([...above, name]);
    const all = (node.children ?? []).reduce((sum, child) => sum + walk(child, within), own);
    if (!above.has(name)) add(total, name, all);
    return all;
  };
  const root = nodes[0];
  const all = root === undefined ? 0 : walk(root.id, new Set());
  const list = (times: ReadonlyMap<string, number>) =>
    [...times].sort(([, a], [, b]) => b - a).slice(0, LINES)
      .map(([name, ms]) => `${ms.toFixed(0).padStart(8)} ${(100 * ms / all).toFixed(1)}% ${name}`)
      .join("\n");
  return `ms by itself, of ${all.toFixed(0)}\n${list(self)}\n\nms with what it called\n${
    list(total)
  }\n`;
}

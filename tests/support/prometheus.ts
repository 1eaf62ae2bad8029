// SPDX-License-Identifier: Apache-2.0

/** Debian's Prometheus in a host's namespace. It scrapes that host's agent once a second. */
import { kill, spawn } from "./netns.ts";
import { lines, type NsWorker } from "./ns_worker.ts";
import { eventually } from "./wait.ts";
import type { HostName } from "./plan.ts";
import type { World } from "./world.ts";

const ADDRESS = "127.0.0.1:9090";

/** What a query found: one number by series, under the series' labels. */
export type Found = readonly { readonly metric: Readonly<Record<string, string>> }[];

/** Running until it is disposed of. */
export class Prometheus implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #worker: NsWorker;
  readonly #reading: Promise<unknown>;
  readonly #said: string[] = [];

  private constructor(child: Deno.ChildProcess, worker: NsWorker) {
    this.#child = child;
    this.#worker = worker;
    this.#reading = Promise.all([child.stdin.close(), child.stdout.cancel(), this.#read()]);
  }

  /** With the rules of deploy/prometheus. `status`: where the agent answers. */
  static async start(world: World, host: HostName, status: string): Promise<Prometheus> {
    const rules = new URL("../../deploy/prometheus/alerts.yaml", import.meta.url).pathname;
    const config = {
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      rule_files: [rules],
      scrape_configs: [{
        job_name: "psp-agent",
        static_configs: [{ targets: [status], labels: { instance: host } }],
      }],
    };
    const path = world.path("prometheus.yml");
    await Deno.writeTextFile(path, JSON.stringify(config));
    const child = spawn([
      "prometheus",
      `--config.file=${path}`,
      `--storage.tsdb.path=${world.path("prometheus")}`,
      `--web.listen-address=${ADDRESS}`,
    ], { ns: world.ns(host) });
    return world.own(new Prometheus(child, await world.worker(host)));
  }

  /** Throws what Prometheus says against the query. Empty: no series. */
  async query(expr: string): Promise<Found> {
    const query = new URLSearchParams({ query: expr });
    const { status, body } = await this.#worker.http(`http://${ADDRESS}/api/v1/query?${query}`);
    if (status !== 200) throw new Error(`${expr}: ${body}`);
    return JSON.parse(body).data.result;
  }

  /** Until the query finds something. */
  async until(expr: string): Promise<Found> {
    return await eventually(async () => {
      const found = await this.query(expr).catch(() => []);
      return found.length > 0 && found;
    }, { what: `an answer to ${expr}`, describe: () => this.#said.join("\n") });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    kill(this.#child.pid, "SIGKILL");
    await this.#child.status;
    await this.#reading;
  }

  async #read(): Promise<void> {
    for await (const line of lines(this.#child.stderr)) this.#said.push(line);
  }
}

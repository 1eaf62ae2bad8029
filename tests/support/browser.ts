// SPDX-License-Identifier: Apache-2.0

/** A headless Chromium, driven by its DevTools protocol. */
import { eventually } from "./wait.ts";

/** Not the script on PATH, which would be what a signal ends. */
const PROGRAM = "/usr/lib/chromium/chromium-headless-shell";

/** One browser with one page. */
export class Browser implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #profile: string;
  readonly #page: WebSocket;
  readonly #answers = new Map<number, (answer: Answer) => void>();
  #id = 0;

  private constructor(child: Deno.ChildProcess, profile: string, page: WebSocket) {
    this.#child = child;
    this.#profile = profile;
    this.#page = page;
    page.onmessage = ({ data }) => {
      const answer: Answer = JSON.parse(data);
      this.#answers.get(answer.id ?? 0)?.(answer);
    };
  }

  /** Starts it; it believes the server whose public key has this SHA-256, base64. */
  static async start(spki: string): Promise<Browser> {
    const profile = await Deno.makeTempDir({ prefix: "psp-browser-" });
    const child = new Deno.Command(PROGRAM, {
      args: [
        // Chromium refuses to run as root with its sandbox.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-proxy-server",
        "--remote-debugging-port=0",
        `--user-data-dir=${profile}`,
        `--ignore-certificate-errors-spki-list=${spki}`,
        "about:blank",
      ],
      env: { HOME: profile },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    try {
      const port = await eventually(async () => {
        const text = await Deno.readTextFile(`${profile}/DevToolsActivePort`);
        return /^(\d+)\n/.exec(text)?.[1];
      }, { what: "the browser's port" });
      const pages = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
      const page = new WebSocket(pages[0].webSocketDebuggerUrl);
      await new Promise((resolve, reject) => {
        page.onopen = resolve;
        page.onerror = reject;
      });
      return new Browser(child, profile, page);
    } catch (error) {
      await end(child, profile);
      throw error;
    }
  }

  /** Loads a page, whatever its status. */
  async load(url: string): Promise<void> {
    const { errorText } = await this.#ask("Page.navigate", { url });
    if (errorText !== undefined) throw new Error(`Cannot load "${url}": ${errorText}`);
    await eventually(
      async () => await this.evaluate("`${document.readyState} ${location}`") === `complete ${url}`,
      { what: `the page ${url}` },
    );
  }

  /** Runs a script in the page; a promise is awaited. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.#ask("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value?: unknown }).value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#page.onclose = resolve);
    this.#page.close();
    await closed;
    await end(this.#child, this.#profile);
  }

  async #ask(method: string, params: object): Promise<Record<string, unknown>> {
    const id = ++this.#id;
    const answer = await new Promise<Answer>((resolve) => {
      this.#answers.set(id, resolve);
      this.#page.send(JSON.stringify({ id, method, params }));
    });
    this.#answers.delete(id);
    if (answer.error !== undefined) throw new Error(`${method}: ${JSON.stringify(answer.error)}`);
    return answer.result ?? {};
  }
}

/** Its other processes end before it does. */
async function end(child: Deno.ChildProcess, profile: string): Promise<void> {
  child.kill("SIGTERM");
  await child.status;
  await Deno.remove(profile, { recursive: true });
}

interface Answer {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: unknown;
}

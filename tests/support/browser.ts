// SPDX-License-Identifier: Apache-2.0

/** A headless Chromium, driven by its DevTools protocol. */
import axe from "axe-core";
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
  #heard: Heard | undefined;

  private constructor(child: Deno.ChildProcess, profile: string, page: WebSocket) {
    this.#child = child;
    this.#profile = profile;
    this.#page = page;
    page.onmessage = ({ data }) => {
      const answer: Answer = JSON.parse(data);
      if (answer.method !== undefined) return hear(this.#heard, answer);
      this.#answers.get(answer.id ?? 0)?.(answer);
    };
  }

  /** Starts it; it believes the server whose public key has this SHA-256, base64. */
  static async start(spki = ""): Promise<Browser> {
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
        ...spki === "" ? [] : [`--ignore-certificate-errors-spki-list=${spki}`],
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

  /** A picture of the page as it is, PNG. */
  async screenshot(path: string): Promise<void> {
    const { data } = await this.#ask("Page.captureScreenshot", { captureBeyondViewport: true });
    await Deno.writeFile(path, Uint8Array.fromBase64(String(data)));
  }

  /** The size of its window, and whether it prefers dark pages. */
  async look(
    { width, height, dark }: {
      readonly width: number;
      readonly height: number;
      readonly dark: boolean;
    },
  ): Promise<void> {
    await this.#ask("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    const value = dark ? "dark" : "light";
    const features = [{ name: "prefers-color-scheme", value }];
    await this.#ask("Emulation.setEmulatedMedia", { features });
  }

  /** A key, pressed and let go. */
  async press(key: string): Promise<void> {
    const text = key === "Enter" ? "\r" : undefined;
    await this.#ask("Input.dispatchKeyEvent", { type: "keyDown", key, code: key, text });
    await this.#ask("Input.dispatchKeyEvent", { type: "keyUp", key, code: key });
  }

  /**
   * What keeps people from using the page as it is now, by the rules of axe-core (WCAG 2.2 A and AA, best practices), each
   * with the elements that it is about. Empty: nothing that a program can find.
   */
  async obstacles(): Promise<readonly string[]> {
    await this.evaluate(`${axe.source}; undefined`);
    const found = await this.evaluate(
      "axe.run().then(({ violations }) => violations.map(({ id, help, nodes }) => " +
        "id + ': ' + help + ' ' + nodes.map((n) => n.html.slice(0, 200)).join(' | ')))",
    );
    return found as readonly string[];
  }

  /** From now on: requests that leave the page, and what it complains of. */
  async listen(): Promise<Heard> {
    const heard: Heard = { requests: [], complaints: [] };
    this.#heard = heard;
    for (const domain of ["Network", "Runtime", "Log"]) await this.#ask(`${domain}.enable`, {});
    return heard;
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

/** What a page did. */
export interface Heard {
  /** URLs. */
  readonly requests: string[];
  /** Errors and warnings of its console. */
  readonly complaints: string[];
}

function hear(heard: Heard | undefined, { method, params }: Answer): void {
  if (method === "Network.requestWillBeSent") {
    const { url } = params?.request as { readonly url: string };
    if (!url.startsWith("data:")) heard?.requests.push(url);
  }
  const isComplaint = method === "Runtime.exceptionThrown" || method === "Log.entryAdded" ||
    method === "Runtime.consoleAPICalled" && ["error", "warning"].includes(String(params?.type));
  if (isComplaint) heard?.complaints.push(JSON.stringify(params));
}

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: unknown;
}

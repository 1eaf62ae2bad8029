// SPDX-License-Identifier: Apache-2.0

/**
 * A helper process inside a namespace: asks over HTTP, throws frames, stands between agents as a
 * proxy. One JSON line for each request and each answer. This file is both ends: `NsWorker` starts
 * itself.
 */
import { spawnHelper } from "./netns.ts";
import { Proxy, type ProxyFault, type ProxyOptions, type ProxyStats } from "./proxy.ts";
import { sendFrames } from "./raw_socket.ts";
import { messageOf, PATIENCE_MS, within } from "./wait.ts";

/** An HTTP response in short. */
export interface HttpReply {
  readonly status: number;
  readonly body: string;
}

/** What may be asked, and what comes back. */
interface Calls {
  http: [{ readonly url: string; readonly json?: unknown; readonly timeoutMs: number }, HttpReply];
  frames: [{ readonly device: string; readonly frames: readonly string[] }, null];
  proxyOpen: [ProxyOptions, null];
  proxyFault: [ProxyFault, null];
  proxyClose: [Record<string, never>, null];
  proxyStats: [Record<string, never>, ProxyStats];
}

type Call = keyof Calls;
interface Request<K extends Call = Call> {
  readonly id: number;
  readonly call: K;
  readonly argument: Calls[K][0];
}
interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** The helper's handle; the helper ends with it. */
export class NsWorker implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  readonly #reading: Promise<void>;
  readonly #errors: Promise<string>;
  #next = 1;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#writer = child.stdin.getWriter();
    this.#errors = new Response(child.stderr).text();
    this.#reading = this.#read();
  }

  static async start(ns: string): Promise<NsWorker> {
    const self = new URL(import.meta.url).pathname;
    const worker = new NsWorker(spawnHelper(self, { ns }));
    await worker.#call("proxyStats", {}); // it is up when it answers
    return worker;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** GET, or POST of JSON. Rejects when there is no answer at all. */
  http(url: string, json?: unknown): Promise<HttpReply> {
    return this.#call("http", { url, json, timeoutMs: PATIENCE_MS / 3 });
  }

  /** Sends whole Ethernet frames out of a device of this namespace. */
  async frames(device: string, frames: readonly Uint8Array[]): Promise<void> {
    await this.#call("frames", { device, frames: frames.map((frame) => frame.toHex()) });
  }

  /** A TCP proxy in this namespace; one for each worker. */
  async proxy(options: ProxyOptions): Promise<void> {
    await this.#call("proxyOpen", options);
  }

  async proxyFault(fault: ProxyFault): Promise<void> {
    await this.#call("proxyFault", fault);
  }

  /** Closes the proxy: another may be opened then. */
  async proxyClose(): Promise<void> {
    await this.#call("proxyClose", {});
  }

  proxyStats(): Promise<ProxyStats> {
    return this.#call("proxyStats", {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#child.status;
    await this.#reading;
    await this.#errors;
  }

  async #call<K extends Call>(call: K, argument: Calls[K][0]): Promise<Calls[K][1]> {
    const id = this.#next++;
    const request: Request<K> = { id, call, argument };
    const answer = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    await this.#writer.write(new TextEncoder().encode(JSON.stringify(request) + "\n"));
    const { value, error } = await within(answer, `the helper's answer to ${call}`);
    if (error !== undefined) throw new Error(error);
    return value as Calls[K][1];
  }

  async #read(): Promise<void> {
    for await (const line of lines(this.#child.stdout)) {
      const answer = JSON.parse(line) as Answer;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    }
    const error = `The helper process has ended: ${(await this.#errors).trim()}`;
    for (const [id, resolve] of this.#waiting) resolve({ id, error });
  }
}

/** Lines of a stream of octets, without their ends. */
export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
  if (rest !== "") yield rest;
}

async function serve(): Promise<void> {
  const state: { proxy?: Proxy } = {};
  const handle = async (request: Request): Promise<unknown> => {
    switch (request.call) {
      case "http":
        return await ask((request as Request<"http">).argument);
      case "frames": {
        const { device, frames } = (request as Request<"frames">).argument;
        sendFrames(device, frames.map((hex) => Uint8Array.fromHex(hex)));
        return null;
      }
      case "proxyOpen":
        state.proxy = Proxy.open((request as Request<"proxyOpen">).argument);
        return null;
      case "proxyFault":
        state.proxy?.fault((request as Request<"proxyFault">).argument);
        return null;
      case "proxyClose":
        await state.proxy?.[Symbol.asyncDispose]();
        delete state.proxy;
        return null;
      case "proxyStats":
        return state.proxy?.stats() ?? { connections: 0, faults: 0 };
      default:
        return request.call satisfies never;
    }
  };
  for await (const line of lines(Deno.stdin.readable)) {
    const request = JSON.parse(line) as Request;
    handle(request)
      .then((value) => answer({ id: request.id, value }))
      .catch((error) => answer({ id: request.id, error: messageOf(error) }));
  }
  await state.proxy?.[Symbol.asyncDispose]();
}

function answer(message: Answer): void {
  const bytes = new TextEncoder().encode(JSON.stringify(message) + "\n");
  for (let sent = 0; sent < bytes.length;) sent += Deno.stdout.writeSync(bytes.subarray(sent));
}

async function ask({ url, json, timeoutMs }: Calls["http"][0]): Promise<HttpReply> {
  const post = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(json),
  };
  const signal = AbortSignal.timeout(timeoutMs);
  const reply = await fetch(url, { ...(json === undefined ? {} : post), signal });
  return { status: reply.status, body: await reply.text() };
}

if (import.meta.main) await serve();

// SPDX-License-Identifier: Apache-2.0

/** A service manager's socket, as far as an agent sees it. Needs --unstable-net. */
import { eventually } from "../support/wait.ts";

/** What of Deno's unstable API is used. */
interface UnixDatagrams {
  listenDatagram(options: { transport: "unixpacket"; path: string }): AsyncDisposable & {
    receive(): Promise<[Uint8Array, unknown]>;
    close(): void;
  };
}

export class NotifySocket implements AsyncDisposable {
  readonly path: string;
  /** Messages in order, each with its lines. */
  readonly messages: string[][] = [];
  readonly #socket: ReturnType<UnixDatagrams["listenDatagram"]>;
  readonly #reading: Promise<void>;

  /** `path`: anybody may write to it, as to systemd's. */
  constructor(path: string) {
    this.path = path;
    this.#socket = (Deno as unknown as UnixDatagrams).listenDatagram({
      transport: "unixpacket",
      path,
    });
    Deno.chmodSync(path, 0o777);
    this.#reading = this.#read();
  }

  /** Waits for a message with this line; the whole message. */
  said(line: string | RegExp): Promise<string[]> {
    const fits = (text: string) => typeof line === "string" ? text === line : line.test(text);
    return eventually(() => this.messages.find((lines) => lines.some(fits)), {
      what: `the manager to be told ${line}`,
      describe: () => JSON.stringify(this.messages),
    });
  }

  async #read(): Promise<void> {
    try {
      while (true) {
        const [octets] = await this.#socket.receive();
        this.messages.push(new TextDecoder().decode(octets).split("\n"));
      }
    } catch {
      // Closed.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#reading;
  }
}

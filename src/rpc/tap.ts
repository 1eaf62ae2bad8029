// SPDX-License-Identifier: Apache-2.0

/** A connection whose octets somebody reads along, below TLS. */
import type * as net from "node:net";
import { Duplex } from "node:stream";

/** Carries what `socket` carries, either way; `seen` gets what comes. Ends with it, and ends it. */
export class Tap extends Duplex {
  readonly #socket: net.Socket;

  constructor(socket: net.Socket, seen: (chunk: Uint8Array) => void) {
    super();
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      seen(chunk);
      if (!this.push(chunk)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(
    chunk: Uint8Array,
    _encoding: string,
    done: (error?: Error | null) => void,
  ): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

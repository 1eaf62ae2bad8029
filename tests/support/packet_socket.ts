// SPDX-License-Identifier: Apache-2.0

/** A packet socket in this process: throws whole Ethernet frames, and reads what passes an interface. */
import { within } from "./wait.ts";

const LIBC = {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  if_nametoindex: { parameters: ["buffer"], result: "u32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  recvfrom: {
    parameters: ["i32", "buffer", "usize", "i32", "buffer", "buffer"],
    result: "isize",
  },
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32", nonblocking: true },
} as const;

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const MSG_DONTWAIT = 0x40;
const POLLIN = 1;
const ETH_P_ALL = 3;
const PACKET_OUTGOING = 4;
const RECEIVE_BUFFER = 8 << 20;
const FRAME_MAX = 1 << 17;

export type Frame = Uint8Array<ArrayBuffer>;

/** A frame as it passed, and whether it left this interface or came in. */
export interface Passed {
  readonly frame: Frame;
  readonly outgoing: boolean;
}

export class PacketSocket implements Disposable {
  readonly #libc: Deno.DynamicLibrary<typeof LIBC>;
  readonly #fd: number;
  readonly #device: string;
  readonly #buffer = new Uint8Array(FRAME_MAX);

  /** On an interface of the namespace that this thread is in. Throws one sentence. */
  constructor(device: string) {
    this.#device = device;
    this.#libc = Deno.dlopen("libc.so.6", LIBC);
    const { socket, bind, setsockopt, if_nametoindex } = this.#libc.symbols;
    const index = if_nametoindex(new TextEncoder().encode(`${device}\0`));
    if (index === 0) throw new Error(`Cannot listen: no interface "${device}"`);
    this.#fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw new Error(`Cannot listen on "${device}": the socket was refused`);
    const size = new Uint8Array(new Int32Array([RECEIVE_BUFFER]).buffer);
    setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, size, size.length);
    const address = new Uint8Array(20); // struct sockaddr_ll: family and index in host order
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, ETH_P_ALL);
    view.setInt32(4, index, true);
    if (bind(this.#fd, address, address.length) !== 0) {
      throw new Error(`Cannot listen on "${device}": bind was refused`);
    }
  }

  send(frame: Frame): void {
    const sent = this.#libc.symbols.send(this.#fd, frame, BigInt(frame.length), 0);
    if (Number(sent) !== frame.length) {
      throw new Error(`Cannot send a frame of ${frame.length} octets out of "${this.#device}"`);
    }
  }

  /** What is there now, oldest first. */
  drain(): Passed[] {
    const from = new Uint8Array(20);
    const fromLen = new Uint8Array(4);
    const all: Passed[] = [];
    for (;;) {
      new DataView(fromLen.buffer).setUint32(0, from.length, true);
      const n = Number(
        this.#libc.symbols.recvfrom(
          this.#fd,
          this.#buffer,
          BigInt(FRAME_MAX),
          MSG_DONTWAIT,
          from,
          fromLen,
        ),
      );
      if (n < 0) return all;
      all.push({ frame: this.#buffer.slice(0, n), outgoing: from[10] === PACKET_OUTGOING });
    }
  }

  /** The next `n` frames that fit, and no fewer; throws with how many came when they do not. */
  async take(n: number, what: string, fits: (passed: Passed) => boolean): Promise<Frame[]> {
    const taken: Frame[] = [];
    const wait = async () => {
      while (true) {
        for (const passed of this.drain()) if (fits(passed)) taken.push(passed.frame);
        if (taken.length >= n) return;
        await this.readable();
      }
    };
    try {
      await within(wait(), what);
    } catch (cause) {
      throw new Error(`${what}: ${taken.length} of ${n} frames on "${this.#device}"`, { cause });
    }
    return taken;
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.#fd);
    this.#libc.close();
  }

  /** Resolves when there is something to drain, after 100 ms at the latest. */
  async readable(): Promise<void> {
    const pollfd = new Uint8Array(8);
    const view = new DataView(pollfd.buffer);
    view.setInt32(0, this.#fd, true);
    view.setInt16(4, POLLIN, true);
    await this.#libc.symbols.poll(pollfd, 1n, 100);
  }
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Sends whole Ethernet frames out of an interface: malformed packets, and the marks that end a
 * capture.
 */

const LIBC = {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  if_nametoindex: { parameters: ["buffer"], result: "u32" },
  sendto: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"], result: "isize" },
} as const;

const AF_PACKET = 17;
const SOCK_RAW = 3;

/** Puts the frames on the wire in order; throws for one that the kernel refuses. */
export function sendFrames(device: string, frames: readonly Uint8Array<ArrayBuffer>[]): void {
  using libc = closing(Deno.dlopen("libc.so.6", LIBC));
  const { socket, close, if_nametoindex, sendto } = libc.symbols;
  const index = if_nametoindex(new TextEncoder().encode(`${device}\0`));
  if (index === 0) throw new Error(`Cannot send frames: no interface "${device}"`);
  const fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) throw new Error("Cannot send frames: the packet socket was refused (CAP_NET_RAW)");
  try {
    const to = address(index);
    for (const frame of frames) {
      const sent = sendto(fd, frame, BigInt(frame.length), 0, to, to.length);
      if (Number(sent) !== frame.length) {
        throw new Error(`Cannot send a frame of ${frame.length} octets out of "${device}"`);
      }
    }
  } finally {
    close(fd);
  }
}

/** struct sockaddr_ll: family and index in host order (little endian on all our machines). */
function address(index: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setInt32(4, index, true);
  view.setUint8(11, 6);
  return bytes;
}

function closing<T extends { close(): void }>(library: T): T & Disposable {
  return Object.assign(library, { [Symbol.dispose]: () => library.close() });
}

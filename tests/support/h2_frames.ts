// SPDX-License-Identifier: Apache-2.0

/** Frames of HTTP/2 (RFC 9113) as octets, and connections that send what no honest client would. */
import * as http2 from "node:http2";
import * as net from "node:net";
import { joined } from "../../src/model/octets.ts";
import { preventReentry } from "../../src/rpc/h2_session.ts";

/** What a client says first: the preface and empty SETTINGS. */
export const HELLO = joined([
  new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  frame(4, 0, 0),
]);

/** `type`, `flags`, stream id, payload. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: ArrayLike<number> = [],
): Uint8Array {
  const octets = new Uint8Array(9 + payload.length);
  const view = new DataView(octets.buffer);
  view.setUint32(0, payload.length << 8);
  octets.set([type, flags], 3);
  view.setUint32(5, stream);
  octets.set(payload, 9);
  return octets;
}

/** GET `path` at 127.0.0.1, and `more` fields, each "accept-encoding: gzip, deflate" out of the static table. */
export function getBlock(path: string, more = 0): Uint8Array {
  const text = (value: string) => [value.length, ...new TextEncoder().encode(value)];
  return new Uint8Array([
    0x82,
    0x86,
    0x04,
    ...text(path),
    0x01,
    ...text("127.0.0.1"),
    ...new Array(more).fill(0x90),
  ]);
}

/** What each attack sends again and again; `stream`: the next odd id. */
export const ATTACKS: Readonly<Record<string, (stream: number) => Uint8Array>> = {
  "h2-pings": () => frame(6, 0, 0, new Uint8Array(8)),
  "h2-settings": () => frame(4, 0, 0),
  "h2-priorities": (stream) => frame(2, 0, stream, [0, 0, 0, 0, 16]),
  "h2-window-updates": () => frame(8, 0, 0, [0, 0, 0, 1]),
  "h2-resets": (stream) =>
    joined([frame(1, 5, stream, getBlock("/healthz")), frame(3, 0, stream, [0, 0, 0, 8])]),
  "h2-continuations": () => frame(9, 0, 1),
  "h2-small-frames": () => frame(0, 0, 1, [0]),
  "h2-unknown-frames": () => frame(0xbe, 0, 0, [1]),
  "h2-header-blocks": (stream) => frame(1, 5, stream, getBlock("/healthz", 80)),
};

/** What has to come before an attack: a stream that is open, a header block that goes on. */
export const BEFORE: Readonly<Record<string, Uint8Array>> = {
  "h2-continuations": frame(1, 0, 1, getBlock("/healthz")),
  "h2-small-frames": frame(1, 4, 1, getBlock("/healthz")),
};

/** The octets of `rounds` of an attack. */
export function attack(name: string, rounds: number): Uint8Array {
  const before = BEFORE[name];
  const first = before === undefined ? 1 : 3;
  const parts = Array.from({ length: rounds }, (_, i) => ATTACKS[name]?.(first + 2 * i));
  return joined([HELLO, ...before ? [before] : [], ...parts.filter((part) => part !== undefined)]);
}

/** Sends, reads and forgets; resolves with what came when the other side has closed. */
export function say(socket: net.Socket, octets: Uint8Array): Promise<Uint8Array> {
  const came: Uint8Array[] = [];
  socket.on("error", () => {});
  socket.on("data", (chunk: Uint8Array) => came.push(new Uint8Array(chunk)));
  socket.write(octets);
  return new Promise((resolve) => socket.once("close", () => resolve(joined(came))));
}

/** A connection to 127.0.0.1. */
export function connect(port: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
  });
}

/** A session of the runtime's own client, which a GOAWAY of the other side does not kill. */
export function openSession(
  authority: string,
  options: http2.SecureClientSessionOptions = {},
): http2.ClientHttp2Session {
  const session = http2.connect(authority, options);
  preventReentry(session);
  return session;
}

/** Type, flags, stream and payload of each whole frame in these octets. */
export function* framesOf(
  octets: Uint8Array,
): Generator<{ type: number; flags: number; stream: number; payload: Uint8Array }> {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length);
  for (let at = 0; at + 9 <= octets.length;) {
    const length = view.getUint32(at) >>> 8;
    yield {
      type: octets[at + 3] ?? 0,
      flags: octets[at + 4] ?? 0,
      stream: view.getUint32(at + 5),
      payload: octets.subarray(at + 9, at + 9 + length),
    };
    at += 9 + length;
  }
}

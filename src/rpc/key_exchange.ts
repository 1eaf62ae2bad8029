// SPDX-License-Identifier: Apache-2.0

/**
 * How two sides of a TLS 1.3 connection agree on a secret. The runtime neither says it nor lets it be chosen, so it is
 * read off the first message of each side, which are in clear text. A `Tap` reads along.
 */
import type * as net from "node:net";
import { Duplex } from "node:stream";
import * as tls from "node:tls";
import { joined } from "../model/octets.ts";

/** The group that a later quantum computer does not break. */
export const HYBRID = "X25519MLKEM768";

/** RFC 8446, 4.2.7, and draft-ietf-tls-ecdhe-mlkem: those that Deno 2.9 knows. */
const GROUPS: ReadonlyMap<number, string> = new Map([
  [0x11ec, HYBRID],
  [0x001d, "X25519"],
  [0x0017, "P-256"],
  [0x0018, "P-384"],
]);

/** RFC 8446, 4, 4.2 and 5.1. */
const RECORD_HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
const SUPPORTED_GROUPS = 10;
const KEY_SHARE = 51;
const RECORD_HEADER = 5;
const MAX_RECORD = 16_384;

/** `false`: more octets are needed; undefined: it cannot be read, or names nothing that is known. */
export type Group = string | false | undefined;

/**
 * What a server of this runtime agrees to with the sender of these first octets: the first group that both know, in
 * the order of the client.
 */
export function preferredGroup(octets: Uint8Array): Group {
  const extensions = hello(octets, CLIENT_HELLO);
  if (!extensions) return extensions;
  const list = extensions.get(SUPPORTED_GROUPS);
  for (let at = 2; list !== undefined && at + 1 < list.length; at += 2) {
    const name = GROUPS.get(word(list, at));
    if (name !== undefined) return name;
  }
  return undefined;
}

/** What the sender of these first octets, a server, has chosen. */
export function selectedGroup(octets: Uint8Array): Group {
  const extensions = hello(octets, SERVER_HELLO);
  if (!extensions) return extensions;
  const share = extensions.get(KEY_SHARE);
  return share === undefined || share.length < 2 ? undefined : GROUPS.get(word(share, 0));
}

/** What this runtime negotiates with itself; undefined: it cannot be found out. */
export function ownKeyExchange(): Promise<string | undefined> {
  return new Promise((resolve) => {
    const said: Uint8Array[] = [];
    const wire = new Duplex({
      read() {},
      write(chunk: Uint8Array, _encoding, done) {
        said.push(new Uint8Array(chunk));
        done();
        const group = preferredGroup(joined(said));
        if (group === false) return;
        resolve(group);
        socket.destroy();
      },
    });
    const socket = tls.connect({ socket: wire, minVersion: "TLSv1.3" });
    socket.on("error", () => resolve(undefined));
  });
}

/** Why a runtime that agrees with itself on `found` is not post-quantum; undefined: it is. */
export function postQuantumFault(found: string | undefined, deno: string): string | undefined {
  if (found === HYBRID) return undefined;
  return `Deno ${deno} negotiates ${found ?? "nothing"} with itself, not ${HYBRID}`;
}

/** The alert "insufficient_security" (71) as a record, RFC 8446, 6. */
export const INSUFFICIENT_SECURITY: Uint8Array = new Uint8Array([21, 3, 3, 0, 2, 2, 71]);

/** The extensions of a hello that is whole in one record, by type. */
function hello(
  octets: Uint8Array,
  type: typeof CLIENT_HELLO | typeof SERVER_HELLO,
): ReadonlyMap<number, Uint8Array> | false | undefined {
  if (octets.length < RECORD_HEADER) return false;
  const length = word(octets, 3);
  if (octets[0] !== RECORD_HANDSHAKE || length > MAX_RECORD) return undefined;
  if (octets.length < RECORD_HEADER + length) return false;
  const body = octets.subarray(RECORD_HEADER, RECORD_HEADER + length);
  if (body[0] !== type) return undefined;
  // Type, length, version, random; then the session id, as long as its first octet says.
  let at = 4 + 2 + 32;
  at += 1 + (body[at] ?? 0);
  // Of a client: cipher suites and compression methods; of a server one of each.
  if (type === CLIENT_HELLO) {
    at += 2 + word(body, at);
    at += 1 + (body[at] ?? 0);
  } else {
    at += 2 + 1;
  }
  const end = Math.min(body.length, at + 2 + word(body, at));
  const extensions = new Map<number, Uint8Array>();
  for (at += 2; at + 4 <= end;) {
    const from = at + 4;
    const to = from + word(body, at + 2);
    if (to > end) return undefined;
    extensions.set(word(body, at), body.subarray(from, to));
    at = to;
  }
  return extensions;
}

function word(octets: Uint8Array, at: number): number {
  return ((octets[at] ?? 0) << 8) | (octets[at + 1] ?? 0);
}

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

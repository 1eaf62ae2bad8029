// SPDX-License-Identifier: Apache-2.0

/**
 * Carries an insecure control channel and keeps what passed, so that a test knows the keys that were exchanged.
 * As a program: `record_proxy.ts <host:port to listen on> <host:port> <directory>`; says "listening".
 */
import { fromBinary } from "@bufbuild/protobuf";
import {
  NewTunnelRequestSchema,
  NewTunnelResponseSchema,
} from "../../src/rpc/gen/psp/v1/tunnel_pb.ts";

/** Octets of the client's connection preface, RFC 9113, 3.4. */
const PREFACE = 24;
const FRAME_HEADER = 9;
const DATA = 0;

/** Every key, as hex, in what a proxy kept in a directory. */
export function recordedKeys(dir: string): Set<string> {
  const keys = new Set<string>();
  for (const { name } of Deno.readDirSync(dir)) {
    const bytes = Deno.readFileSync(`${dir}/${name}`);
    const asked = name.endsWith(".request");
    for (const body of bodies(asked ? bytes.subarray(PREFACE) : bytes)) {
      for (const key of asked ? offered(body) : answered(body)) {
        if (key.length >= 16) keys.add(key.toHex());
      }
    }
  }
  return keys;
}

function offered(body: Uint8Array): Uint8Array[] {
  return attempt(() =>
    fromBinary(NewTunnelRequestSchema, body).tunnels.flatMap((t) => t.reverseParams?.key ?? [])
  );
}

function answered(body: Uint8Array): Uint8Array[] {
  return attempt(() =>
    fromBinary(NewTunnelResponseSchema, body).tunnels.flatMap(({ outcome }) =>
      outcome.case === "params" ? [outcome.value.key] : []
    )
  );
}

/** What is no such message has no keys: notices pass here, too. */
function attempt(decode: () => Uint8Array[]): Uint8Array[] {
  try {
    return decode();
  } catch {
    return [];
  }
}

/** The DATA of each stream, put together. */
function bodies(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const streams = new Map<number, number[]>();
  for (let at = 0; at + FRAME_HEADER <= bytes.length;) {
    const length = view.getUint32(at) >>> 8;
    const stream = view.getUint32(at + 5) & 0x7fffffff;
    const end = at + FRAME_HEADER + length;
    if (view.getUint8(at + 3) === DATA && end <= bytes.length) {
      const body = streams.get(stream) ?? [];
      body.push(...bytes.subarray(at + FRAME_HEADER, end));
      streams.set(stream, body);
    }
    at = end;
  }
  return [...streams.values()].map((body) => Uint8Array.from(body));
}

async function pump(from: Deno.Conn, to: Deno.Conn, path: string): Promise<void> {
  using file = Deno.openSync(path, { create: true, write: true, mode: 0o600 });
  const buffer = new Uint8Array(65_536);
  try {
    for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
      file.writeSync(buffer.subarray(0, n));
      for (let sent = 0; sent < n;) sent += await to.write(buffer.subarray(sent, n));
    }
  } catch {
    // The other direction ended.
  }
  for (const conn of [from, to]) {
    try {
      conn.close();
    } catch {
      // closed before
    }
  }
}

async function main([listen = "", target = "", dir = ""]: string[]): Promise<void> {
  const address = (text: string) => {
    const at = text.lastIndexOf(":");
    return { hostname: text.slice(0, at), port: Number(text.slice(at + 1)) };
  };
  const listener = Deno.listen(address(listen));
  console.log("listening");
  let n = 0;
  for await (const near of listener) {
    const base = `${dir}/${Deno.pid}-${n++}`;
    const far = await Deno.connect(address(target)).catch(() => undefined);
    if (far === undefined) near.close();
    else {
      pump(near, far, `${base}.request`);
      pump(far, near, `${base}.reply`);
    }
  }
}

if (import.meta.main) await main(Deno.args);

// SPDX-License-Identifier: Apache-2.0

/**
 * What passes between a test and a plane in a process of its own: one question at a time and its answer, over
 * named pipes. A message is its length in 4 octets and V8's structured form, which has bigint and octets.
 */
import { deserialize, serialize } from "node:v8";
import { Key } from "../../ffi/key.ts";
import type { Plane, PlaneOptions, SpiKey, TxKey } from "../../ffi/plane.ts";

/** Methods that return when they are done; keys among arguments and results as octets. */
export type Method = Exclude<
  keyof Plane,
  "kind" | "ports" | "events" | "close" | "setCrypto" | "generateSpis" | symbol
>;

export type Ask =
  | { readonly method: Method; readonly args: readonly unknown[] }
  | { readonly method: "setCrypto"; readonly cryptoId: number; readonly key: Bare<TxKey> }
  | {
    readonly method: "generateSpis";
    readonly version: SpiKey["version"];
    readonly n: number;
  };

export type Answer =
  | { readonly value: unknown }
  | { readonly refused: string; readonly code: string };

/** A key's octets in place of the object that hides them. */
export type Bare<K extends SpiKey> = Omit<K, "key"> & { readonly key: Uint8Array };

/** Its one argument, as JSON. */
export interface PlaneProcessArgs {
  readonly library: string;
  readonly options: PlaneOptions;
  /** Names of the pipes. */
  readonly asks: string;
  readonly answers: string;
  readonly events: string;
}

export function bare<K extends SpiKey>(key: K): Bare<K> {
  return { ...key, key: key.key.reveal() };
}

export function keyed<K extends Bare<SpiKey>>(key: K): Omit<K, "key"> & { readonly key: Key } {
  return { ...key, key: new Key(Uint8Array.from(key.key)) };
}

/** Returns when the other end can read it. */
export function put(file: Deno.FsFile, message: unknown): void {
  const body = serialize(message);
  const whole = new Uint8Array(4 + body.length);
  new DataView(whole.buffer).setUint32(0, body.length);
  whole.set(body, 4);
  for (let at = 0; at < whole.length;) at += file.writeSync(whole.subarray(at));
  // Keys may have been in it.
  body.fill(0);
  whole.fill(0);
}

/** Waits for the next message with this thread; undefined: the other end has closed. */
export function take(file: Deno.FsFile): unknown {
  const head = new Uint8Array(4);
  if (!fill(file, head)) return undefined;
  const body = new Uint8Array(new DataView(head.buffer).getUint32(0));
  return fill(file, body) ? deserialize(body) : undefined;
}

/** The messages until the other end closes. */
export async function* messages(file: Deno.FsFile): AsyncGenerator<unknown> {
  const head = new Uint8Array(4);
  while (await fillLater(file, head)) {
    const body = new Uint8Array(new DataView(head.buffer).getUint32(0));
    if (!await fillLater(file, body)) return;
    yield deserialize(body);
  }
}

/** False: the end came before. */
function fill(file: Deno.FsFile, octets: Uint8Array): boolean {
  for (let at = 0; at < octets.length;) {
    const n = file.readSync(octets.subarray(at));
    if (n === null || n === 0) return false;
    at += n;
  }
  return true;
}

async function fillLater(file: Deno.FsFile, octets: Uint8Array): Promise<boolean> {
  for (let at = 0; at < octets.length;) {
    const n = await file.read(octets.subarray(at));
    if (n === null || n === 0) return false;
    at += n;
  }
  return true;
}

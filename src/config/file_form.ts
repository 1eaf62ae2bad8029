// SPDX-License-Identifier: Apache-2.0

/**
 * Between a file's tree and the `Config` that the agent works with. One mapping for every key, in both
 * directions: "state_dir" is `stateDir`, a span of time "life" is `lifeMs`, a path starts at the file's
 * directory, a number of 64 bits may stand in quotes.
 */
import { resolve } from "node:path";
import { formatDuration } from "./durations.ts";
import { FilePath, Span } from "./values.ts";

type CamelCase<S> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;
type Key<K, V> = [Exclude<V, undefined>] extends [Span] ? `${CamelCase<K> & string}Ms`
  : CamelCase<K> & string;
type Flat<T> = { [K in keyof T]: T[K] };

/** What a value of the file's tree is in a `Config`: other names, spans in milliseconds, nothing undefined. */
export type Mapped<T> = T extends Span ? number
  : T extends FilePath ? string
  : T extends readonly (infer Item)[] ? readonly Mapped<Item>[]
  : T extends object ? Flat<
      & { readonly [K in keyof T as undefined extends T[K] ? never : Key<K, T[K]>]: Mapped<T[K]> }
      & {
        readonly [K in keyof T as undefined extends T[K] ? Key<K, T[K]> : never]?: Mapped<
          Exclude<T[K], undefined>
        >;
      }
    >
  : T;

/** From the file's names to ours; relative paths start at `dir`, the file's directory. */
export function fromFile<T>(value: T, dir: string): Mapped<T> {
  return mapped(value, dir) as Mapped<T>;
}

function mapped(value: unknown, dir: string): unknown {
  if (value instanceof Span) return value.ms;
  if (value instanceof FilePath) return resolve(dir, value.path);
  if (Array.isArray(value)) return value.map((item) => mapped(item, dir));
  if (!isTree(value)) return value;
  const camel = (key: string) => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [camel(key) + (item instanceof Span ? "Ms" : ""), mapped(item, dir)]),
  );
}

/** The tree that a file would have for this configuration: loading it gives the same one again. */
export function toFile(config: object): Record<string, unknown> {
  return unmapped(config) as Record<string, unknown>;
}

function unmapped(value: unknown): unknown {
  if (typeof value === "bigint") return fromBigint(value);
  if (Array.isArray(value)) return value.map(unmapped);
  if (!isTree(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      fileKey(key, item),
      isSpan(key, item) ? formatDuration(item) : unmapped(item),
    ]),
  );
}

/** The name that a key of a `Config` has in the file: "lifeMs" of a number is "life". */
function fileKey(key: string, value: unknown): string {
  const name = isSpan(key, value) ? key.slice(0, -"Ms".length) : key;
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function isSpan(key: string, value: unknown): value is number {
  return typeof value === "number" && key.endsWith("Ms");
}

function isTree(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** JSON has no 64-bit numbers: above 2^53 they stand in quotes. */
function fromBigint(n: bigint): number | string {
  return n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : `0x${n.toString(16)}`;
}

/**
 * Where two configurations differ, as keys of the file: "psp.ttl", "peers[h2].vips". Objects of a list are
 * compared by their `id` or `name` where they have one; a list of anything else differs as a whole.
 */
export function differences(before: object, after: object): readonly string[] {
  return [...differing(before, after, "")];
}

/** Whether two values of a `Config` say the same. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (!isTree(a) || !isTree(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  const [keys, others] = [Object.keys(a), Object.keys(b)];
  return keys.length === others.length &&
    keys.every((key) => Object.hasOwn(b, key) && sameValue(a[key], b[key]));
}

function* differing(before: unknown, after: unknown, path: string): Generator<string> {
  if (sameValue(before, after)) return;
  const [a, b] = [children(before), children(after)];
  if (a === undefined || b === undefined) return yield path;
  const isList = Array.isArray(before) || Array.isArray(after);
  for (const key of new Set([...a.keys(), ...b.keys()])) {
    const [old, now] = [a.get(key), b.get(key)];
    const name = isList ? `[${key}]` : fileKey(key, old ?? now);
    yield* differing(old, now, isList || path === "" ? `${path}${name}` : `${path}.${name}`);
  }
}

/** What tells an object of a list from the others: its id or its name. */
export function listKey(item: unknown): string | undefined {
  if (!isTree(item)) return undefined;
  const key = item.id ?? item.name;
  return typeof key === "string" ? key : undefined;
}

/** The parts of an object, or of a list of objects with ids or names; undefined: compared as a whole. */
function children(value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (!Array.isArray(value)) return isTree(value) ? new Map(Object.entries(value)) : undefined;
  const byId = new Map<string, unknown>();
  for (const item of value) {
    const key = listKey(item);
    if (key !== undefined) byId.set(key, item);
  }
  return byId.size === value.length ? byId : undefined;
}

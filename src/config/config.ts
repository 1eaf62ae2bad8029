// SPDX-License-Identifier: Apache-2.0

/**
 * The effective configuration: what `peers.json` says, validated, with every default filled in. Its type
 * follows from the schema: a key there is a key here, in camelCase; spans of time are milliseconds, with
 * "Ms" at the name's end; a path starts at the file's directory, a number of 64 bits may stand in quotes. One mapping does
 * this for every key, in both directions. And what of it decides over the form of the pipes: a running agent has the
 * pipes that it began with, so that what another form would take waits for its next start.
 */
import { resolve } from "node:path";
import { isPattern } from "../model/patterns.ts";
import { formatDuration } from "./durations.ts";
import { type FileForm, FilePath, Span } from "./schema.ts";

type Everything = Mapped<FileForm>;

/** Everything, with what is derived from other keys filled in. */
export interface Config extends Omit<Everything, "rpc"> {
  readonly rpc: Everything["rpc"] & { readonly listen: string; readonly maxConnections: number };
}

export type PlaneConfig = Config["plane"];
/** An address or prefix of workloads on this host. */
export type LocalVip = Config["vips"][number];
export type PeerConfig = Config["peers"][number];
export type TlsFiles = NonNullable<Config["rpc"]["tls"]>;

/** The configuration cannot be used. `problems` has one sentence for each thing that is wrong. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  constructor(message: string, readonly problems: readonly string[] = [], options?: ErrorOptions) {
    super(message, options);
  }
}

/**
 * What the configuration names is not as it must be, or not yet: an interface, an address or a certificate that is not
 * there, a clock that is wrong, a port or a directory that somebody else has. The file is not wrong, and the same again
 * may help.
 */
export class EnvironmentError extends ConfigError {}

/** Whether there may be several host ports. In software they come and go, hardware has those that it opens with. */
export function hasManyHosts(plane: PlaneConfig): boolean {
  const host = plane.kind === "soft" ? plane.host : plane.representor;
  return typeof host !== "string" || isPattern(host);
}

/** Names and patterns of the host ports. */
export function hostNames(plane: PlaneConfig): readonly string[] {
  return [plane.kind === "soft" ? plane.host : plane.representor].flat();
}

/** Whether any packet that this host receives has a virtualization cookie. */
export function hasCookies({ peers, networks = [] }: Pick<Config, "peers" | "networks">): boolean {
  return networks.length > 0 || peers.some((peer) => peer.vc !== undefined);
}

/** Whether the pipes compare cookies: in software always, so that the first one may come at any time. */
export function comparesCookies(config: Pick<Config, "plane" | "peers" | "networks">): boolean {
  return config.plane.kind === "soft" || hasCookies(config);
}

// ---- between the file and the agent -------------------------------------------------------------

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
export function fileKey(key: string, value: unknown): string {
  const name = isSpan(key, value) ? key.slice(0, -"Ms".length) : key;
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function isSpan(key: string, value: unknown): value is number {
  return typeof value === "number" && key.endsWith("Ms");
}

/** Whether it has parts of its own. */
export function isTree(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** JSON has no 64-bit numbers: above 2^53 they stand in quotes. */
function fromBigint(n: bigint): number | string {
  return n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : `0x${n.toString(16)}`;
}

// SPDX-License-Identifier: Apache-2.0

/** From the text of `peers.json` to a `Config`, or to a report of everything that is wrong with it. */
import { dirname, resolve } from "node:path";
import * as v from "valibot";
import { defaultListen, family, isOneAddress, parseCidr } from "./addresses.ts";
import {
  type Config,
  ConfigError,
  EnvironmentError,
  fromFile,
  type Mapped,
  type PeerConfig,
} from "./config.ts";
import { fileReason } from "./reasons.ts";
import { problemsOf, type Remark, type Step, warningsOf } from "./rules.ts";
import { type FileForm, fileSchema, MAX_CONNECTIONS, MAX_PEERS, peerSchema } from "./schema.ts";
import { EMPTY, parseSource, type Problem, type Source } from "./source.ts";
import { addressOf, inNetwork, networkOf } from "../model/network.ts";
import type { Slices } from "../model/slices.ts";

/** A configuration that can be used, and what its author should know: one sentence each. */
export interface Loaded {
  readonly config: Config;
  readonly warnings: readonly string[];
  /** Files that it names and that cannot be read here: without them no agent starts. */
  readonly unreadable: readonly Unreadable[];
  /** Where a key stands, "rpc.tls.cert", or the nearest thing around it: "peers.json:12:15". */
  readonly place: (key: string) => string;
}

/** A file that a configuration names. */
export interface Unreadable {
  /** "rpc.tls.cert" */
  readonly key: string;
  /** What is wrong with it: one sentence with everything in it. */
  readonly text: string;
}

const EMPTY_HINT =
  ": it needs at least id, pip, vips, plane, rpc.tls and peers (see examples/peers.json)";
/** Connections that an agent has room for, however few its peers are. */
const LEAST_CONNECTIONS = 256;
/** Keeps what is no configuration out of memory: as many peers as a file may have take less. */
const MAX_BYTES = 256 * 2 ** 20;

/**
 * Reads and checks a file. Throws `ConfigError`. Files that it names but that cannot be read are an
 * `EnvironmentError`, or only told where `files` says so (to check a file on another machine).
 */
export async function loadConfig(
  file: string,
  { files = "needed", slices }: {
    readonly files?: "needed" | "told";
    /** Others have their turn while it is read, as far as that can be. */
    readonly slices?: Slices;
  } = {},
): Promise<Loaded> {
  const text = await readText(file);
  const parsed = (slices && await parsePlain(text, file, slices)) ?? parseConfig(text, file);
  const unreadable = (await unreadableFiles(parsed.config)).map(([key, why]) => ({
    key,
    text: `${parsed.place(key)}: ${key}: ${why}`,
  }));
  const loaded = { ...parsed, unreadable };
  if (files === "needed") requireFiles(file, loaded);
  return loaded;
}

/** Throws `EnvironmentError` when a file that the configuration `file` names cannot be read. */
export function requireFiles(file: string, { unreadable }: Pick<Loaded, "unreadable">): void {
  if (unreadable.length === 0) return;
  const { message, problems } = report(file, unreadable.map(({ text }) => text));
  throw new EnvironmentError(message, problems);
}

/** Checks a text. `file` is its name in messages, and relative paths in it start at its directory. */
export function parseConfig(text: string, file: string): Omit<Loaded, "unreadable"> {
  const source = parseSource(text);
  if (source.value === undefined) {
    const hint = source.problems[0]?.text === EMPTY ? EMPTY_HINT : "";
    throw report(file, source.problems.map((problem) => render(file, problem) + hint));
  }
  const { form, remarks } = check(source.value);
  const problems = [...source.problems, ...remarks.map(source.locate)];
  if (!form || problems.length > 0) {
    throw report(file, problems.sort(byPlace).map((problem) => render(file, problem)));
  }
  const warnings = [...hostBits(source.value), ...warningsOf(form)].flatMap((step) => step ?? [])
    .map(source.locate).sort(byPlace);
  return {
    config: toConfig(form, dirname(resolve(file))),
    warnings: warnings.map((warning) => render(file, warning)),
    place: (key) => placeIn(source, { file, key }),
  };
}

/**
 * The same for a text that is plain JSON and with which nothing at all is wrong, as programs write it for a fleet: in slices,
 * and several times as fast. undefined: it has to be looked at with care.
 */
export async function parsePlain(
  text: string,
  file: string,
  slices: Slices,
): Promise<Omit<Loaded, "unreadable"> | undefined> {
  // Escapes may hide a key that stands twice, and numbers of so many digits are not what they seem.
  if (/\\|\d{16}|__proto__|prototype|constructor/.test(text)) return undefined;
  await slices.next();
  const plain = treeOf(text);
  if (plain === undefined) return undefined;
  await slices.next();
  const { peers: listed = [], ...rest } = plain;
  if (!Array.isArray(listed) || listed.length > MAX_PEERS) return undefined;
  let keys = keysIn(rest) + (plain.peers === undefined ? 0 : 1);
  const head = v.safeParse(fileSchema, rest);
  if (!head.success) return undefined;
  const peers: FileForm["peers"] = [];
  for (const item of listed) {
    keys += keysIn(item);
    const peer = v.safeParse(peerSchema, item);
    if (!peer.success) return undefined;
    peers.push(peer.output);
    await slices.next();
  }
  await slices.next();
  // Otherwise one stands there twice.
  if (keys !== text.match(/"\s*:/g)?.length) return undefined;
  const form: FileForm = { ...head.output, peers };
  for (const steps of [problemsOf(form), hostBits(plain), warningsOf(form)]) {
    for (const step of steps) {
      if (step !== undefined) return undefined;
      await slices.next();
    }
  }
  const dir = dirname(resolve(file));
  const named: PeerConfig[] = [];
  for (const peer of peers) {
    named.push(fromFile(peer, dir));
    await slices.next();
  }
  return {
    config: toConfig(head.output, dir, named),
    warnings: [],
    place: (key) => placeIn(parseSource(text), { file, key }),
  };
}

/** The object that a text in JSON is; undefined: it is no such thing. */
function treeOf(text: string): { readonly [key: string]: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isTree = typeof value === "object" && value !== null && !Array.isArray(value);
    return isTree ? value as { readonly [key: string]: unknown } : undefined;
  } catch {
    return undefined;
  }
}

/** Keys of all objects in a value. */
function keysIn(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce((sum, item) => sum + keysIn(item), own);
}

function placeIn(
  source: Pick<Source, "locate">,
  { file, key }: { readonly file: string; readonly key: string },
): string {
  const { line, column } = source.locate({ path: key.split("."), text: "" });
  return `${file}:${line}:${column}`;
}

/** Under the agent's names, with what one key says about another filled in. */
function toConfig(
  form: FileForm,
  dir: string,
  peers: readonly PeerConfig[] = fromFile(form.peers, dir),
): Config {
  const config = withNetworks({ ...fromFile({ ...form, peers: [] }, dir), peers });
  return {
    ...config,
    // A MAC is one workload's; a warning says that it was left out.
    vips: config.vips.map(({ mac, ...vip }) =>
      mac === undefined || !isOneAddress(vip.vip) ? vip : { ...vip, mac }
    ),
    rpc: {
      ...config.rpc,
      listen: config.rpc.listen ?? defaultListen(config.pip),
      maxConnections: config.rpc.maxConnections ?? connectionsFor(config.peers.length),
    },
  };
}

function check(value: unknown): { form?: FileForm; remarks: Remark[] } {
  const result = v.safeParse(fileSchema, value);
  if (result.success) {
    const remarks = [...problemsOf(result.output)].flatMap((step) => step ?? []);
    return { form: result.output, remarks };
  }
  const remarks = result.issues.map((issue) => ({
    path: (issue.path ?? []).map(({ key }) => typeof key === "number" ? key : String(key)),
    text: issue.message,
  }));
  return { remarks };
}

/** Prefixes that were written with bits beyond their length; each of them is valid by now. */
function* hostBits(value: unknown, path: Remark["path"] = []): Generator<Step> {
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) yield* hostBits(item, [...path, i]);
  } else if (typeof value === "object" && value !== null) {
    yield;
    for (const [key, item] of Object.entries(value)) yield* hostBits(item, [...path, key]);
  } else if (path.includes("vips") && String(value).includes("/") && parseCidr(value).hostBits) {
    yield {
      path,
      text: `"${value}" has bits beyond its prefix length: read as "${parseCidr(value).cidr}"`,
    };
  }
}

/** Keys, and why the file that stands there cannot be read. */
async function unreadableFiles(config: Config): Promise<(readonly [string, string])[]> {
  const { rpc, status } = config;
  const named: [string, string | undefined][] = [
    ["rpc.tls.cert", rpc.tls?.cert],
    ["rpc.tls.key", rpc.tls?.key],
    ["rpc.tls.ca", rpc.tls?.ca],
    ["status.tls.cert", status.tls?.cert],
    ["status.tls.key", status.tls?.key],
    ["status.tls.ca", status.tls?.ca],
    ["status.token_file", status.tokenFile],
  ];
  const results = await Promise.all(named.map(async ([key, path]) => {
    const why = path === undefined ? undefined : await whyUnreadable(path);
    return why === undefined ? [] : [[key, why] as const];
  }));
  return results.flat();
}

async function whyUnreadable(path: string): Promise<string | undefined> {
  try {
    using file = await Deno.open(path);
    return (await file.stat()).isFile ? undefined : `"${path}" is not a file`;
  } catch (error) {
    return `cannot read "${path}": ${fileReason(error)}`;
  }
}

async function readText(file: string): Promise<string> {
  try {
    const { size } = await Deno.stat(file);
    if (size > MAX_BYTES) throw new RangeError(`larger than ${MAX_BYTES} octets`);
    return textOf(await Deno.readFile(file));
  } catch (error) {
    throw new ConfigError(`Cannot read configuration "${file}": ${fileReason(error)}`, [], {
      cause: error,
    });
  }
}

/** Throws `RangeError` for what no editor would show as a configuration. */
function textOf(bytes: Uint8Array): string {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    if (!text.includes("\0")) return text;
  } catch {
    // Below.
  }
  throw new RangeError("it is not text in UTF-8");
}

/** The error of a file with these problems, a sentence each, which begins with its place. */
export function report(file: string, problems: readonly string[]): ConfigError {
  const [only = ""] = problems;
  const message = problems.length === 1
    ? `Cannot use configuration ${only}`
    : `Cannot use configuration "${file}": ${problems.length} problems`;
  return new ConfigError(message, problems);
}

/** "peers.json:12:15: peers[0].vips[1]: what is wrong". */
function render(file: string, { path, text, line, column }: Problem): string {
  const key = pathText(path);
  return `${file}:${line}:${column}: ${key ? `${key}: ` : ""}${text}`;
}

/** "peers[0].vips[1]". */
export function pathText(path: readonly (string | number)[]): string {
  return path.map((part) =>
    typeof part === "number"
      ? `[${part}]`
      : /^[A-Za-z_][A-Za-z0-9_]*$/.test(part)
      ? `.${part}`
      : `[${JSON.stringify(part)}]`
  ).join("").replace(/^\./, "");
}

function byPlace(a: Problem, b: Problem): number {
  return a.line - b.line || a.column - b.column;
}

/** Each peer has one, and a quarter may be connections that are being replaced. */
function connectionsFor(peers: number): number {
  return Math.min(MAX_CONNECTIONS, Math.max(LEAST_CONNECTIONS, Math.ceil(peers * 5 / 4)));
}

// ---- networks -------------------------------------------------------------------------------------

type Form = Mapped<FileForm>;
type Network = NonNullable<Form["networks"]>[number];

/**
 * Networks as the agent works with them: their vips stand among the host's own, each with its network's name, their ports
 * among the host ports, and what a network says of its gateway and DNS holds for every vip that says nothing else.
 */
function withNetworks(config: Form): Form {
  const { networks, plane } = config;
  if (networks === undefined || networks.length === 0) return config;
  const byName = new Map(networks.map((network) => [network.name, network]));
  const own = networks.flatMap(({ name, vips }) =>
    vips.map((vip) => ({ ...vip, vip: inNetwork(addressOf(vip.vip), name) }))
  );
  const vips = [...config.vips, ...own].map((vip) => told(vip, byName.get(networkOf(vip.vip))));
  return {
    ...config,
    vips,
    networks: networks.map((network) => ({ ...network, vips: [] })),
    plane: withPorts(plane, networks.flatMap((network) => network.ports)),
  };
}

function withPorts(plane: Form["plane"], ports: readonly string[]): Form["plane"] {
  if (ports.length === 0) return plane;
  return plane.kind === "soft"
    ? { ...plane, host: [...new Set([plane.host, ports].flat())] }
    : { ...plane, representor: [...new Set([plane.representor, ports].flat())] };
}

function told(vip: Form["vips"][number], network: Network | undefined): Form["vips"][number] {
  if (network === undefined) return vip;
  const { gateway, dns } = network;
  const fits = gateway !== undefined && family(gateway) === family(vip.vip);
  return {
    ...vip,
    ...vip.gateway === undefined && fits ? { gateway } : {},
    dns: vip.dns.length > 0 ? vip.dns : dns,
  };
}

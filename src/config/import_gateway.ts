// SPDX-License-Identifier: Apache-2.0

/** The configuration of NVIDIA's PSP gateway sample, read as one of ours. */
import * as v from "valibot";
import { ConfigError } from "./config.ts";
import { parseConfig } from "./load.ts";
import { parseSource } from "./source.ts";

/** What the gateway's file does not say. */
export interface ImportOptions {
  /** This host's id; default: from its address. */
  readonly id?: string | undefined;
  readonly uplink?: string | undefined;
  readonly host?: string | undefined;
}

/** A file of ours, and what its reader must look at: one sentence each. */
export interface Imported {
  readonly file: Record<string, unknown>;
  readonly notes: readonly string[];
}

/** Where the gateway listens when its address has no port. */
const GATEWAY_PORT = 3000;

const address = v.pipe(v.string(), v.nonEmpty("is empty"));
const gatewaySchema = v.strictObject({
  config: v.strictObject({ "local-grpc-address": address }),
  peers: v.array(v.strictObject({
    "remote-grpc-address": address,
    sessions: v.array(v.strictObject({
      "local-vip": address,
      "remote-vips": v.pipe(v.array(address), v.minLength(1, "is empty")),
    })),
  })),
});
type Gateway = v.InferOutput<typeof gatewaySchema>;

/**
 * Reads the text of a gateway's file; comments are allowed there. Its CIDRs stay prefixes. Throws
 * `ConfigError`: it is no such file, or what it says cannot be a configuration of ours. `name` is the file's
 * in messages.
 */
export function importGateway(text: string, name: string, options: ImportOptions = {}): Imported {
  const gateway = read(text, name);
  const local = split(gateway.config["local-grpc-address"]);
  const sessions = gateway.peers.flatMap((peer) => peer.sessions);
  const vips = [...new Set(sessions.map((session) => session["local-vip"]))];
  const peers = gateway.peers.map((peer) => {
    const remote = split(peer["remote-grpc-address"]);
    return {
      id: idOf(remote.host),
      svc_address: join(remote),
      vips: [...new Set(peer.sessions.flatMap((session) => session["remote-vips"]))],
    };
  });
  const id = options.id ?? idOf(local.host);
  const file = {
    id,
    pip: local.host,
    vips,
    plane: { uplink: options.uplink ?? "p0", host: options.host ?? "pf0vf0" },
    rpc: {
      listen: join(local),
      tls: { cert: `${id}/${id}.crt`, key: `${id}/${id}.key`, ca: `${id}/ca.crt` },
    },
    peers,
  };
  // Whatever the gateway took, we print only what we take.
  return { file, notes: [...notesOf(gateway, options), ...warningsOf(file, name)] };
}

/** Warnings about our file. Its lines are not those of the gateway's: only the keys are told. */
function warningsOf(file: unknown, name: string): readonly string[] {
  const bare = (text: string) => text.replace(/^.*?:\d+:\d+: /, "");
  try {
    return parseConfig(JSON.stringify(file), "it").warnings.map(bare);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const problems = error.problems.map(bare);
    throw new ConfigError(`Cannot import "${name}": ${problems.join("; ")}`, problems);
  }
}

function read(text: string, name: string): Gateway {
  const source = parseSource(text);
  const wrong = (problems: readonly string[]) =>
    new ConfigError(
      `Cannot import "${name}": it is not a PSP gateway's configuration: ${problems[0]}`,
      problems,
    );
  if (source.problems.length > 0) {
    throw wrong(source.problems.map(({ line, column, text }) => `${line}:${column}: ${text}`));
  }
  const result = v.safeParse(gatewaySchema, source.value);
  if (result.success) return result.output;
  throw wrong(result.issues.map((issue) => {
    const path = (issue.path ?? []).map(({ key }) => typeof key === "number" ? key : String(key));
    const { line, column } = source.locate({ path, text: "" });
    return `${line}:${column}: ${path.join(".") || "the file"}: ${wording(issue)}`;
  }));
}

/** The library speaks of types that users never wrote. */
function wording({ kind, type, expected, received, message }: v.BaseIssue<unknown>): string {
  if (kind !== "schema") return message;
  if (expected === "never") return "is not a key of a gateway";
  if (type === "strict_object" && received === "undefined") return "is missing";
  return `is ${received}, not ${expected}`;
}

/** What the file says nothing about, and where the two programs differ. */
function notesOf(gateway: Gateway, { id, uplink, host }: ImportOptions): string[] {
  const notes = [
    "pip: taken from local-grpc-address; it must be the address of PSP packets",
    "rpc.tls: make the certificates (psp-agent pki), or name your own",
    "peers: each id must be the one in that peer's certificate; these come from the addresses",
  ];
  if (id === undefined) notes.push("id: made from the address; --id says another one");
  if (uplink === undefined || host === undefined) {
    notes.push('plane: "p0" and "pf0vf0" are guesses; --uplink and --host say better');
  }
  for (const { sessions, "remote-grpc-address": remote } of gateway.peers) {
    const [first, ...others] = sessions.map((s) => [...s["remote-vips"]].sort().join(" "));
    if (others.some((vips) => vips !== first)) {
      notes.push(
        `peers: the gateway pairs each local vip with some vips of ${remote}; here any two may talk`,
      );
    }
  }
  return notes;
}

/** "192.0.2.1:3000", "[2001:db8::1]:3000", or without a port. */
function split(text: string): { readonly host: string; readonly port: number } {
  const found = /^\[([^\]]+)\](?::(\d+))?$/.exec(text) ?? /^([^:]+)(?::(\d+))?$/.exec(text);
  if (found === null) return { host: text, port: GATEWAY_PORT };
  return { host: found[1] ?? text, port: Number(found[2] ?? GATEWAY_PORT) };
}

function join({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** "192.0.2.1" is "h-192-0-2-1": a name that a certificate may hold. */
function idOf(host: string): string {
  return /^[\d.:a-f]+$/i.test(host) ? `h-${host.replaceAll(/[.:]+/g, "-")}` : host;
}

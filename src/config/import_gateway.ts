// SPDX-License-Identifier: Apache-2.0

/**
 * The configuration of NVIDIA's PSP gateway sample, read as one of ours: the sample's own form (`peers`), as releases up
 * to 3.3 have it, and that of its public fork for several NICs (`hosts`), where one file is for all hosts.
 */
import * as v from "valibot";
import { ConfigError } from "./config.ts";
import { parseConfig } from "./load.ts";
import { parseSource } from "./source.ts";

/** What the gateway's file does not say. */
export interface ImportOptions {
  /** This host's id; default: from its address. In a file of all hosts: which of them is this one. */
  readonly id?: string | undefined;
  readonly uplink?: string | undefined;
  readonly host?: string | undefined;
}

/** A file of ours, and what its reader must look at: one sentence each. */
export interface Imported {
  /** Lacks what the gateway asks the device or its command line for; a note names each. */
  readonly file: Record<string, unknown>;
  readonly notes: readonly string[];
}

/** Where the gateway listens when its address has no port. */
const GATEWAY_PORT = 3000;

const address = v.pipe(v.string(), v.nonEmpty("is empty"));
const addresses = v.pipe(v.array(address), v.minLength(1, "is empty"));
const settings = v.strictObject({
  "local-grpc-address": v.optional(address),
  "local-pip": v.optional(address),
});

const peersSchema = v.strictObject({
  config: settings,
  peers: v.array(v.strictObject({
    "remote-grpc-address": address,
    sessions: v.array(v.strictObject({
      "local-vip": v.optional(address),
      "remote-vips": addresses,
    })),
  })),
});
type PeersForm = v.InferOutput<typeof peersSchema>;

/** A NIC of a host; a host with several stands there several times. */
const nic = v.strictObject({
  hostname: address,
  pci: address,
  repr: address,
  pip: address,
  "grpc-address": address,
  nexthop: v.optional(address),
  vfmac: v.optional(address),
  vips: addresses,
});
type Nic = v.InferOutput<typeof nic>;
const hostsSchema = v.strictObject({
  config: v.optional(settings, {}),
  hosts: v.pipe(v.array(nic), v.minLength(1, "is empty")),
});
type HostsForm = v.InferOutput<typeof hostsSchema>;

/**
 * Reads the text of a gateway's file; comments are allowed there. Its CIDRs stay prefixes. Throws
 * `ConfigError`: it is no such file, or what it says cannot be a configuration of ours. `name` is the file's
 * in messages.
 */
export function importGateway(text: string, name: string, options: ImportOptions = {}): Imported {
  const form = read(text, name);
  const { file, notes } = "hosts" in form
    ? fromHosts(form, name, options)
    : fromPeers(form, options);
  // Whatever the gateway took, we print only what we take.
  return { file, notes: [...notes, ...remarksOn(file, name)] };
}

// ---- the sample's own form ------------------------------------------------------------------------

function fromPeers(gateway: PeersForm, options: ImportOptions): Imported {
  const { "local-grpc-address": listens, "local-pip": localPip } = gateway.config;
  const local = listens === undefined ? undefined : split(listens);
  const pip = localPip ?? local?.host;
  const named = gateway.peers.flatMap((peer) => peer.sessions)
    .map((session) => session["local-vip"]);
  const vips = unique(named.filter((vip) => vip !== undefined));
  const id = options.id ?? (pip === undefined ? undefined : idOf(pip));
  const file = {
    ...id === undefined ? {} : { id },
    ...pip === undefined ? {} : { pip },
    ...vips.length === 0 ? {} : { vips },
    plane: { uplink: options.uplink ?? "p0", host: options.host ?? "pf0vf0" },
    rpc: { ...local === undefined ? {} : { listen: join(local) }, tls: tlsOf(id ?? "h1") },
    peers: gateway.peers.map((peer) => {
      const remote = split(peer["remote-grpc-address"]);
      return {
        id: idOf(remote.host),
        svc_address: join(remote),
        vips: unique(peer.sessions.flatMap((session) => session["remote-vips"])),
      };
    }),
  };
  const notes: string[] = [];
  if (pip === undefined) {
    notes.push(
      "pip: add it, this host's own address towards the other hosts: the file has neither local-pip nor " +
        "local-grpc-address, and the gateway asks the device",
    );
  } else if (localPip === undefined) {
    notes.push("pip: taken from local-grpc-address; it must be the address of PSP packets");
  }
  if (id === undefined) notes.push("id: add it, this host's name in its certificate, or say --id");
  else if (options.id === undefined) {
    notes.push("id: made from the address; --id says another one");
  }
  if (vips.length === 0) {
    notes.push(
      "vips: add them, what lives on this host: no session has a local-vip, and the gateway asks its --vf-name",
    );
  } else if (named.includes(undefined)) {
    notes.push("vips: sessions without local-vip mean the address of --vf-name, which is not here");
  }
  if (options.uplink === undefined || options.host === undefined) {
    notes.push('plane: "p0" and "pf0vf0" are guesses; --uplink and --host say better');
  }
  notes.push(...notesOnPeers());
  for (const { sessions, "remote-grpc-address": remote } of gateway.peers) {
    const [first, ...others] = sessions.map((s) => [...s["remote-vips"]].sort().join(" "));
    if (others.some((vips) => vips !== first)) {
      notes.push(
        `peers: the gateway pairs each local vip with some vips of ${remote}; here any two may talk`,
      );
    }
  }
  return { file, notes };
}

// ---- the fork's form, for all hosts ----------------------------------------------------------------

function fromHosts({ hosts }: HostsForm, name: string, options: ImportOptions): Imported {
  const byName = Map.groupBy(hosts, ({ hostname }) => hostname);
  const names = [...byName.keys()];
  const ours = byName.get(options.id ?? "");
  if (options.id === undefined || ours === undefined) {
    const which = options.id === undefined ? "" : `no host "${options.id}" is in it; `;
    throw new ConfigError(
      `Cannot import "${name}": ${which}it is for ${names.length} hosts, and --id says which of them this one is: ${
        names.join(", ")
      }`,
    );
  }
  const own = options.uplink === undefined
    ? ours[0]
    : ours.find(({ pci }) => pci === options.uplink);
  if (own === undefined) {
    throw new ConfigError(
      `Cannot import "${name}": "${options.id}" has no NIC "${options.uplink}", but ${
        ours.map(({ pci }) => pci).join(", ")
      }`,
    );
  }
  const file = {
    id: options.id,
    pip: own.pip,
    vips: own.vips.map((vip) => own.vfmac === undefined ? vip : { vip, mac: own.vfmac }),
    plane: {
      kind: "doca",
      pci: own.pci,
      representor: options.host ?? own.repr,
      ...own.nexthop === undefined ? {} : { next_hop_mac: own.nexthop },
    },
    rpc: { listen: join(split(own["grpc-address"])), tls: tlsOf(options.id) },
    peers: names.filter((host) => host !== options.id).map((id) =>
      peerOf(id, byName.get(id) ?? [])
    ),
  };
  const notes = [
    "plane: with DOCA, as the file names PCI addresses; without a DPU write its interfaces, " +
    '{ "uplink": "p0", "host": "pf0vf0" }',
    ...notesOnPeers(),
  ];
  if (ours.length > 1) {
    notes.push(
      `plane: "${options.id}" has ${ours.length} NICs, and an agent has one uplink: this file is for ${own.pci}; ` +
        `--uplink takes another one of ${ours.map(({ pci }) => pci).join(", ")}`,
    );
  }
  return { file, notes };
}

/** A host as a peer. With one NIC its outer address is known; with several the exchange says which one it is. */
function peerOf(id: string, nics: readonly Nic[]): Record<string, unknown> {
  const [first] = nics;
  return {
    id,
    svc_address: join(split(first?.["grpc-address"] ?? id)),
    ...nics.length === 1 ? { pip: first?.pip } : {},
    vips: unique(nics.flatMap(({ vips }) => vips)),
  };
}

// ---- what both have -------------------------------------------------------------------------------

function notesOnPeers(): readonly string[] {
  return [
    "rpc.tls: make the certificates (psp-agent pki), or name your own",
    "peers: each id must be the one in that peer's certificate; these come from the file",
  ];
}

function tlsOf(id: string) {
  return { cert: `${id}/${id}.crt`, key: `${id}/${id}.key`, ca: `${id}/ca.crt` };
}

/**
 * Warnings about our file. Its lines are not those of the gateway's: only the keys are told. What the gateway's file
 * cannot say is missing, has its note, and is no problem of it.
 */
function remarksOn(file: Record<string, unknown>, name: string): readonly string[] {
  const bare = (text: string) => text.replace(/^.*?:\d+:\d+: /, "");
  const missing = ["id", "pip", "vips"].filter((key) => !(key in file));
  try {
    return parseConfig(JSON.stringify(file), "it").warnings.map(bare);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const problems = error.problems.map(bare)
      .filter((problem) => !missing.some((key) => problem.startsWith(`${key}: is missing`)));
    if (problems.length === 0) return [];
    throw new ConfigError(`Cannot import "${name}": ${problems.join("; ")}`, problems);
  }
}

function read(text: string, name: string): PeersForm | HostsForm {
  const source = parseSource(text);
  const wrong = (why: string, problems: readonly string[]) =>
    new ConfigError(`Cannot import "${name}": ${why}${problems[0]}`, problems);
  const OTHER = "it is not a PSP gateway's configuration: ";
  if (source.problems.length > 0) {
    const problems = source.problems.map(({ line, column, text }) => `${line}:${column}: ${text}`);
    throw wrong(OTHER, problems);
  }
  const { value } = source;
  const has = (key: string) => typeof value === "object" && value !== null && key in value;
  const result = v.safeParse(has("hosts") ? hostsSchema : peersSchema, value);
  if (result.success) return result.output;
  const problems = result.issues.map((issue) => {
    const path = (issue.path ?? []).map(({ key }) => typeof key === "number" ? key : String(key));
    const { line, column } = source.locate({ path, text: "" });
    return `${line}:${column}: ${path.join(".") || "the file"}: ${wording(issue)}`;
  });
  // It has what a gateway's file has: then it is one, with something wrong in it.
  throw wrong(has("hosts") || (has("config") && has("peers")) ? "" : OTHER, problems);
}

/** The library speaks of types that users never wrote. */
function wording({ kind, type, expected, received, message }: v.BaseIssue<unknown>): string {
  if (kind !== "schema") return message;
  if (expected === "never") return "is not a key of a gateway";
  if (type === "strict_object" && received === "undefined") return "is missing";
  return `is ${received}, not ${expected}`;
}

function unique(items: readonly string[]): string[] {
  return [...new Set(items)];
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
